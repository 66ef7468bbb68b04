//! The root that boxes share: assembled once, when the launcher starts, in a mount namespace of its own that holds nothing
//! else of the host. A box gets a copy of that small namespace, so its cost does not grow with the host's mounts.
//!
//! The launcher also keeps a namespace with a copy of the host's mounts, which it enters only to take the folders that
//! a box is given.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    },
    thread::UnshareFlags,
};

use stead_tier::root::{DEVICE_LINKS, ETC, FOLDERS, OWN_ETC, OWN_ETC_OF_PROGRAMS, PROGRAMS};

use crate::{
    fault::{At, Fault},
    sys,
    wire::Folder,
};

/// Where a box's init keeps what the command never sees. Covered before the command starts.
pub(crate) const HIDDEN: &str = "/tmp";

/// Read-only, no set-user-id, no devices.
pub(crate) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | WRITABLE;
/// No set-user-id, no devices.
pub(crate) const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Devices that every box has.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Folders of `/dev` that are mounted on.
const DEVICE_FOLDERS: &[&str] = &["dev/pts", "dev/shm"];

/// The two namespaces.
pub(crate) struct Roots {
    /// A copy of the host's mounts; what the host mounts later appears here too.
    host: OwnedFd,
    /// The root of boxes. The launcher lives here.
    boxes: OwnedFd,
}

/// Enters namespaces of the launcher's own: as root only mounts, else a user namespace first, in which it may mount. After
/// this the process sees a copy of the host's mounts.
pub(crate) fn enter(root: bool) -> Result<OwnedFd, Fault> {
    if !root {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        sys::unshare(UnshareFlags::NEWUSER).at("making a user namespace")?;
        let write =
            |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text).at(&format!("writing {file}"));
        write("setgroups", "deny".to_owned())?;
        write("uid_map", format!("0 {user} 1"))?;
        write("gid_map", format!("0 {group} 1"))?;
    }
    sys::unshare(UnshareFlags::NEWNS).at("making a mount namespace")?;
    // From the host to here, never back.
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .at("keeping mounts from the host")?;
    namespace()
}

/// The mount namespace that this process is in.
pub(crate) fn namespace() -> Result<OwnedFd, Fault> {
    rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .at("opening a mount namespace")
}

/// A copy of a mount and all below it, which hangs nowhere yet.
pub(crate) fn tree(path: &Path) -> Result<OwnedFd, Fault> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, path, flags).at(&format!("taking {}", path.display()))
}

/// Hangs a tree up at a path.
pub(crate) fn hang(tree: impl AsFd, at: &Path) -> Result<(), Fault> {
    rustix::mount::move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .at(&format!("mounting on {}", at.display()))
}

/// A new filesystem that hangs nowhere yet. Options of the form `name=value` or `name`.
pub(crate) fn filesystem(kind: &str, options: &[(&str, &str)], flags: MountAttrFlags) -> Result<OwnedFd, Fault> {
    let step = format!("making a filesystem of kind {kind}");
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).at(&step)?;
    for (name, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(&context, *name).at(&step)?;
        } else {
            rustix::mount::fsconfig_set_string(&context, *name, *value).at(&step)?;
        }
    }
    rustix::mount::fsconfig_create(&context).at(&step)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).at(&step)
}

/// Lets a mount and all below it go; what still uses it keeps it.
pub(crate) fn let_go(path: &str) -> Result<(), Fault> {
    rustix::mount::unmount(path, UnmountFlags::DETACH).at(&format!("letting {path} go"))
}

impl Roots {
    /// Assembles the root of boxes and moves this process there. `host` is what [`enter`] returned; folders of `shown`
    /// appear read-only where they are on the host.
    pub(crate) fn assemble(host: OwnedFd, root: bool, shown: &[PathBuf]) -> Result<Self, Fault> {
        sys::unshare(UnshareFlags::NEWNS).at("making a mount namespace")?;
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .at("keeping mounts apart")?;
        let boxes = namespace()?;
        // Taken before anything is hidden.
        let taken = Taken::take(root, shown)?;
        let base = Path::new("/tmp");
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let new = filesystem("tmpfs", &[("size", "4m"), ("nr_inodes", "4096"), ("mode", "0755")], flags)?;
        hang(new, base)?;
        furnish(base)?;
        taken.hang(base)?;
        std::env::set_current_dir(base).at("entering the new root")?;
        rustix::process::pivot_root(".", ".").at("changing the root")?;
        let_go(".")?;
        std::env::set_current_dir("/").at("entering the new root")?;
        let whole = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at("opening the root")?;
        sys::set_mount_flags(whole.as_fd(), libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID)
            .at("closing the root")?;
        Ok(Self { host, boxes })
    }

