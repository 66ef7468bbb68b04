//! The control groups that the runtime put a container in: whether they hold what was asked, and what they measured.
//! Version 1 and version 2 side by side, controller by controller.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Pid;

use crate::wire::{Held, Limits, Pressure, Used};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The group of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    version: Version,
    path: PathBuf,
}

/// The groups of one container.
#[derive(Debug)]
pub(super) struct Groups {
    memory: Option<Group>,
    pids: Option<Group>,
    cpu: Option<Group>,
    accounting: Option<Group>,
}

impl Groups {
    /// Those that a process is in. Asked while it lives.
    pub(super) fn of(pid: Pid) -> Self {
        let read = |file: String| fs::read_to_string(file).unwrap_or_default();
        let own = read(format!("/proc/{}/cgroup", pid.as_raw_nonzero()));
        let mounts = read("/proc/self/mountinfo".to_owned());
        let find = |one, two| find(&mounts, &own, one, two);
        Self {
            memory: find("memory", "memory"),
            pids: find("pids", "pids"),
            cpu: find("cpu", "cpu"),
            accounting: find("cpuacct", "cpu"),
        }
    }

    /// For each limit the group that holds it: what stands there is what was asked.
    pub(super) fn held(&self, asked: &Limits) -> Held {
        let holds = |group: &Option<Group>, files: [&str; 2], is: &dyn Fn(&str) -> bool| {
            let group = group.as_ref().ok_or("the runtime put the container in no group of this controller")?;
            let file = files[usize::from(group.version == Version::Two)];
            match group.read(file) {
                Some(text) if is(text.trim()) => Ok(group.told()),
                Some(text) => Err(format!("the runtime left {file} at {}", text.trim())),
                None => Err(format!("{file} cannot be read")),
            }
        };
        let number = |asked: Option<u64>| move |text: &str| asked.is_none_or(|a| text.parse() == Ok(a));
        // The kernel counts memory in pages.
        let pages = |text: &str| asked.memory.is_none_or(|a| text.parse() == Ok(a / 4096 * 4096));
        let limited = |text: &str| asked.cpu_milli.is_none() || !(text.starts_with("max") || text == "-1");
        Held {
            memory: holds(&self.memory, ["memory.limit_in_bytes", "memory.max"], &pages),
            pids: holds(&self.pids, ["pids.max", "pids.max"], &number(asked.pids.map(u64::from))),
            cpu: holds(&self.cpu, ["cpu.cfs_quota_us", "cpu.max"], &limited),
            accounting: holds(&self.accounting, ["cpuacct.usage", "cpu.stat"], &|_| true),
        }
    }

    /// What all that ran used, as far as a controller measures it. Asked before the container is deleted.
    pub(super) fn used(&self) -> Used {
        let mut used = Used::default();
        if let Some(group) = &self.memory {
            (used.memory_peak, used.oom_kills) = match group.version {
                Version::One => {
                    (group.number("memory.max_usage_in_bytes"), group.keyed("memory.oom_control", "oom_kill"))
                }
                Version::Two => (group.number("memory.peak"), group.keyed("memory.events", "oom_kill")),
            };
            used.memory = match group.version {
                Version::One => group.number("memory.usage_in_bytes"),
                Version::Two => group.number("memory.current"),
            };
            used.pressure = group.pressure();
        }
        if let Some(group) = &self.pids {
            used.pids = group.number("pids.current");
            used.pids_refused = group.keyed("pids.events", "max");
        }
        if let Some(group) = &self.accounting {
            used.cpu_us = match group.version {
                Version::One => group.number("cpuacct.usage").map(|nanoseconds| nanoseconds / 1000),
                Version::Two => group.keyed("cpu.stat", "usage_usec"),
            };
        }
        used
    }
}

