//! The secrets port: a value by its name, as it is now. Where values are kept is an adapter's matter; who may name which
//! is the wiring's.

use std::fmt;

use stead_core::code::Code;
use zeroize::Zeroizing;

use crate::BoxFuture;

/// A secret value: it can be used, not shown. Its `Debug` form says nothing, it has no other text form, and its bytes are
/// overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value as it is.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value, for whoever hands it on to its destination.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Why a secret cannot be had. Never a value, nor a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct SecretError {
    /// The stable code.
    pub code: Code,
    /// What is wrong, and what to do.
    pub detail: String,
}

impl SecretError {
    /// An error of that code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Gives secrets by name. Asked at every use, so that a changed secret counts from the next one on; implementations keep
/// what has not changed.
pub trait Secrets: Send + Sync + 'static {
    /// The value of that name now; `None` when there is none.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_no_text_form() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(hidden)");
        assert_eq!(Secret::new("hunter2").expose(), "hunter2");
    }
}
