//! A box as the launcher knows it.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use super::maker::Made;
use crate::wire::{End, Report};

/// How long setting a box up may take; its own deadline counts from when its command runs.
pub(super) const SET_UP: Duration = Duration::from_secs(10);

/// A box that has a command.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    /// How long it may run, from when it does.
    pub(super) wall_ms: u64,
    pub(super) runs: bool,
    /// Its server knows already that it did not start.
    pub(super) refused: bool,
    /// Why it was killed.
    pub(super) killed: Option<End>,
    pub(super) report: Option<Report>,
    /// What the undertaker gets, once it runs: mounts and network.
    pub(super) remains: Vec<OwnedFd>,
    pub(super) layers: Vec<OwnedFd>,
    /// How many of the descriptors that come when it runs are the server's.
    pub(super) back: usize,
}

/// A box, and its command if it has one.
pub(super) struct Live {
    pub(super) made: Made,
    pub(super) job: Option<Job>,
}

/// How long ago that was.
pub(super) fn microseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