impl Group {
    fn told(&self) -> String {
        match self.version {
            Version::One => "control group, version 1".to_owned(),
            Version::Two => "control group, version 2".to_owned(),
        }
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path.join(file)).ok()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    /// How much its processes wait (Linux `Documentation/accounting/psi.rst`); groups of version 1 do not tell.
    fn pressure(&self) -> Option<Pressure> {
        let of = |file: &str| waits(&self.read(file)?);
        (self.version == Version::Two).then(|| Pressure {
            cpu: of("cpu.pressure"),
            memory: of("memory.pressure"),
            io: of("io.pressure"),
        })
    }

    /// The number behind a word, in a file of lines `word number`.
    fn keyed(&self, file: &str, word: &str) -> Option<u64> {
        self.read(file)?.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

/// `some avg10=1.50 avg60=...`, as 150.
fn waits(text: &str) -> Option<u16> {
    let number = text.lines().find_map(|line| line.strip_prefix("some avg10="))?.split(' ').next()?;
    let (whole, part) = number.split_once('.')?;
    Some(whole.parse::<u16>().ok()?.checked_mul(100)? + part.parse::<u16>().ok().filter(|_| part.len() == 2)?)
}

/// The group of a controller: in a hierarchy of version 1 that has it, else in that of version 2 (proc_pid_mountinfo(5),
/// cgroups(7)).
fn find(mounts: &str, own: &str, one: &str, two: &str) -> Option<Group> {
    let place = |version, kind: &str, has: &dyn Fn(&str) -> bool, of: &dyn Fn(&str) -> bool| {
        let group = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            of(controllers).then_some(path)
        })?;
        let path = mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut before = before.split(' ').skip(3);
            let (root, at) = (before.next()?, before.next()?);
            let mut after = after.split(' ');
            let fits = after.next()? == kind && has(after.nth(1)?);
            fits.then(|| below(root, at, group)).flatten()
        })?;
        Some(Group { version, path })
    };
    let names = |list: &str, name: &str| list.split(',').any(|word| word == name);
    place(Version::One, "cgroup", &|options| names(options, one), &|list| names(list, one)).or_else(|| {
        let group = place(Version::Two, "cgroup2", &|_| true, &str::is_empty)?;
        let has = fs::read_to_string(group.path.join("cgroup.controllers")).unwrap_or_default();
        has.split_whitespace().any(|word| word == two).then_some(group)
    })
}

/// The folder of a group below a mount; `None` if the mount does not show it.
fn below(root: &str, at: &str, group: &str) -> Option<PathBuf> {
    let rest = if root == "/" { group } else { group.strip_prefix(root)? };
    let inside = !rest.split('/').any(|part| part == "..");
    inside.then(|| Path::new(at).join(rest.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 27 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 27 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 27 0:27 /docker/ab /sys/fs/cgroup/pids rw shared:3 - cgroup cgroup rw,pids
";

    #[test]
    fn waiting_is_read_in_hundredths_of_a_percent() {
        assert_eq!(waits("some avg10=12.34 avg60=0.00 avg300=0.00 total=5\nfull avg10=1.00\n"), Some(1234));
        assert_eq!((waits("full avg10=1.00\n"), waits("some avg10=1.5")), (None, None));
    }

    #[test]
    fn each_controller_has_the_place_of_its_own_hierarchy() {
        let own = "4:memory:/a/b\n3:pids:/docker/ab/c\n2:cpu,cpuacct:/\n0::/user.slice\n";
        let path = |name| find(MOUNTS, own, name, name).map(|g| g.path);
        assert_eq!(path("memory").as_deref(), Some(Path::new("/sys/fs/cgroup/memory/a/b")));
        assert_eq!(path("pids").as_deref(), Some(Path::new("/sys/fs/cgroup/pids/c")));
        assert_eq!(path("cpuacct").as_deref(), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct/")));
        assert_eq!(path("blkio"), None);
        assert_eq!(find(MOUNTS, "4:memory:/../x\n", "memory", "memory"), None);
    }
}
