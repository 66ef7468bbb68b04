//! Every message: server to launcher and back, launcher to init and back, seed to init.

use minicbor::{Decode, Encode};

use super::Plan;

/// What the launcher is told. Beside `Start`: standard input, output, error; none of them for a terminal.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Order {
    #[n(0)]
    Start {
        #[n(0)]
        id: u64,
        #[n(1)]
        plan: Box<Plan>,
    },
    #[n(1)]
    Kill {
        #[n(0)]
        id: u64,
    },
    #[n(2)]
    Limit {
        #[n(0)]
        id: u64,
        #[n(1)]
        asked: u64,
        #[n(2)]
        memory: Option<u64>,
        #[n(3)]
        pids: Option<u32>,
        #[n(4)]
        cpu_milli: Option<u32>,
    },
    /// What a box has used so far.
    #[n(3)]
    Measure {
        #[n(0)]
        id: u64,
        #[n(1)]
        asked: u64,
    },
}

/// What the launcher tells. Beside `Started`: the egress listener and the terminal, those that were asked, in this order;
/// beside `Ended`: the upper layers.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum News {
    #[n(0)]
    Ready {
        #[n(0)]
        host: Host,
    },
    #[n(1)]
    Started {
        #[n(0)]
        id: u64,
        #[n(1)]
        served: Option<Served>,
    },
    #[n(2)]
    Failed {
        #[n(0)]
        id: u64,
        #[n(1)]
        failure: Failure,
    },
    #[n(3)]
    Ended {
        #[n(0)]
        id: u64,
        #[n(1)]
        end: End,
        #[n(2)]
        usage: Usage,
    },
    #[n(4)]
    Limited {
        #[n(0)]
        asked: u64,
        #[n(1)]
        failure: Option<Failure>,
    },
    /// There are no boxes here, and why.
    #[n(5)]
    Unable {
        #[n(0)]
        why: String,
    },
    /// `None`: the box has ended.
    #[n(6)]
    Measured {
        #[n(0)]
        asked: u64,
        #[n(1)]
        usage: Option<Usage>,
    },
}

/// Whether a zygote started the command.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Served {
    #[n(0)]
    Forked {
        #[n(0)]
        program: String,
        #[n(1)]
        forks: u64,
    },
    #[n(1)]
    Cold(#[n(0)] String),
}

/// Why a box did not start, or was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Failure {
    /// What was asked makes no box.
    #[n(0)]
    Spec(#[n(0)] String),
    /// The command did not start.
    #[n(1)]
    Command(#[n(0)] String),
    /// The host did not let a box be made.
    #[n(2)]
    Host(#[n(0)] String),
    /// As many as may run do.
    #[n(3)]
    Busy(#[n(0)] u64),
    /// It has ended already.
    #[n(4)]
    Over,
}

/// How a box ended, before what the server knows of it (a full output, a kill of its own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum End {
    #[n(0)]
    Exited(#[n(0)] i32),
    #[n(1)]
    Signal(#[n(0)] i32),
    /// Its deadline.
    #[n(2)]
    Deadline,
    /// A kill: by the server, or of the whole box by the kernel.
    #[n(3)]
    Killed,
}

/// What a box used, as far as something measured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Usage {
    #[n(0)]
    pub(crate) wall_us: u64,
    #[n(1)]
    pub(crate) cpu_us: Option<u64>,
    #[n(2)]
    pub(crate) memory_peak: Option<u64>,
    #[n(3)]
    pub(crate) oom_kills: Option<u64>,
    #[n(4)]
    pub(crate) pids_refused: Option<u64>,
    /// Bytes now, while it runs.
    #[n(5)]
    pub(crate) memory: Option<u64>,
    /// Processes and threads now, while it runs.
    #[n(6)]
    pub(crate) pids: Option<u64>,
    #[n(7)]
    pub(crate) pressure: Option<Pressure>,
}

/// Hundredths of a percent of the last ten seconds in which something waited (Linux `Documentation/accounting/psi.rst`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Pressure {
    #[n(0)]
    pub(crate) cpu: Option<u16>,
    #[n(1)]
    pub(crate) memory: Option<u16>,
    #[n(2)]
    pub(crate) io: Option<u16>,
}

/// What the launcher found: what holds each limit, or why nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Host {
    /// Whether it runs as root; else it has a user namespace of its own.
    #[n(0)]
    pub(crate) root: bool,
    /// The user that files written in a box belong to outside.
    #[n(1)]
    pub(crate) user: u32,
    #[n(2)]
    pub(crate) memory: Found,
    #[n(3)]
    pub(crate) pids: Found,
    #[n(4)]
    pub(crate) cpu: Found,
    #[n(5)]
    pub(crate) accounting: Found,
    /// The version of Landlock, if there is one.
    #[n(6)]
    pub(crate) landlock: Option<i32>,
}

/// What holds something, or why nothing does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Found {
    #[n(0)]
    By(#[n(0)] String),
    #[n(1)]
    Not(#[n(0)] String),
}

impl Default for Found {
    fn default() -> Self {
        Self::Not("not looked for".to_owned())
    }
}

/// What an init is told, once. Beside it: standard input, output, error (not for a terminal), the root if it is one of its
/// own, and one tree for each mount.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) struct Go {
    #[n(0)]
    pub(crate) plan: Plan,
}

/// What an init tells its launcher.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Report {
    /// The command runs. Beside it the box's mounts and network, what [`News::Started`] has, then the upper layers.
    #[n(0)]
    Started {
        /// Why it is no fork after all, though its seed was one.
        #[n(0)]
        cold: Option<String>,
    },
    #[n(1)]
    Failed(#[n(0)] Failure),
    #[n(2)]
    Exited {
        #[n(0)]
        code: i32,
        #[n(1)]
        cpu_us: u64,
        /// Nothing in the box ever made a socket.
        #[n(2)]
        untouched: bool,
    },
    #[n(3)]
    Signal {
        #[n(0)]
        signal: i32,
        #[n(1)]
        cpu_us: u64,
        #[n(2)]
        untouched: bool,
    },
    /// It wants a seed of its zygote's. Beside it the seed's socket, then the box's namespaces.
    #[n(4)]
    Seedless,
}

/// What a zygote's fork tells its init, and a command's process its keeper. A zygote's forks write these by hand (`zygote/python/words.py`).
#[derive(Debug, PartialEq, Encode, Decode)]
pub(crate) enum Sprout {
    #[n(1)]
    Failed(#[n(0)] Failure),
    /// A zygote's fork has given up its rights, and tells its number inside.
    #[n(2)]
    Forked(#[n(0)] u32),
    /// A zygote's fork becomes the command as any other seed does, and why.
    #[n(3)]
    Cold(#[n(0)] String),
}
