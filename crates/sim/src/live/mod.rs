//! Histories of the real engine on simulated ports: an in-memory journal that fails in all the ways a store can, a clock
//! that jumps, scripted models and counting tools. A crash drops the runtime with everything in it, as kill -9 would.
//!
//! A history runs on one thread under a paused clock, which moves on when every task waits: so a simulated minute takes
//! a millisecond, and a seed gives the same bytes each time.
//!
//! [`cosmos`] is what outlives a process: time, the destinations, the plan. [`mem`] holds the journal's data, [`journal`]
//! is the port over it with its faults, [`switches`] what is off, [`agents`] has models and tools, [`people`] whoever uses the engine,
//! [`history`] one life from its seed.

mod agents;
mod clock;
mod cosmos;
pub mod history;
pub mod journal;
mod mem;
mod people;
mod switches;
mod uppers;
