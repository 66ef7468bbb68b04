//! `cargo xtask bench NAME [--json] [--quick]`: figures of this machine, each beside the limit of the machine measured in
//! the same run. `bench/README.md` says what is measured and how to race others.

mod approvals;
mod audit;
mod durable;
mod egress;
mod policy;
#[cfg(target_os = "linux")]
mod sandbox;
// What a box has written is committed on Linux alone.
#[cfg(target_os = "linux")]
mod workspace;

/// The allocator that the server has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(target_os = "linux")]
    // Before anything starts a thread: this program is its own launcher of sandboxes.
    if args.first().is_some_and(|word| word == stead_sandbox::LAUNCHER) {
        return stead_sandbox::launcher::main(args.into_iter().skip(1));
    }
    let quick = args.iter().any(|a| a == "--quick");
    let json = args.iter().any(|a| a == "--json");
    let words: Vec<&str> = args.iter().map(String::as_str).filter(|a| !a.starts_with("--")).collect();
    match words.as_slice() {
        ["durable"] => durable::main(quick, json),
        ["durable", "cell", class, callers, seconds] => durable::one_cell(class, callers, seconds),
        ["durable", case] => durable::one_case(case, quick),
        #[cfg(target_os = "linux")]
        ["workspace", "commit"] => workspace::commit(quick),
        ["approvals"] => approvals::main(quick, json),
        ["approvals-child", rest @ ..] => approvals::child(rest),
        ["audit"] => audit::main(quick, json),
        ["egress"] => egress::main(quick, json),
        ["policy"] => policy::main(quick, json),
        #[cfg(target_os = "linux")]
        ["sandbox"] => sandbox::main(quick, json),
        ["durable-child", rest @ ..] => durable::crash::child(rest),
        ["restore-child", rest @ ..] => durable::restore::child(rest),
        _ => {
            eprintln!("usage: cargo xtask bench durable [--json] [--quick]");
            eprintln!("       cargo xtask bench approvals [--json] [--quick]");
            eprintln!("       cargo xtask bench audit [--json] [--quick]");
            eprintln!("       cargo xtask bench egress [--json] [--quick]");
            eprintln!("       cargo xtask bench policy [--json] [--quick]");
            eprintln!("       cargo xtask bench sandbox [--json] [--quick]");
            eprintln!("       cargo xtask bench durable cell pure|irreversible CALLERS SECONDS");
            eprintln!("       cargo xtask bench durable suspended|crash|restore|storage [--quick]");
            eprintln!("       cargo xtask bench workspace commit [--quick]");
            ExitCode::from(2)
        }
    }
}
