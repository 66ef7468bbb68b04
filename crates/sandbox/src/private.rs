//! What a box has of its own before it knows its command: `/proc` of its processes, and one filesystem in memory for all
//! private folders, so that one quota holds for them together.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode},
    mount::{FsPickFlags, MountAttrFlags, MountFlags},
};
use stead_tier::root::{COVERED, HOME};

use crate::{
    fault::{At, Fault},
    root::{HIDDEN, filesystem, hang},
    wire::Limits,
};

const PRIVATE: &[(&str, &str, u32)] = &[("home", HOME, 0o755), ("shm", "/dev/shm", 0o1777)];

/// Those files that this kernel has, and that others than root may read: they are covered in each box. Looks at `/proc` of
/// the host.
pub(crate) fn telling() -> Vec<PathBuf> {
    let paths = COVERED.iter().map(|name| Path::new("/proc").join(name));
    paths.filter(|path| fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)).collect()
}

/// Mounts `/proc` of this pid namespace, still writable: the seed has yet to write who it is. It lies above what was there.
pub(crate) fn processes(telling: &[PathBuf]) -> Result<(), Fault> {
    let flags =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    hang(filesystem("proc", &[], flags)?, Path::new("/proc"))?;
    for path in telling {
        rustix::mount::mount_bind("/dev/null", path.as_path()).at(&format!("covering {}", path.display()))?;
    }
    Ok(())
}

/// Makes `/proc` read-only: what is under `/proc/sys`, and everything else.
pub(crate) fn close_processes() -> Result<(), Fault> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount_remount("/proc", flags, c"").at("closing /proc")
}

/// Mounts the private folders, all but `/tmp`, where the filesystem of all of them is until it is covered. `user` is who they
/// belong to, in the launcher's user namespace. Needs a mask of zero for new files.
pub(crate) fn folders(user: u32) -> Result<(), Fault> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    // The sizes are set when they are known.
    hang(filesystem("tmpfs", &[("size", "1m"), ("nr_inodes", "64"), ("mode", "0700")], flags)?, Path::new(HIDDEN))?;
    for (name, at, mode) in PRIVATE {
        let folder = Path::new(HIDDEN).join(name);
        own_folder(&folder, *mode, user)?;
        rustix::mount::mount_bind(&folder, *at).at(&format!("mounting {at}"))?;
    }
    own_folder(&Path::new(HIDDEN).join("tmp"), 0o1777, user)
}

/// Hides what the init kept: a folder of it is mounted above it, as `/tmp`. Nobody who runs here may take that away, and unlike
/// taking the mount away it does not wait for every processor of the host.
pub(crate) fn cover() -> Result<(), Fault> {
    rustix::mount::mount_bind(format!("{HIDDEN}/tmp"), HIDDEN).at("mounting /tmp")
}

/// Makes a folder of the box's user.
pub(crate) fn own_folder(path: &Path, mode: u32, user: u32) -> Result<(), Fault> {
    let step = format!("making {}", path.display());
    rustix::fs::mkdir(path, Mode::from(mode)).at(&step)?;
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
