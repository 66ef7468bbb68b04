//! A model that cannot be set up.

use stead_core::code::Code;

/// Why a model cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct ModelSetupError {
    /// [`stead_core::code::MANIFEST_VALUE`], [`stead_core::code::MANIFEST_UNSUPPORTED`],
    /// [`stead_core::code::MODEL_KEY`] or [`stead_core::code::CONFIG`].
    pub code: Code,
    /// What is wrong, and what to do; never a key.
    pub detail: String,
}

impl ModelSetupError {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
