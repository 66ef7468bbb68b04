//! Why there was no action, or nobody knows how it went.

use stead_core::{
    code::{self, Code},
    effect::Outcome,
};
use stead_egress::Refusal;
use stead_ports::{
    sandbox::{BoxError, Tier},
    tool::Output,
};
use stead_workspace::WorkspaceError;

/// Why an action did not take place, or was lost.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No box, or no outcome of one.
    #[error(transparent)]
    Box(#[from] BoxError),
    /// The workspace could not be made a folder.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The way out could not be made.
    #[error("the sandbox's way out: {}; {}", .0.detail, .0.hint)]
    Egress(#[from] Refusal),
    /// A file that every box needs could not be written.
    #[error("{place}: {error}; look whether the disk is full")]
    Disk {
        /// Which.
        place: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// As many wait for a box as may, or this one has waited as long as it may.
    #[error("{0} actions wait for a sandbox already; try again later")]
    Queue(usize),
    /// The same of a tier that has fewer boxes than there may be in all.
    #[error(
        "{waiting} actions wait for a sandbox of the tier `{tier}` already, of which {most} may run at once; try again later, or take another tier"
    )]
    Tier {
        /// The tier.
        tier: Tier,
        /// Its boxes at once.
        most: usize,
        /// That wait.
        waiting: usize,
    },
    /// Whoever decided the action does not own its run any more.
    #[error("this server does not own the run any more; the next one continues")]
    NotOwned,
    /// The run was stopped or left memory while the action waited for a box.
    #[error("the run ended or was set aside before the sandbox started")]
    Released,
}

impl Fault {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Box(e) => e.code(),
            Self::Workspace(e) => e.code(),
            Self::Egress(e) => e.code,
            Self::Disk { .. } => code::WORKSPACE_DISK,
            Self::Queue(_) | Self::Tier { .. } => code::BOX_QUEUE,
            Self::NotOwned | Self::Released => code::STOPPED,
        }
    }

    /// As an outcome. What lies in what was asked would be so again and is refused; what lies in this host or this moment was not sent; of
    /// a box that was lost after it may have begun, nothing is known.
    pub(crate) fn outcome(self) -> Outcome<Output> {
        let output = Output::error(format!("{}: {self}", self.code()));
        match self {
            Self::Box(BoxError::Lost(_)) => Outcome::Unknown(output),
            Self::Box(BoxError::Spec(_) | BoxError::Command { .. })
            | Self::Workspace(
                WorkspaceError::Limit { .. } | WorkspaceError::Damaged { .. } | WorkspaceError::Missing(_),
            ) => Outcome::Refused(output),
            _ => Outcome::NotSent(output),
        }
    }
}
