//! `stead tokens`: a token for a gateway is told once, and a server keeps its hash alone.

use std::os::unix::fs::PermissionsExt as _;

use stead_server::config::{Config, hash_token};

use crate::common::TestEnvironment;

fn hex(token: &str) -> String {
    hash_token(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_token_is_told_once_and_its_entry_is_for_one_agent_and_one_session() {
    let env = TestEnvironment::new();
    let shown = env.stead("tokens issue --agent graph --session graph/1").succeeds();
    let token = shown.stdout.trim();
    assert_eq!(token.len(), 43);
    assert!(shown.stderr.contains(&hex(token)) && !shown.stderr.contains(token), "{}", shown.stderr);

    let first = env.stead("tokens issue --agent graph --session graph/1 --into tokens.toml --quiet").succeeds();
    let second =
        env.json("tokens issue --agent other --session x --subject ann --tenant acme --into tokens.toml --json");
    let file = env.path().join("tokens.toml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    env.write("stead.toml", "[auth]\ntokens_file = \"tokens.toml\"\n");
    let config = Config::load(&env.path().join("stead.toml")).unwrap();
    let kept: Vec<_> = config.auth.tokens.iter().map(|entry| (&*entry.sha256, entry.bound().unwrap().agent)).collect();
    let told = [hex(first.stdout.trim()), hex(second["token"].as_str().unwrap())];
    assert_eq!(kept, [(&*told[0], "graph".into()), (&*told[1], "other".into())]);
    assert_eq!((&*config.auth.tokens[1].subject, &*config.auth.tokens[1].tenant), ("ann", "acme"));
    assert!(!std::fs::read_to_string(file).unwrap().contains(first.stdout.trim()));
}

#[test]
fn what_names_no_agent_or_session_makes_no_token() {
    let env = TestEnvironment::new();
    for wrong in ["--agent 'a b' --session x", "--agent a --session ''", "--agent a --session x --tenant 'No One'"] {
        let refused = env.stead(&format!("tokens issue {wrong} --into tokens.toml"));
        assert_ne!(refused.code, Some(0), "{wrong}");
        assert!(refused.stdout.is_empty() && !env.path().join("tokens.toml").exists(), "{wrong}");
    }
}
