//! Orders to the guest and news from it, in MiniCBOR.

use minicbor::{Decode, Encode};

/// Encodes a message.
pub(crate) fn encode<T: Encode<()>>(message: &T) -> Vec<u8> {
    // Writing to a vector does not fail.
    minicbor::to_vec(message).unwrap_or_default()
}

/// Decodes one. `None` for what nobody of ours writes.
pub(crate) fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Option<T> {
    minicbor::decode(bytes).ok()
}

/// What a box is made of: [`stead_ports::sandbox::Spec`] after it was checked. The folders follow as streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Plan {
    #[n(0)]
    pub(crate) words: Vec<String>,
    #[n(1)]
    pub(crate) env: Vec<(String, String)>,
    #[n(2)]
    pub(crate) dir: String,
    /// Whether the first folder is a root of its own.
    #[n(3)]
    pub(crate) own_root: bool,
    #[n(4)]
    pub(crate) mounts: Vec<Place>,
    #[n(5)]
    pub(crate) limits: Limits,
    #[n(6)]
    pub(crate) egress: Option<u16>,
    /// Rows and columns of a terminal of its own.
    #[n(7)]
    pub(crate) terminal: Option<(u16, u16)>,
}

/// A folder inside.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Place {
    #[n(0)]
    pub(crate) at: String,
    #[n(1)]
    pub(crate) access: Access,
}

/// How a folder is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum Access {
    #[n(0)]
    ReadOnly,
    #[n(1)]
    Layered,
}

/// Limits, in the units of the port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Limits {
    #[n(0)]
    pub(crate) memory: u64,
    #[n(1)]
    pub(crate) pids: Option<u32>,
    #[n(2)]
    pub(crate) cpu_milli: Option<u32>,
    #[n(3)]
    pub(crate) disk: u64,
    #[n(4)]
    pub(crate) inodes: u64,
    #[n(5)]
    pub(crate) file: u64,
    #[n(6)]
    pub(crate) open_files: u32,
}

/// What the guest is told.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Order {
    /// Make a box and start the command; once.
    #[n(0)]
    Start {
        #[n(0)]
        plan: Plan,
    },
    /// Kill all that runs in the box; its end is then told as ever.
    #[n(1)]
    Kill,
    /// Change limits.
    #[n(2)]
    Limit {
        #[n(0)]
        memory: Option<u64>,
        #[n(1)]
        pids: Option<u32>,
        #[n(2)]
        cpu_milli: Option<u32>,
    },
    /// The terminal has another size: rows and columns.
    #[n(3)]
    Resize {
        #[n(0)]
        size: (u16, u16),
    },
    /// Tell what is used now.
    #[n(4)]
    Look,
}

/// Why there is no box, or no command in it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Failure {
    /// The machine cannot do it.
    #[n(0)]
    Machine(#[n(0)] String),
    /// What was asked makes no box.
    #[n(1)]
    Spec(#[n(0)] String),
    /// The command does not start.
    #[n(2)]
    Command(#[n(0)] String),
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum End {
    #[n(0)]
    Exited(#[n(0)] i32),
    #[n(1)]
    Signal(#[n(0)] i32),
}

/// What the guest's control group counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Usage {
    #[n(0)]
    pub(crate) oom_kills: Option<u64>,
    #[n(1)]
    pub(crate) pids_refused: Option<u64>,
    #[n(2)]
    pub(crate) memory: Option<u64>,
    #[n(3)]
    pub(crate) memory_peak: Option<u64>,
    #[n(4)]
    pub(crate) pids: Option<u64>,
}

/// What the guest tells.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum News {
    /// The machine has booted this kernel.
    #[n(0)]
    Hello {
        #[n(0)]
        kernel: String,
    },
    /// The command runs.
    #[n(1)]
    Started,
    /// It does not, and nothing is left to do.
    #[n(2)]
    Failed {
        #[n(0)]
        failure: Failure,
    },
    /// It ended, all that ran in the box is dead, and its layers follow.
    #[n(3)]
    Ended {
        #[n(0)]
        end: End,
        #[n(1)]
        usage: Usage,
    },
    /// Limits were changed, or why not.
    #[n(4)]
    Limited {
        #[n(0)]
        failure: Option<String>,
    },
    /// What is used.
    #[n(5)]
    Used {
        #[n(0)]
        usage: Usage,
    },
}
