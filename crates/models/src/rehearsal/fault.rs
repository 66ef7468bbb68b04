//! Faults that a script injects. Whether an attempt fails depends on nothing but its number.

use stead_core::{code, time::Span};
use stead_ports::model::{ModelError, Retry};

use super::{NOTICE, script::Fault};

/// A fault, and how often it strikes in each turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fail {
    pub(super) fault: Fault,
    /// Attempts with a number up to this fail.
    pub(super) times: u32,
    pub(super) retry_after: Option<Span>,
}

impl Fail {
    pub(super) fn strikes(self, attempt: u32) -> bool {
        attempt <= self.times
    }

    /// The error as a provider would give it; `Hang` has none, because it never answers.
    pub(super) fn error(self) -> Option<ModelError> {
        let (code, what, charged) = match self.fault {
            Fault::Busy => (code::MODEL_BUSY, "too many requests", false),
            Fault::Cut => (code::MODEL_CUT, "the stream ended early", true),
            Fault::Refused => (code::MODEL_REFUSED, "the request was refused", false),
            Fault::Garbage => (code::MODEL_GARBAGE, "the reply made no sense", true),
            Fault::Timeout => (code::MODEL_TIMEOUT, "the provider timed out", true),
            Fault::Unreachable => (code::MODEL_UNREACHABLE, "no connection", false),
            Fault::Hang => return None,
        };
        let retry = match self.fault {
            Fault::Refused => Retry::No,
            _ => Retry::After(self.retry_after),
        };
        Some(ModelError { code, detail: format!("{what} ({NOTICE}: a fault of the script)"), retry, charged })
    }
}
