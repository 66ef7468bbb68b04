//! The seed of a box that stays becomes a foreman: it forks a keeper for each command that it is asked for. It has given up its
//! rights before, so that a command can have none that it lacks, and it runs nothing itself.
//!
//! The server speaks with it by a socket of its own; when that closes, it ends, and the box with it.

use std::{
    ffi::c_int,
    os::fd::{AsFd, BorrowedFd},
};

use crate::{
    fault::At,
    keeper, privileges, sys,
    wire::{self, Ask, Failure, Plan},
};

/// Is a foreman, in a process that was just forked. `asks` is the server's socket. Never returns.
pub(crate) fn run(plan: &Plan, asks: BorrowedFd<'_>) -> ! {
    // What stands in its memory is what commands are told, and its descriptors are those of the server.
    let closed = privileges::close_memory().and_then(|()| privileges::die_with_parent());
    let Ok(asks) = closed.and_then(|()| sys::keep_only(asks).at("closing descriptors")) else { sys::exit(127) };
    // Keepers that ended leave nothing to wait for.
    sys::ignore(libc::SIGCHLD as c_int);
    let mut room = wire::buffer();
    loop {
        let (Ask::Exec { words, env, dir, terminal }, descriptors) =
            match wire::receive::<Ask>(asks.as_fd(), &mut room, true) {
                Ok(Some(asked)) => asked,
                // The server has let the box go.
                Ok(None) | Err(_) => sys::exit(0),
            };
        let plan = Plan { words, env, dir, terminal, ..plan.clone() };
        match sys::fork() {
            Ok(None) => {
                sys::close_one(rustix::fd::AsRawFd::as_raw_fd(&asks));
                keeper::run(&plan, descriptors)
            }
            Ok(Some(_)) => {}
            Err(e) => {
                let why = format!("no process for it: {}", std::io::Error::from(e));
                if let Some(conversation) = descriptors.first() {
                    let _ = wire::send(conversation, &wire::Told::Failed(Failure::Host(why)), &[], false);
                }
            }
        }
    }
}
