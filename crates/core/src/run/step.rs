//! The steps of a run. One file for each kind: what is decided, and how its facts fold.

pub(in crate::run) mod answer;
pub(in crate::run) mod approval;
pub(in crate::run) mod child;
pub(in crate::run) mod delegation;
pub(in crate::run) mod funds;
pub(in crate::run) mod model;
pub(in crate::run) mod patience;
pub(in crate::run) mod plan;
pub(in crate::run) mod preview;
pub(in crate::run) mod timer;
pub(in crate::run) mod tool;
