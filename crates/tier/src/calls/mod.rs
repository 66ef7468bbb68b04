//! The system calls that a command in a box may make, for every tier that filters them: the lists (`table.rs`), the calls whose
//! arguments are looked at (`checks.rs`), and the words in which both are said ([`rule`]).

mod checks;
pub mod rule;
mod table;

pub use checks::UNSHARED;
pub use table::{FCHMODAT2, refused, rules};

/// A system call of this architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// As the manual names it (syscalls(2)).
    pub name: &'static str,
    /// Its number.
    pub number: u32,
}
