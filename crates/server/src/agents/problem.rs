//! Why an agent was not taken, as a problem document that shows every wrong place.

use stead_api::problem::{Place, Problem};
use stead_core::{code, id::Name};
use stead_manifest::{BundleError, ManifestError};
use stead_ports::{
    agent::AgentError,
    journal::{MAX_ALIASES, StoreError},
};

use crate::policies::PolicyError;

/// Why an agent was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The bundle or its manifest is not accepted.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Something that the manifest names cannot be had here: a model, a tool, a service, another agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not fit the policies that are in force, or its own say something wrong.
    #[error(transparent)]
    Policies(#[from] PolicyError),
    /// The agent has as many aliases as it may have, and this would be one more.
    #[error("agent `{0}` has {MAX_ALIASES} aliases already")]
    Aliases(Name),
}

impl From<Box<ManifestError>> for ApplyError {
    fn from(e: Box<ManifestError>) -> Self {
        Self::Bundle(BundleError::Manifest(vec![*e]))
    }
}

/// The problem document of a bundle that is not accepted.
pub(crate) fn problem_of(error: &BundleError) -> Problem {
    let errors = match error {
        BundleError::Format(why) => return Problem::new(422, code::MANIFEST_READ, why.clone()),
        BundleError::Manifest(errors) => errors,
    };
    let Some(first) = errors.first() else {
        return Problem::new(422, code::MANIFEST_READ, "the manifest is not accepted");
    };
    let mut problem = Problem::new(422, first.code, first.to_string().lines().next().unwrap_or_default());
    problem.hint.clone_from(&first.hint);
    problem.errors = errors.iter().map(place).collect();
    problem
}

/// A wrong place of a manifest, as a problem document has it.
pub fn place(e: &ManifestError) -> Place {
    Place {
        code: e.code,
        file: e.file.clone(),
        line: e.line,
        column: e.column,
        key: e.key.clone(),
        message: e.message.clone(),
        hint: e.hint.clone(),
    }
}
