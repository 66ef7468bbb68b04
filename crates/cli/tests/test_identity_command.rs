//! `stead identity` and `stead runs token`: who a run is to others.

use std::process::Command;

use serde_json::Value;

use crate::common::{Serving, TestEnvironment, root};

const ASKS: &str = r#"
stead: v1
name: asks
model: { rehearsal: ./script.yaml }
instructions: Ask.
tools:
  map:
    sql: { url: "sqlite:${data}/map.db", seed: ./map.sql, allow: [SELECT], queries: { look: { description: Looks., sql: "SELECT 1" } } }
    effect: pure
    ask: true
"#;

/// A server with a run that waits for a human.
fn waiting() -> (TestEnvironment, Serving, String, String) {
    let env = TestEnvironment::new();
    env.write("asks/agent.yaml", ASKS);
    env.write("asks/script.yaml", "rules:\n  - { say: May I?, call: [{ tool: map_look, args: {} }] }\n");
    env.write("asks/map.sql", "SELECT 1;");
    env.write(
        "stead.toml",
        "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[identity]\ntrust_domain = \"stead.example\"\n",
    );
    let server = Serving::start(env.command(["serve"]), "serving");
    env.stead("agents apply asks").succeeds();
    let run = env.json("runs start asks 'Go' --json")["run"].as_str().unwrap().to_owned();
    let presence = std::fs::read_to_string(env.path().join(".stead/server.json")).unwrap();
    let url = serde_json::from_str::<Value>(&presence).unwrap()["url"].as_str().unwrap().to_owned();
    (env, server, run, url)
}

fn verified(url: &str, audience: &str, token: &str) -> Result<Value, String> {
    let script = root().join("crates/cli/tests/fixtures/oidc/verify.mjs");
    let said = Command::new("node").arg(script).args([url, audience, token]).output().unwrap();
    match said.status.success() {
        true => Ok(serde_json::from_slice(&said.stdout).unwrap()),
        false => Err(String::from_utf8(said.stderr).unwrap()),
    }
}

#[test]
fn a_token_of_a_run_is_verified_by_a_library_of_another_language() {
    let (env, _server, run, url) = waiting();
    let audience = "https://mail.example";
    let minted = env.json(&format!("runs token {run} --audience {audience} --scope mail.send --json"));
    let token = minted["token"].as_str().unwrap();
    let id = minted["id"].as_str().unwrap();
    assert!(id.starts_with("spiffe://stead.example/tenant/default/agent/asks/version/") && id.ends_with(&run), "{id}");
    let told = verified(&url, audience, token).unwrap();
    let claims = &told["payload"];
    assert_eq!((claims["sub"].as_str(), claims["act"]["sub"].as_str()), (Some("owner"), Some(id)), "{claims}");
    assert_eq!((claims["scope"].as_str(), claims["stead"]["run"].as_str()), (Some("mail.send"), Some(&*run)));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
    // Nobody else takes it.
    assert!(verified(&url, "https://bank.example", token).unwrap_err().contains("aud"));

    // After a rotation the token of before is still good, and the next one is signed by another key.
    env.stead("identity rotate").succeeds();
    let next = env.stead(&format!("runs token {run} --audience {audience}")).succeeds().stdout;
    let after = verified(&url, audience, next.trim()).unwrap();
    assert_ne!(after["protectedHeader"]["kid"], told["protectedHeader"]["kid"]);
    verified(&url, audience, token).unwrap();

    // A key that may be known to others is published no more, and its tokens are worth nothing.
    env.stead("identity rotate --compromised").succeeds();
    assert!(verified(&url, audience, token).is_err() && verified(&url, audience, next.trim()).is_err());
    let last = env.stead(&format!("runs token {run} --audience {audience}")).succeeds().stdout;
    verified(&url, audience, last.trim()).unwrap();

    // A run that has ended is nobody any more.
    env.stead(&format!("runs cancel {run}")).succeeds();
    let refused = env.stead(&format!("runs token {run} --audience {audience}"));
    assert!(refused.stderr.contains("error[ST0008]"), "{refused}");
}
