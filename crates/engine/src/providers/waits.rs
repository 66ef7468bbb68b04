//! Who waits for a provider and for what, as people are told.

use stead_core::{id::Name, time::Timestamp};

/// What a call waits for before it may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Calls under way to come back: the limit on those at once.
    Concurrent,
    /// Room in the limit on requests.
    Requests,
    /// Room in the limit on tokens.
    Tokens,
    /// The provider, which has said that it has had enough.
    Refused,
    /// A short pause between calls after that.
    Pause,
}

impl WaitsFor {
    /// In words: what is waited for.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Concurrent => "as many calls as may be are under way",
            Self::Requests => "as many requests as may be were sent",
            Self::Tokens => "as many tokens as may be were used",
            Self::Refused => "the provider has had enough for now",
            Self::Pause => "the provider is asked carefully again",
        }
    }
}

/// A call in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The provider's account.
    pub provider: Name,
    /// What the first in line waits for.
    pub waits_for: WaitsFor,
    /// Its place in the line, from 1.
    pub position: u32,
    /// Since when it is in line.
    pub since: Timestamp,
}

/// Counters and gauges of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderStats {
    /// The provider as the configuration knows it; `other` for all that it does not know.
    pub provider: Name,
    /// Calls under way.
    pub under_way: u64,
    /// Calls in line.
    pub waiting: u64,
    /// Calls that passed since the process began.
    pub passed: u64,
    /// Of these, calls that had to wait first.
    pub waited: u64,
    /// Microseconds that they waited.
    pub waited_micros: u64,
    /// Calls that the provider refused because it had had enough.
    pub refused: u64,
    /// Calls given back because the wait would have been long.
    pub deferred: u64,
}
