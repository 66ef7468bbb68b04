//! The OpenAI-compatible face as official clients meet it, unchanged but for the URL, and over a `kill -9`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::common::{Serving, TestEnvironment, World, root};

const LOOKS: &str = r#"
stead: v1
name: desk
model: { rehearsal: ./script.yaml }
instructions: Look orders up.
tools:
  orders: { sql: { url: "sqlite:${data}/o.db", seed: ./o.sql, allow: [SELECT], queries: { look: { description: Looks., sql: "SELECT 7 AS n" } } }, effect: pure }
"#;
const LOOKS_SCRIPT: &str = r#"
rules:
  - { when: { tool: orders_look }, say: "Order 1041 is shipped, as far as we know.", stream: 5 }
  - { say: "Let me look.", stream: 3, call: [{ tool: orders_look, args: {} }] }
"#;
const ASKS: &str = r#"
stead: v1
name: asking
model: { rehearsal: ./script.yaml }
instructions: Change what you are told to.
tools:
  notes:
    sql: { url: "sqlite:${data}/n.db", seed: ./n.sql, allow: [INSERT], queries: { add: { description: Adds., sql: "INSERT INTO n VALUES (1)" } } }
    ask: true
"#;
const POOR: &str =
    "stead: v1\nname: poor\nmodel: { rehearsal: ./script.yaml }\ninstructions: Hi.\nbudget: { tokens: 1 }\n";

const GATEWAY: &str =
    "stead: v1\nname: graph\nmodel: { rehearsal: ./script.yaml }\ninstructions: House rules.\ngateway: true\n";
const GATEWAY_SCRIPT: &str = r#"
rules:
  - { when: { tool: look }, say: "It rains: {{result}}.", stream: 5 }
  - { say: "Let me look.", call: [{ tool: look, args: { city: Ulm } }] }
"#;

/// A server with agents, and what its clients need to know.
struct Face {
    env: TestEnvironment,
    server: Serving,
}

impl Face {
    fn start() -> Self {
        let env = TestEnvironment::new();
        env.write("desk/agent.yaml", LOOKS);
        env.write("desk/script.yaml", LOOKS_SCRIPT);
        env.write("desk/o.sql", "SELECT 1;");
        env.write("asking/agent.yaml", ASKS);
        env.write("asking/script.yaml", "rules:\n  - { call: [{ tool: notes_add, args: {} }] }\n");
        env.write("asking/n.sql", "CREATE TABLE n (x INT);");
        env.write("poor/agent.yaml", POOR);
        env.write("poor/script.yaml", "rules:\n  - { say: Hello }\n");
        let face = Self::over(env);
        for agent in ["desk", "asking", "poor"] {
            face.env.stead(&format!("agents apply {agent}")).succeeds();
        }
        face
    }

    fn over(env: TestEnvironment) -> Self {
        let config = "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n";
        let more = if env.path().join("tokens.toml").exists() { "[auth]\ntokens_file = \"tokens.toml\"\n" } else { "" };
        env.write("stead.toml", &format!("{config}{more}"));
        let server = Serving::start(env.command(["serve"]), "serving");
        Self { env, server }
    }

    /// A server with a gateway, and the token for it.
    fn gateway() -> (Self, String) {
        let env = TestEnvironment::new();
        env.write("graph/agent.yaml", GATEWAY);
        env.write("graph/script.yaml", GATEWAY_SCRIPT);
        let issued = env.stead("tokens issue --agent graph --session graph/1 --into tokens.toml").succeeds();
        let face = Self::over(env);
        face.env.stead("agents apply graph").succeeds();
        (face, issued.stdout.trim().to_owned())
    }

    /// What runs of the gateway said, the first one first.
    fn answers(&self) -> Vec<Value> {
        let runs = self.env.json("runs ls --agent graph --json");
        let ids = runs["items"].as_array().unwrap().iter().rev().map(|run| run["id"].as_str().unwrap().to_owned());
        let answer =
            |id: String| self.env.json(&format!("runs show {id} --json"))["output"].as_str().unwrap().to_owned();
        ids.map(answer).map(|text| serde_json::from_str(&text).unwrap()).collect()
    }

