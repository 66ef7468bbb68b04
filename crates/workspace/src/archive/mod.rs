//! Archives: trees from and to tar and zip. What comes in is hostile: a name that leads out, a link in the way of a file, a bomb,
//! a million entries. It becomes a tree in memory first, by the rules that hold for any tree, and no name of it ever meets a file
//! system.

mod bounded;
mod export;
mod tar_in;
mod zip_in;

use std::io::{Read, Seek};

use stead_core::id::{Name, TreeId};

use crate::{
    Made, WorkspaceError, Workspaces,
    intake::{Intake, take_in},
    layer::Folder,
};

impl Workspaces {
    /// Makes a tree of a tar archive, plain or with gzip, laid over `onto` if there is one. Regular files, directories, links, and hard links
    /// to files of the archive (which become files of their own) are taken; owners, times and modes but the right to execute are not.
    ///
    /// # Errors
    /// ST0244 for an archive that is broken, leads out, or has what no workspace holds; ST0240 for more than the limits allow. Nothing
    /// is made then.
    pub async fn import_tar(
        &self,
        tenant: &Name,
        onto: Option<TreeId>,
        archive: impl Read + Send + 'static,
    ) -> Result<Made, WorkspaceError> {
        self.import(tenant, onto, move |intake, layer| tar_in::read(archive, intake, layer)).await
    }

    /// Makes a tree of a zip archive, laid over `onto` if there is one. Stored and deflated entries are taken, and links.
    ///
    /// # Errors
    /// As [`Self::import_tar`].
    pub async fn import_zip(
        &self,
        tenant: &Name,
        onto: Option<TreeId>,
        archive: impl Read + Seek + Send + 'static,
    ) -> Result<Made, WorkspaceError> {
        self.import(tenant, onto, move |intake, layer| zip_in::read(archive, intake, layer)).await
    }

    async fn import(
        &self,
        tenant: &Name,
        onto: Option<TreeId>,
        read: impl FnOnce(&mut Intake, &mut Folder) -> Result<(), WorkspaceError> + Send + 'static,
    ) -> Result<Made, WorkspaceError> {
        let mut outbox = self.outbox(tenant);
        let mut layer = Folder { fresh: onto.is_none(), ..Folder::default() };
        let layer = take_in(&self.objects, tenant, &self.cache, &self.limits, &mut outbox, move |intake| {
            read(intake, &mut layer).map(|()| layer)
        })
        .await?;
        self.finish(&mut self.trees(tenant), tenant, onto, layer, &mut outbox).await
    }
}
