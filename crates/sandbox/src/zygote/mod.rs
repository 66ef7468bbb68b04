//! Zygotes: processes that have a runtime loaded and fork it into boxes, so that an action does not wait for the runtime to
//! start. One for each tenant that asks, Python first.
//!
//! ```text
//! launcher ── socket ── zygote ── fork ──> (process between) ── fork ──> seed of a box
//!     └────── socket ── init of the box ── socket ───────────────────────┘
//! ```
//!
//! A zygote runs a program of ours (`python/`) and what the interpreter itself loads. It is told one thing, to fork into a box
//! whose descriptors it gets, and hears nothing else: what a caller asks for goes by way of the box's init to the forked
//! process, when that has entered the box and has no more rights than any other seed.
//!
//! * `program.rs` puts the program together, `start.rs` starts a zygote, with the few rights that entering a box needs.
//! * `nursery.rs` is all zygotes of a launcher, `serves.rs` says which commands they can start, `stamp.rs` notices when the
//!   interpreter changes, `adopt.rs` is the init's part.
//!
//! Not here: when boxes are made for them (`launcher/zygotes.rs`).

mod adopt;
mod nursery;
mod program;
mod serves;
mod stamp;
mod start;

pub(crate) use adopt::adopt;
pub(crate) use nursery::{Nursery, Told};
