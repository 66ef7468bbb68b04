//! What the tiers of sandboxes have in common, so that they mean the same by it. There are three kinds of it:
//!
//! * what is asked and told: the checks of what is asked ([`ask`]), what is kept of outputs ([`kept`]), the telling of ends ([`end`]);
//! * what a box is: the system calls that exist in it ([`calls`]), what of the host its root shows ([`root`]), its resource limits
//!   ([`resources`]), its users ([`users`]), its program and environment ([`program`]), its terminal ([`pty`]);
//! * the server's ends of its streams ([`ends`], [`streams`], [`terminal`]). Only these need a runtime: a process that makes boxes,
//!   or is in one, has nothing of them.
//!
//! How processes of ours talk with descriptors beside is [`socket`], what they say of a failed step [`fault`].
//!
//! Not here: anything that makes a box.

pub mod ask;
#[cfg(target_os = "linux")]
pub mod calls;
pub mod end;
#[cfg(target_os = "linux")]
pub mod ends;
pub mod fault;
pub mod kept;
pub mod program;
#[cfg(target_os = "linux")]
pub mod pty;
#[cfg(target_os = "linux")]
pub mod resources;
pub mod root;
#[cfg(target_os = "linux")]
pub mod socket;
#[cfg(target_os = "linux")]
pub mod streams;
#[cfg(target_os = "linux")]
pub mod terminal;
#[cfg(target_os = "linux")]
pub mod users;
