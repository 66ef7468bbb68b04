//! Mounts, step by step: taken as trees that hang nowhere, hung up, closed.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use rustix::{
    fs::CWD,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    },
    thread::UnshareFlags,
};

use super::fault::{At as _, Fault};

/// No set-user-id, no devices.
pub(super) const OPEN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
/// And read-only.
pub(super) const CLOSED: MountFlags = OPEN.union(MountFlags::RDONLY);

/// Enters a mount namespace of its own, of which nothing comes back to the host's.
pub(super) fn enter() -> Result<(), Fault> {
    #[expect(deprecated, reason = "the form that warns is about descriptors, which are not unshared here")]
    rustix::thread::unshare(UnshareFlags::NEWNS).at("making a mount namespace")?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at("keeping mounts apart")
}

/// A copy of the mount that a folder is in, from that folder on; what is mounted below it does not come along.
pub(super) fn take(folder: impl AsFd, step: &str) -> Result<OwnedFd, Fault> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(folder, "", flags).asked(step)
}

/// The same of a path of ours.
pub(super) fn tree(path: &Path) -> Result<OwnedFd, Fault> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, path, flags).at(&format!("taking {}", path.display()))
}

/// Hangs a tree up at a path of ours.
pub(super) fn hang(tree: impl AsFd, at: &Path) -> Result<(), Fault> {
    rustix::mount::move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .at(&format!("mounting on {}", at.display()))
}

/// Hangs a tree up on a folder that is open.
pub(super) fn hang_on(tree: impl AsFd, target: impl AsFd, step: &str) -> Result<(), Fault> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", target, "", flags).at(step)
}

/// Sets what may be done in what hangs at a path.
pub(super) fn close(at: &Path, flags: MountFlags) -> Result<(), Fault> {
    rustix::mount::mount_remount(at, MountFlags::BIND | flags, c"").at(&format!("closing {}", at.display()))
}

/// A new filesystem that hangs nowhere yet.
pub(super) fn filesystem(kind: &str, options: &[(&str, &str)]) -> Result<OwnedFd, Fault> {
    let step = format!("making a filesystem of kind {kind}");
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).at(&step)?;
    for (name, value) in options {
        rustix::mount::fsconfig_set_string(&context, *name, *value).at(&step)?;
    }
    rustix::mount::fsconfig_create(&context).at(&step)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).at(&step)
}

/// Makes a folder of a user's.
pub(super) fn folder(path: &Path, mode: u32, user: u32) -> Result<(), Fault> {
    let step = format!("making {}", path.display());
    fs::create_dir(path).at(&step)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at(&step)?;
    chown(path, Some(user), Some(user)).at(&step)
}
