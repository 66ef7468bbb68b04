//! Control groups: which hierarchy of this host holds which limit, one group for each box in each of them, and what they
//! measured. Version 1 and version 2 side by side, controller by controller.
//!
//! * `find.rs` reads what the host has; `v1.rs` and `v2.rs` know the files; `sweep.rs` removes what dead launchers left.

mod files;
mod find;
mod freezer;
mod sweep;
mod v1;
mod v2;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) use freezer::{freeze, is_frozen, join, thaw};
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

use crate::{
    fault::{At, Fault},
    wire::{Found, Limits, Usage},
};

/// What a control group can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Controller {
    Memory,
    Pids,
    Cpu,
    /// Processor time; in version 2 a part of `cpu`.
    Accounting,
}

impl Controller {
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::Pids, Self::Cpu, Self::Accounting];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A hierarchy in which this launcher may make groups.
struct Tree {
    version: Version,
    controllers: Vec<Controller>,
    /// The launcher's own folder in it; boxes are below.
    folder: OwnedFd,
    /// What it lies in, to remove it.
    parent: OwnedFd,
}

/// All hierarchies of this launcher.
pub(crate) struct Groups {
    trees: Vec<Tree>,
    name: String,
    missing: Vec<(Controller, String)>,
    freezer: Option<freezer::Freezer>,
}

/// The groups of one box.
pub(crate) struct Group {
    name: String,
    /// One folder for each tree.
    folders: Vec<OwnedFd>,
    /// Whether it has one in the freezer of version 1 too.
    frozen_in: bool,
    /// What was set: memory, processes, processor.
    set: (Option<u64>, Option<u32>, Option<u32>),
}

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Removes the control groups that dead launchers left in the hierarchies that this process is in. A launcher does the same when it
/// begins; this is for a program that may need none for a long time. It reads a few folders, and may wait a second for what was frozen
/// to die.
pub fn sweep() {
    freezer::sweep_dead();
    for place in find::places(&mut Vec::new()) {
        if let Ok(parent) = rustix::fs::open(&place.path, FOLDER, Mode::empty()) {
            sweep::sweep(&place.path, parent.as_fd());
        }
    }
}

impl Groups {
    /// Looks for hierarchies, makes a folder in each that allows it, and sweeps what dead launchers left there. Needs `/proc` and
    /// `/sys` of the host.
    pub(crate) fn open() -> Self {
        let name = sweep::name_of_this_process();
        let freezer = freezer::Freezer::open(&name);
        let mut groups = Self { trees: Vec::new(), name, missing: Vec::new(), freezer };
        for place in find::places(&mut groups.missing) {
            match groups.tree(&place) {
                Ok(tree) => groups.trees.push(tree),
                Err(fault) => groups.missing.extend(place.controllers.iter().map(|c| (*c, fault.0.clone()))),
            }
        }
        groups
    }

    fn tree(&self, place: &find::Place) -> Result<Tree, Fault> {
        let shown = place.path.display();
        let parent = rustix::fs::open(&place.path, FOLDER, Mode::empty()).at(&format!("opening {shown}"))?;
        sweep::sweep(&place.path, parent.as_fd());
        if place.version == Version::Two {
            v2::delegate(parent.as_fd(), &place.controllers).at(&format!("handing controllers down from {shown}"))?;
        }
        rustix::fs::mkdirat(&parent, &self.name, Mode::from(0o755))
            .at(&format!("making a control group in {shown}"))?;
        let folder = rustix::fs::openat(&parent, &self.name, FOLDER, Mode::empty()).at("opening a control group")?;
        if place.version == Version::Two {
            v2::enable(folder.as_fd(), &place.controllers).at("enabling controllers")?;
        }
        Ok(Tree { version: place.version, controllers: place.controllers.clone(), folder, parent })
    }

