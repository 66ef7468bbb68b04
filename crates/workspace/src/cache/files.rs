//! Files by their addresses.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use stead_core::id::Name;

use super::{Cache, hex, tag};
use crate::{WorkspaceError, tree::FileEntry};

/// What a file takes besides its bytes, and the unit in which it takes them.
const BLOCK: u64 = 4096;

/// Where a file stands, below `files`.
pub(super) fn place(tag: &str, file: &FileEntry) -> String {
    let id = hex(&file.content.0);
    // Names of one file share its mode, so an executable is another file.
    format!("{tag}/{}/{}.{}", &id[..2], &id[2..], if file.exec { 'x' } else { 'n' })
}

/// What a file of that length counts.
pub(super) fn weight(size: u64) -> u64 {
    size.div_ceil(BLOCK).saturating_add(1).saturating_mul(BLOCK)
}

/// What all files below count.
pub(super) fn weigh(dir: &Path) -> io::Result<u64> {
    let mut sum = 0u64;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum = sum.saturating_add(if meta.is_dir() { weigh(&entry.path())? } else { weight(meta.size()) });
    }
    Ok(sum)
}

impl Cache {
    /// Leaves the bytes of a short file here. When that does not go, the file will come from the store.
    pub(crate) fn offer(&self, tenant: &Name, file: &FileEntry, bytes: &[u8]) {
        if !self.at(tenant, file).exists() {
            let mut offer = self.begin();
            offer.write(bytes);
            offer.finish(tenant, file);
        }
    }

    /// Begins a file whose address is not known yet.
    pub(crate) fn begin(&self) -> Offer {
        let path = self.fresh("new");
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        Offer { cache: self.clone(), path, file, len: 0 }
    }

    fn at(&self, tenant: &Name, file: &FileEntry) -> PathBuf {
        self.0.root.join("files").join(place(&tag(tenant), file))
    }
}

/// A file on its way into the cache. Dropped unfinished, it is gone.
pub(crate) struct Offer {
    cache: Cache,
    path: PathBuf,
    file: io::Result<File>,
    len: u64,
}

impl Offer {
    /// Adds bytes. An error is kept for [`Self::place`], and [`Self::finish`] passes over it.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Ok(file) = &mut self.file
            && let Err(e) = file.write_all(bytes)
        {
            self.file = Err(e);
        }
        self.len += bytes.len() as u64;
    }

    /// Leaves it under its address, if that goes. The caller has proved that these are its bytes.
    pub(crate) fn finish(self, tenant: &Name, file: &FileEntry) {
        if let Err(error) = self.place(tenant, file) {
            tracing::debug!(%error, "a file was not cached");
        }
    }

    /// Leaves it under its address. The caller has proved that these are its bytes.
    pub(crate) fn place(mut self, tenant: &Name, file: &FileEntry) -> Result<(), WorkspaceError> {
        let fail = |e| WorkspaceError::disk(self.path.display(), e);
        let written = std::mem::replace(&mut self.file, Err(io::ErrorKind::NotFound.into())).map_err(fail)?;
        let mode = if file.exec { 0o755 } else { 0o644 };
        written.set_permissions(fs::Permissions::from_mode(mode)).map_err(fail)?;
        if let Some((user, group)) = self.cache.0.owner {
            fchown(&written, Some(user), Some(group)).map_err(fail)?;
        }
        drop(written);
        let to = self.cache.at(tenant, file);
        let fail = |e| WorkspaceError::disk(to.display(), e);
        // A file that is there already has the same bytes; taking its place would leave two where bases link to both.
        match fs::hard_link(&self.path, &to) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let dir = to.parent().expect("it has directories above");
                fs::create_dir_all(dir).map_err(fail)?;
                fs::hard_link(&self.path, &to)
            }
            linked => linked,
        }
        .or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })
        .map_err(fail)?;
        self.cache.0.bytes.fetch_add(weight(self.len), Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // It is under its address now, or nowhere; what cannot be removed goes at the next start.
        let _ = fs::remove_file(&self.path);
    }
}
