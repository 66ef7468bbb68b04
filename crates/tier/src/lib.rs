//! What the tiers of sandboxes have in common, so that they mean the same by it: the checks of what is asked ([`ask`]), the
//! reading of what a command writes ([`ends`]), the telling of ends ([`end`]), what of the host a box's root shows
//! ([`root`]), and the system calls that exist in a box ([`calls`]).
//!
//! Not here: anything that makes a box.

pub mod ask;
#[cfg(target_os = "linux")]
pub mod calls;
pub mod end;
#[cfg(target_os = "linux")]
pub mod ends;
pub mod root;
#[cfg(target_os = "linux")]
pub mod streams;
