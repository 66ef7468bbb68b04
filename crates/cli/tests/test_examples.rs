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
fn openapi_shop_refunds_through_a_document_and_says_what_was_refunded() {
    let env = TestEnvironment::new();
    let example = root().join("examples/openapi-shop");
    let run = |args: &[&str], text: &str| {
        let mut command = env.command(["run", "--quiet"]);
        command.args(args).arg(&example).arg(text);
        env.finish(command).succeeds()
    };
    let none = run(&[], "Was order 1042 refunded?");
    assert!(none.stdout.starts_with("No, it was not refunded."), "{none}");
    let done = run(&["--yes"], "Refund 49.90 USD for order 1042");
    assert!(done.stdout.starts_with("Done: order 1042 is refunded, as rf_1."), "{done}");
    let found = run(&[], "Was order 1042 refunded?");
    assert!(found.stdout.starts_with("Yes: 4990 cents (USD), as refund rf_1."), "{found}");
    let again = run(&["--yes"], "Refund 49.90 USD for order 1042");
    assert!(again.stdout.starts_with("Yes: 4990 cents"), "{again}");
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
    assert!(!terminal.stderr.contains("unsandboxed"), "{terminal}");
}

#[test]
fn log_analyst_counts_computes_and_keeps_what_it_found_in_its_session() {
    let env = TestEnvironment::new();
    let example = root().join("examples/log-analyst");
    let run = |text: &str| {
        let mut command = env.command(["run", "--quiet", "--session", "desk"]);
        command.arg(&example).arg(text);
        env.finish(command).succeeds()
    };
    let pages = run("Which pages are asked for most?");
    assert!(pages.stdout.contains("15 /manifest.md"), "{pages}");
    let probes = run("Who probes for what is not there?");
    assert!(probes.stdout.starts_with("203.0.113.99 asked for"), "{probes}");
    let found = run("What have you found out so far?");
    assert!(found.stdout.contains("pages.txt") && found.stdout.contains("probes.md"), "{found}");
    // What was left can be looked at from outside.
    let runs = env.json("runs ls --json");
    let last = runs["items"][0]["id"].as_str().unwrap();
    let listed = env.stead(&format!("runs files {last}")).succeeds();
    assert!(listed.stdout.contains("pages.txt") && listed.stdout.contains("probes.md"), "{listed}");
    let file = env.stead(&format!("runs files {last} pages.txt")).succeeds();
    assert!(file.stdout.starts_with("15 /manifest.md"), "{file}");
    env.stead(&format!("runs files {last} --tar out.tar")).succeeds();
    assert!(std::fs::read(env.path().join("out.tar")).unwrap().windows(9).any(|w| w == b"probes.md"));
    // And what each sandbox was, and used.
    let first = runs["items"][2]["id"].as_str().unwrap();
    let why = env.stead(&format!("runs why {first} e1")).succeeds();
    for word in ["sandbox namespace:", "held: ", "control of egress", "workspace empty →", "+1 ~0 -0"] {
        assert!(why.stdout.contains(word), "{word} is not in {why}");
    }
}

#[test]
fn log_analyst_passes_its_tests_in_real_sandboxes_through_every_crash() {
    let env = TestEnvironment::new();
    let mut command = env.command(["test"]);
    command.arg(root().join("examples/log-analyst"));
    env.finish(command).succeeds();
}