    /// What holds a controller's limits, or why nothing does.
    pub(crate) fn found(&self, controller: Controller) -> Found {
        match self.trees.iter().find(|t| t.controllers.contains(&controller)) {
            Some(Tree { version: Version::One, .. }) => Found::By("control group, version 1".to_owned()),
            Some(Tree { version: Version::Two, .. }) => Found::By("control group, version 2".to_owned()),
            None => Found::Not(
                self.missing
                    .iter()
                    .find(|(c, _)| *c == controller)
                    .map_or_else(|| "no hierarchy has the controller".to_owned(), |(_, why)| why.clone()),
            ),
        }
    }

    /// Makes the groups of a box.
    pub(crate) fn make(&self, number: u64) -> Result<Group, Fault> {
        let mut group = Group {
            name: format!("box-{number}"),
            folders: Vec::with_capacity(self.trees.len()),
            frozen_in: false,
            set: (None, None, None),
        };
        for tree in &self.trees {
            let made = rustix::fs::mkdirat(&tree.folder, &group.name, Mode::from(0o755))
                .and_then(|()| rustix::fs::openat(&tree.folder, &group.name, FOLDER, Mode::empty()));
            match made {
                Ok(folder) => group.folders.push(folder),
                Err(e) => {
                    self.remove(&group);
                    return Err(e).at("making the control group of a sandbox");
                }
            }
        }
        Ok(group)
    }

