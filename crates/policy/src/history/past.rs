//! Where a decision hears of what happened before.

use std::fmt::Debug;

use stead_core::time::Timestamp;

use super::{counter::Counter, fold::Scope, tally::Said};

/// A question to a counter.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Its name in the policy set.
    pub name: &'a str,
    /// What the policy set says it counts.
    pub counter: &'a Counter,
    /// Who asks. An answer for another place is no answer.
    pub scope: Scope<'a>,
    /// The decision's time.
    pub now: Timestamp,
    /// The arguments of the call that is decided; `{}` when it has none.
    pub arguments: &'a str,
}

/// What happened before, as far as somebody knows it. Equal questions get equal answers for as long as a decision takes.
pub trait Past: Debug + Sync {
    /// What a counter says.
    ///
    /// # Errors
    /// Why it is not known; the decision denies.
    fn read(&self, ask: &Ask<'_>) -> Result<Said, String>;
}
