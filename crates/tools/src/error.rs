//! Why a tool cannot be set up. Errors of a call are outcomes, not errors: see [`stead_core::effect::Outcome`].

use stead_core::code::{self, Code};

/// A tool that cannot be set up from its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct ToolSetupError {
    /// The stable code.
    pub code: Code,
    /// What is wrong, where, and what to do; never a secret.
    pub detail: String,
}

impl ToolSetupError {
    /// A wrong value in the manifest (`ST0103`).
    pub fn value(detail: impl Into<String>) -> Self {
        Self { code: code::MANIFEST_VALUE, detail: detail.into() }
    }

    /// Something that this release cannot give (`ST0105`).
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self { code: code::MANIFEST_UNSUPPORTED, detail: detail.into() }
    }

    /// A tool's server that does not answer as it should (`ST0048`).
    pub fn server(detail: impl Into<String>) -> Self {
        Self { code: code::TOOL_SERVER, detail: detail.into() }
    }

    /// A URL that leads where no tool may go (`ST0054`).
    pub fn address(detail: impl Into<String>) -> Self {
        Self { code: code::TOOL_ADDRESS, detail: detail.into() }
    }
}