    /// The group that a process can be started in: that of version 2.
    pub(crate) fn start_in<'a>(&self, group: &'a Group) -> Option<BorrowedFd<'a>> {
        let at = self.trees.iter().position(|t| t.version == Version::Two)?;
        group.folders.get(at).map(AsFd::as_fd)
    }

    /// Moves the process that calls, which has one thread, into those of version 1. By its thread: to move a process the kernel
    /// first waits for every processor, and lets nothing on the host fork or exit meanwhile (Linux `cgroup_procs_write_start`).
    pub(crate) fn enter(&self, group: &Group) -> Result<(), Fault> {
        for (tree, folder) in self.trees.iter().zip(&group.folders) {
            if tree.version == Version::One {
                files::write(folder.as_fd(), "tasks", "0").at("joining a control group")?;
            }
        }
        Ok(())
    }

    /// The lists of all of them in which a process of one thread, which has no right to open them, can write itself.
    pub(crate) fn lists(&self, group: &Group) -> Result<Vec<OwnedFd>, Fault> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let open = |(tree, folder): (&Tree, &OwnedFd)| {
            let name = if tree.version == Version::One { "tasks" } else { "cgroup.procs" };
            rustix::fs::openat(folder, name, flags, Mode::empty())
        };
        self.trees
            .iter()
            .zip(&group.folders)
            .map(open)
            .collect::<Result<_, _>>()
            .at("opening the list of a control group")
    }

    /// Sets limits; those that are `None`, those without a controller, and those that are set already stay as they are.
    pub(crate) fn limit(&self, group: &mut Group, limits: &Limits) -> Result<(), Fault> {
        for (tree, folder) in self.trees.iter().zip(&group.folders) {
            let has = |c| tree.controllers.contains(&c);
            let folder = folder.as_fd();
            if let Some(bytes) = limits.memory.filter(|_| has(Controller::Memory) && limits.memory != group.set.0) {
                match tree.version {
                    Version::One => v1::memory(folder, bytes),
                    Version::Two => v2::memory(folder, bytes),
                }
                .at("setting the memory limit")?;
                group.set.0 = limits.memory;
            }
            if let Some(pids) = limits.pids.filter(|_| has(Controller::Pids) && limits.pids != group.set.1) {
                files::write(folder, "pids.max", &pids.to_string()).at("setting the limit of processes")?;
                group.set.1 = limits.pids;
            }
            if let Some(milli) = limits.cpu_milli.filter(|_| has(Controller::Cpu) && limits.cpu_milli != group.set.2) {
                match tree.version {
                    Version::One => v1::cpu(folder, milli),
                    Version::Two => v2::cpu(folder, milli),
                }
                .at("setting the processor limit")?;
                group.set.2 = limits.cpu_milli;
            }
        }
        Ok(())
    }

    /// Takes away what was set and is not asked for.
    pub(crate) fn lift(&self, group: &mut Group, limits: &Limits) -> Result<(), Fault> {
        for (tree, folder) in self.trees.iter().zip(&group.folders) {
            let has = |c| tree.controllers.contains(&c);
            let folder = folder.as_fd();
            if has(Controller::Memory) && limits.memory.is_none() && group.set.0.take().is_some() {
                match tree.version {
                    Version::One => v1::any_memory(folder),
                    Version::Two => v2::any_memory(folder),
                }
                .at("lifting the memory limit")?;
            }
            if has(Controller::Pids) && limits.pids.is_none() && group.set.1.take().is_some() {
                files::write(folder, "pids.max", "max").at("lifting the limit of processes")?;
            }
            if has(Controller::Cpu) && limits.cpu_milli.is_none() && group.set.2.take().is_some() {
                match tree.version {
                    Version::One => files::write(folder, "cpu.cfs_quota_us", "-1"),
                    Version::Two => files::write(folder, "cpu.max", "max"),
                }
                .at("lifting the processor limit")?;
            }
        }
        Ok(())
    }

    /// What all that ran in the group used, as far as a controller measures it.
    pub(crate) fn usage(&self, group: &Group) -> Usage {
        let mut usage = Usage::default();
        for (tree, folder) in self.trees.iter().zip(&group.folders) {
            let (has, folder) = (|c| tree.controllers.contains(&c), folder.as_fd());
            if has(Controller::Memory) {
                (usage.memory_peak, usage.oom_kills) = match tree.version {
                    Version::One => v1::memory_used(folder),
                    Version::Two => v2::memory_used(folder),
                };
            }
            if has(Controller::Pids) {
                usage.pids_refused = files::keyed(folder, "pids.events", "max");
            }
            if has(Controller::Accounting) {
                usage.cpu_us = match tree.version {
                    Version::One => v1::cpu_used(folder),
                    Version::Two => v2::cpu_used(folder),
                };
            }
        }
        usage
    }

    /// The same of a group in which something runs, with what it uses at the moment.
    pub(crate) fn usage_now(&self, group: &Group) -> Usage {
        let mut usage = self.usage(group);
        for (tree, folder) in self.trees.iter().zip(&group.folders) {
            let (has, folder) = (|c| tree.controllers.contains(&c), folder.as_fd());
            if has(Controller::Memory) {
                usage.memory = match tree.version {
                    Version::One => v1::memory_now(folder),
                    Version::Two => v2::memory_now(folder),
                };
                // The first version counts what is used in steps of its own.
                usage.memory_peak = usage.memory_peak.max(usage.memory);
            }
            if has(Controller::Pids) {
                usage.pids = files::number(folder, "pids.current");
            }
            if tree.version == Version::Two {
                usage.pressure = v2::pressure(folder);
            }
        }
        usage
    }

    /// Removes the groups of a box. `false`: something is still in one, try again later.
    pub(crate) fn remove(&self, group: &Group) -> bool {
        let freezer = self.freezer.as_ref().filter(|_| group.frozen_in);
        let thawed = freezer.is_none_or(|freezer| freezer.remove(&group.name));
        self.trees.iter().filter(|tree| !gone(tree.folder.as_fd(), &group.name)).count() == 0 && thawed
    }

    /// Removes the launcher's own folders.
    pub(crate) fn close(&self) -> bool {
        let freezer = self.freezer.as_ref().is_none_or(|freezer| freezer.close(&self.name));
        self.trees.iter().filter(|tree| !gone(tree.parent.as_fd(), &self.name)).count() == 0 && freezer
    }
}

/// Removes a group. Whether it is gone.
fn gone(parent: BorrowedFd<'_>, name: &str) -> bool {
    matches!(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR), Ok(()) | Err(Errno::NOENT))
}
