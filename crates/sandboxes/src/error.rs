//! Why something was not done with a session sandbox, each with its stable code.

use stead_core::{
    code::{self, Code},
    id::TreeId,
};
use stead_egress::Refusal;
use stead_ports::sandbox::BoxError;
use stead_workshop::Fault;
use stead_workspace::WorkspaceError;

use crate::{
    SandboxId,
    registry::{Gone, Unready},
};

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum SandboxesError {
    /// There is none of that name for this caller.
    #[error("there is no sandbox {0}")]
    Unknown(SandboxId),
    /// It has ended.
    #[error("the sandbox {id} is gone: {why}")]
    Gone {
        /// Which.
        id: SandboxId,
        /// Why.
        why: Gone,
    },
    /// A template that is not there.
    #[error("there is no sandbox template `{name}`; there are {}", .known.join(", "))]
    Template {
        /// What was asked.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// As many as there may be.
    #[error("{0}; remove one, or try again later")]
    Full(String),
    /// More or other than the template allows.
    #[error("{0}")]
    Refused(String),
    /// The key of another command.
    #[error("the key `{0}` belongs to another command of this sandbox")]
    Key(String),
    /// A command that is not known.
    #[error("{0} has no command {1}, or it ended long ago")]
    NoExec(SandboxId, u32),
    /// The command takes no input.
    #[error("{0}")]
    Input(String),
    /// A file or folder.
    #[error("{path}: {why}")]
    Path {
        /// The path, as it was asked.
        path: String,
        /// Why.
        why: PathFault,
    },
    /// It cannot be made to stand still.
    #[error("a snapshot cannot be taken while it runs: {0}")]
    Frozen(String),
    /// A tree that is not kept.
    #[error("{0} is not kept, or not any more; take another snapshot")]
    NoTree(TreeId),
    /// The box.
    #[error(transparent)]
    Box(#[from] BoxError),
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The rules of egress.
    #[error(transparent)]
    Egress(#[from] Refusal),
    /// What makes sandboxes cannot be had.
    #[error(transparent)]
    Unready(#[from] Unready),
    /// What every sandbox needs could not be made.
    #[error(transparent)]
    Workshop(Fault),
}

impl From<Fault> for SandboxesError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Box(e) => Self::Box(e),
            Fault::Workspace(e) => Self::Workspace(e),
            Fault::Egress(e) => Self::Egress(e),
            Fault::Queue(_) => {
                Self::Full("as many sandboxes are there as there may be, and none ended in time".to_owned())
            }
            fault => Self::Workshop(fault),
        }
    }
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// Nothing is there.
    #[error("nothing is there")]
    Absent,
    /// Something else is there than was asked for.
    #[error("{0}")]
    Kind(&'static str),
    /// It is no path of a folder that can be reached.
    #[error("{0}")]
    Place(String),
    /// It leads out of its folder.
    #[error("it leads out of its folder, by a link or otherwise; nothing was touched")]
    Outside,
    /// There is no room for it.
    #[error("there is no room for it: {0}")]
    Full(&'static str),
    /// The system said no.
    #[error("{0}")]
    System(String),
}

impl SandboxesError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown(_) | Self::NoExec(..) | Self::NoTree(_) => code::NOT_FOUND,
            Self::Gone { .. } => code::SESSION_SANDBOX_GONE,
            Self::Template { .. } => code::SANDBOX_TEMPLATE,
            Self::Full(_) => code::SESSION_SANDBOXES_FULL,
            Self::Refused(_) => code::SESSION_SANDBOX_REFUSED,
            Self::Key(_) => code::IDEMPOTENCY,
            Self::Input(_) => code::SANDBOX_INPUT,
            Self::Frozen(_) => code::SANDBOX_STILL,
            Self::Path { why: PathFault::Absent, .. } => code::NOT_FOUND,
            Self::Path { why: PathFault::Full(_), .. } => code::SANDBOX_FILE_ROOM,
            Self::Path { .. } => code::SANDBOX_FILE,
            Self::Box(e) => e.code(),
            Self::Workspace(e) => e.code(),
            Self::Egress(e) => e.code,
            Self::Unready(e) => e.code,
            Self::Workshop(e) => e.code(),
        }
    }

    pub(crate) fn path(path: &str, why: PathFault) -> Self {
        Self::Path { path: path.to_owned(), why }
    }
}
