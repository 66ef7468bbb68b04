//! Commands and MCP servers of agents in real sandboxes, by the real binary.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpListener,
    process::Stdio,
    sync::mpsc,
    time::Duration,
};

use crate::common::{Serving, TestEnvironment, root};

/// An agent with these tools, whose script calls them.
fn agent(env: &TestEnvironment, tools: &str, script: &str) {
    let text = format!(
        "stead: v1\nname: a\nmodel: {{ rehearsal: ./s.yaml }}\ninstructions: Work.\nsandbox: {{ memory: 128Mi, timeout: 60s }}\nprovenance: off\ntools:\n{tools}"
    );
    env.write("a/agent.yaml", &text);
    env.write("a/s.yaml", script);
}

const SHELL: &str = "  sh: { command: [bash, -c], workspace: rw }\n";

fn last_run(env: &TestEnvironment) -> String {
    env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned()
}

/// Whether a process has that word in its command line.
fn lives(word: &str) -> bool {
    let has = |pid: &std::ffi::OsStr| {
        let words = fs::read(std::path::Path::new("/proc").join(pid).join("cmdline")).unwrap_or_default();
        words.split(|b| *b == 0).any(|w| w == word.as_bytes())
    };
    fs::read_dir("/proc").unwrap().any(|entry| has(&entry.unwrap().file_name()))
}

/// Waits until that is so, for a minute at most.
fn until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come to pass that {what}");
}

#[test]
fn what_a_command_leaves_in_the_workspace_is_there_for_the_next_run_of_its_session_and_for_no_other() {
    let env = TestEnvironment::new();
    agent(
        &env,
        SHELL,
        "rules:\n- when: { user: . }\n  call: [{ tool: sh, args: { command: 'echo here >> mark; echo there > /tmp/mark; cat mark | wc -l' } }]\n- when: { tool: sh }\n  say: '{{result.stdout}}'\n",
    );
    let lines =
        |session: &str| env.stead(&format!("run --quiet --session {session} a go")).succeeds().stdout.trim().to_owned();
    assert_eq!([lines("one"), lines("one"), lines("two")], ["1", "2", "1"]);
}

#[test]
fn calls_of_one_reply_that_write_the_workspace_follow_each_other() {
    let env = TestEnvironment::new();
    let add = "{ tool: sh, args: { command: 'n=$(cat n 2>/dev/null || echo 0); sleep 0.1; echo $((n + 1)) > n' } }";
    agent(
        &env,
        SHELL,
        &format!(
            "rules:\n- when: {{ user: . }}\n  call: [{add}, {add}, {add}]\n- when: {{ tool: sh }}\n  say: Done.\n"
        ),
    );
    env.stead("run --quiet a go").succeeds();
    let counted = env.stead(&format!("runs files {} n", last_run(&env))).succeeds();
    assert_eq!(counted.stdout.trim(), "3");
}

