//! The examples, as their pages tell to run them.

use crate::common::{TestEnvironment, root};

#[test]
fn refund_desk_pays_once_writes_once_and_declines_what_did_not_come_back() {
    let env = TestEnvironment::with_refund_desk();
    let done = env.stead("run --yes refund-desk 'Refund order 1042'").succeeds();
    assert!(done.stdout.starts_with("Done: 49.90 USD"), "{done}");
    let declined = env.stead("run refund-desk 'Refund order 1043'").succeeds();
    assert!(declined.stdout.contains("delivered"), "{declined}");
    let none = env.stead("run refund-desk 'Refund order 9999'").succeeds();
    assert!(none.stdout.contains("no order"), "{none}");
    let count = |name: &str| {
        let path = env.path().join(format!(".stead/agents/default/refund-desk/{name}.jsonl"));
        std::fs::read_to_string(path).unwrap().lines().count()
    };
    assert_eq!((count("payments"), count("mail")), (1, 1));
}

#[test]
fn mcp_files_reads_through_a_public_mcp_server() {
    let example = root().join("examples/mcp-files");
    let server = example.join("node_modules/.bin/mcp-server-filesystem");
    assert!(server.exists(), "install it once: npm ci --prefix examples/mcp-files");
    let env = TestEnvironment::new();
    let mut command = env.command(["run"]);
    command.arg(example).arg("What are the opening hours?");
    let terminal = env.finish(command).succeeds();
    assert!(terminal.stdout.starts_with("From `hours.txt`:"), "{terminal}");
    let warning = "unsandboxed: the MCP server ./node_modules/.bin/mcp-server-filesystem runs as you";
    assert!(terminal.stderr.contains(warning), "{terminal}");
}
