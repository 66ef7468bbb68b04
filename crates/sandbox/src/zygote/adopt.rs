//! The init's part: it hands its namespaces out for a zygote to enter, and becomes the parent of what comes.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::{
    fs::{Mode, OFlags},
    process::Pid,
};

use crate::{
    fault::{At, Fault},
    seeds::Seed,
    wire::{self, Failure, Report, Sprout},
};

/// In the order of `NAMESPACES` in `python/entering.py`.
const NAMESPACES: &[&str] = &["pid", "ipc", "uts", "net", "cgroup", "mnt"];

/// Asks for a seed and waits until it has given up its rights. Its number is that inside. Needs `/proc`.
pub(crate) fn adopt(launcher: BorrowedFd<'_>) -> Result<Seed, Fault> {
    let (ours, its) = wire::pair().at("making a socket")?;
    let mut beside = vec![its];
    for name in NAMESPACES {
        let path = format!("/proc/self/ns/{name}");
        let namespace = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        beside.push(namespace.at(&format!("opening {path}"))?);
    }
    let descriptors: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
    wire::send(launcher, &Report::Seedless, &descriptors, true).at("asking for a fork of the zygote")?;
    drop(beside);
    match wire::receive(&ours, &mut wire::buffer(), true).at("waiting for the zygote's fork")? {
        Some((Sprout::Forked(number), _)) => i32::try_from(number)
            .ok()
            .and_then(Pid::from_raw)
            .map(|pid| Seed::of_zygote(ours, pid))
            .ok_or_else(|| Fault("the zygote's fork has no number".to_owned())),
        Some((Sprout::Failed(Failure::Host(why) | Failure::Spec(why) | Failure::Command(why)), _)) => Err(Fault(why)),
        _ => Err(Fault("the zygote ended before it forked, or its fork while it gave its rights up".to_owned())),
    }
}
