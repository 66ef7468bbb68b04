//! What this host keeps of content that is to be nowhere any more.

use std::{fs, io, path::Path};

use stead_core::id::{BlobId, Name, TreeId};

use super::{Cache, hex, tag};

/// Removes files and directories with this content from the cache in a directory, whether it is open or not. Nothing must use them: no
/// workspace that stays leads to any of them.
///
/// # Errors
/// When something that is there cannot be removed.
pub fn forget(root: &Path, tenant: &Name, ids: &[BlobId]) -> io::Result<()> {
    let tag = tag(tenant);
    for id in ids {
        let id = hex(&id.0);
        let file = root.join("files").join(&tag).join(&id[..2]);
        for kind in ["n", "x"] {
            gone(fs::remove_file(file.join(format!("{}.{kind}", &id[2..]))))?;
        }
        gone(fs::remove_dir_all(root.join("bases").join(&tag).join(&id)))?;
    }
    Ok(())
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(e),
        _ => Ok(()),
    }
}

impl Cache {
    /// The same, for a cache that is open: a directory that is gone is made anew when somebody needs it.
    pub(crate) fn forget(&self, tenant: &Name, ids: &[BlobId]) -> io::Result<()> {
        let tag = tag(tenant);
        {
            let mut bases = self.0.bases.lock();
            ids.iter().for_each(|id| drop(bases.remove(&(tag.clone(), TreeId(id.0)))));
        }
        forget(&self.0.root, tenant, ids)
    }
}
