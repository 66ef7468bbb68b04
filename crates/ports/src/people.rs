//! The port of people: whether somebody on whose behalf a run works may still have runs. Asked before each effect, so it answers from
//! memory.

use stead_core::id::Name;

/// Knows who may have runs.
pub trait People: Send + Sync + 'static {
    /// Why that person may not have runs in that tenant any more; `None` when they may.
    fn why_not(&self, tenant: &Name, person: &Name) -> Option<String>;
}

/// Everybody may: for where whoever calls owns the data.
#[derive(Clone, Copy, Debug)]
pub struct Everybody;

impl People for Everybody {
    fn why_not(&self, _: &Name, _: &Name) -> Option<String> {
        None
    }
}
