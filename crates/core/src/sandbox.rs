//! Words for actions in boxes: the tiers and what they promise, the change of a workspace, what was used, and the limits that an
//! operator sets for a run. A box itself is an adapter's.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    id::{Name, TreeId},
    time::Span,
};

/// How an action is kept apart from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Tier {
    /// A WebAssembly component without ambient authority.
    #[n(0)]
    Wasm,
    /// Namespaces of the host's kernel.
    #[n(1)]
    Namespace,
    /// A container of an OCI runtime.
    #[n(2)]
    Oci,
    /// A virtual machine with a kernel of its own.
    #[n(3)]
    Microvm,
}

impl Tier {
    /// Every tier.
    pub const ALL: [Self; 4] = [Self::Wasm, Self::Namespace, Self::Oci, Self::Microvm];
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasm => "wasm",
            Self::Namespace => "namespace",
            Self::Oci => "oci",
            Self::Microvm => "microvm",
        })
    }
}

/// Something that a tier can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Property {
    /// All processes together stay within a number of bytes; beyond, something in the box is killed.
    #[n(0)]
    MemoryLimit,
    /// No more processes than a number.
    #[n(1)]
    PidsLimit,
    /// All processes together get a share of the processors and no more.
    #[n(2)]
    CpuLimit,
    /// Processor time and peak memory are measured by the kernel for all that ran.
    #[n(3)]
    Accounting,
    /// Bytes and files in private folders have a bound.
    #[n(4)]
    DiskQuota,
    /// Nothing reaches a network but through the egress socket.
    #[n(5)]
    EgressControl,
    /// System calls are filtered by a list of what is allowed.
    #[n(6)]
    SyscallFilter,
    /// Files outside of what is writable stay unwritable by a second, independent rule of the kernel.
    #[n(7)]
    FileRules,
    /// Another kernel than the host's.
    #[n(8)]
    OwnKernel,
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 9] = [
        Self::MemoryLimit,
        Self::PidsLimit,
        Self::CpuLimit,
        Self::Accounting,
        Self::DiskQuota,
        Self::EgressControl,
        Self::SyscallFilter,
        Self::FileRules,
        Self::OwnKernel,
    ];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MemoryLimit => "a memory limit",
            Self::PidsLimit => "a limit of processes",
            Self::CpuLimit => "a processor limit",
            Self::Accounting => "accounting by the kernel",
            Self::DiskQuota => "a disk quota",
            Self::EgressControl => "control of egress",
            Self::SyscallFilter => "a filter of system calls",
            Self::FileRules => "file rules of the kernel",
            Self::OwnKernel => "a kernel of its own",
        })
    }
}

/// What a tool may do with the workspace of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Access {
    /// Nothing: it does not see it.
    #[default]
    #[n(0)]
    None,
    /// Read it.
    #[n(1)]
    Read,
    /// Read it and write it: what comes out is the session's next tree.
    #[n(2)]
    Write,
}

/// Where a tool works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Place {
    /// What it may do with the session's workspace.
    #[n(0)]
    pub workspace: Access,
    /// Whether it runs in a box, so that what boxes use counts for it.
    #[n(1)]
    pub boxed: bool,
}

/// What an action left behind beside its text. Part of the fact that tells its outcome, so that there is never the one without the
/// other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Action {
    /// The workspace that it wrote.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<TreeChange>,
    /// The box that it ran in.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<BoxUse>,
}

/// A workspace before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct TreeChange {
    /// The tree that the action started at; `None` for the empty workspace of a session that has none yet.
    #[n(0)]
    pub before: Option<TreeId>,
    /// The tree that it made.
    #[n(1)]
    pub after: TreeId,
    /// Files and links that only the new tree has.
    #[n(2)]
    pub added: u64,
    /// Those that both have, with other content.
    #[n(3)]
    pub changed: u64,
    /// Those that only the old one had.
    #[n(4)]
    pub removed: u64,
    /// Bytes of all files of the new tree.
    #[n(5)]
    pub bytes: u64,
}

/// What a box was, and what ran in it used: in all; or, of a box that lives for many calls, since the call before.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct BoxUse {
    /// The tier.
    #[n(0)]
    pub tier: Tier,
    /// What it promised and held.
    #[n(1)]
    pub held: Vec<Property>,
    /// Limits that were asked for, not required, and held by nothing here.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_held: Vec<Property>,
    /// Processor time of all that ran; `None` where nothing measures it.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Span>,
    /// Most bytes of memory at once, in the box's whole life until now; `None` where nothing measures it.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak: Option<u64>,
    /// From the start of the command until all was dead; of a box that lives for many calls, that of the call.
    #[n(5)]
    pub wall: Span,
    /// What went through the egress proxy, when there was one.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What held each promise, and why the others were not: the evidence, in the tier's words.
    #[n(7)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// How the command began, where a fork server was asked to start it.
    #[n(8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
}

