//! The filter of system calls: the lists that all tiers share ([`stead_tier::calls`]), made into a program for the kernel (`program.rs`).
//!
//! It is written here and not with a library, for two reasons. What is not on the list is refused, so a call that a
//! later kernel brings is refused too. And the program is a search tree: the kernel tries a new filter on every number
//! of a call (to remember those that are always allowed), so a filter that is one long chain costs each box more than the
//! start of a small program.

#[cfg(test)]
mod decisions;
mod program;

use rustix::io::Errno;
use stead_tier::calls::{self, rule::Rule};

/// A filter, made once and loaded into each box.
pub(crate) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Makes the filter of a command.
    pub(crate) fn new() -> Self {
        Self(program::make(&rules()))
    }

    /// Loads it into this process, for ever.
    pub(crate) fn load(&self) -> Result<(), Errno> {
        crate::sys::set_filter(&self.0)
    }
}

/// The rules by the numbers of their calls.
fn rules() -> Vec<(u32, Rule)> {
    calls::rules().into_iter().map(|(call, rule)| (call.number, rule)).collect()
}