#[test]
fn a_command_without_egress_reaches_nothing_of_the_host_and_sees_nothing_of_stead() {
    let env = TestEnvironment::new();
    let line = TcpListener::bind("127.0.0.1:0").unwrap();
    line.set_nonblocking(true).unwrap();
    let port = line.local_addr().unwrap().port();
    let place = env.path().display();
    agent(
        &env,
        SHELL,
        &format!(
            "rules:\n- when: {{ user: . }}\n  call: [{{ tool: sh, args: {{ command: '(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo reached; ls {place} /root 2>/dev/null; env | grep -i stead; id -u; echo end' }} }}]\n- when: {{ tool: sh }}\n  say: '{{{{result.stdout}}}}'\n"
        ),
    );
    let told = env.stead("run --quiet a go").succeeds();
    assert_eq!(told.stdout.split_whitespace().collect::<Vec<_>>(), ["1000", "end"], "{told}");
    assert_eq!(line.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_command_whose_runtime_is_killed_is_run_again_from_the_same_workspace_and_nothing_of_it_lives_on() {
    let env = TestEnvironment::new();
    // A word that no other process has.
    let word = format!("3.{}", std::process::id());
    agent(
        &env,
        SHELL,
        &format!(
            "rules:\n- when: {{ user: . }}\n  call: [{{ tool: sh, args: {{ command: 'echo line >> log; sleep {word}; wc -l < log' }} }}]\n- when: {{ tool: sh }}\n  say: '{{{{result.stdout}}}}'\n"
        ),
    );
    let mut command = env.command(["run", "--quiet", "a", "go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the command runs", || lives(&word));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the command is dead", || !lives(&word));
    let run = last_run(&env);
    let done = env.stead(&format!("run --quiet --resume {run}")).succeeds();
    assert_eq!(done.stdout.trim(), "1", "the first attempt wrote nothing: {done}");
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    let count = |kind: &str| facts.matches(&format!("\"{kind}\"")).count();
    assert_eq!((count("effect_intended"), count("effect_returned")), (2, 1), "{facts}");
    assert!(!lives(&word));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&*env.path().to_string_lossy()), "{mounts}");
}

#[test]
fn an_mcp_server_has_one_sandbox_for_a_run_and_nothing_of_it_is_there_for_the_next() {
    let env = TestEnvironment::new();
    let server = root().join("crates/cli/tests/fixtures/counting_mcp.py");
    env.write("a/server.py", &fs::read_to_string(server).unwrap());
    env.write("a/.env", "TOKEN=x");
    agent(
        &env,
        "  c: { mcp: { command: [python3, ./server.py, /tmp/log] }, only: [count, look] }\n  sh: { command: [bash, -c] }\n",
        "rules:\n- when: { user: . }\n  call: [{ tool: c_count, args: {} }]\n- when: { tool: c_count, result: '^1$' }\n  call: [{ tool: c_count, args: {} }]\n- when: { tool: c_count }\n  say: '{{result | text}}'\n",
    );
    for _ in 0..2 {
        let told = env.stead("run --quiet a go").succeeds();
        assert_eq!(told.stdout.trim(), "2", "{told}");
    }
    let agent = env.json("agents show a --json");
    assert_eq!(agent["unsandboxed"].as_array().map(Vec::len).unwrap_or_default(), 0, "{agent}");
    let class =
        |name: &str| agent["tools"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap()["class"].clone();
    assert_eq!((class("c_count"), class("sh")), ("contained".into(), "contained".into()));
}

/// A command and an MCP server, both a shell's, which is all that a machine's own root has. Each of them tells of its place.
fn in_tier(tier: &str) -> (TestEnvironment, String) {
    let env = TestEnvironment::new();
    let server = root().join("crates/cli/tests/fixtures/counting_mcp.sh");
    env.write("a/server.sh", &fs::read_to_string(server).unwrap());
    // The home folder of tests is another one.
    let cache =
        std::env::var("XDG_CACHE_HOME").or_else(|_| Ok::<_, std::env::VarError>(std::env::var("HOME")? + "/.cache"));
    let kernel = format!("{}/stead/kernel", cache.unwrap());
    let own = format!("{{ translate = true, kernels = [\"{kernel}\"] }}");
    env.write(".stead/stead.toml", &format!("[sandbox]\ntiers = [\"{tier}\"]\nmicrovm = {own}\n"));
    agent(
        &env,
        "  c: { mcp: { command: [sh, ./server.sh], start_timeout: 5m } }\n  sh: { command: [sh, -c], workspace: rw }\n",
        "rules:\n- when: { user: . }\n  call: [{ tool: sh, args: { command: 'echo here >> mark; id -u' } }]\n\
         - when: { tool: sh, result: '1000' }\n  call: [{ tool: c_count, args: {} }]\n\
         - when: { tool: c_count, result: '^1$' }\n  call: [{ tool: c_count, args: {} }]\n\
         - when: { tool: c_count }\n  say: '{{result | text}}'\n",
    );
    let text = fs::read_to_string(env.path().join("a/agent.yaml")).unwrap();
    env.write("a/agent.yaml", &text.replace("sandbox: { ", &format!("sandbox: {{ tier: {tier}, ")));
    let told = env.stead("run --quiet a go").succeeds();
    assert_eq!(told.stdout.trim(), "2", "{told}");
    let run = last_run(&env);
    assert_eq!(env.stead(&format!("runs files {run} mark")).succeeds().stdout, "here\n");
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    assert!(facts.contains(&format!("\"tier\":\"{tier}\"")), "{facts}");
    (env, facts)
}

#[test]
fn an_agents_command_and_mcp_server_run_in_containers_if_its_manifest_says_so() {
    // That others are told so shows elsewhere.
    assert!(rustix::process::geteuid().is_root(), "NOT RUN: containers are root's; run it as root");
    in_tier("oci");
}

/// The first process of these machines is the binary itself.
#[test]
fn an_agents_command_and_mcp_server_run_in_machines_if_its_manifest_says_so() {
    let (_env, facts) = in_tier("microvm");
    assert!(facts.contains("own_kernel"), "{facts}");
}

/// A host of the test's: hears what it is asked, and answers with the request's own head.
fn echoing_host() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            let length = head.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(&[answer.as_bytes(), &head].concat()).unwrap();
            if tell.send(String::from_utf8(head).unwrap()).is_err() {
                break;
            }
        }
    });
    (port, heard)
}

