//! The root of a container, put together before the runtime sees it: programs of the host or a folder of its own, the private
//! folders on one filesystem in memory, and the folders that the box is given. Nothing of the box has run yet, but what an
//! earlier action wrote may lie in a folder, so no link is followed.

use std::{
    fs,
    os::fd::OwnedFd,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
};
use stead_tier::{
    root::{ETC, FOLDERS, MADE_BELOW, NEEDED, OWN_ETC, OWN_ETC_OF_PROGRAMS, PROGRAMS},
    users::USER,
};

use super::{
    fault::{At as _, Fault},
    tree::{self, CLOSED, OPEN, close, filesystem, folder, hang, hang_on},
};
use crate::wire::{Access, Place, Plan};

/// Private folders: their name on the filesystem in memory, where they appear, and their mode. `/dev/shm` is mounted by the
/// runtime, for `/dev` is.
const PRIVATE: &[(&str, Option<&str>, u32)] =
    &[("tmp", Some("tmp"), 0o1777), ("home", Some("home/box"), 0o755), ("shm", None, 0o1777)];

/// Folders on the filesystem in memory that are the shim's, with some room, and those of each layer; the quota does not
/// count them.
const OVERHEAD: u64 = 16;
const OF_A_LAYER: u64 = 4;

/// The root and the scratch of a bundle.
pub(super) struct Root {
    rootfs: PathBuf,
    scratch: PathBuf,
}

impl Root {
    /// Puts all together. `own`: the folder of a root of its own; `given`: the folders for the plan's places. The upper layers,
    /// in order.
    pub(super) fn make(plan: &Plan, own: Option<OwnedFd>, given: Vec<OwnedFd>) -> Result<(Self, Vec<OwnedFd>), Fault> {
        let root = Self { rootfs: plan.bundle.join("rootfs"), scratch: plan.bundle.join("scratch") };
        root.scratch(plan)?;
        match own {
            Some(own) => root.own(own)?,
            None => root.host()?,
        }
        for (name, at, _) in PRIVATE {
            if let Some(at) = at {
                let target = root.target(at)?;
                root.mount(tree::tree(&root.scratch.join(name))?, target, at, false)?;
            }
        }
        let mut uppers = Vec::new();
        for (number, (place, given)) in plan.places.iter().zip(given).enumerate() {
            root.place(number, place, given, &mut uppers)?;
        }
        Ok((root, uppers))
    }

    fn scratch(&self, plan: &Plan) -> Result<(), Fault> {
        // Nothing, and zero, would mean no bound.
        let bytes = plan.disk.max(4096).to_string();
        let layers = plan.places.iter().filter(|p| p.access == Access::Layered).count() as u64;
        let files = plan.inodes.max(1).saturating_add(OVERHEAD + OF_A_LAYER * layers).to_string();
        hang(filesystem("tmpfs", &[("size", &bytes), ("nr_inodes", &files), ("mode", "0711")])?, &self.scratch)?;
        PRIVATE.iter().try_for_each(|(name, _, mode)| folder(&self.scratch.join(name), *mode, USER))
    }

    /// A folder is the root: closed before anybody could make something in it.
    fn own(&self, own: OwnedFd) -> Result<(), Fault> {
        hang(own, &self.rootfs)?;
        close(&self.rootfs, CLOSED)?;
        for name in NEEDED {
            self.beneath(*name).asked(&format!("the root has no folder /{name}"))?;
        }
        Ok(())
    }

    /// The host's programs, and a small `/etc` of the box's own.
    fn host(&self) -> Result<(), Fault> {
        let small = [("size", "1m"), ("nr_inodes", "512"), ("mode", "0755")];
        hang(filesystem("tmpfs", &small)?, &self.rootfs)?;
        for name in FOLDERS {
            fs::create_dir_all(self.rootfs.join(name)).at(&format!("making /{name}"))?;
        }
        for (name, text) in OWN_ETC.iter().chain(OWN_ETC_OF_PROGRAMS) {
            fs::write(self.rootfs.join("etc").join(name), text).at(&format!("writing /etc/{name}"))?;
        }
        symlink("../tmp", self.rootfs.join("var/tmp")).at("making /var/tmp")?;
        for name in PROGRAMS.iter().map(|name| (*name).to_owned()).chain(ETC.iter().map(|name| format!("etc/{name}"))) {
            self.show(&name)?;
        }
        close(&self.rootfs, CLOSED)
    }

