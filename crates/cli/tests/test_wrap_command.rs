//! `stead wrap` between a client and a server, both real processes: what passes, what is held back, what a kill leaves.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::common::{Mcp, TestEnvironment, root};

/// The fake server, as a command.
fn counting(env: &TestEnvironment) -> Vec<String> {
    let script = root().join("crates/cli/tests/fixtures/counting_mcp.py");
    vec!["python3".into(), script.display().to_string(), env.path().join("log").display().to_string()]
}

/// What the server noted of calls.
fn calls(env: &TestEnvironment) -> Vec<Value> {
    noted(env).into_iter().filter(|entry| entry.get("tool").is_some()).collect()
}

fn noted(env: &TestEnvironment) -> Vec<Value> {
    let text = std::fs::read_to_string(env.path().join("log")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wrapped(env: &TestEnvironment, options: &[&str]) -> Command {
    let mut command = env.command(["--data", "calls", "wrap", "--name", "counting"]);
    command.args(options).arg("--").args(counting(env));
    command
}

fn plain(command: &[String]) -> Command {
    let mut plain = Command::new(&command[0]);
    plain.args(&command[1..]);
    plain
}

/// Waits until somebody is asked; gives the approval's name.
fn asked(env: &TestEnvironment) -> String {
    loop {
        let open = env.json("--data calls approvals ls --json");
        if let Some(approval) = open["items"].as_array().unwrap().first() {
            return approval["id"].as_str().unwrap().to_owned();
        }
    }
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn everything_but_calls_passes_as_it_is() {
    let env = TestEnvironment::new();
    let seen = |command: Command| {
        let (mut mcp, greeting) = Mcp::start(command);
        let mut seen = vec![greeting.to_string()];
        mcp.request("l1", "tools/list", json!({}));
        seen.push(mcp.next());
        mcp.request("l2", "tools/list", json!({"cursor": "3"}));
        seen.push(mcp.next());
        mcp.request("r", "resources/read", json!({"uri": "x:y"}));
        seen.push(mcp.next());
        mcp.request("c", "completion/complete", json!({}));
        seen.push(mcp.next());
        // What the server asks of its client arrives, and the answer finds its way back.
        mcp.say(json!({"method": "ask/client"}));
        seen.push(mcp.next());
        mcp.say(json!({"id": "from-server", "result": {"roots": []}}));
        mcp.request("p", "tools/call", json!({"name": "picture", "arguments": {}, "_meta": {"progressToken": 7}}));
        seen.push(mcp.next());
        seen.push(mcp.next());
        assert_eq!(mcp.leave(), Some(0));
        seen
    };
    let without = seen(plain(&counting(&env)));
    let with = seen(wrapped(&env, &["--ask", "none"]));
    assert_eq!(with, without);
    let noted = noted(&env);
    assert_eq!(noted[..3], noted[3..], "the server saw the same client and the same answers");
}

#[test]
fn a_call_is_in_the_journal_and_the_process_keeps_its_state() {
    let env = TestEnvironment::new();
    let (mut mcp, _) = Mcp::start(wrapped(&env, &["--ask", "none"]));
    for n in 1..=3 {
        let answer = mcp.ask(&format!("c{n}"), "tools/call", json!({"name": "count", "arguments": {}}));
        assert_eq!(text(&answer), n.to_string());
    }
    let runs = env.json("--data calls runs ls --json");
    let runs = runs["items"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|r| r["status"] == "completed" && r["agent"] == "counting" && r["spent"]["usd"] == 0));
    let facts = env.stead(&format!("--data calls runs facts --json {}", runs[0]["id"].as_str().unwrap())).succeeds();
    let kinds: Vec<String> = facts
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["fact"]["kind"].as_str().unwrap().to_owned())
        .collect();
    let place = |kind: &str| kinds.iter().position(|k| k == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(place("effect_intended") < place("effect_returned"), "{kinds:?}");
}

#[test]
fn arguments_that_do_not_fit_never_reach_the_server() {
    let env = TestEnvironment::new();
    let (mut mcp, _) = Mcp::start(wrapped(&env, &["--ask", "none", "--max-calls", "3"]));
    let mut told = |id: &str, params: Value| {
        let answer = mcp.ask(id, "tools/call", params);
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        text(&answer).to_owned()
    };
    assert!(told("a", json!({"name": "pay", "arguments": {"text": 1}})).contains("do not fit the tool's schema"));
    assert!(told("b", json!({"name": "none", "arguments": {}})).contains("There is no tool `none`"));
    assert!(told("c", json!({"name": "pay"})).contains("do not fit the tool's schema"));
    // The limit of the session.
    assert!(told("d", json!({"name": "pay", "arguments": {"text": "x"}})).starts_with("ST0171"));
    assert_eq!(calls(&env), Vec::<Value>::new());
}

#[test]
fn what_could_be_read_in_two_ways_is_not_passed_on() {
    let env = TestEnvironment::new();
    let (mut mcp, _) = Mcp::start(wrapped(&env, &["--ask", "all"]));
    for line in [
        r#"[{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"count"}}]"#,
        r#"{"jsonrpc":"2.0","id":"x","method":"ping","method":"tools/call","params":{"name":"count"}}"#,
    ] {
        mcp.line(line);
        assert_eq!(mcp.until(|m| m.get("error").is_some())["error"]["code"], -32_600);
    }
    // Nobody could be answered, so it is dropped; the ping behind it is answered.
    mcp.line(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"count"}}"#);
    mcp.ask("p", "ping", json!({}));
    assert_eq!(calls(&env), Vec::<Value>::new());
}

#[test]
fn a_call_waits_for_a_human_and_others_go_on_meanwhile() {
    let env = TestEnvironment::new();
    let (mut mcp, _) = Mcp::start(wrapped(&env, &["--ask", "write"]));
    let params = json!({"name": "pay", "arguments": {"text": "1"}, "_meta": {"progressToken": "t"}});
    mcp.request("pay", "tools/call", params);
    let waiting = mcp.until(|m| m["method"] == "notifications/progress");
    let message = waiting["params"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("waiting for a human: pay {\"text\":\"1\"}"), "{message}");
    let approve = message.lines().find(|l| l.contains("approvals approve")).unwrap().trim().to_owned();
    // A tool that says that it only reads goes without, and is not held up.
    let look = mcp.ask("look", "tools/call", json!({"name": "look", "arguments": {"text": "2"}}));
    assert_eq!(text(&look), "look 2");
    assert_eq!(calls(&env).len(), 1, "nothing of the other has left");
    // The command that it is told works, from another terminal.
    env.stead(approve.strip_prefix("stead ").unwrap()).succeeds();
    assert_eq!(text(&mcp.answer("pay")), "pay 1");

    mcp.call("no", "pay", json!({"text": "3"}));
    let approval = asked(&env);
    env.stead(&format!("--data calls approvals deny {approval} --note 'not today'")).succeeds();
    let denied = mcp.answer("no");
    assert_eq!(denied["result"]["isError"], true);
    assert_eq!(text(&denied), "ST0044: a human (owner) denied this action: not today");
    assert_eq!(calls(&env).len(), 2);
}

#[test]
fn a_call_that_is_taken_back_while_it_waits_is_never_sent() {
    let env = TestEnvironment::new();
    let (mut mcp, _) = Mcp::start(wrapped(&env, &[]));
    mcp.call("pay", "pay", json!({"text": "1"}));
    let approval = asked(&env);
    mcp.say(json!({"method": "notifications/cancelled", "params": {"requestId": "pay"}}));
    let run = approval.split('.').next().unwrap().to_owned();
    while env.json(&format!("--data calls runs show {run} --json"))["status"] != "cancelled" {}
    assert!(env.stead(&format!("--data calls approvals approve {approval}")).code != Some(0));
    mcp.ask("p", "ping", json!({}));
    assert_eq!(noted(&env).len(), 1, "the server heard neither of the call nor of its end");
    assert_eq!(mcp.leave(), Some(0));
}

#[test]
fn after_a_kill_nothing_is_repeated_and_the_next_session_is_told_what_nobody_knows() {
    let env = TestEnvironment::new();
    let (mut mcp, greeting) = Mcp::start(wrapped(&env, &["--ask", "pay"]));
    assert_eq!(greeting["result"]["instructions"], "Count.");
    mcp.call("sent", "hang", json!({"text": "1"}));
    while calls(&env).is_empty() {}
    mcp.call("waits", "pay", json!({"text": "2"}));
    let waiting = asked(&env);
    mcp.kill();

    let (mut mcp, greeting) = Mcp::start(wrapped(&env, &["--ask", "none"]));
    let instructions = greeting["result"]["instructions"].as_str().unwrap();
    assert!(instructions.starts_with("Count.\n\nStead: nobody knows"), "{instructions}");
    assert!(instructions.contains("- hang {\"text\":\"1\"} (run_"), "{instructions}");
    assert!(!instructions.contains("- pay"), "what was not sent is known not to have happened: {instructions}");
    // Nobody can approve the call of a session that has ended.
    assert!(env.stead(&format!("--data calls approvals approve {waiting}")).code != Some(0));
    assert_eq!(calls(&env).len(), 1);
    // An equal call is put before a human although nobody is asked otherwise; one that differs is not.
    mcp.call("equal", "hang", json!({"text": "1"}));
    let approval = asked(&env);
    assert_eq!(calls(&env).len(), 1);
    env.stead(&format!("--data calls approvals deny {approval}")).succeeds();
    assert!(text(&mcp.answer("equal")).starts_with("ST0044"));
    assert_eq!(text(&mcp.ask("other", "tools/call", json!({"name": "pay", "arguments": {"text": "3"}}))), "pay 3");
    assert_eq!(mcp.leave(), Some(0));

    // It is told once.
    let (_mcp, greeting) = Mcp::start(wrapped(&env, &[]));
    assert_eq!(greeting["result"]["instructions"], "Count.");
}

#[test]
fn a_second_session_of_the_same_name_has_a_folder_of_its_own() {
    let env = TestEnvironment::new();
    let (mut first, _) = Mcp::start(wrapped(&env, &["--ask", "none"]));
    let (mut second, _) = Mcp::start(wrapped(&env, &["--ask", "none"]));
    for mcp in [&mut first, &mut second] {
        assert_eq!(text(&mcp.ask("c", "tools/call", json!({"name": "count", "arguments": {}}))), "1");
    }
    for folder in ["calls", "calls.2"] {
        let runs = env.json(&format!("--data {folder} runs ls --json"));
        assert_eq!(runs["items"].as_array().unwrap().len(), 1, "{folder}");
    }
}

#[test]
fn a_tool_that_comes_later_is_known_once_the_server_says_so() {
    let env = TestEnvironment::new();
    let (mut mcp, _) = Mcp::start(wrapped(&env, &["--ask", "none"]));
    let fresh = json!({"name": "fresh", "arguments": {}});
    assert!(text(&mcp.ask("a", "tools/call", fresh.clone())).contains("There is no tool `fresh`"));
    mcp.ask("b", "tools/call", json!({"name": "rename", "arguments": {}}));
    mcp.until(|m| m["method"] == "notifications/tools/list_changed");
    assert_eq!(text(&mcp.ask("c", "tools/call", fresh)), "fresh None");
}

#[test]
fn what_cannot_be_wrapped_is_told_with_its_code() {
    let env = TestEnvironment::new();
    env.write("full/file", "");
    assert_snapshot!(env.stead("--data full wrap -- true"), @"
    exit 1
    --- stderr
    error[ST0170]: full holds something else than a wrapped server's calls
    hint: name another folder with --data
    see: stead errors ST0170
    ");
    assert_snapshot!(env.stead("--data calls wrap --effects a=keyed -- true"), @"
    exit 2
    --- stderr
    error: invalid value 'a=keyed' for '--effects <TOOL=CLASS>': write TOOL=pure or TOOL=irreversible; MCP has no keys and no way to ask whether a call happened

    For more information, try '--help'.
    ");
    // A server that ends by itself, or does not start, ends the session; the client has not left.
    let mut command = env.command(["--data", "calls", "wrap", "--", "./no-such-server"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(client);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("./no-such-server cannot be started: No such file"), "{told}");
    assert!(told.contains("error[ST0048]: the wrapped MCP server has ended"), "{told}");
}

#[test]
fn the_filesystem_server_of_the_example_is_the_same_with_and_without() {
    let server = root().join("examples/mcp-files/node_modules/.bin/mcp-server-filesystem");
    assert!(server.exists(), "install it once: npm ci --prefix examples/mcp-files");
    let env = TestEnvironment::new();
    env.write("files/a.txt", "one");
    let files = env.path().join("files").canonicalize().unwrap();
    let seen = |command: Command| {
        let (mut mcp, greeting) = Mcp::start(command);
        let list = mcp.ask("l", "tools/list", json!({}));
        let path = files.join("a.txt");
        let params = json!({"name": "read_text_file", "arguments": {"path": path.to_str().unwrap()}});
        let read = mcp.ask("r", "tools/call", params);
        assert_eq!(text(&read), "one");
        (greeting, list, read)
    };
    let command = [server.display().to_string(), files.display().to_string()];
    let mut with = env.command(["--data", "calls", "wrap", "--ask", "write", "--"]);
    with.args(&command);
    assert_eq!(seen(with), seen(plain(&command)));

    // Writing is put before a human.
    let mut with = env.command(["--data", "calls", "wrap", "--ask", "write", "--"]);
    with.args(&command);
    let (mut mcp, _) = Mcp::start(with);
    mcp.call("w", "write_file", json!({"path": files.join("b.txt").to_str().unwrap(), "content": "two"}));
    let approval = asked(&env);
    assert!(!files.join("b.txt").exists());
    env.stead(&format!("--data calls approvals approve {approval}")).succeeds();
    mcp.answer("w");
    assert_eq!(mcp.leave(), Some(0));
    assert_eq!(std::fs::read_to_string(files.join("b.txt")).unwrap(), "two");
}

#[test]
fn the_client_of_the_official_library_works_through_it() {
    let env = TestEnvironment::new();
    env.allow_none();
    let mut command = vec![env!("CARGO_BIN_EXE_stead").to_owned()];
    command.extend(["--data", "calls", "wrap", "--name", "counting", "--ask", "none", "--"].map(str::to_owned));
    command.extend(counting(&env));
    let command = serde_json::to_string(&command).unwrap();
    env.write(
        "agent/agent.yaml",
        &format!(
            "stead: v1\nname: a\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Count.\ntools:\n  c:\n    mcp: \
             {{ command: {command} }}\n    sandbox: none\n    effect: irreversible\n"
        ),
    );
    env.write(
        "agent/script.yaml",
        "rules:\n  - when: { user: '.' }\n    call: [{ tool: c_count, args: {} }]\n  - when: { tool: c_count }\n    say: \
         \"It is {{result | text}}.\"\n",
    );
    let told = env.stead("run agent 'How many?'").succeeds();
    assert_eq!(told.stdout.trim(), "It is 1.", "{told}");
    assert_eq!(calls(&env).len(), 1);
    let runs = env.json("--data agent/calls runs ls --json");
    assert_eq!(runs["items"][0]["status"], "completed", "{runs}");
}

#[test]
fn more_sessions_of_one_name_than_there_may_be_are_refused() {
    let env = TestEnvironment::new();
    let owned: Vec<File> = (1..=16)
        .map(|n| {
            let folder = if n == 1 { "calls".to_owned() } else { format!("calls.{n}") };
            env.write(&format!("{folder}/wrap.json"), "{\"format\":1}\n");
            env.write(&format!("{folder}/lock"), "");
            let lock = File::options().write(true).open(env.path().join(folder).join("lock")).unwrap();
            lock.try_lock().unwrap();
            lock
        })
        .collect();
    assert_snapshot!(env.stead("--data calls wrap -- cat"), @"
    exit 1
    --- stderr
    error[ST0173]: 16 sessions run on calls and beside it
    hint: end one of them, or choose another --name
    see: stead errors ST0173
    ");
    drop(owned);
}