/// Why a promise held, or did not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Evidence {
    /// The promise.
    #[n(0)]
    pub property: Property,
    /// In the tier's words, 200 characters at most.
    #[n(1)]
    pub words: String,
}

/// How a command began for which a fork server was asked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// As a copy of a process that had its runtime loaded.
    #[n(0)]
    Forked,
    /// As any other, and why.
    #[n(1)]
    Cold(#[n(0)] String),
}

impl BoxUse {
    /// What held that promise, or why it was not held; `None` where a fact of an earlier release tells it of.
    pub fn words(&self, property: Property) -> Option<&str> {
        self.evidence.iter().find(|e| e.property == property).map(|e| e.words.as_str())
    }

    /// Adds what another box used for the same call. Where nothing measured one's processor time, its wall-clock time counts.
    pub fn join(&mut self, other: &Self) {
        self.cpu = match (self.cpu, other.cpu) {
            (None, None) => None,
            (own, others) => Some(Span(own.unwrap_or(self.wall).0.saturating_add(others.unwrap_or(other.wall).0))),
        };
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.wall.0 = self.wall.0.saturating_add(other.wall.0);
        self.traffic = match (self.traffic, other.traffic) {
            (Some(own), Some(others)) => Some(own.plus(others)),
            (own, others) => own.or(others),
        };
    }
}

/// What a box asked of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests and tunnels that were allowed.
    #[n(0)]
    pub allowed: u64,
    /// Those that were refused.
    #[n(1)]
    pub denied: u64,
    /// Bytes to hosts.
    #[n(2)]
    pub sent: u64,
    /// Bytes from hosts.
    #[n(3)]
    pub received: u64,
}

impl Traffic {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            allowed: self.allowed.saturating_add(other.allowed),
            denied: self.denied.saturating_add(other.denied),
            sent: self.sent.saturating_add(other.sent),
            received: self.received.saturating_add(other.received),
        }
    }
}

/// What the boxes of a run have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct BoxTotals {
    /// Processor time.
    #[n(0)]
    pub cpu: Span,
    /// Most bytes of memory of one box.
    #[n(1)]
    pub memory_peak: u64,
    /// Bytes to and from hosts.
    #[n(2)]
    pub traffic: u64,
}

impl BoxTotals {
    /// Adds what others have used.
    pub fn join(&mut self, other: Self) {
        self.cpu.0 = self.cpu.0.saturating_add(other.cpu.0);
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.traffic = self.traffic.saturating_add(other.traffic);
    }

    /// Whether no box used anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what one action used.
    pub fn add(&mut self, used: &BoxUse) {
        self.cpu.0 = self.cpu.0.saturating_add(used.cpu.unwrap_or(used.wall).0);
        self.memory_peak = self.memory_peak.max(used.memory_peak.unwrap_or(0));
        let bytes = used.traffic.map_or(0, |t| t.sent.saturating_add(t.received));
        self.traffic = self.traffic.saturating_add(bytes);
    }
}

/// Limits that an operator has set for the boxes of a run, in the place of its manifest's; `None` leaves the manifest's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxLimits {
    /// Bytes of memory.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u32>,
    /// Processes and threads at once.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Bytes of private folders; for boxes that start from now on.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// Wall-clock time of an action; for boxes that start from now on.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<Span>,
    /// Files and folders that may be written; for boxes that start from now on.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    /// Open files of one process; for boxes that start from now on.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
    /// Bytes that are kept of each output of an action; for those that start from now on.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Hosts of which the manifest's rules of egress are in force; `*` is all of them. None that it does not name is ever reached.
    #[n(8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<Name>>,
}

impl BoxLimits {
    /// Whether the manifest's rules of that host are in force.
    pub fn reaches(&self, host: &str) -> bool {
        let is = |named: &Name| named.as_str() == "*" || named.as_str().eq_ignore_ascii_case(host);
        self.egress.as_ref().is_none_or(|hosts| hosts.iter().any(is))
    }

    /// These, with what `change` names in their place.
    #[must_use]
    pub fn changed(self, change: Self) -> Self {
        Self {
            memory: change.memory.or(self.memory),
            cpu_milli: change.cpu_milli.or(self.cpu_milli),
            pids: change.pids.or(self.pids),
            disk: change.disk.or(self.disk),
            wall: change.wall.or(self.wall),
            inodes: change.inodes.or(self.inodes),
            open_files: change.open_files.or(self.open_files),
            output: change.output.or(self.output),
            egress: change.egress.or(self.egress),
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
