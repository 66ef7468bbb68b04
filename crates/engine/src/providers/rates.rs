//! The limits of a provider's account, as an operator writes them.

/// What a provider may be asked; `None` means no limit of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Calls under way at once.
    pub concurrent: Option<u32>,
    /// Calls within any second.
    pub requests_per_second: Option<u32>,
    /// Calls within any minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens within any minute: what was set aside for a call, and what it used once that is known.
    pub tokens_per_minute: Option<u64>,
}
