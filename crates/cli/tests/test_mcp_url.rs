//! An agent whose tools are a public MCP server behind a URL.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::common::{TestEnvironment, root};

/// The public server `everything`, on a port of loopback. Dropping it ends it.
struct Everything {
    child: Child,
    url: String,
}

impl Everything {
    fn start(folder: &Path) -> Self {
        let program = folder.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
        assert!(program.exists(), "install it once: npm ci --prefix {}", folder.display());
        // It cannot tell a port that the system chose, so one is found for it; another process may take it first.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new("node");
            command.arg(&program).arg("streamableHttp").env("PORT", port.to_string());
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            if lines.any(|line| line.is_ok_and(|line| line.contains("listening on port"))) {
                std::thread::spawn(move || lines.for_each(drop));
                return Self { child, url: format!("http://127.0.0.1:{port}/mcp") };
            }
            child.wait().unwrap();
        }
        panic!("the server does not start");
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_public_server_behind_a_url_serves_runs_and_its_tools_are_pinned() {
    let server = Everything::start(&root().join("crates/cli/tests/fixtures/everything"));
    let env = TestEnvironment::new();
    let manifest = format!(
        "stead: v1\nname: sums\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Add.\ntools:\n  every:\n    mcp: {{ url: '{}' }}\n    only: [echo, get-sum]\n    effect: pure\n",
        server.url
    );
    env.write("sums/agent.yaml", &manifest);
    env.write(
        "sums/script.yaml",
        "rules:\n- when: { user: add }\n  call: [{ tool: every_get-sum, args: { a: 20, b: 22 } }, { tool: every_echo, args: { message: hello } }]\n- when: { tool: every_get-sum }\n  say: '{{result | text}}'\n",
    );
    let done = env.stead("run --quiet sums 'add'").succeeds();
    assert!(done.stdout.contains("42"), "{done}");
    // What it offers is pinned with the version.
    env.write("sums/agent.yaml", &manifest.replace("get-sum]", "get-sums]"));
    let wrong = env.stead("run --quiet sums 'add'");
    assert!(wrong.code != Some(0) && wrong.stderr.contains("no tool `get-sums`"), "{wrong}");
    drop(server);
    env.write("sums/agent.yaml", &manifest);
    let gone = env.stead("run --quiet sums 'add'");
    assert!(
        gone.code != Some(0) && gone.stderr.contains("ST0048") && gone.stderr.contains("cannot be reached"),
        "{gone}"
    );
}

#[test]
fn a_url_that_leads_to_a_guarded_address_is_refused() {
    let env = TestEnvironment::new();
    let agent = |tool: &str| {
        env.write(
            "a/agent.yaml",
            &format!("stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: x\ntools: {{ t: {{ {tool} }} }}\n"),
        );
        env.stead("run --quiet a hello")
    };
    for tool in [
        "http: { base_url: 'http://169.254.169.254/latest', operations: { get: { method: GET, path: / } } }",
        "http: { base_url: 'http://0xA9FEA9FE', operations: { get: { method: GET, path: / } } }",
        "mcp: { url: 'https://[::ffff:169.254.169.254]/mcp' }",
    ] {
        let refused = agent(tool);
        assert!(refused.code != Some(0) && refused.stderr.contains("ST0054"), "{tool}: {refused}");
    }
    let plain = agent("mcp: { url: 'http://crm.example/mcp' }");
    assert!(plain.code != Some(0) && plain.stderr.contains("plain_http"), "{plain}");
}
