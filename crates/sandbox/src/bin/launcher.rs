//! The launcher alone, for tests and the bench: the binary `stead` is its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    stead_sandbox::launcher::main(std::env::args().skip(1))
}