    /// Shows a file or folder of the host where it is there.
    fn show(&self, name: &str) -> Result<(), Fault> {
        let (from, at, step) = (Path::new("/").join(name), self.rootfs.join(name), format!("making /{name}"));
        let Ok(what) = fs::symlink_metadata(&from) else { return Ok(()) };
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent).at(&step)?;
        }
        if what.file_type().is_symlink() {
            return symlink(fs::read_link(&from).at(&step)?, at).at(&step);
        }
        if what.is_dir() { fs::create_dir(&at) } else { fs::write(&at, "") }.at(&step)?;
        hang(tree::tree(&from)?, &at)?;
        close(&at, CLOSED)
    }

    fn place(&self, number: usize, place: &Place, given: OwnedFd, uppers: &mut Vec<OwnedFd>) -> Result<(), Fault> {
        let relative = place.at.trim_start_matches('/');
        let whole = match place.access {
            Access::ReadOnly | Access::ReadWrite => given,
            Access::Layered => {
                let (upper, both) = self.layer(number, given)?;
                uppers.push(upper);
                both
            }
        };
        self.mount(whole, self.target(relative)?, relative, place.access == Access::ReadOnly)
    }

    fn mount(&self, tree: OwnedFd, target: OwnedFd, relative: &str, closed: bool) -> Result<(), Fault> {
        hang_on(tree, target, &format!("mounting on /{relative}"))?;
        // No link is on the way: that is how the target was found.
        close(&self.rootfs.join(relative), if closed { CLOSED } else { OPEN })
    }

    /// The folder to mount on; below private folders it is made.
    fn target(&self, relative: &str) -> Result<OwnedFd, Fault> {
        let step = format!("finding the place /{relative}");
        match self.beneath(relative) {
            Err(Errno::NOENT) if MADE_BELOW.iter().any(|below| Path::new(relative).starts_with(below)) => {
                let mut so_far = PathBuf::new();
                for part in Path::new(relative).components() {
                    let Component::Normal(part) = part else { return Err(Fault::spec(format!("{step}: not plain"))) };
                    so_far.push(part);
                    match self.beneath(&so_far) {
                        // The folder above was found without a link, and nothing runs that could change it.
                        Err(Errno::NOENT) => folder(&self.rootfs.join(&so_far), 0o755, USER)?,
                        found => drop(found.asked(&step)?),
                    }
                }
                self.beneath(relative).asked(&step)
            }
            found => found.asked(&step),
        }
    }

    fn beneath(&self, relative: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
        let root = rustix::fs::open(&self.rootfs, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(root, relative, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), how)
    }

    /// A private layer above a folder. Plain: no redirects and no copies of metadata alone, so that what is in the upper
    /// layer is all that changed.
    fn layer(&self, number: usize, lower: OwnedFd) -> Result<(OwnedFd, OwnedFd), Fault> {
        let here = |name: &str| self.scratch.join(format!("{name}{number}"));
        let (below, upper, work) = (here("lower"), here("upper"), here("work"));
        folder(&below, 0o700, 0)?;
        hang(lower, &below)?;
        folder(&upper, 0o755, USER)?;
        folder(&work, 0o700, USER)?;
        let text = |path: &Path| path.display().to_string();
        let (below, above, work) = (text(&below), text(&upper), text(&work));
        let options = [
            ("lowerdir", below.as_str()),
            ("upperdir", &above),
            ("workdir", &work),
            ("redirect_dir", "nofollow"),
            ("metacopy", "off"),
            ("index", "off"),
            ("xino", "off"),
        ];
        let whole = filesystem("overlay", &options)?;
        let upper = rustix::fs::open(&upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .at("opening a layer")?;
        Ok((upper, whole))
    }

    /// What a path inside leads to, links followed as a command in the box would.
    pub(super) fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let root = rustix::fs::open(&self.rootfs, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        rustix::fs::openat2(root, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)
    }
}
