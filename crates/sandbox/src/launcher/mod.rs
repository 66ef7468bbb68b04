//! The launcher: a process with one thread that makes boxes for a server, holds their deadlines and limits, and cleans up.
//! It ends when the server does, and kills what runs; boxes die when it does.
//!
//! Its standard input is a `SOCK_SEQPACKET` socket to the server ([`crate::wire`]). One room for each thing that it does:
//!
//! * `begin.rs` takes the socket, reads options, looks at the host; `runtime.rs` puts this
//!   program itself out of reach; `serve.rs` waits for events and for time to pass.
//! * `orders.rs` does what the server asks, `reports.rs` hears what boxes tell and tells the server.
//! * `ahead.rs` does what nobody waits for: boxes made ahead, groups of dead ones. `maker.rs` makes one box, `job.rs` is what is
//!   known of one, `graves.rs` and `undertaker.rs` are what is left of the dead.
//!
//! Not here: what a box is made of (`init.rs`), and anything that an action writes, which passes by through pipes of the
//! server's.

mod ahead;
mod begin;
mod graves;
mod job;
mod maker;
mod orders;
mod reports;
mod runtime;
mod serve;
mod undertaker;

pub use begin::main;

/// The first argument that makes a program the launcher; its `main` gives the rest to [`main`].
pub const WORD: &str = "sandbox-launcher";

/// Most boxes at once, those that wait included, unless it is told otherwise.
pub(crate) const MOST: usize = 256;
/// Boxes made ahead, unless it is told otherwise.
pub(crate) const AHEAD: usize = 4;
