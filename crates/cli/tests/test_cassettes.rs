//! `stead run --record`, `stead runs record`, `stead runs replay`, and cassettes that stand for models.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{Router, body::Bytes, http::HeaderMap};
use insta::assert_snapshot;

use crate::common::TestEnvironment;

const KEY: &str = "sk-planted-0123456789abcdef";

/// A provider on loopback that repeats the key it was given wherever it can, and counts.
fn provider() -> (String, Arc<AtomicU32>) {
    let (calls, listener) = (Arc::new(AtomicU32::new(0)), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listener.set_nonblocking(true).unwrap();
    let (count, address) = (calls.clone(), listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let app = Router::new().fallback(async move |headers: HeaderMap, _: Bytes| {
            count.fetch_add(1, Ordering::SeqCst);
            let key = headers["authorization"].to_str().unwrap().to_owned();
            let says = |delta: &str| {
                format!("data: {{\"model\":\"m-1\",\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n")
            };
            let text = [
                says("{\"content\":\"Hello\"}"),
                says("{\"content\":\", world\"}"),
                format!(": you sent {key}\n\n"),
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned(),
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n"
                    .to_owned(),
            ];
            ([("content-type", "text/event-stream".to_owned()), ("x-request-id", key)], text.concat())
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime
            .block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap() });
    });
    (format!("http://{address}/v1"), calls)
}

fn greeter(env: &TestEnvironment, model: &str) {
    env.write("greeter/agent.yaml", &format!("stead: v1\nname: greeter\nmodel: {model}\ninstructions: Greet.\n"));
}

/// Every file below a folder.
fn files(dir: &std::path::Path) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(std::fs::read(path).unwrap()) }
    }
    out
}

