//! Who the processes of a box are.

use rustix::thread::{Gid, Uid};

use crate::fault::{At, Fault};

/// The user and group of a command inside.
pub const INSIDE: u32 = 1000;

/// The same outside, where root makes boxes: of nobody on any host, and far from the ranges that systems and containers give out.
pub const USER: u32 = 0x5354_0000;

/// Outside, the user and group of what is the box's own besides the command.
pub const INIT: u32 = USER + 1;

/// Becomes a user, and that one's group alone, for ever. Needs root's rights.
///
/// # Errors
/// What the system said, at which step.
pub fn become_user(user: u32) -> Result<(), Fault> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    rustix::thread::set_thread_groups(&[]).at("leaving all groups")?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).at("changing the group")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).at("changing the user")
}