    fn url(&self) -> String {
        let presence = std::fs::read_to_string(self.env.path().join(".stead/server.json")).unwrap();
        let presence: Value = serde_json::from_str(&presence).unwrap();
        format!("{}/openai/v1", presence["url"].as_str().unwrap())
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.env.path().join(".stead/token")).unwrap().trim().to_owned()
    }

    /// Runs a client with the URL, the token and more; gives what it wrote.
    fn client(&self, program: PathBuf, script: &str, more: &[&str]) -> String {
        self.client_with(&self.token(), program, script, more)
    }

    fn client_with(&self, token: &str, program: PathBuf, script: &str, more: &[&str]) -> String {
        let script = root().join("crates/cli/tests/fixtures/openai").join(script);
        let mut command = Command::new(&program);
        command.arg(script).arg(self.url()).arg(token).args(more);
        // As whoever points an agent at another server does it.
        command.env("OPENAI_BASE_URL", self.url()).env("OPENAI_API_KEY", token);
        command.env("NO_PROXY", "127.0.0.1").current_dir(self.env.path());
        let said = command.stdin(Stdio::null()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success(), "{out}\n{err}");
        out.trim().to_owned()
    }
}

fn python() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let python = cache.join("stead/openai-clients/bin/python3");
    assert!(python.exists(), "{} is missing: ./test installs it", python.display());
    python
}

#[test]
fn the_official_client_for_python_works_unchanged() {
    assert_eq!(Face::start().client(python(), "official.py", &[]), "ok");
}

#[test]
fn the_agents_sdk_works_unchanged() {
    assert_eq!(Face::start().client(python(), "agents_sdk.py", &[]), "ok");
}

#[test]
fn pydantic_ai_works_unchanged() {
    assert_eq!(Face::start().client(python(), "pydantic_client.py", &[]), "ok");
}

#[test]
fn the_official_clients_for_node_work_unchanged() {
    assert_eq!(Face::start().client("node".into(), "clients.mjs", &[]), "ok");
}

#[test]
fn loops_of_official_clients_run_over_a_gateway_unchanged() {
    let (face, token) = Face::gateway();
    assert_eq!(face.client_with(&token, python(), "gateway.py", &[]), "ok");
}

/// The agent of docs/bring-your-agent.md.
#[test]
fn an_agent_of_langgraph_runs_over_a_gateway_with_two_variables_of_its_environment() {
    let (face, token) = Face::gateway();
    assert_eq!(face.client_with(&token, python(), "langgraph_agent.py", &[]), "It rains: rain in Ulm.");
    let answers = face.answers();
    assert_eq!(answers.len(), 2);
    assert_eq!(
        (&answers[0]["ungoverned"][0]["name"], &answers[1]["text"]),
        (&"look".into(), &"It rains: rain in Ulm.".into())
    );
}

/// The tool of the run is held back until the server has been killed; what the client saw before is never told again, and nothing is
/// missing.
#[test]
fn a_background_response_is_finished_after_a_kill_and_its_stream_goes_on_without_gap_or_repetition() {
    let mut world = World::start();
    let env = TestEnvironment::new();
    let operation = "look: { description: Looks., method: POST, path: \"/look/1\" }";
    env.write(
        "desk/agent.yaml",
        &format!(
            "stead: v1\nname: desk\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Look.\ntools:\n  world:\n    http: {{ base_url: \
             \"http://{}\", operations: {{ {operation} }} }}\n    effects: {{ look: pure }}\n    timeout: 240s\n",
            world.address
        ),
    );
    let script = "rules:\n  - { when: { tool: world_look }, say: \"Order 1041 is shipped.\" }\n  - { say: \"Let me look.\", call: [{ tool: \
                  world_look, args: {} }] }\n";
    env.write("desk/script.yaml", script);
    let face = Face::over(env);
    face.env.stead("agents apply desk").succeeds();
    // It reads until the first message is whole, and goes.
    let seen = face.client(python(), "background.py", &["begin"]);
    let Face { env, server } = face;
    server.kill();
    world.forget_who_asked();
    world.allow(1);
    let face = Face::over(env);
    assert_eq!(face.client(python(), "background.py", &["resume", &seen]), "ok");
    assert_eq!(world.ledger(|l| l.looks["1"]), 1);
}
