//! What can be wrong when policies are asked for or applied.

use stead_core::code::{self, Code};
use stead_policy::Problem;
use stead_ports::{agent::AgentError, journal::StoreError, policies::Confirmed};

/// Why there are no policies, or none were applied.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// They say something wrong, or do not fit the tools. Never empty.
    #[error("{}", .0.first().map_or_else(|| "the policies are refused".to_owned(), ToString::to_string))]
    Refused(Vec<Problem>),
    /// The agent version cannot be loaded.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The store does not answer, or what it keeps is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tenant has no such epoch.
    #[error("policy set {0} does not exist")]
    Epoch(u64),
    /// A proposal is not confirmed.
    #[error("{}", unconfirmed(*.0, *.1))]
    Unconfirmed(u64, Confirmed),
    /// Too much.
    #[error("{0}")]
    TooMuch(String),
}

fn unconfirmed(epoch: u64, why: Confirmed) -> String {
    match why {
        Confirmed::Same => format!("who proposed policy set {epoch} cannot confirm it"),
        Confirmed::Late(now) => format!("policy set {now} came into force after {epoch} was proposed"),
        _ => format!("policy set {epoch} does not wait for anybody"),
    }
}

impl PolicyError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(_) => code::POLICY_REFUSED,
            Self::Agent(e) => e.code,
            Self::Store(e) => e.code,
            Self::Epoch(_) => code::NOT_FOUND,
            Self::Unconfirmed(..) => code::POLICY_CONFIRM,
            Self::TooMuch(_) => code::TOO_LARGE,
        }
    }
}
