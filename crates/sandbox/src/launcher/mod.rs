//! The launcher: a process with one thread that makes boxes for a server, holds their deadlines and limits, and cleans up.
//! It ends when the server does, and kills what runs; boxes die when it does.
//!
//! Its standard input is a `SOCK_SEQPACKET` socket to the server ([`crate::wire`]). One room for each thing that it does:
//!
//! * `begin.rs` takes the socket, reads options, looks at the host; `runtime.rs` puts this
//!   program itself out of reach; `serve.rs` waits for events and for time to pass.
//! * `orders.rs` does what the server asks, `reports.rs` hears what boxes tell and tells the server.
//! * `ahead.rs` does what nobody waits for: boxes made ahead, groups of dead ones. `maker.rs` makes one box, `job.rs` is what is
//!   known of one, `zygotes.rs` has them started by zygotes where those can, `graves.rs` and `undertaker.rs` are what is left of the dead.
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
mod zygotes;

pub use begin::main;

/// The first argument that makes a program the launcher; its `main` gives the rest to [`main`].
pub const WORD: &str = "sandbox-launcher";

/// What the launcher's environment holds: a heap of huge pages is what makes each fork of it dear, for what the kernel has to
/// split it copies piece by piece. The allocator of the runtime's program knows this word; to another it means nothing.
pub(crate) const SMALL_PAGES: (&str, &str) = ("MIMALLOC_ALLOW_THP", "0");

/// Most boxes at once, those that wait included, unless it is told otherwise.
pub(crate) const MOST: usize = 256;
/// Boxes made ahead, unless it is told otherwise.
pub(crate) const AHEAD: usize = 4;
