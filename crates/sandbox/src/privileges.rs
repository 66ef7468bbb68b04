//! Giving up rights: users, groups, capabilities.

use std::fs;

use rustix::{
    io::Errno,
    process::{DumpableBehavior, Signal},
    thread::{CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags},
};

use crate::{
    fault::{At, Fault},
    sys,
};

/// The user and group that boxes run as, outside, when the launcher is root: of nobody on any host, and far from the ranges
/// that systems and containers give out.
pub(crate) const USER: u32 = 0x5354_0000;
/// The same of inits.
pub(crate) const INIT: u32 = USER + 1;
/// The user that a command is inside.
pub(crate) const INSIDE: u32 = 1000;

/// Becomes a user without rights, for ever. `user` is `None` when the launcher is not root: it has only one.
fn become_user(user: Option<u32>) -> Result<(), Fault> {
    if let Some(user) = user {
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        rustix::thread::set_thread_groups(&[]).at("leaving all groups")?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).at("changing the group")?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).at("changing the user")?;
    }
    Ok(())
}

/// Gives up what a program could get back. The launcher does it once for its inits; a new user namespace begins with all of it
/// again.
pub(crate) fn drop_bounding() -> Result<(), Fault> {
    rustix::thread::clear_ambient_capability_set().at("dropping ambient capabilities")?;
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The first that the kernel does not know ends the list.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(e).at("dropping capabilities from what can be had"),
        }
    }
    Ok(())
}

/// Gives up all capabilities.
fn drop_capabilities() -> Result<(), Fault> {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none).at("dropping capabilities")?;
    rustix::thread::set_no_new_privs(true).at("forbidding new privileges")
}

/// Closes memory and files of this process, and of what is forked from it, to others of the same user.
pub(crate) fn close_memory() -> Result<(), Fault> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at("closing its own files")
}

/// Is what the kernel kills first when the whole host is out of memory: whatever of the server's own protection was inherited.
pub(crate) fn die_first() -> Result<(), Fault> {
    fs::write("/proc/self/oom_score_adj", "1000").at("standing first in line when memory is short")
}

/// Dies with the process above. Changing users forgets this, so it is said again afterwards.
pub(crate) fn die_with_parent() -> Result<(), Fault> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at("tying this process to its parent")
}

/// What a seed does: a user namespace of its own, below the one that owns everything else of the box, and no right even in
/// that. Needs a writable `/proc`.
pub(crate) fn bare_seed(root: bool) -> Result<(), Fault> {
    become_user(root.then_some(USER))?;
    // Changing users made its own files in /proc root's.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).at("opening its own files")?;
    sys::unshare(UnshareFlags::NEWUSER).at("making the user namespace of a sandbox")?;
    let outside = if root { USER } else { 0 };
    let write = |file: &str, text: &str| fs::write(format!("/proc/self/{file}"), text).at(&format!("writing {file}"));
    write("setgroups", "deny")?;
    write("uid_map", &format!("{INSIDE} {outside} 1"))?;
    write("gid_map", &format!("{INSIDE} {outside} 1"))?;
    drop_bounding()?;
    drop_capabilities()?;
    die_with_parent()
}

/// What an init does once the box is set up. Its memory and files stay closed to the command.
pub(crate) fn bare_init(root: bool) -> Result<(), Fault> {
    become_user(root.then_some(INIT))?;
    drop_capabilities()?;
    // Changing users may have opened them again.
    close_memory()?;
    die_with_parent()
}
