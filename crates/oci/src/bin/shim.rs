//! The shim alone, as the tests start it; in `stead` it is a role of the same program.

fn main() -> std::process::ExitCode {
    stead_oci::shim::main()
}
