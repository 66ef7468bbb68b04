//! Why a notice was not sent.

/// See the module. No variant tells a URL, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsent {
    /// A secret that it needs cannot be had.
    #[error("a secret that it needs: {0}")]
    Secret(String),
    /// It leads to an address to which nothing of this server may.
    #[error("{0}")]
    Address(String),
    /// It cannot be reached, or broke off.
    #[error("it could not be reached: {0}")]
    Unreachable(String),
    /// It answered, and does not take it.
    #[error("it was not taken: {0}")]
    Refused(String),
}
