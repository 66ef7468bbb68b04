//! Freezing a box: with version 2 any group can be frozen; with version 1 only one of the freezer's own hierarchy, which a box joins when it
//! stays (Linux `Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst`, `cgroup-v2.rst`).
//!
//! A process that version 1 has frozen does not even die before it is thawed: whoever kills a box thaws it too.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use rustix::{fs::Mode, io::Errno};

use super::{FOLDER, Group, Groups, Version, files, find, gone, sweep};

/// Removes what dead launchers left in the freezer's hierarchy of version 1.
pub(super) fn sweep_dead() {
    let Some(path) = find::freezer() else { return };
    let Ok(parent) = rustix::fs::open(&path, FOLDER, Mode::empty()) else { return };
    thaw_dead(&path, parent.as_fd());
    sweep::sweep(&path, parent.as_fd());
}

/// The launcher's folder in the freezer's hierarchy of version 1.
pub(super) struct Freezer {
    folder: OwnedFd,
    parent: OwnedFd,
}

impl Freezer {
    /// Makes the folder, if there is such a hierarchy and it allows that. Needs `/proc` and `/sys` of the host.
    pub(super) fn open(name: &str) -> Option<Self> {
        let path = find::freezer()?;
        let parent = rustix::fs::open(&path, FOLDER, Mode::empty()).ok()?;
        thaw_dead(&path, parent.as_fd());
        sweep::sweep(&path, parent.as_fd());
        rustix::fs::mkdirat(&parent, name, Mode::from(0o755)).ok()?;
        let folder = rustix::fs::openat(&parent, name, FOLDER, Mode::empty()).ok()?;
        Some(Self { folder, parent })
    }

    pub(super) fn remove(&self, group: &str) -> bool {
        gone(self.folder.as_fd(), group)
    }

    pub(super) fn close(&self, name: &str) -> bool {
        gone(self.parent.as_fd(), name)
    }
}

/// Looks at a group whose processes die, and the pause between two.
const LOOKS: usize = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// What a launcher that was killed had frozen dies when it is thawed. It is waited for a while, so that its groups can be swept.
fn thaw_dead(path: &Path, parent: BorrowedFd<'_>) {
    for (folder, group) in sweep::left(path) {
        let there = rustix::fs::openat(parent, format!("{folder}/{group}"), FOLDER, Mode::empty());
        let Ok(there) = there else { continue };
        if thaw(there.as_fd()).is_ok() {
            let empty = || files::read(there.as_fd(), "cgroup.procs").is_none_or(|all| all.is_empty());
            (0..LOOKS).take_while(|_| !empty()).for_each(|_| std::thread::sleep(PAUSE));
        }
    }
}

impl Groups {
    /// The folder by which a box that stays is frozen, and whether it has to join it. `None`: nothing here can freeze one.
    pub(crate) fn freezer(&self, group: &mut Group) -> Option<(OwnedFd, bool)> {
        if let Some(at) = self.trees.iter().position(|t| t.version == Version::Two) {
            // Every group of version 2 but the root can be frozen (Linux 5.2).
            let folder = rustix::fs::openat(group.folders.get(at)?, ".", FOLDER, Mode::empty()).ok()?;
            return Some((folder, false));
        }
        let freezer = self.freezer.as_ref()?;
        rustix::fs::mkdirat(&freezer.folder, &group.name, Mode::from(0o755)).ok()?;
        group.frozen_in = true;
        let folder = rustix::fs::openat(&freezer.folder, &group.name, FOLDER, Mode::empty()).ok()?;
        Some((folder, true))
    }

    /// Thaws a box that is being killed.
    pub(crate) fn thaw(&self, group: &Group) {
        if let Some(freezer) = self.freezer.as_ref().filter(|_| group.frozen_in)
            && let Ok(folder) = rustix::fs::openat(&freezer.folder, &group.name, FOLDER, Mode::empty())
        {
            let _ = thaw(folder.as_fd());
        }
    }
}

/// The folder's own words for it: the file, what freezes, what thaws.
const WORDS: [(&str, &str, &str); 2] = [("cgroup.freeze", "1", "0"), ("freezer.state", "FROZEN", "THAWED")];

/// Asks for all in the group to be frozen. Whether they are tells [`is_frozen`].
pub(crate) fn freeze(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    either(|(file, on, _)| files::write(folder, file, on))
}

/// Lets them go on.
pub(crate) fn thaw(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    either(|(file, _, off)| files::write(folder, file, off))
}

fn either(write: impl Fn((&'static str, &'static str, &'static str)) -> Result<(), Errno>) -> Result<(), Errno> {
    match write(WORDS[0]) {
        Err(Errno::NOENT) => write(WORDS[1]),
        done => done,
    }
}

/// Whether all of them stand still. With version 1 a look also helps it along.
pub(crate) fn is_frozen(folder: BorrowedFd<'_>) -> bool {
    match files::keyed(folder, "cgroup.events", "frozen") {
        Some(frozen) => frozen == 1,
        None => files::read(folder, "freezer.state").is_some_and(|state| state.trim() == "FROZEN"),
    }
}

/// Moves a process into a group; 0 is the one that calls. Its number counts in the caller's pid namespace.
pub(crate) fn join(folder: BorrowedFd<'_>, pid: i32) -> Result<(), Errno> {
    files::write(folder, "cgroup.procs", &pid.to_string())
}
