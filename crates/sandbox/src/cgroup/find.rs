//! Where this process may make groups: for each controller a hierarchy of version 1 that has it, else that of version 2.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::Mode;

use super::{Controller, FOLDER, Version, v2};

/// A folder of a hierarchy, and what is held there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) path: PathBuf,
    pub(super) controllers: Vec<Controller>,
}

/// A mounted hierarchy: the group that its root shows, where, and its options.
#[derive(Debug, PartialEq, Eq)]
struct Mounted<'a> {
    version: Version,
    root: &'a str,
    at: &'a str,
    options: &'a str,
}

/// All places; controllers that there is no place for are told with the reason.
pub(super) fn places(missing: &mut Vec<(Controller, String)>) -> Vec<Place> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let (mounts, own) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
    let mut out = version_one(&mounts, &own);
    let left = |out: &[Place]| -> Vec<Controller> {
        Controller::ALL.into_iter().filter(|c| !out.iter().any(|p| p.controllers.contains(c))).collect()
    };
    let wanted = left(&out);
    if !wanted.is_empty()
        && let Some(path) = version_two(&mounts, &own)
    {
        let has = rustix::fs::open(&path, FOLDER, Mode::empty()).map(|f| v2::available(f.as_fd())).unwrap_or_default();
        let controllers: Vec<Controller> = wanted.into_iter().filter(|c| has.contains(c)).collect();
        if !controllers.is_empty() {
            out.push(Place { version: Version::Two, path, controllers });
        }
    }
    let why = "no hierarchy that this process is in has the controller";
    missing.extend(left(&out).into_iter().map(|c| (c, why.to_owned())));
    out
}

/// `36 35 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory` (proc_pid_mountinfo(5)). Paths with spaces, which
/// are escaped there, are no usual place for a hierarchy and are left out.
fn mounted(mounts: &str) -> impl Iterator<Item = Mounted<'_>> {
    mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        let mut fields = after.split(' ');
        let version = match fields.next()? {
            "cgroup" => Version::One,
            "cgroup2" => Version::Two,
            _ => return None,
        };
        let options = fields.nth(1)?;
        (!at.contains('\\')).then_some(Mounted { version, root, at, options })
    })
}

/// The folder of a group below a mount; `None` if the mount does not show it.
fn below(mount: &Mounted<'_>, group: &str) -> Option<PathBuf> {
    let rest = if mount.root == "/" { group } else { group.strip_prefix(mount.root)? };
    let rest = rest.trim_start_matches('/');
    let inside = !rest.split('/').any(|part| part == "..");
    inside.then(|| Path::new(mount.at).join(rest))
}

/// The group of a hierarchy in `/proc/self/cgroup`: `4:memory:/a/b`.
fn group(own: &str, is: impl Fn(&str) -> bool) -> Option<&str> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is(controllers).then_some(path)
    })
}

fn version_one(mounts: &str, own: &str) -> Vec<Place> {
    let mut out: Vec<Place> = Vec::new();
    for (controller, name) in [
        (Controller::Memory, "memory"),
        (Controller::Pids, "pids"),
        (Controller::Cpu, "cpu"),
        (Controller::Accounting, "cpuacct"),
    ] {
        let has = |list: &str| list.split(',').any(|word| word == name);
        let Some(group) = group(own, has) else { continue };
        let mount = mounted(mounts).filter(|m| m.version == Version::One && has(m.options));
        let Some(path) = mount.filter_map(|m| below(&m, group)).next() else { continue };
        match out.iter_mut().find(|p| p.path == path) {
            Some(place) => place.controllers.push(controller),
            None => out.push(Place { version: Version::One, path, controllers: vec![controller] }),
        }
    }
    out
}

/// The folder of this process in the freezer's hierarchy of version 1.
pub(super) fn freezer() -> Option<PathBuf> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    freezer_of(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

fn freezer_of(mounts: &str, own: &str) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|word| word == "freezer");
    let group = group(own, has)?;
    mounted(mounts).filter(|m| m.version == Version::One && has(m.options)).find_map(|m| below(&m, group))
}

fn version_two(mounts: &str, own: &str) -> Option<PathBuf> {
    let group = group(own, str::is_empty)?;
    mounted(mounts).filter(|m| m.version == Version::Two).find_map(|m| below(&m, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
27 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 27 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 27 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 27 0:27 /docker/ab /sys/fs/cgroup/pids rw shared:3 - cgroup cgroup rw,pids
33 27 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn each_controller_has_the_place_of_its_own_hierarchy() {
        let own = "4:memory:/a/b\n3:pids:/docker/ab/c\n2:cpu,cpuacct:/\n0::/user.slice\n";
        let found = version_one(MOUNTS, own);
        let paths: Vec<_> = found.iter().map(|p| (p.path.to_str(), p.controllers.len())).collect();
        let expected =
            [("/sys/fs/cgroup/memory/a/b", 1), ("/sys/fs/cgroup/pids/c", 1), ("/sys/fs/cgroup/cpu,cpuacct/", 2)];
        assert_eq!(paths, expected.map(|(path, n)| (Some(path), n)));
        assert_eq!(version_two(MOUNTS, own).as_deref(), Some(Path::new("/sys/fs/cgroup/unified/user.slice")));
    }

    #[test]
    fn the_freezer_has_a_hierarchy_of_its_own_or_none() {
        let mounts = "34 27 0:29 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";
        assert_eq!(freezer_of(mounts, "7:freezer:/a\n").as_deref(), Some(Path::new("/sys/fs/cgroup/freezer/a")));
        assert_eq!((freezer_of(MOUNTS, "7:freezer:/a\n"), freezer_of(mounts, "0::/a\n")), (None, None));
    }

    #[test]
    fn a_group_that_the_mount_does_not_show_is_no_place() {
        assert!(version_one(MOUNTS, "3:pids:/elsewhere\n").is_empty());
        assert!(version_one(MOUNTS, "4:memory:/../../other\n").is_empty());
        assert_eq!(version_two("", "0::/\n"), None);
    }
}
