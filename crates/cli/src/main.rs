//! The `stead` binary: the command line over the API.
//!
//! * [`cli`] is the grammar; `commands` has one file for each command; `docs/cli.md` is made from both.
//! * [`connect`] finds the server that owns the data directory, or becomes it for the length of the command, so that
//!   every command speaks to the same API.
//! * [`attach`] reads the files that a run is given.
//! * [`drill`] is behind `stead demo`.
//! * [`follow`] shows a run as it happens and asks the human; [`helpers`] starts what manifests name under `dev`.
//! * `ui` writes: stdout is data, stderr is talk.
//!
//! Not here: any decision about a run, any access to the store.

mod attach;
mod cli;
mod commands;
mod connect;
mod credentials;
mod demo;
mod drill;
mod error;
mod errors_pages;
mod exit;
mod follow;
mod helpers;
mod input;
mod markdown;
mod policy;
mod process;
mod scalar;
mod signing;
mod testing;
mod ui;

use std::process::ExitCode;

/// A step allocates a few dozen small values on one thread and frees them on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(ended) = role() {
        return ended;
    }
    commands::main()
}

/// The launcher of sandboxes, the shim of a container and the roles of virtual machines are this program too, started again by a server;
/// before anything starts a thread.
#[cfg(target_os = "linux")]
fn role() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next()?.to_str()? {
        stead_sandbox::LAUNCHER => {
            Some(stead_sandbox::launcher::main(arguments.map(|word| word.to_string_lossy().into_owned())))
        }
        stead_microvm::WORD => Some(stead_microvm::role::main(arguments)),
        stead_oci::SHIM => Some(stead_oci::shim::main()),
        _ => None,
    }
}
