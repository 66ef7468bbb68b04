//! Giving up rights: users, groups, capabilities.

use std::fs;

use rustix::{
    io::Errno,
    process::{DumpableBehavior, Signal},
    thread::{CapabilitySet, CapabilitySets, UnshareFlags},
};
pub(crate) use stead_tier::users::USER;
use stead_tier::users::{self, INIT, INSIDE};

use crate::{
    fault::{At, Fault},
    sys,
};

/// Becomes a user without rights, for ever. `user` is `None` when the launcher is not root: it has only one.
fn become_user(user: Option<u32>) -> Result<(), Fault> {
    user.map_or(Ok(()), users::become_user)
}

/// What a zygote keeps, to enter the namespaces of a box: entering any needs the first, entering mounts also the second
/// (`setns(2)`). A launcher that is not root is so in its own namespace of users, and nobody makes one below that has a user
/// of that root's without the third (`user_namespaces(7)`).
fn of_zygote(root: bool) -> CapabilitySet {
    let enter = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_CHROOT;
    if root { enter } else { enter | CapabilitySet::SETFCAP }
}

/// Gives up what a program could get back; a new user namespace begins with all of it again.
fn drop_bounding(kept: CapabilitySet) -> Result<(), Fault> {
    rustix::thread::clear_ambient_capability_set().at("dropping ambient capabilities")?;
    for one in (0..64).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).filter(|one| !kept.contains(*one)) {
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The first that the kernel does not know ends the list.
            Err(Errno::INVAL) => break,
            Err(e) => return Err(e).at("dropping capabilities from what can be had"),
        }
    }
    Ok(())
}

/// What a launcher gives up, once for all that it starts.
pub(crate) fn bare_launcher(root: bool) -> Result<(), Fault> {
    drop_bounding(of_zygote(root))
}

/// What a zygote does before its program: it becomes the user that it forks commands of, and keeps two capabilities over
/// that change and over the start of the program.
pub(crate) fn bare_zygote(root: bool) -> Result<(), Fault> {
    let (step, kept) = ("keeping what a zygote needs", of_zygote(root));
    let before = rustix::thread::capabilities(None).at(step)?;
    rustix::thread::set_capabilities(None, CapabilitySets { inheritable: kept, ..before }).at(step)?;
    drop_bounding(CapabilitySet::empty())?;
    rustix::thread::set_keep_capabilities(true).at(step)?;
    become_user(root.then_some(USER))?;
    let all = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
    rustix::thread::set_capabilities(None, all).at(step)?;
    rustix::thread::set_keep_capabilities(false).at(step)?;
    for one in kept.iter() {
        rustix::thread::configure_capability_in_ambient_set(one, true).at(step)?;
    }
    rustix::thread::set_no_new_privs(true).at("forbidding new privileges")?;
    die_with_parent()
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

/// The place in that line (`proc_pid_oom_score_adj(5)`).
pub(crate) const FIRST: &str = "1000";

/// Is what the kernel kills first when the whole host is out of memory: whatever of the server's own protection was inherited.
pub(crate) fn die_first() -> Result<(), Fault> {
    fs::write("/proc/self/oom_score_adj", FIRST).at("standing first in line when memory is short")
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
    drop_bounding(CapabilitySet::empty())?;
    drop_capabilities()?;
    die_with_parent()
}

/// What an init does once the box is set up. Its memory and files stay closed to the command.
pub(crate) fn bare_init(root: bool) -> Result<(), Fault> {
    for one in of_zygote(root).iter() {
        rustix::thread::remove_capability_from_bounding_set(one).at("dropping capabilities")?;
    }
    become_user(root.then_some(INIT))?;
    drop_capabilities()?;
    // Changing users may have opened them again.
    close_memory()?;
    die_with_parent()
}
