//! The control group of a box, version 2: the guest's own, which nothing of the host's knows of.

use std::{fs, path::Path, thread::sleep, time::Duration};

use rustix::mount::MountFlags;

use crate::{
    fault::{At, Fault},
    wire::{Limits, Usage},
};

const TOP: &str = "/sys/fs/cgroup";
const GROUP: &str = "/sys/fs/cgroup/box";

/// The file through which a process joins.
pub(super) const JOIN: &str = "/sys/fs/cgroup/box/cgroup.procs";

fn write(name: &str, value: &str) -> Result<(), Fault> {
    fs::write(Path::new(GROUP).join(name), value).at(&format!("setting {name} of the box's control group"))
}

fn read(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new(GROUP).join(name)).ok()?.trim().parse().ok()
}

/// The number that stands behind a word in a file of such lines.
fn field(name: &str, word: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new(GROUP).join(name)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
}

/// Makes the group with its limits.
pub(super) fn make(limits: &Limits) -> Result<(), Fault> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("groups", TOP, "cgroup2", flags, None).at("mounting control groups")?;
    fs::write(Path::new(TOP).join("cgroup.subtree_control"), "+memory +pids +cpu")
        .at("switching controllers of control groups on")?;
    fs::create_dir(GROUP).at("making a control group")?;
    set(Some(limits.memory), limits.pids, limits.cpu_milli)
}

/// Changes limits; `None` leaves one as it is.
pub(super) fn set(memory: Option<u64>, pids: Option<u32>, cpu_milli: Option<u32>) -> Result<(), Fault> {
    if let Some(memory) = memory {
        write("memory.max", &memory.to_string())?;
    }
    if let Some(pids) = pids {
        // One is counted for the init that a box of namespaces has, so that the same limit lets the same start.
        write("pids.max", &pids.saturating_sub(1).max(1).to_string())?;
    }
    if let Some(milli) = cpu_milli {
        write("cpu.max", &format!("{} 100000", u64::from(milli.max(10)) * 100))?;
    }
    Ok(())
}

/// Kills all that is in it.
pub(super) fn kill() -> Result<(), Fault> {
    write("cgroup.kill", "1")
}

/// Kills all that is in it, until nothing is; what was killed is reaped meanwhile.
pub(super) fn empty() -> Result<(), Fault> {
    while field("cgroup.events", "populated ") != Some(0) {
        kill()?;
        while matches!(rustix::process::wait(rustix::process::WaitOptions::NOHANG), Ok(Some(_))) {}
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// What was used, as far as this kernel counts it.
pub(super) fn usage() -> Usage {
    Usage {
        oom_kills: field("memory.events", "oom_kill "),
        pids_refused: field("pids.events", "max "),
        memory: read("memory.current"),
        memory_peak: read("memory.peak"),
        pids: read("pids.current"),
    }
}
