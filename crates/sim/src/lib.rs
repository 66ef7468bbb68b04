//! Seeded simulation: whole lives of runs with crashes, lost and late answers, refused and unknown appends, clock jumps,
//! two owners and busy humans, checked against the promises.
//!
//! * [`machine`] drives the run machine of `stead-core` directly, many thousand histories a second;
//! * [`live`] runs the real `stead-engine` on simulated ports, under a clock that only moves when nothing else can;
//! * [`check`] has the checks, which know nothing of how a history was made;
//! * a [`failure`] prints the command that repeats it.
//!
//! Not here: real time, threads inside a history, or any randomness but that of the seed. The same seed gives the same
//! bytes.

pub mod check;
pub mod failure;
pub mod fleet;
pub mod live;
pub mod machine;
mod plan;
pub mod rng;
mod world;