    /// Takes folders of the host, and sees to it that they are those that were meant.
    pub(crate) fn folders(&self, wanted: &[(&Folder, u64)]) -> Result<Vec<OwnedFd>, Fault> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        sys::join_mounts(self.host.as_fd()).at("entering the host's mounts")?;
        let taken = wanted.iter().map(|(folder, flags)| take(folder, *flags)).collect();
        // Without the way back this process is of no use any more: boxes would see the host's mounts.
        if let Err(e) = sys::join_mounts(self.boxes.as_fd()) {
            eprintln!("stead: the sandbox launcher cannot leave the host's mounts: {e}");
            sys::exit(1);
        }
        taken
    }
}

fn take(folder: &Folder, flags: u64) -> Result<OwnedFd, Fault> {
    let tree = tree(Path::new(&folder.path))?;
    let found = rustix::fs::fstat(&tree).at(&format!("looking at {}", folder.path))?;
    if (found.st_dev, found.st_ino) != (folder.device, folder.inode) {
        return Err(Fault(format!("{} is not the folder any more that it was when it was asked for", folder.path)));
    }
    sys::set_mount_flags(tree.as_fd(), flags).at(&format!("closing {}", folder.path))?;
    Ok(tree)
}

/// What of the host stands in the root of boxes.
#[derive(Default)]
struct Taken {
    trees: Vec<(String, OwnedFd, bool)>,
    links: Vec<(String, PathBuf)>,
}

impl Taken {
    fn take(root: bool, shown: &[PathBuf]) -> Result<Self, Fault> {
        let mut taken = Self::default();
        for name in PROGRAMS {
            taken.add(name, READ_ONLY)?;
        }
        for name in ETC {
            taken.add(&format!("etc/{name}"), READ_ONLY | libc::MOUNT_ATTR_NOEXEC)?;
        }
        for name in DEVICES {
            taken.add(&format!("dev/{name}"), libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)?;
        }
        for path in shown {
            let path = path.to_str().filter(|p| p.starts_with('/') && !p.split('/').any(|part| part == ".."));
            let path = path.ok_or_else(|| Fault("a folder to show has no absolute path in UTF-8".to_owned()))?;
            taken.add(path.trim_matches('/'), READ_ONLY)?;
        }
        if !root {
            // A new /proc is allowed only to those who see one whole already; a box drops this one for its own.
            taken.add("proc", libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC)?;
        }
        Ok(taken)
    }

    fn add(&mut self, name: &str, flags: u64) -> Result<(), Fault> {
        let path = Path::new("/").join(name);
        let Ok(what) = fs::symlink_metadata(&path) else { return Ok(()) };
        if what.file_type().is_symlink() {
            self.links.push((name.to_owned(), fs::read_link(&path).at(&format!("reading {}", path.display()))?));
            return Ok(());
        }
        let tree = tree(&path)?;
        sys::set_mount_flags(tree.as_fd(), flags).at(&format!("closing {}", path.display()))?;
        self.trees.push((name.to_owned(), tree, what.is_dir()));
        Ok(())
    }

    fn hang(self, base: &Path) -> Result<(), Fault> {
        for (name, tree, folder) in self.trees {
            let at = base.join(&name);
            let parent = if folder { at.as_path() } else { at.parent().unwrap_or(base) };
            fs::create_dir_all(parent).at(&format!("making /{name}"))?;
            if !folder {
                fs::write(&at, "").at(&format!("making /{name}"))?;
            }
            hang(tree, &at)?;
        }
        for (name, to) in self.links {
            let at = base.join(&name);
            if let Some(parent) = at.parent() {
                fs::create_dir_all(parent).at(&format!("making /{name}"))?;
            }
            symlink(to, at).at(&format!("making /{name}"))?;
        }
        Ok(())
    }
}

/// What is the boxes' own.
fn furnish(base: &Path) -> Result<(), Fault> {
    for name in FOLDERS.iter().chain(DEVICE_FOLDERS) {
        fs::create_dir_all(base.join(name)).at(&format!("making /{name}"))?;
    }
    for (name, text) in OWN_ETC.iter().chain(OWN_ETC_OF_PROGRAMS) {
        fs::write(base.join("etc").join(name), text).at(&format!("writing /etc/{name}"))?;
    }
    for (name, to) in DEVICE_LINKS {
        symlink(to, base.join("dev").join(name)).at(&format!("making /dev/{name}"))?;
    }
    symlink("../tmp", base.join("var/tmp")).at("making /var/tmp")
}
