//! The folders that a box is given: hung up where they were asked, read-only, writable or under a private layer. Nothing
//! of the box has run yet, but what was written by an earlier action may lie in them, so no link is followed.

use std::{
    ffi::OsStr,
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountAttrFlags, MoveMountFlags},
};
use stead_tier::root::HOME;

use crate::{
    fault::{At, Fault},
    private::own_folder,
    root::{HIDDEN, filesystem, hang, let_go, tree},
    wire::{Access, Place},
};

/// Places below which a folder is made to mount on.
const MADE_BELOW: &[&str] = &["tmp", "home/box"];

/// What the root of its own must have.
const SHARED: &[&str] = &["/proc", "/dev", "/tmp", HOME];

/// Puts private layers above the folders that want one. The trees to hang up, and the upper layers, in order.
pub(crate) fn layered(
    places: &[Place],
    trees: Vec<OwnedFd>,
    root: bool,
    user: u32,
) -> Result<(Vec<OwnedFd>, Vec<OwnedFd>), Fault> {
    let (mut whole, mut uppers) = (Vec::with_capacity(trees.len()), Vec::new());
    for (number, (place, tree)) in places.iter().zip(trees).enumerate() {
        match place.access {
            Access::ReadOnly | Access::ReadWrite => whole.push(tree),
            Access::Layered => {
                let (upper, both) = layer(number, tree, root, user)?;
                uppers.push(upper);
                whole.push(both);
            }
        }
    }
    Ok((whole, uppers))
}

/// Hangs all up.
pub(crate) fn mount(places: &[Place], trees: Vec<OwnedFd>, user: u32) -> Result<(), Fault> {
    for (place, tree) in places.iter().zip(trees) {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(tree, "", target(&place.at, user)?, "", flags)
            .at(&format!("mounting on {}", place.at))?;
    }
    Ok(())
}

/// The folder to mount on. Each step is taken from the folder before it and through no link: what is mounted already may be
/// a folder in which another box changes things meanwhile.
fn target(at: &str, user: u32) -> Result<OwnedFd, Fault> {
    let step = format!("finding the place {at}");
    let relative = at.trim_start_matches('/');
    let made = MADE_BELOW.iter().any(|below| Path::new(relative).starts_with(below));
    let mut folder = rustix::fs::open("/", FOUND, Mode::empty()).at(&step)?;
    for part in Path::new(relative).components() {
        let Component::Normal(part) = part else { return Err(Fault(format!("{step}: not a plain path"))) };
        folder = match beneath(&folder, part) {
            Err(Errno::NOENT) if made => make_folder(&folder, part, user).at(&step)?,
            found => found.at(&step)?,
        };
    }
    Ok(folder)
}

const FOUND: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A folder in a folder, mounts included.
fn beneath(folder: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(folder, name, FOUND, Mode::empty(), how)
}

/// Makes one, of the box's user.
fn make_folder(folder: &OwnedFd, name: &OsStr, user: u32) -> Result<OwnedFd, Errno> {
    rustix::fs::mkdirat(folder, name, Mode::from(0o755))?;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let made = rustix::fs::openat2(folder, name, flags, Mode::empty(), how)?;
    rustix::fs::fchown(&made, Some(rustix::process::Uid::from_raw(user)), Some(rustix::process::Gid::from_raw(user)))?;
    Ok(made)
}

/// A private layer above a folder. Plain: no redirects and no copies of metadata alone, so that what is in the upper
/// layer is all that changed.
fn layer(number: usize, lower: OwnedFd, root: bool, user: u32) -> Result<(OwnedFd, OwnedFd), Fault> {
    let hidden = |name: &str| format!("{HIDDEN}/{name}{number}");
    let (below, upper, work) = (hidden("lower"), hidden("upper"), hidden("work"));
    fs::create_dir(&below).at("making a layer")?;
    hang(lower, Path::new(&below))?;
    own_folder(Path::new(&upper), 0o755, user)?;
    own_folder(Path::new(&work), 0o700, user)?;
    let mut options = vec![
        ("lowerdir", below.as_str()),
        ("upperdir", upper.as_str()),
        ("workdir", work.as_str()),
        ("redirect_dir", "nofollow"),
        ("metacopy", "off"),
        ("index", "off"),
        ("xino", "off"),
    ];
    if !root {
        options.push(("userxattr", ""));
    }
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let whole = filesystem("overlay", &options, flags)?;
    let upper = rustix::fs::open(&upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at("opening a layer")?;
    Ok((upper, whole))
}

/// Hangs a root of the box's own up, where it is out of sight.
pub(crate) fn hang_root(new: &OwnedFd) -> Result<(), Fault> {
    let at = format!("{HIDDEN}/root");
    fs::create_dir(&at).at("making the root")?;
    hang(new, Path::new(&at))
}

/// Changes to it, keeping what is the box's.
pub(crate) fn change_root(new: &OwnedFd) -> Result<(), Fault> {
    for name in SHARED {
        let step = format!("mounting {name} in the root");
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let target = rustix::fs::openat2(new, name.trim_start_matches('/'), flags, Mode::empty(), how).at(&step)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(tree(Path::new(name))?, "", target, "", flags).at(&step)?;
    }
    rustix::process::fchdir(new.as_fd()).at("entering the root")?;
    rustix::process::pivot_root(".", ".").at("changing the root")?;
    let_go(".")?;
    rustix::process::chdir("/").at("entering the root")
}
