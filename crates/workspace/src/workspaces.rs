//! [`Workspaces`]: all operations on trees, over one store and one cache.

use std::{path::PathBuf, sync::Arc};

use stead_core::{
    id::{Name, TreeId},
    time::{Span, Timestamp},
};
use stead_ports::{clock::Clock, objects::Objects};

use crate::{
    Limits, WorkspaceError,
    apply::{Applied, apply, load},
    cache::Cache,
    diff::{Diff, diff},
    layer::Folder,
    outbox::Outbox,
    trees::Trees,
    writer::Turns,
};

/// Where workspaces are kept on this host, and how large they may be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the cache; nothing else uses it.
    pub cache: PathBuf,
    /// Bytes that the cache may take, about.
    pub cache_bytes: u64,
    /// To whom the files of the cache are given, as user and group; by default they are those of this process. In a user namespace an overlay
    /// copies only files whose owner is mapped there, so a server that runs as root names the user that its boxes are on the host.
    pub owner: Option<(u32, u32)>,
    /// What a workspace may have.
    pub limits: Limits,
    /// How long objects are held that nothing leads to yet. The fact that names a tree is committed before that; a caller that is
    /// later gives the tree up. Clocks of the servers of a fleet differ by less than a tenth of it.
    pub hold: Span,
}

impl Options {
    /// With a cache of 4 GiB in that directory, the default limits, and an hour.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            cache_bytes: 4 << 30,
            owner: None,
            limits: Limits::default(),
            hold: Span::from_secs(3600),
        }
    }
}

/// The workspaces of a server. Cheap to clone.
#[derive(Clone)]
pub struct Workspaces {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) cache: Cache,
    pub(crate) limits: Limits,
    pub(crate) turns: Turns,
    clock: Arc<dyn Clock>,
    hold: Span,
}

impl std::fmt::Debug for Workspaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspaces").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// A tree that was just made, and is held for a while; see [`Options::hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub tree: TreeId,
    /// Files, links and directories in it.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Workspaces {
    /// Opens the cache and works on those objects.
    ///
    /// # Errors
    /// ST0245 when the cache cannot be written.
    pub fn open(objects: Arc<dyn Objects>, clock: Arc<dyn Clock>, options: Options) -> Result<Self, WorkspaceError> {
        let cache = Cache::open(&options.cache, options.cache_bytes, options.owner)?;
        let (limits, hold) = (options.limits.within(), options.hold);
        Ok(Self { objects, cache, limits, turns: Turns::default(), clock, hold })
    }

    /// The workspace with nothing in it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn empty(&self, tenant: &Name) -> Result<Made, WorkspaceError> {
        self.change(tenant, None, Folder::fresh()).await
    }

    /// What is different between two trees; at most so many changes are listed as the limits say, all are counted.
    ///
    /// # Errors
    /// ST0242 when a tree is not there or is damaged, or when the store does not answer.
    pub async fn diff(&self, tenant: &Name, before: TreeId, after: TreeId) -> Result<Diff, WorkspaceError> {
        diff(&mut self.trees(tenant), before, after, self.limits.listed).await
    }

    /// Lays a layer over a base, and keeps the tree.
    pub(crate) async fn change(
        &self,
        tenant: &Name,
        base: Option<TreeId>,
        layer: Folder,
    ) -> Result<Made, WorkspaceError> {
        let mut outbox = self.outbox(tenant);
        self.finish(&mut self.trees(tenant), tenant, base, layer, &mut outbox).await
    }

    /// Lays a layer over a base and sends what is new; all is durable when it returns.
    pub(crate) async fn finish(
        &self,
        trees: &mut Trees<'_>,
        tenant: &Name,
        base: Option<TreeId>,
        layer: Folder,
        outbox: &mut Outbox<'_>,
    ) -> Result<Made, WorkspaceError> {
        if let Some(base) = base {
            load(trees, base, &layer).await?;
        }
        let address = |content: &[u8]| self.objects.address(tenant, content);
        let Applied { top, made } = apply(trees, &address, base, layer, &self.limits)?;
        for (tree, bytes) in made {
            outbox.push(stead_core::id::BlobId(tree.0), bytes).await?;
        }
        outbox.flush().await?;
        Ok(Made { tree: top.tree, entries: top.entries, bytes: top.bytes })
    }

    pub(crate) fn trees<'t>(&'t self, tenant: &'t Name) -> Trees<'t> {
        Trees::new(&*self.objects, tenant)
    }

    pub(crate) fn outbox<'t>(&'t self, tenant: &'t Name) -> Outbox<'t> {
        Outbox::new(&*self.objects, tenant, self.clock.now().after(self.hold))
    }

    /// Objects that were held only until then are held by nobody any more, on whichever server.
    pub(crate) fn long_ago(&self) -> Timestamp {
        Timestamp(self.clock.now().0.saturating_sub_unsigned(self.hold.0 / 10))
    }
}
