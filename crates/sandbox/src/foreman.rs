//! The seed of a box that stays becomes a foreman: it forks a keeper for each command that it is asked for. It has given up its
//! rights before, so that a command can have none that it lacks, and it runs nothing itself.
//!
//! The server speaks with it by a socket of its own; when that closes, it ends, and the box with it.

use std::{
    ffi::c_int,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::process::DumpableBehavior;

use crate::{
    fault::{At, Fault},
    keeper, sys,
    wire::{self, Ask, Failure, Plan, Sprout},
};

/// Is a foreman. `init` waits on `socket` until this process has become what it is to be. Never returns.
pub(crate) fn run(plan: &Plan, mut given: Vec<OwnedFd>, socket: BorrowedFd<'_>) -> ! {
    // What stands in its memory is what commands are told, and its descriptors are those of the server.
    let closed = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at("closing its own files");
    let asks = closed.and_then(|()| given.pop().ok_or_else(|| Fault("the server's socket did not arrive".to_owned())));
    let asks = match asks {
        Ok(asks) => asks,
        Err(Fault(why)) => {
            let _ = wire::send(socket, &Sprout::Failed(Failure::Host(why)), &[], true);
            sys::exit(127)
        }
    };
    // Keepers that ended leave nothing to wait for.
    sys::ignore(libc::SIGCHLD as c_int);
    sys::close_one(rustix::fd::AsRawFd::as_raw_fd(&socket));
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