/// Of a manifest's `egress` and `secret://`: the host gets the value, the sandbox, the model and the journal never have it, and the record of
/// the data folder has what was let out and what was not, whatever the log shows.
#[test]
fn a_command_reaches_what_its_manifest_names_with_a_secret_that_it_never_has_and_all_of_it_is_on_record() {
    const SECRET: &str = "tok_Zk8vN3qLw0RtY7uXbC5mA2sD";
    let env = TestEnvironment::new();
    let (port, heard) = echoing_host();
    env.stead_with_input("secrets set shop", SECRET).succeeds();
    let curl = "curl -s --noproxy ''";
    let url = format!("http://localhost:{port}/v1");
    env.write("a/go.sh", &format!("env\n{curl} {url}/me\n{curl} {url}/else\n{curl} -H \"X-Mine: $TOKEN\" {url}/me\n"));
    agent(
        &env,
        &format!(
            "  sh:\n    command: [bash, -c]\n    env: [\"TOKEN=secret://shop\"]\n    sandbox:\n      egress:\n      - {{ host: localhost, \
             ports: [{port}], scheme: http, paths: [/v1/me], addresses: [127.0.0.0/8], secrets_in_clear: true, secrets: [{{ secret: \
             \"secret://shop\", inject: bearer }}] }}\ninclude: [./go.sh]\n"
        ),
        "rules:\n- when: { user: . }\n  call: [{ tool: sh, args: { command: 'exec bash /opt/agent/go.sh' } }]\n- when: { tool: sh }\n  say: '{{result.stdout}}'\n",
    );
    let mut command = env.command(["run", "--quiet", "a", "go"]);
    // Whoever reads little of the log has the record all the same.
    command.env("STEAD_LOG", "error");
    let told = env.finish(command).succeeds();
    let asked = heard.recv().unwrap();
    assert!(asked.starts_with("GET /v1/me ") && asked.contains(&format!("Bearer {SECRET}")), "{asked}");
    assert!(heard.try_recv().is_err(), "the path that no rule names and the placeholder elsewhere were not sent");
    assert!(told.stdout.contains("TOKEN=stead-secret-") && told.stdout.contains("Bearer ***"), "{told}");
    let run = last_run(&env);
    let facts = env.stead(&format!("runs export {run}")).succeeds().stdout;
    let record = fs::read_to_string(env.path().join(".stead/egress.jsonl")).unwrap();
    for text in [&told.stdout, &told.stderr, &facts, &record] {
        assert!(!text.contains(SECRET), "{text}");
    }
    let lines: Vec<serde_json::Value> = record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|l| (l["event"].as_str().unwrap(), l["path"].as_str().unwrap())).collect();
    assert_eq!(events, [("allowed", "/v1/me"), ("ended", "/v1/me"), ("refused", "/v1/else"), ("refused", "/v1/me")]);
    assert_eq!(lines[0]["secrets"], serde_json::json!(["secret://shop"]), "{record}");
    assert_eq!((&lines[2]["code"], &lines[3]["code"]), (&"ST0250".into(), &"ST0255".into()), "{record}");
    assert!(lines.iter().all(|l| l["whose"].as_str().unwrap().starts_with(&run)), "{record}");
}