#[test]
fn a_run_with_a_real_wire_is_recorded_without_its_key_and_played_offline() {
    let env = TestEnvironment::new();
    let (url, calls) = provider();
    greeter(&env, &format!("{{ use: \"openai:m-1\", base_url: \"{url}\", key: \"env://PLANTED\" }}"));
    let mut command = env.command(["run", "--quiet", "--record", "hello.cassette", "greeter", "hi"]);
    command.env("PLANTED", KEY);
    let terminal = env.finish(command).succeeds();
    assert_eq!((terminal.stdout.trim(), calls.load(Ordering::SeqCst)), ("Hello, world", 1), "{terminal}");
    let cassette = std::fs::read_to_string(env.path().join("hello.cassette")).unwrap();
    assert!(cassette.contains(r#""source":"recorded""#) && cassette.contains("you sent Bearer [key]"), "{cassette}");
    for content in files(env.path()) {
        assert!(!String::from_utf8_lossy(&content).contains("planted-0123"), "the key was written to a file");
    }
    assert_snapshot!(env.stead("runs replay hello.cassette"), @"
    exit 0
    --- stdout
    turn 1 · attempt 1 · openai:m-1 · wire · Hello, world · 12 tokens
    --- stderr
    Hello, world
    ");
    // The cassette stands for the model: nobody is asked.
    std::fs::copy(env.path().join("hello.cassette"), env.path().join("greeter/hello.cassette")).unwrap();
    greeter(&env, "{ cassette: ./hello.cassette }");
    assert_eq!(env.stead("run --quiet greeter hi").succeeds().stdout.trim(), "Hello, world");
    let other = env.stead("run --quiet greeter ho");
    assert!(other.stderr.contains("recorded user `hi`, now user `ho`"), "{other}");
    greeter(&env, "{ cassette: ./hello.cassette, loose: true }");
    assert_eq!(env.stead("run --quiet greeter ho").succeeds().stdout.trim(), "Hello, world");
    env.write(
        "greeter/tests/hi.yaml",
        "stead: test/v1\ninput: hi\nmodel: { cassette: ./hello.cassette }\nexpect: { answer: \"Hello, world\" }\n",
    );
    env.stead("test greeter").succeeds();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_recorded_turn_costs_in_a_test_what_it_would_cost() {
    let env = TestEnvironment::new();
    let (url, _) = provider();
    greeter(&env, &format!("{{ use: \"openai:m-1\", base_url: \"{url}\", key: \"env://PLANTED\" }}"));
    let mut command = env.command(["run", "--quiet", "--record", "greeter/hello.cassette", "greeter", "hi"]);
    command.env("PLANTED", KEY);
    env.finish(command).succeeds();
    // 9 tokens in and 3 out, at 100 and 1,000 dollars a million.
    greeter(&env, "{ use: \"openai:gpt-5-mini\", price: { input: 100, output: 1000 } }");
    let case = |limits: &str| {
        let text = format!(
            "stead: test/v1\ninput: hi\nmodel: {{ cassette: ./hello.cassette }}\nexpect:\n  at_most: {{ {limits} }}\n"
        );
        env.write("greeter/tests/hi.yaml", &text);
        env.stead("test greeter")
    };
    case("usd: 0.0039, tokens: 12, turns: 1, tool_calls: 0").succeeds();
    assert_snapshot!(case("usd: 0.0038, tokens: 11, turns: 0"), @"
    exit 1
    --- stdout
    FAIL  hi · [took]
      greeter/tests/hi.yaml:5: it cost 0.003900 USD
      greeter/tests/hi.yaml:5: it took 12 tokens
      greeter/tests/hi.yaml:5: it took 1 model turn

    1 case: 0 passed, 1 failed
    ");
    // Without a price of its own the model has that of the list.
    greeter(&env, "openai:gpt-5-mini");
    let listed = case("usd: 0");
    assert!(listed.code == Some(1) && listed.stdout.contains("it cost 0.000009 USD"), "{listed}");
}

#[test]
fn a_run_that_was_not_recorded_has_a_cassette_from_its_journal_that_plays_strictly() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("run --yes --quiet refund-desk 'Refund order 1042'").succeeds();
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    env.stead(&format!("runs record {run} -o refund-desk/1042.cassette")).succeeds();
    let cassette = std::fs::read_to_string(env.path().join("refund-desk/1042.cassette")).unwrap();
    assert!(cassette.starts_with(r#"{"stead_cassette":1,"source":"journal","agent":"refund-desk""#), "{cassette}");
    env.write(
        "refund-desk/tests/played.yaml",
        "stead: test/v1\ninput: Refund order 1042\nmodel: { cassette: ./1042.cassette }\napprovals: [{ tool: payments_refund, \
         answer: approve }]\nexpect: { answer: { contains: [\"Done: 49.90 USD\"] } }\ncrash: { at: 1 }\n",
    );
    env.stead("test refund-desk --filter played").succeeds();
}

#[test]
fn a_cassette_whose_wire_is_read_otherwise_or_not_at_all_is_told() {
    let env = TestEnvironment::new();
    let (url, _) = provider();
    greeter(&env, &format!("{{ use: \"openai:m-1\", base_url: \"{url}\", key: \"env://PLANTED\" }}"));
    let mut command = env.command(["run", "--quiet", "--record", "hello.cassette", "greeter", "hi"]);
    command.env("PLANTED", KEY);
    env.finish(command).succeeds();
    let path = env.path().join("hello.cassette");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("{\\\"content\\\":\\\", world\\\"}", "{\\\"content\\\":\\\", moon\\\"}"))
        .unwrap();
    let terminal = env.stead("runs replay hello.cassette");
    assert!(terminal.code == Some(1) && terminal.stdout.contains("the text differs"), "{terminal}");
    // The names and texts of a cassette from anywhere do not reach the terminal as they are.
    let header = text.lines().next().unwrap();
    let call = r#"{"calls":[{"id":"c","name":"\u001b[2Jwipe","arguments":{}}],"stop":"tool_calls"}"#;
    let line = format!(r#"{{"turn":1,"attempt":1,"replies":0,"model":"\u001b]0;m","outcome":{{"reply":{call}}}}}"#);
    env.write("driving.cassette", &format!("{header}\n{line}\n"));
    let terminal = env.stead("runs replay driving.cassette").succeeds();
    assert!(!terminal.stdout.contains('\u{1b}') && terminal.stdout.contains("wipe"), "{terminal}");
    env.write("newer.cassette", "{\"stead_cassette\":2}\n");
    let terminal = env.stead("runs replay newer.cassette");
    assert!(terminal.stderr.contains("it is of version 2 of the format; this release reads version 1"), "{terminal}");
    env.write("none.cassette", "hello\n");
    assert_snapshot!(env.stead("runs replay none.cassette"), @"
    exit 1
    --- stderr
    error[ST0161]: none.cassette: line 1: no header: expected value at line 1 column 1
    see: stead errors ST0161
    ");
}

#[test]
fn a_cassette_from_the_journal_asks_what_was_asked_files_and_earlier_runs_included() {
    let env = TestEnvironment::new();
    greeter(&env, "{ rehearsal: ./script.yaml }");
    env.write("greeter/script.yaml", "rules: [{ say: 'I have read it.' }]\n");
    env.write("notes.txt", "The alarm rings at seven.");
    std::fs::write(env.path().join("dot.png"), [0x89, b'P', b'N', b'G', 13, 10, 26, 10]).unwrap();
    let record = |input: &str, to: &str| {
        env.stead(&format!("run --quiet --session ann --attach notes.txt --attach dot.png greeter {input}")).succeeds();
        let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
        env.stead(&format!("runs record {run} -o {to}")).succeeds();
        let cassette = std::fs::read_to_string(env.path().join(to)).unwrap();
        let last: serde_json::Value = serde_json::from_str(cassette.lines().last().unwrap()).unwrap();
        (run, last)
    };
    // The same run, recorded and from the journal: each asks the same.
    env.stead("run --quiet --record wire.cassette --attach notes.txt --attach dot.png greeter first").succeeds();
    let wire = std::fs::read_to_string(env.path().join("wire.cassette")).unwrap();
    let wire: serde_json::Value = serde_json::from_str(wire.lines().last().unwrap()).unwrap();
    let (_, first) = record("first", "first.cassette");
    assert_eq!(first["request"], wire["request"]);
    let (_, second) = record("second", "second.cassette");
    assert_eq!(second["replies"], 1);
    let messages = second["request"]["messages"].as_array().unwrap();
    assert_eq!(messages.iter().map(|m| m["name"].as_str().unwrap()).collect::<Vec<_>>(), ["user", "assistant", "user"]);
}
