//! Folders that come in before a box is made: its root, if that is a folder, and what is mounted.

use std::{
    fs::{self, Permissions},
    io::{BufReader, Read as _},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;

use super::{IN, link::Reader};
use crate::{
    fault::{At, Fault},
    tree::{
        receive::{Bounds, receive},
        send::Size,
    },
};

/// Where the folder of a number is kept.
pub(super) fn kept(number: usize) -> PathBuf {
    Path::new(IN).join(number.to_string())
}

/// Mounts the filesystem that they are kept in; the host has counted them, and given the machine the memory.
pub(super) fn mount() -> Result<(), Fault> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("folders", IN, "tmpfs", flags, c"size=100%,nr_inodes=0,mode=0700")
        .at("mounting the place of folders")
}

/// Takes one in, for this owner; for root if for none.
pub(super) fn take(number: usize, owner: Option<u32>, from: Reader) -> Result<(), Fault> {
    let (path, step) = (kept(number), format!("taking folder {number} in"));
    fs::create_dir(&path).at(&step)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755)).at(&step)?;
    if let Some(owner) = owner {
        chown(&path, Some(owner), Some(owner)).at(&step)?;
    }
    let bounds = Bounds { size: Size { entries: u64::MAX, bytes: u64::MAX }, file: u64::MAX, upper: false, owner };
    let into = fs::File::open(&path).at(&step)?;
    let mut from = BufReader::with_capacity(32 << 10, from);
    receive(into.into(), &bounds, &mut from).at(&step)?;
    // To the end of the stream, so that its windows are at rest.
    std::io::copy(&mut from.by_ref().take(1), &mut std::io::sink()).at(&step).map(drop)
}
