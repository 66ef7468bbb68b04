//! The MCP tool against a real server process, honest and faulty (`fixtures/server.py`; needs `python3`).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::{arguments, call, config, invocation};
use serde_json::json;
use stead_core::{
    effect::{EffectClass, Outcome},
    id::RunId,
};
use stead_ports::tool::Output;
use stead_tools::{
    config::McpConfig,
    mcp::{self, Discovered},
    offer::Offered,
    schema,
    secret::Secret,
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

struct Server {
    dir: tempfile::TempDir,
    config: McpConfig,
}

impl Server {
    fn new(mode: &str) -> Self {
        Self::with(mode, &[])
    }

    fn with(mode: &str, more: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/server.py");
        let mut command = vec!["python3".to_owned(), script.into(), mode.into(), dir.path().to_str().unwrap().into()];
        command.extend_from_slice(more);
        Self { dir, config: config(json!({"command": command})) }
    }

    fn base(&self) -> &Path {
        self.dir.path()
    }

    /// What the server noted.
    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.base().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn discover(&self) -> Vec<Discovered> {
        mcp::discover(&self.config, &[], self.base()).await.unwrap()
    }

    /// Discovers, and offers what was found; the log is empty again.
    async fn offer(&self) -> Vec<Offered> {
        let pinned = self.discover().await;
        std::fs::remove_file(self.base().join("log")).unwrap();
        mcp::offer("files", &self.config, &[], self.base(), &pinned).unwrap()
    }
}

async fn echo(offered: &Offered, text: &str) -> Outcome<Output> {
    call(offered, json!({"text": text})).await
}

fn unknown(outcome: &Outcome<Output>) -> &str {
    match outcome {
        Outcome::Unknown(out) => &out.content,
        other => panic!("not unknown: {other:?}"),
    }
}

#[tokio::test]
async fn discovery_lists_every_page_and_stops_the_server() {
    for mode in ["ok", "pages", "modern"] {
        let server = Server::new(mode);
        let found = server.discover().await;
        let names: Vec<_> = found.iter().map(|d| d.operation.as_str()).collect();
        assert_eq!(names, ["echo", "fail"], "{mode}");
        assert_eq!((found[0].description.as_str(), found[0].hints.read_only), ("Repeats a text.", Some(true)));
        assert!(schema::compile(&found[0].schema).unwrap()(r#"{"text": 1}"#).is_err());
        assert_eq!(server.log().last().unwrap(), "end", "{mode}");
        // What is kept with an agent version comes back the same.
        let kept: Vec<Discovered> = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
        assert_eq!(kept, found);
    }
}

#[tokio::test]
async fn only_takes_some_and_names_what_is_missing() {
    let mut server = Server::new("ok");
    server.config.only = Some(vec!["fail".into()]);
    assert_eq!(server.discover().await.len(), 1);
    server.config.only = Some(vec!["read".into()]);
    let error = mcp::discover(&server.config, &[], server.base()).await.unwrap_err();
    assert!(error.detail.contains("no tool `read`; it has echo, fail"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_serve_is_told_with_its_stderr() {
    for (mode, why) in [
        ("die-on-start", "cannot find my configuration"),
        ("many", "more than 256 tools"),
        ("endless-pages", "more than 32 pages"),
        ("twice", "`echo` twice"),
    ] {
        let server = Server::new(mode);
        let error = mcp::discover(&server.config, &[], server.base()).await.unwrap_err();
        assert!(error.to_string().starts_with("ST0048") && error.detail.contains(why), "{mode}: {error}");
        assert!(error.detail.len() < 6_000, "{mode}");
    }
    let mut slow = Server::new("slow-start");
    slow.config.start_timeout = std::time::Duration::from_millis(300);
    let error = mcp::discover(&slow.config, &[], slow.base()).await.unwrap_err();
    assert!(error.detail.contains("did not answer within 300 ms"), "{error}");
    let gone: McpConfig = config(json!({"command": ["./no-such-program"]}));
    let error = mcp::discover(&gone, &[], slow.base()).await.unwrap_err();
    assert!(error.detail.contains("cannot be started"), "{error}");
    let empty: McpConfig = config(json!({"command": []}));
    assert!(mcp::discover(&empty, &[], slow.base()).await.unwrap_err().to_string().starts_with("ST0103"));
}

#[tokio::test]
async fn a_run_has_one_process_and_it_ends_with_the_run() {
    let server = Server::new("ok");
    let offered = server.offer().await;
    assert_eq!((offered[0].def.name.as_str(), offered[0].default_class), ("files_echo", EffectClass::Irreversible));
    assert_eq!(server.log(), Vec::<String>::new());
    assert_eq!(echo(&offered[0], "hé😀\n\"quoted\"").await, Outcome::Returned(Output::ok("hé😀\n\"quoted\"")));
    assert_eq!(call(&offered[1], json!({})).await, Outcome::Returned(Output::error("it went wrong")));
    assert_eq!(server.log(), ["start", "call echo", "call fail"]);
    offered[0].tool.release(RunId(1)).await;
    offered[1].tool.release(RunId(1)).await;
    assert_eq!(server.log().last().unwrap(), "end");
}

#[tokio::test]
async fn a_server_is_told_the_step_of_the_trace_that_calls_it_when_it_is_to_be() {
    let server = Server::new("ok");
    let offered = server.offer().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = stead_core::trace::TraceContext::parse(parent, Some("shop=1"));
    let asked = common::invocation(&offered[0], common::arguments(json!({"text": "x"})), 1_000);
    offered[0].tool.call(stead_ports::tool::Invocation { trace, ..asked.clone() }).await;
    offered[0].tool.call(asked).await;
    assert_eq!(server.log(), ["start", "call echo", &format!("trace {parent} shop=1"), "call echo"]);
}

#[tokio::test]
async fn parallel_calls_of_a_run_share_a_process_and_runs_do_not() {
    let server = Server::new("ok");
    let offered = server.offer().await;
    let mut other = invocation(&offered[0], arguments(json!({"text": "c"})), 100);
    other.effect.run = RunId(2);
    let (a, b, c) = tokio::join!(echo(&offered[0], "a"), echo(&offered[0], "b"), offered[0].tool.call(other));
    assert_eq!([a, b, c], ["a", "b", "c"].map(|t| Outcome::Returned(Output::ok(t))));
    assert_eq!(server.log().iter().filter(|l| *l == "start").count(), 2);
}

#[tokio::test]
async fn a_server_that_dies_on_a_call_leaves_it_unknown_and_is_started_again() {
    let mut server = Server::new("die-on-call");
    server.config.env = vec!["STEAD_TEST_TOKEN".into()];
    let offered = server.offer().await;
    for _ in 0..2 {
        let outcome = echo(&offered[0], "x").await;
        let text = unknown(&outcome);
        assert!(text.starts_with("ST0048") && text.contains("out of cheese"), "{text}");
    }
    assert_eq!(server.log(), ["start", "call echo", "start", "call echo"]);
}

#[tokio::test]
async fn a_server_that_cannot_be_started_means_not_sent() {
    let server = Server::new("ok");
    let pinned = server.discover().await;
    let dead = Server::new("die-on-start");
    let offered = mcp::offer("files", &dead.config, &[], dead.base(), &pinned).unwrap();
    let outcome = echo(&offered[0], "x").await;
    assert!(matches!(&outcome, Outcome::NotSent(out) if out.content.starts_with("ST0048")), "{outcome:?}");
}

#[tokio::test]
async fn floods_and_garbage_end_the_server_and_leave_the_call_unknown() {
    for (mode, code, why) in [
        ("flood", "ST0052", "more than 8388608 bytes"),
        ("chatter", "ST0052", "10000 messages"),
        ("garbage", "ST0048", "no message: Traceback"),
        ("utf8", "ST0048", "not UTF-8"),
    ] {
        let server = Server::new(mode);
        let offered = server.offer().await;
        let outcome = echo(&offered[0], "x").await;
        let text = unknown(&outcome);
        assert!(text.starts_with(code) && text.contains(why), "{mode}: {text}");
        assert_eq!(server.log()[..2], ["start", "call echo"], "{mode}");
    }
}

#[tokio::test]
async fn an_error_answer_says_no_more_than_it_does() {
    let server = Server::new("internal-error");
    let offered = server.offer().await;
    assert!(unknown(&echo(&offered[0], "x").await).contains("boom"));
    let honest = Server::new("ok");
    let offered = honest.offer().await;
    let cut = offered[0].tool.call(invocation(&offered[0], arguments(json!({"text": "y".repeat(5_000)})), 1_000)).await;
    let Outcome::Returned(out) = cut else { panic!("{cut:?}") };
    assert!(out.content.len() <= 1_000 && out.content.ends_with("[ST0052: cut here, the answer has 5000 bytes]"));
}

#[tokio::test]
async fn a_tool_that_changed_is_refused_before_and_during_a_run() {
    let server = Server::new("ok");
    let offered = server.offer().await;
    std::fs::write(server.base().join("changed"), "").unwrap();
    let outcome = echo(&offered[0], "x").await;
    assert!(matches!(&outcome, Outcome::Refused(out) if out.content.starts_with("ST0047")), "{outcome:?}");
    // A tool that stayed what it was still serves.
    assert!(matches!(call(&offered[1], json!({})).await, Outcome::Returned(_)));
    assert_eq!(server.log(), ["start", "call fail"]);

    let server = Server::new("change-on-call");
    let offered = server.offer().await;
    assert!(matches!(echo(&offered[0], "x").await, Outcome::Returned(_)));
    let outcome = echo(&offered[0], "x").await;
    assert!(matches!(&outcome, Outcome::Refused(out) if out.content.contains("another description")), "{outcome:?}");
}

#[tokio::test]
async fn what_a_server_tells_of_its_results_is_pinned_and_a_change_of_it_is_refused() {
    let server = Server::new("typed");
    let pinned = server.discover().await;
    let output = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    assert_eq!((pinned[0].output.as_ref(), pinned[1].output.as_ref()), (Some(&output), None));
    let offer = |pinned: &[mcp::Discovered]| mcp::offer("files", &server.config, &[], server.base(), pinned).unwrap();
    // The value counts, for plans are drawn by its schema; a version that knows no schema reads on as it did.
    let older: Vec<_> = pinned.iter().cloned().map(|tool| mcp::Discovered { output: None, ..tool }).collect();
    let value = Outcome::Returned(Output::ok("{\"name\":\"Le Petit\"}"));
    assert_eq!(call(&offer(&pinned)[0], json!({})).await, value);
    let words = Outcome::Returned(Output::ok("It is Le Petit."));
    assert_eq!(call(&offer(&older)[0], json!({})).await, words);

    std::fs::write(server.base().join("retyped"), "").unwrap();
    let outcome = call(&offer(&pinned)[0], json!({})).await;
    assert!(matches!(&outcome, Outcome::Refused(out) if out.content.starts_with("ST0047")), "{outcome:?}");
    assert_eq!(call(&offer(&older)[0], json!({})).await, words, "nothing was planned by it");
}

#[tokio::test]
async fn a_tool_that_is_gone_is_refused() {
    let server = Server::new("ok");
    let mut pinned = server.discover().await;
    pinned[0].operation = "ecko".into();
    let offered = mcp::offer("files", &server.config, &[], server.base(), &pinned).unwrap();
    let outcome = echo(&offered[0], "x").await;
    assert!(matches!(&outcome, Outcome::Refused(out) if out.content.contains("gone")), "{outcome:?}");
}

#[tokio::test]
async fn what_a_server_asks_of_its_client_is_refused() {
    let server = Server::new("ask");
    let offered = server.offer().await;
    assert_eq!(echo(&offered[0], "x").await, Outcome::Returned(Output::ok("x")));
    let asked = ["sampling/createMessage error", "roots/list error", "elicitation/create decline"];
    assert_eq!(server.log()[2..], asked);
}

#[tokio::test]
async fn a_server_sees_only_the_environment_it_is_given() {
    let mut server = Server::new("environment");
    server.config.env = vec!["CARGO_PKG_NAME".into(), "NOT_SET_ANYWHERE".into()];
    let offered = server.offer().await;
    let Outcome::Returned(out) = echo(&offered[0], "x").await else { panic!("not returned") };
    let seen: Vec<String> = serde_json::from_str(&out.content).unwrap();
    // Some interpreters add variables of their own; what this process has must not be among them.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!seen.iter().any(|name| name.starts_with("CARGO") && name != "CARGO_PKG_NAME"), "{seen:?}");
    assert!(seen.contains(&"CARGO_PKG_NAME".into()) && seen.contains(&"PATH".into()), "{seen:?}");
}

/// What a server says of its own accord is cut; a secret across the cut must not be left in part.
#[tokio::test]
async fn no_part_of_a_secret_is_left_in_what_a_server_says() {
    const TOKEN: &str = "tk-7f3a9c51e8b2d604";
    let set = [("STEAD_TEST_TOKEN".to_owned(), Secret::new(TOKEN))];
    let clean = |said: &str| {
        let part = (0..TOKEN.len() - 6).find(|at| said.contains(&TOKEN[*at..*at + 6]));
        assert_eq!(part, None, "{said}");
    };

    let server = Server::new("leak-in-list");
    let pinned = mcp::discover(&server.config, &set, server.base()).await.unwrap();
    assert_eq!(pinned[0].description, "Uses [secret].");
    clean(&serde_json::to_string(&pinned).unwrap());
    // The pin is of what was kept, so the tool is the same one when it runs.
    let offered = mcp::offer("files", &server.config, &set, server.base(), &pinned).unwrap();
    assert!(matches!(echo(&offered[0], "x").await, Outcome::Returned(out) if out.content == "x"));

    let server = Server::new("leak-in-name");
    let error = mcp::discover(&server.config, &set, server.base()).await.unwrap_err();
    assert!(error.detail.contains("whose name holds a secret"), "{error}");
    clean(&error.detail);

    let server = Server::new("leak-on-start");
    let error = mcp::discover(&server.config, &set, server.base()).await.unwrap_err();
    assert!(error.detail.contains("the end."), "{error}");
    clean(&error.detail);

    for (mode, shown) in [("leak-in-error", "xxx[secret]"), ("leak-in-line", "xxx[secret]")] {
        let server = Server::new(mode);
        let pinned = mcp::discover(&server.config, &set, server.base()).await.unwrap();
        let offered = mcp::offer("files", &server.config, &set, server.base(), &pinned).unwrap();
        let outcome = echo(&offered[0], "x").await;
        assert!(unknown(&outcome).contains(shown), "{mode}: {outcome:?}");
        clean(unknown(&outcome));
    }
}

#[tokio::test]
async fn what_a_server_started_dies_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = Server::with("grandchild", std::slice::from_ref(&port));
    let offered = {
        let found = mcp::discover(&server.config, &[], server.base());
        let (found, grandchild) = tokio::join!(found, listener.accept());
        // Discovery ends the whole group too.
        assert_eq!(grandchild.unwrap().0.read(&mut [0; 1]).await.unwrap_or(0), 0);
        mcp::offer("files", &server.config, &[], server.base(), &found.unwrap()).unwrap()
    };
    let (outcome, grandchild) = tokio::join!(echo(&offered[0], "x"), listener.accept());
    assert!(matches!(outcome, Outcome::Returned(_)));
    offered[0].tool.release(RunId(1)).await;
    assert_eq!(grandchild.unwrap().0.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_call_that_hangs_can_be_abandoned_and_its_server_dies_with_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::with("hang", &[listener.local_addr().unwrap().port().to_string()]);
    let offered = server.offer().await;
    let mut hung = tokio::select! {
        outcome = echo(&offered[0], "x") => panic!("it answered: {outcome:?}"),
        connection = listener.accept() => connection.unwrap().0,
    };
    offered[0].tool.release(RunId(1)).await;
    assert_eq!(hung.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(server.log(), ["start", "call echo"]);
}
