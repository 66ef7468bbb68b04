//! The launcher of boxes alone, for the tests of this crate: the binary `stead` is its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    stead_sandbox::launcher::main(std::env::args().skip(1))
}
