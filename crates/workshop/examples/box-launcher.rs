//! The roles that makers of boxes start their program again for, alone, for the tests of this crate: the binary `stead` plays its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(stead_sandbox::LAUNCHER) => {
            stead_sandbox::launcher::main(arguments.map(|word| word.to_string_lossy().into_owned()))
        }
        Some(stead_microvm::WORD) => stead_microvm::role::main(arguments),
        Some(stead_oci::SHIM) => stead_oci::shim::main(),
        _ => ExitCode::from(64),
    }
}
