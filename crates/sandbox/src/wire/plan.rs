//! What a box is made of, as it is told to launcher and init.

use minicbor::{Decode, Encode};

/// What a box is made of: [`stead_ports::sandbox::Spec`] after it was checked, its folders replaced by descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Plan {
    #[n(0)]
    pub(crate) words: Vec<String>,
    #[n(1)]
    pub(crate) env: Vec<(String, String)>,
    #[n(2)]
    pub(crate) dir: String,
    /// The folder of a root of its own.
    #[n(3)]
    pub(crate) root: Option<Folder>,
    #[n(4)]
    pub(crate) mounts: Vec<Place>,
    #[n(5)]
    pub(crate) limits: Limits,
    #[n(6)]
    pub(crate) egress: Option<u16>,
    /// Rows and columns of a terminal of its own.
    #[n(7)]
    pub(crate) terminal: Option<(u16, u16)>,
    /// Whose zygote is to start it, if it can. Only the launcher is told.
    #[n(8)]
    pub(crate) zygote: Option<String>,
    /// It stays, and its seed becomes a foreman of commands ([`crate::foreman`]).
    #[n(9)]
    pub(crate) resident: bool,
    /// Beside it comes the folder of a freezer of version 1, which its processes are to join.
    #[n(10)]
    pub(crate) freezer: bool,
}

/// A folder of the host: its path, and what is there, so that another one in its place is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Folder {
    #[n(0)]
    pub(crate) path: String,
    #[n(1)]
    pub(crate) device: u64,
    #[n(2)]
    pub(crate) inode: u64,
}

/// A folder inside.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Place {
    #[n(0)]
    pub(crate) at: String,
    #[n(1)]
    pub(crate) from: Folder,
    #[n(2)]
    pub(crate) access: Access,
}

/// How a folder is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum Access {
    #[n(0)]
    ReadOnly,
    #[n(1)]
    ReadWrite,
    #[n(2)]
    Layered,
}

/// Limits, in the units of the port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Limits {
    #[n(0)]
    pub(crate) memory: Option<u64>,
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
    #[n(7)]
    pub(crate) wall_ms: u64,
    /// Hold `pids` by a resource limit, for no control group does.
    #[n(8)]
    pub(crate) nproc: bool,
}