#[test]
fn other_limits_of_a_run_reach_the_command_that_runs_and_the_next_one() {
    let env = TestEnvironment::new();
    // It has four children at a time, which is always allowed, until the limit is changed while it does.
    let forks = "
import os, time
while True:
    children = []
    try:
        for _ in range(4):
            child = os.fork()
            if child == 0:
                time.sleep(0.005)
                os._exit(0)
            children.append(child)
    except BlockingIOError:
        break
    for child in children: os.waitpid(child, 0)
print('refused')
";
    env.write("a/forks.py", forks);
    agent(
        &env,
        "  sh: { command: [bash, -c], sandbox: { timeout: 5m } }\ninclude: [./forks.py]\n",
        "rules:\n- when: { user: . }\n  call: [{ tool: sh, args: { command: 'exec python3 /opt/agent/forks.py' } }]\n- when: { tool: sh, result: refused }\n  call: [{ tool: sh, args: { command: 'ulimit -n' } }]\n- when: { tool: sh }\n  say: '{{result.stdout}}'\n",
    );
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    let _server = Serving::start(env.command(["serve", "--config", "stead.toml"]), "serving");
    env.stead("agents apply a").succeeds();
    let run = env.stead("runs start a go --quiet").succeeds().stdout.trim().to_owned();
    until("the command runs", || lives("/opt/agent/forks.py"));
    env.stead(&format!("runs limit {run} --pids 4 --open-files 100")).succeeds();
    until("the run has ended", || env.json(&format!("runs show {run} --json"))["status"] == "completed");
    assert_eq!(env.json(&format!("runs show {run} --json"))["output"], "100\n");
}

#[test]
fn what_is_beyond_the_operators_bounds_or_not_to_be_had_is_refused_before_anything_starts() {
    let env = TestEnvironment::new();
    let script = "rules: [{ say: Done. }]\n";
    for (sandbox, code, word) in [
        ("{ memory: 64Gi }", "ST0311", "[sandbox.max] memory"),
        ("{ root: py }", "ST0312", "[sandbox] roots"),
        ("microvm", "ST0313", "[sandbox] tiers"),
        ("{ requires: [own_kernel] }", "ST0221", "a kernel of its own"),
        ("{ egress: [{ host: 127.0.0.1 }] }", "ST02", "egress"),
    ] {
        agent(&env, &format!("  sh: {{ command: [bash, -c], sandbox: {sandbox} }}\n"), script);
        let refused = env.stead("run --quiet a go");
        assert!(refused.code == Some(1) && refused.stderr.contains(code) && refused.stderr.contains(word), "{refused}");
    }
    env.write(".stead/stead.toml", "[sandbox]\nmax = { memory = \"128Gi\" }\n");
    agent(&env, "  sh: { command: [bash, -c], sandbox: { memory: 64Gi } }\n", script);
    env.stead("run --quiet a go").succeeds();
}

#[test]
fn what_the_sandbox_of_an_mcp_server_uses_is_in_the_facts_of_its_run_and_counts_for_its_budget() {
    let env = TestEnvironment::new();
    let server = root().join("crates/cli/tests/fixtures/counting_mcp.py");
    env.write("a/server.py", &fs::read_to_string(server).unwrap());
    agent(
        &env,
        "  c: { mcp: { command: [python3, ./server.py, /tmp/log] }, only: [count] }\nbudget: { cpu: 1ms }\n",
        "rules:\n- when: { user: . }\n  call: [{ tool: c_count, args: {} }]\n- when: { tool: c_count, result: '^1$' }\n  call: [{ tool: c_count, args: {} }]\n- when: { tool: c_count }\n  say: counted\n",
    );
    let told = env.stead("run --quiet a go");
    assert_ne!(told.code, Some(0), "{told}");
    let run = last_run(&env);
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    let used: Vec<serde_json::Value> = facts
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["fact"]["action"]["sandbox"].clone())
        .filter(|used| !used.is_null())
        .collect();
    // Python alone takes longer to begin than the whole budget, so that the second call is not made.
    assert_eq!(used.len(), 1, "{facts}");
    assert_eq!(used[0]["tier"], "namespace");
    let why = env.stead(&format!("runs why {run}")).succeeds().stdout;
    assert!(why.contains("budget.cpu"), "{why}");
}
