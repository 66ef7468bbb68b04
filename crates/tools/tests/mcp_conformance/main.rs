//! The MCP client against other people's suite of its protocol, `@modelcontextprotocol/conformance`: everything that a revision scores
//! must pass. The suite starts servers of its own and, for each scenario, this very program as the client ([`client`]).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod client;

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

/// How long a revision's suite may take.
const PATIENCE: Duration = Duration::from_secs(240);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/conformance")
}

/// Runs the suite with these arguments; whether it is content, and what it says.
async fn suite(arguments: &[&str]) -> (bool, String) {
    let modules = folder().join("node_modules");
    let node = modules.join(format!("node-linux-{}/bin/node", if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" }));
    let program = modules.join("@modelcontextprotocol/conformance/dist/index.js");
    let install = format!("npm ci --ignore-scripts --prefix {}", folder().display());
    assert!(node.exists() && program.exists(), "the suite is not installed; run: {install}");
    // It writes its results where it stands.
    let place = tempfile::tempdir().unwrap();
    let run = Command::new(node)
        .arg(program)
        .args(arguments)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("the suite ends in time").unwrap();
    let said = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    (output.status.success(), said)
}

#[tokio::test]
#[ignore = "the client that the suites start"]
async fn client_under_test() {
    let url = std::env::args().next_back().unwrap();
    if let Err(why) = client::run(&url).await {
        println!("{why}");
        std::process::exit(1);
    }
}
