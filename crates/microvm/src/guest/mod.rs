//! Inside a machine: its first process ([`init`]), and the one that becomes the command ([`seed`]). Whatever goes wrong here is told to
//! the host in words; whatever is told there is believed by nobody.
//!
//! The machine is no wall in itself here: a command that becomes root of the guest has the guest, and nothing else. So the rules
//! of this side (an own user, no privileges, read-only folders, control groups) keep the promises that need the guest's help: limits of
//! processes, that a mount is read-only, that an action's layer is what the action wrote.

mod boxed;
mod filter;
mod folders;
mod group;
pub(crate) mod init;
mod kernel;
mod layers;
mod link;
mod root;
pub(crate) mod seed;
mod streams;
mod way_out;

use stead_tier::{root::HOME, users::INSIDE as USER};

/// Where the root of a box is made.
const ROOT: &str = "/root";
/// Where folders that came in are kept.
const IN: &str = "/in";
/// Where everything private to a box is kept, in one filesystem with one size.
const PRIVATE: &str = "/private";
