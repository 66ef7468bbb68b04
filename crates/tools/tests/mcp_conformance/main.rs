//! The MCP client against other people's suite of its protocol, `@modelcontextprotocol/conformance`: everything that a revision scores
//! must pass. The suite starts servers of its own and, for each scenario, this very program as the client ([`client`]).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod client;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// How long a revision's suite may take.
const PATIENCE: Duration = Duration::from_secs(240);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/conformance")
}

/// Runs the suite with these arguments: whether it is content, and what it says.
async fn suite(arguments: &[&str]) -> (bool, String) {
    let modules = folder().join("node_modules");
    let machine = if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" };
    let node = modules.join(format!("node-linux-{machine}/bin/node"));
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

/// The client scenarios that the suite says a revision scores.
async fn scored(revision: &str) -> BTreeSet<String> {
    let (_, list) = suite(&["list", "--requirements", revision]).await;
    let clients = list.split("Client scenarios").nth(1).expect("the list names client scenarios");
    let clients = clients.split("never scored").next().unwrap();
    clients.lines().filter_map(|line| line.trim().strip_prefix("- ")).map(str::to_owned).collect()
}

/// What the suite's summary says of each scenario: checks that passed, and that failed.
fn summary(said: &str) -> BTreeMap<String, (usize, usize)> {
    let summary = said.split("=== SUITE SUMMARY ===").nth(1).unwrap_or_else(|| panic!("no summary: {said}"));
    let line = |line: &str| {
        let (name, counts) = line.trim_start_matches(['✓', '✗', ' ']).split_once(": ")?;
        let (passed, failed) = counts.strip_suffix(" failed")?.split_once(" passed, ")?;
        Some((name.to_owned(), (passed.parse().ok()?, failed.parse().ok()?)))
    };
    summary.lines().filter(|text| text.starts_with(['✓', '✗'])).filter_map(line).collect()
}

async fn everything_scored_passes(revision: &str) {
    let scored = scored(revision).await;
    assert!(!scored.is_empty(), "the suite scores nothing of {revision}");
    let me = std::env::current_exe().unwrap();
    let command = format!("{} --ignored --exact --nocapture client_under_test", me.display());
    let (content, said) =
        suite(&["client", "--command", &command, "--requirements", revision, "--timeout", "120000"]).await;
    let summary = summary(&said);
    let failed: Vec<_> = scored
        .iter()
        .filter(|name| !summary.get(*name).is_some_and(|(passed, failed)| *passed > 0 && *failed == 0))
        .map(|name| format!("{name}: {:?}", summary.get(name)))
        .collect();
    let checks: usize = scored.iter().filter_map(|name| summary.get(name)).map(|(passed, _)| passed).sum();
    let good = scored.len() - failed.len();
    println!("MCP {revision}, client: {good} of {} scored scenarios, {checks} checks", scored.len());
    assert!(failed.is_empty() && content, "failed: {failed:?}\n{said}");
}

#[tokio::test]
async fn all_that_2025_11_25_scores_of_a_client_passes() {
    everything_scored_passes("2025-11-25").await;
}

#[tokio::test]
async fn all_that_2026_07_28_scores_of_a_client_passes() {
    everything_scored_passes("2026-07-28").await;
}

#[tokio::test]
#[ignore = "the client that the suites start"]
async fn client_under_test() {
    // Set by the suite, and by nobody who runs this as a test.
    if std::env::var_os("MCP_CONFORMANCE_SCENARIO").is_none() {
        return;
    }
    let url = std::env::args().next_back().unwrap();
    if let Err(why) = client::run(&url).await {
        println!("{why}");
        std::process::exit(1);
    }
}
