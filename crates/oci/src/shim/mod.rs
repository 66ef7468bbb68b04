//! The shim: a process for one box, with one thread. It makes the root, has the runtime make the container, is its parent,
//! holds its deadline and its limits, and deletes it. Its mounts are in a mount namespace of its own and end with it.
//!
//! Its standard input is a `SOCK_SEQPACKET` socket to the server ([`crate::wire`]). Not here: what an action writes, which
//! passes by through pipes of the server's; and the folder of the bundle, which the server makes and removes.

mod fault;
mod groups;
mod live;
mod program;
mod root;
mod runtime;
mod tree;

use std::{
    os::fd::{AsFd as _, OwnedFd},
    process::ExitCode,
};

use rustix::net::SocketType;

pub(crate) use self::runtime::PATIENCE;
use self::{fault::Fault, live::Live};
use crate::wire::{self, Failure, News, Order};

/// The first argument that makes a program the shim; its `main` then calls [`main`].
pub const WORD: &str = "oci-shim";

/// Is the shim of a box.
pub fn main() -> ExitCode {
    let socket = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) if rustix::net::sockopt::socket_type(&socket).ok() == Some(SocketType::SEQPACKET) => socket,
        _ => {
            eprintln!("stead: the shim of a container is started by a server, not by hand");
            return ExitCode::from(2);
        }
    };
    // Signals of the server's terminal are the server's; this process ends with its socket.
    let _ = rustix::process::setsid();
    match serve(&socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // A server that is gone needs no answer.
            let _ = wire::send(&socket, &News::Failed(fault.0), &[], true);
            ExitCode::FAILURE
        }
    }
}

fn serve(socket: &OwnedFd) -> Result<(), Fault> {
    let host = |e: rustix::io::Errno| Fault(Failure::Host(format!("hearing from the server: {e}")));
    let Some((Order::Start(plan), descriptors)) = wire::receive::<Order>(socket).map_err(host)? else {
        return Err(Fault(Failure::Host("the first word was another".to_owned())));
    };
    // Processes of a container whose parent, the runtime, has ended come to this one.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(host)?;
    let (live, started) = Live::make(&plan, descriptors)?;
    live.serve(socket, &started);
    Ok(())
}
