//! Other processes of this user: whether one lives, when it ends, and how to end with a parent.
//!
//! Linux has a call for each of these. Elsewhere (macOS) they are looked at again and again, which is as sure, but later by
//! up to a fifth of a second, and takes a process that has got the number of a dead one for that one.

#[cfg(target_os = "linux")]
#[path = "process/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "process/other.rs"]
mod system;

use rustix::process::Pid;

#[cfg(not(target_os = "linux"))]
pub(crate) use system::watch;
pub(crate) use system::{end_of, end_with, is_mine, lives};

/// A process by its number; 0, and what is no number of a process, is none.
fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}
