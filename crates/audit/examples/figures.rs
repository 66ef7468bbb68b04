#[path = "../../../bench/src/audit.rs"]
mod audit;
fn main() -> std::process::ExitCode { audit::main(std::env::args().any(|a| a == "--quick"), false) }
