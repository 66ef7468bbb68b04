//! `stead dev`.

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment, filtered};

#[test]
fn dev_says_where_it_is_and_ends_in_order() {
    let env = TestEnvironment::with_refund_desk();
    let dev = Serving::start(env.command(["dev", "--port", "0", "refund-desk"]), "try");
    let place = env.path().canonicalize().unwrap().display().to_string();
    assert_snapshot!(filtered(&dev.banner, &place), @r#"
    made the root of one person, who approves what they began themselves; its key is [folder]/.stead/keys/approver.key
    applied refund-desk [version]
    stead dev 0.1.0
    api        http://[address]/v1
    approvals  http://[address]/approvals; `stead approvals open` signs a browser in
    openapi    http://[address]/v1/openapi.json
    token      [folder]/.stead/token
    data       [folder]/.stead
    sandbox    commands and stdio MCP servers run in one; `stead doctor` tells what it holds here
    try        stead chat refund-desk
    "#);
    assert_eq!(env.json("agents ls --json")["items"][0]["name"], "refund-desk");
    assert_eq!(dev.stop(), Some(0));
    assert!(!env.path().join(".stead/server.json").exists());
}

#[test]
fn dev_and_serve_tell_a_program_where_they_are() {
    let env = TestEnvironment::new();
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    let told = |command: &[&str]| {
        let (server, line) = Serving::watch(env.command(command)).until("\n");
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(std::path::Path::new(told["token"].as_str().unwrap()).is_file());
        assert_eq!(server.stop(), Some(0));
        let place = env.path().canonicalize().unwrap().display().to_string();
        filtered(&serde_json::to_string_pretty(&told).unwrap(), &place)
    };
    let dev = told(&["dev", "--port", "0", "--json"]);
    assert_snapshot!(dev, @r#"
    {
      "url": "http://[address]",
      "api": "http://[address]/v1",
      "openapi": "http://[address]/v1/openapi.json",
      "token": "[folder]/.stead/token",
      "data": "[folder]/.stead",
      "sandbox": [
        "namespace"
      ]
    }
    "#);
    assert_eq!(told(&["serve", "--json"]), dev);
}

#[test]
fn a_port_in_use_is_told() {
    let env = TestEnvironment::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert_snapshot!(env.stead(&format!("dev --port {port}")), @"
    exit 1
    --- stderr
    error[ST0150]: cannot listen on [address]: Address already in use (os error 98)
    hint: end the other program, or choose another port: `--port` of `stead dev`, `listen` in stead.toml
    see: stead errors ST0150
    ");
}

#[test]
fn a_second_server_on_the_data_folder_is_refused() {
    let env = TestEnvironment::new();
    let _dev = Serving::start(env.command(["dev", "--port", "0"]), "try");
    assert_snapshot!(env.stead("dev --port 0"), @"
    exit 1
    --- stderr
    error[ST0140]: [folder]/.stead/lock is held by process [pid] (stead-[pid]): use that server, stop it, or choose another data directory
    see: stead errors ST0140
    ");
}

#[test]
fn a_wrong_manifest_is_told_before_anything_is_opened() {
    let env = TestEnvironment::new();
    env.write("agent/agent.yaml", "stead: v2\nname: a\nmodel: rehearsal:auto\ninstructions: x\n");
    assert_snapshot!(env.stead("dev --port 0 agent"), @"
    exit 1
    --- stderr
    error[ST0103]

      × expected `v1`, found `v2` (at `stead`)
       ╭─[agent/agent.yaml:1:8]
     1 │ stead: v2
       ·        ──
     2 │ name: a
       ╰────
    see: stead errors ST0103
    ");
    assert!(!env.path().join(".stead").exists());
}
