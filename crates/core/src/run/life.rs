//! The life of a run: start, recovery, and an operator's actions. One file each.

pub(in crate::run) mod end;
pub(in crate::run) mod limit;
pub(in crate::run) mod pause;
pub(in crate::run) mod recover;
pub(in crate::run) mod restore;
pub(in crate::run) mod start;
pub(in crate::run) mod stop;
pub(in crate::run) mod unsent;
