//! How an action in a box ended, what it used, and what the box can show for its promises.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::PathBuf, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use stead_core::code::{self, Code};

use super::property::{Property, Tier};

/// Why nothing runs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The command ended with this code; what else ran was killed.
    Exited(i32),
    /// The command was ended by this signal.
    Signal(i32),
    /// The kernel killed something in the box for want of memory, and the command did not end well.
    Memory,
    /// The wall-clock limit.
    Deadline,
    /// It wrote more than is kept, and was killed for that.
    Output,
    /// Whoever holds it had it killed.
    Killed,
}

impl End {
    /// The code of an end that a limit made.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Memory => Some(code::SANDBOX_MEMORY),
            Self::Deadline => Some(code::SANDBOX_DEADLINE),
            Self::Output => Some(code::SANDBOX_OUTPUT),
            Self::Exited(_) | Self::Signal(_) | Self::Killed => None,
        }
    }
}

/// An output as it was written, byte for byte: not necessarily text, and not safe to show as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The first bytes.
    pub bytes: Bytes,
    /// All that was read, the dropped ones included.
    pub total: u64,
}

impl Captured {
    /// Whether there was more than is kept.
    pub fn truncated(&self) -> bool {
        self.total > self.bytes.len() as u64
    }
}

/// What the action used, or has used until now ([`Control::usage`](super::Control::usage)). `None` where nothing measures it on
/// this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// From the start of the command until all was dead.
    pub wall: Duration,
    /// Processor time of all processes.
    pub cpu: Option<Duration>,
    /// Bytes of memory at the moment; `None` when it has ended.
    pub memory: Option<u64>,
    /// Most bytes of memory at once.
    pub memory_peak: Option<u64>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
    /// Processes and threads at the moment; `None` when it has ended.
    pub pids: Option<u64>,
    /// Starts of processes that the limit refused.
    pub pids_refused: Option<u64>,
    /// How much its processes wait at the moment; `None` when it has ended, and where the kernel does not tell of it for one box
    /// (control groups of version 1).
    pub pressure: Option<Pressure>,
}

/// The share of the last ten seconds in which at least one process waited for something that was short, in hundredths of
/// a percent: 0 to 10,000 (`some avg10` of Linux's pressure stall information).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// For a processor.
    pub cpu: Option<u16>,
    /// For memory.
    pub memory: Option<u16>,
    /// For input and output.
    pub io: Option<u16>,
}

/// What a box can show: the tier, and what held each promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The tier.
    pub tier: Tier,
    /// The promises that held, with what held them.
    pub held: BTreeMap<Property, String>,
    /// Limits that were asked and nothing here can hold; none of them was required.
    pub not_held: BTreeMap<Property, String>,
}

/// The upper layer of a [`Layered`](super::Content::Layered) mount after its box is dead.
#[derive(Debug)]
pub struct Layer {
    /// Where it was mounted.
    pub at: PathBuf,
    /// The folder of the upper layer: what was written, whiteouts as overlayfs makes them. It lives in memory, and as long as
    /// this descriptor.
    pub upper: OwnedFd,
}

/// How an action ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why.
    pub end: End,
    /// Standard output, if it was captured.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
    /// What it used.
    pub usage: Usage,
    /// What held.
    pub evidence: Evidence,
    /// Upper layers, in the order of the mounts.
    pub layers: Vec<Layer>,
}
