//! The folders that a box is given: hung up where they were asked, read-only, writable or under a private layer. Nothing
//! of the box has run yet, but what was written by an earlier action may lie in them, so no link is followed.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountAttrFlags, MoveMountFlags},
};

use crate::{
    fault::{At, Fault},
    private::own_folder,
    root::{HIDDEN, HOME, filesystem, hang, let_go, tree},
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

/// The folder to mount on.
fn target(at: &str, user: u32) -> Result<OwnedFd, Fault> {
    let step = format!("finding the place {at}");
    let relative = at.trim_start_matches('/');
    match beneath(relative) {
        Err(Errno::NOENT) if MADE_BELOW.iter().any(|below| Path::new(relative).starts_with(below)) => {
            let mut so_far = String::new();
            for part in Path::new(relative).components() {
                let Component::Normal(part) = part else { return Err(Fault(format!("{step}: not a plain path"))) };
                if !so_far.is_empty() {
                    so_far.push('/');
                }
                so_far.push_str(&part.to_string_lossy());
                match beneath(&so_far) {
                    // The folder above was found without a link, and nothing runs that could change it.
                    Err(Errno::NOENT) => own_folder(&Path::new("/").join(&so_far), 0o755, user)?,
                    found => drop(found.at(&step)?),
                }
            }
            beneath(relative).at(&step)
        }
        found => found.at(&step),
    }
}

fn beneath(relative: &str) -> Result<OwnedFd, Errno> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, relative, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), how)
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

/// Changes to a root of the box's own, keeping what is the box's.
pub(crate) fn change_root(new: OwnedFd) -> Result<(), Fault> {
    let at = format!("{HIDDEN}/root");
    fs::create_dir(&at).at("making the root")?;
    hang(&new, Path::new(&at))?;
    for name in SHARED {
        let step = format!("mounting {name} in the root");
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let target = rustix::fs::openat2(&new, name.trim_start_matches('/'), flags, Mode::empty(), how).at(&step)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(tree(Path::new(name))?, "", target, "", flags).at(&step)?;
    }
    rustix::process::fchdir(new.as_fd()).at("entering the root")?;
    rustix::process::pivot_root(".", ".").at("changing the root")?;
    let_go(".")?;
    rustix::process::chdir("/").at("entering the root")
}

/// Whether the hidden place is still there to let go: with a root of its own it went with the old one.
pub(crate) fn hide(own_root: bool) -> Result<(), Fault> {
    if own_root { Ok(()) } else { let_go(HIDDEN) }
}
