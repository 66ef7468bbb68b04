//! What a box that stays has besides: a socket to its foreman, folders that the server looks into, a place for terminals, and
//! the freezer that its processes join.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    process::Pid,
};
use stead_tier::root::HOME;

use crate::{
    cgroup,
    fault::{At, Fault},
    terminal,
    wire::{self, Access, Plan},
};

/// Private folders that are looked into from outside.
pub(crate) const PRIVATE: &[&str] = &["/tmp", HOME];

/// See the module.
pub(crate) struct Stay {
    /// The foreman's end of the socket.
    pub(crate) inner: OwnedFd,
    outer: OwnedFd,
    folders: Vec<OwnedFd>,
}

/// Where the folders stand that the server looks into, in the order of their descriptors.
pub(crate) fn places(plan: &Plan) -> impl Iterator<Item = &str> {
    let mounted = plan.mounts.iter().filter(|m| m.access != Access::ReadOnly).map(|m| m.at.as_str());
    mounted.chain(PRIVATE.iter().copied())
}

/// Descriptors that the server gets of it.
pub(crate) fn count(plan: &Plan) -> usize {
    if plan.resident { 1 + places(plan).count() } else { 0 }
}

impl Stay {
    /// Makes it, when everything is mounted and nothing runs.
    pub(crate) fn new(plan: &Plan) -> Result<Self, Fault> {
        terminal::place()?;
        let (outer, inner) = wire::pair().at("making a socket for the foreman")?;
        let open = |at: &str| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::open(at, flags, Mode::empty()).at(&format!("opening {at}"))
        };
        let folders = places(plan).map(open).collect::<Result<_, _>>()?;
        Ok(Self { inner, outer, folders })
    }

    /// What the server gets: its end of the socket, then the folders.
    pub(crate) fn back(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.outer).chain(&self.folders)
    }
}

/// Joins the freezer with the seed: there is nobody else in the box yet.
pub(crate) fn join(freezer: Option<OwnedFd>, seed: Pid) -> Result<(), Fault> {
    let freezer = freezer.ok_or_else(|| Fault("the freezer did not arrive".to_owned()))?;
    // `0` is this process.
    for pid in [0, seed.as_raw_nonzero().get()] {
        cgroup::join(freezer.as_fd(), pid).at("joining the freezer")?;
    }
    Ok(())
}
