//! The root of a box: read-only, with private folders in one filesystem of one size, its own devices and processes, and the folders that it
//! is given. Made under a folder of the machine's first filesystem; the seed moves there and leaves the rest behind.

use std::{
    ffi::CString,
    fs::{self, Permissions},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{PermissionsExt as _, chown, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat2},
    io::Errno,
    mount::MountFlags,
};
use stead_tier::root::{COVERED, DEVICE_LINKS};

use super::{HOME, PRIVATE, ROOT, USER, folders};
use crate::{
    fault::{At, Fault},
    image,
    wire::{Access, Failure, Limits, Place, Plan},
};

const CLOSED: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

const DEVICES: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// Private folders: their name, where they appear, their mode, and whose they are.
const FOLDERS: &[(&str, &str, u32, u32)] =
    &[("tmp", "/tmp", 0o1777, 0), ("home", HOME, 0o755, USER), ("shm", "/dev/shm", 0o1777, 0)];

fn spec(fault: Fault) -> Failure {
    Failure::Spec(fault.0)
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Machine(fault.0)
    }
}

/// A layer that will be handed over: its lower folder and its upper one.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) lower: PathBuf,
    pub(super) upper: PathBuf,
}

/// Makes the root of a box. Folders were taken in before.
pub(super) fn make(plan: &Plan) -> Result<Vec<Layer>, Failure> {
    let first = usize::from(plan.own_root);
    let base = if plan.own_root { folders::kept(0) } else { Path::new("/").join(image::ROOT) };
    bind(&base, Path::new(ROOT), true)?;
    processes().map_err(|f| if plan.own_root { spec(f) } else { f.into() })?;
    devices().map_err(|f| if plan.own_root { spec(f) } else { f.into() })?;
    private(&plan.limits)?;
    for (name, at, ..) in FOLDERS {
        let target = place(at).map_err(|f| if plan.own_root { spec(f) } else { f.into() })?;
        bind(&Path::new(PRIVATE).join(name), &target, false)?;
    }
    let remount = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount_remount(format!("{ROOT}/dev"), remount, c"").at("closing /dev")?;
    let mut layers = Vec::new();
    for (number, given) in plan.mounts.iter().enumerate() {
        layers.extend(mount(number, &folders::kept(first + number), given)?);
    }
    Ok(layers)
}

/// Shows a folder at another place.
fn bind(from: &Path, at: &Path, closed: bool) -> Result<(), Fault> {
    let step = format!("mounting {}", from.display());
    rustix::mount::mount_bind(from, at).at(&step)?;
    let more = if closed { MountFlags::RDONLY } else { MountFlags::empty() };
    rustix::mount::mount_remount(at, MountFlags::BIND | CLOSED | more, c"").at(&step)
}

fn processes() -> Result<(), Fault> {
    let flags = CLOSED | MountFlags::NOEXEC | MountFlags::RDONLY;
    let target = place("/proc")?;
    rustix::mount::mount("proc", target, "proc", flags, c"hidepid=invisible").at("mounting /proc of a box")?;
    for name in COVERED {
        let path = Path::new(ROOT).join("proc").join(name);
        if path.exists() {
            rustix::mount::mount_bind("/dev/null", &path).at("covering files of /proc")?;
        }
    }
    Ok(())
}

fn devices() -> Result<(), Fault> {
    let step = "making /dev of a box";
    let (flags, target) = (MountFlags::NOSUID | MountFlags::NOEXEC, place("/dev")?);
    rustix::mount::mount("devices", target, "tmpfs", flags, c"size=64k,nr_inodes=64,mode=0755").at(step)?;
    let dev = Path::new(ROOT).join("dev");
    for (name, major, minor) in DEVICES {
        let device = rustix::fs::makedev(*major, *minor);
        mknodat(CWD, dev.join(name), FileType::CharacterDevice, Mode::from_raw_mode(0o666), device).at(step)?;
    }
    for (name, to) in DEVICE_LINKS {
        symlink(to, dev.join(name)).at(step)?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).at(step)?;
    }
    let options = c"newinstance,ptmxmode=0666,mode=0620,max=64";
    rustix::mount::mount("terminals", dev.join("pts"), "devpts", flags, options).at("mounting terminals of a box")
}

fn private(limits: &Limits) -> Result<(), Fault> {
    let (bytes, files) = (limits.disk.max(4096), limits.inodes.max(1).saturating_add(16));
    let options = text(format!("size={bytes},nr_inodes={files},mode=0700"))?;
    rustix::mount::mount("private", PRIVATE, "tmpfs", CLOSED, Some(options.as_c_str())).at("setting the disk quota")?;
    FOLDERS.iter().try_for_each(|(name, _, mode, user)| own(&Path::new(PRIVATE).join(name), *mode, *user))
}

/// Options of a mount, as the kernel takes them.
fn text(options: String) -> Result<CString, Fault> {
    CString::new(options).map_err(|_| Fault("options of a mount hold a NUL byte".to_owned()))
}

/// Makes a folder of somebody's.
fn own(path: &Path, mode: u32, user: u32) -> Result<(), Fault> {
    let step = format!("making {}", path.display());
    fs::create_dir(path).at(&step)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).at(&step)?;
    chown(path, Some(user), Some(user)).at(&step)
}

fn within(root: &impl std::os::fd::AsFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// Finds a folder of the root, to which no link leads; nothing runs yet that could change that. Below what is private it is made.
fn place(at: &str) -> Result<PathBuf, Fault> {
    let step = format!("mounting on {at}");
    let root = rustix::fs::open(ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(&step)?;
    let mut here = root.try_clone().at(&step)?;
    let mut path = String::new();
    for name in at.split('/').filter(|name| !name.is_empty()) {
        path.push('/');
        path.push_str(name);
        here = match within(&root, &path) {
            Err(Errno::NOENT) => {
                // The root is closed, so this works only where something may be made.
                mkdirat(here.as_fd(), name, Mode::from_raw_mode(0o755)).at(&step)?;
                chown(format!("{ROOT}{path}"), Some(USER), Some(USER)).at(&step)?;
                within(&root, &path).at(&step)?
            }
            found => found.at(&step)?,
        };
    }
    drop(here);
    Ok(format!("{ROOT}{path}").into())
}

fn mount(number: usize, from: &Path, given: &Place) -> Result<Option<Layer>, Failure> {
    let target = place(&given.at).map_err(spec)?;
    if given.access == Access::ReadOnly {
        bind(from, &target, true)?;
        return Ok(None);
    }
    let folder = |name: &str| Path::new(PRIVATE).join(format!("{name}-{number}"));
    let (upper, work) = (folder("upper"), folder("work"));
    own(&upper, 0o755, USER)?;
    own(&work, 0o700, 0)?;
    let options = format!(
        "index=off,metacopy=off,redirect_dir=nofollow,xino=off,lowerdir={},upperdir={},workdir={}",
        from.display(),
        upper.display(),
        work.display()
    );
    let options = text(options)?;
    rustix::mount::mount("layer", target, "overlay", CLOSED, Some(options.as_c_str()))
        .at(&format!("mounting a layer on {}", given.at))?;
    Ok(Some(Layer { lower: from.to_owned(), upper }))
}
