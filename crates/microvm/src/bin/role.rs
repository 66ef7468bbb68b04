//! The roles of this crate alone, for tests: the binary `stead` has them all.

use std::process::ExitCode;

fn main() -> ExitCode {
    stead_microvm::role::main(std::env::args_os().skip(2))
}
