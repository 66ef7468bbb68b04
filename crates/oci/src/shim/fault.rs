//! Why a step failed, in words for the server.

use std::fmt::Display;

use crate::wire::Failure;

/// A failure on its way out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) Failure);

impl Fault {
    pub(super) fn host(why: impl Into<String>) -> Self {
        Self(Failure::Host(why.into()))
    }

    pub(super) fn spec(why: impl Into<String>) -> Self {
        Self(Failure::Spec(why.into()))
    }
}

/// Says at which step an error came.
pub(super) trait At<T> {
    /// The host does not do what it must.
    fn at(self, step: &str) -> Result<T, Fault>;

    /// What was asked cannot be.
    fn asked(self, step: &str) -> Result<T, Fault>;
}

impl<T, E: Display> At<T> for Result<T, E> {
    fn at(self, step: &str) -> Result<T, Fault> {
        self.map_err(|e| Fault::host(format!("{step}: {e}")))
    }

    fn asked(self, step: &str) -> Result<T, Fault> {
        self.map_err(|e| Fault::spec(format!("{step}: {e}")))
    }
}
