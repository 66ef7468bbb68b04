//! What this host keeps of workspaces: the bytes of files, and directories made of them. Losing it costs time, never content.
//!
//! * `files`: one file for each content, by its address, proved when it was written and never written again.
//! * `layers`: what differs between two trees, to lie over a base.
//! * `bases`: a directory for each tree that an action started at lately, made of hard links to those files.
//!
//! Layout below its directory, which only this user can enter: `files/TENANT/ab/cdef….n` (`.x` for an executable), `bases/TENANT/TREE`,
//! `layers`, `new` and `old` for what is being made and unmade. TENANT is a digest. Nothing of a tenant is found by another: the path has it.
//!
//! **Why hard links, and why they are safe.** A file of a base is the file of the cache itself, so a base of 10,000 files costs no bytes. It is
//! safe as long as nobody writes through a base: a box sees it only as the lower directory of an overlay, which copies a file
//! before it is written, or as a read-only bind mount; and no path of the host leads into the cache for anybody but the server.
//!
//! **Why nothing is synced.** The cache is emptied when the host was started anew since it was written, so a file that a power cut
//! left half on the disk is not found again.

mod bases;
mod files;
mod forget;
#[cfg(target_os = "linux")]
mod layers;
mod room;

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use stead_core::id::{Name, TreeId};

pub(crate) use self::bases::Plan;
#[cfg(target_os = "linux")]
pub(crate) use self::layers::Layer;
pub use self::{bases::Base, forget::forget};
use crate::WorkspaceError;

/// Tells one start of the host from the next (`random(4)`).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The cache of a host. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("root", &self.0.root).finish_non_exhaustive()
    }
}

struct Inner {
    root: PathBuf,
    /// Bytes that files may take.
    most: u64,
    /// Bytes that they take, about.
    bytes: AtomicU64,
    /// Whose files they are, when not this process's.
    owner: Option<(u32, u32)>,
    /// Names that were never used.
    next: AtomicU64,
    bases: Mutex<HashMap<(String, TreeId), bases::Slot>>,
}

impl Cache {
    /// Opens the cache in `root`, making it (mode 0700) if there is none; it may take about `most` bytes, and its files are given to
    /// `owner`. One process at a time.
    ///
    /// # Errors
    /// ST0245 when it cannot be written.
    pub fn open(root: &Path, most: u64, owner: Option<(u32, u32)>) -> Result<Self, WorkspaceError> {
        let fail = |e| WorkspaceError::disk(root.display(), e);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(fail)?;
        let boot = fs::read_to_string(BOOT).map_err(|e| WorkspaceError::disk(BOOT, e))?;
        let boot = format!("{boot}{owner:?}\n");
        let known = fs::read_to_string(root.join("boot")).is_ok_and(|b| b == boot);
        // Bases are made of files in no time, and who used them has ended.
        for (dir, stays) in [("files", known), ("bases", false), ("layers", false), ("new", false), ("old", false)] {
            let dir = root.join(dir);
            if !stays && dir.exists() {
                fs::remove_dir_all(&dir).map_err(|e| WorkspaceError::disk(dir.display(), e))?;
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(fail)?;
        }
        fs::write(root.join("boot"), boot).map_err(fail)?;
        let bytes = files::weigh(&root.join("files")).map_err(fail)?;
        Ok(Self(Arc::new(Inner {
            root: root.to_owned(),
            most,
            bytes: AtomicU64::new(bytes),
            owner,
            next: AtomicU64::new(0),
            bases: Mutex::new(HashMap::new()),
        })))
    }

    /// A path below `new` or `old` that nothing else has.
    fn fresh(&self, dir: &str) -> PathBuf {
        self.0.root.join(dir).join(self.0.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// The directory of a tenant: 32 hexadecimal digits, whatever the tenant's name has in it.
fn tag(tenant: &Name) -> String {
    let digest = Sha256::new().chain_update(b"stead/workspace/tenant/v1").chain_update(tenant.as_bytes()).finalize();
    hex(&digest[..16])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
