//! What this program is when it is started again: the first process of a machine, the one that becomes a command there, the
//! jail that becomes QEMU, or the place that holds a machine's layers and way out. Each starts with one thread.

use std::{ffi::OsString, process::ExitCode};

use crate::{guest, host, vmm};

/// The first argument of a program that is started again for a role.
pub const WORD: &str = "microvm-role";

/// The roles, as their second argument names them.
pub(crate) const INIT: &str = "init";
pub(crate) const SEED: &str = "seed";
pub(crate) const JAIL: &str = "jail";
pub(crate) const PLACE: &str = "place";

/// Plays the role that the arguments after [`WORD`] name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let fault = match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(INIT) => guest::init::run(),
        Some(SEED) => guest::seed::run(arguments),
        Some(JAIL) => vmm::jail::run(arguments),
        Some(PLACE) => match host::place::serve() {
            Ok(()) => return ExitCode::SUCCESS,
            Err(fault) => fault,
        },
        _ => return ExitCode::from(64),
    };
    eprintln!("stead: {fault}");
    ExitCode::FAILURE
}
