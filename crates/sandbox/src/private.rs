//! What a box has of its own before it knows its command: `/proc` of its processes, and one filesystem in memory for all
//! private folders, so that one quota holds for them together.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use rustix::{
    fs::CWD,
    mount::{FsPickFlags, MountAttrFlags, MountFlags},
};
use stead_tier::root::COVERED;

use crate::{
    fault::{At, Fault},
    root::{HIDDEN, HOME, filesystem, hang, let_go, tree},
    wire::Limits,
};

const PRIVATE: &[(&str, &str, u32)] = &[("tmp", "/tmp", 0o1777), ("home", HOME, 0o755), ("shm", "/dev/shm", 0o1777)];

/// Mounts `/proc` of this pid namespace, still writable: the seed has yet to write who it is.
pub(crate) fn processes(root: bool) -> Result<(), Fault> {
    let flags =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let processes = filesystem("proc", &[], flags)?;
    if !root {
        let_go("/proc")?;
    }
    hang(processes, Path::new("/proc"))?;
    for name in COVERED {
        let at = Path::new("/proc").join(name);
        if at.exists() {
            hang(tree(Path::new("/dev/null"))?, &at)?;
        }
    }
    Ok(())
}

/// Makes `/proc` read-only: what is under `/proc/sys`, and everything else.
pub(crate) fn close_processes() -> Result<(), Fault> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount_remount("/proc", flags, c"").at("closing /proc")
}

/// Mounts the private folders. `user` is who they belong to, in the launcher's user namespace.
pub(crate) fn folders(user: u32) -> Result<(), Fault> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    // The sizes are set when they are known.
    hang(filesystem("tmpfs", &[("size", "1m"), ("nr_inodes", "64"), ("mode", "0700")], flags)?, Path::new(HIDDEN))?;
    for (name, at, mode) in PRIVATE {
        let folder = Path::new(HIDDEN).join(name);
        own_folder(&folder, *mode, user)?;
        hang(tree(&folder)?, Path::new(at))?;
    }
    Ok(())
}

/// Makes a folder of the box's user.
pub(crate) fn own_folder(path: &Path, mode: u32, user: u32) -> Result<(), Fault> {
    let step = format!("making {}", path.display());
    fs::create_dir(path).at(&step)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at(&step)?;
    chown(path, Some(user), Some(user)).at(&step)
}

/// Sets the quota of all private folders together.
pub(crate) fn quota(limits: &Limits) -> Result<(), Fault> {
    let step = "setting the disk quota";
    let context = rustix::mount::fspick(CWD, HIDDEN, FsPickFlags::FSPICK_CLOEXEC).at(step)?;
    // Nothing, and zero, would mean no bound.
    let (bytes, files) = (limits.disk.max(4096).to_string(), limits.inodes.max(1).saturating_add(16).to_string());
    rustix::mount::fsconfig_set_string(&context, "size", bytes.as_str()).at(step)?;
    rustix::mount::fsconfig_set_string(&context, "nr_inodes", files.as_str()).at(step)?;
    rustix::mount::fsconfig_reconfigure(&context).at(step)
}
