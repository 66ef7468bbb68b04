//! What a script promises: the same bytes every time, honest faults, and a word about what it can answer.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{json, value::RawValue};
use stead_core::{
    budget::Usage,
    code,
    id::RunId,
    message::{Message, Reply, StopReason, ToolCall, ToolDef, ToolResult},
    time::Span,
};
use stead_models::rehearsal::{Auto, Rehearsal, Script};
use stead_ports::model::{Delta, Model, ModelCall, ModelError, Retry};

const REFUNDS: &str = r#"
rules:
  - when: { user: "refund order (?<id>\\d+)" }
    say: "Looking at order {{id}}."
    call:
      - { tool: orders_lookup, args: { order_id: "{{id}}", deep: { n: "{{id | int}}", list: [1, true, null, "x {{id}}"] } } }
      - { tool: clock }
  - when: { tool: orders_lookup, result: '"status":"delivered"' }
    call: [{ tool: payments_refund, args: { order_id: "{{id}}", amount: "{{result.rows[0].total}}" } }]
  - when: { tool: payments_refund, error: false }
    say: "Refunded {{tools.orders_lookup.rows[0].total}} for order {{id}}: {{result.receipt ?? \"no receipt\"}}."
  - when: { tool: "*", error: true }
    say: "{{result}}"
answers: ["Refund order 1042"]
"#;

fn user(text: &str) -> Message {
    Message::user(text)
}

fn result(tool: &str, content: &str, error: bool) -> Message {
    Message::Tool(ToolResult {
        call_id: "x".into(),
        name: tool.into(),
        content: content.into(),
        error,
        images: Vec::new(),
    })
}

fn assistant(calls: &[&str]) -> Message {
    let call = |name: &&str| ToolCall {
        id: "x".into(),
        name: (*name).into(),
        arguments: RawValue::from_string("{}".into()).unwrap(),
    };
    Message::Assistant(Reply { calls: calls.iter().map(call).collect(), ..Reply::default() })
}

fn call(turn: u32, messages: Vec<Message>) -> ModelCall {
    ModelCall {
        run: RunId(1),
        turn,
        attempt: 1,
        instructions: "12345678".into(),
        messages: messages.into_iter().map(Arc::new).collect(),
        tools: Arc::new([]),
        max_output_tokens: 1_000,
        output: None,
        raw: None,
        begun: None,
    }
}

async fn ask(model: &dyn Model, call: ModelCall) -> (Result<Reply, ModelError>, Vec<Delta>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let reply = model.call(call, Arc::new(move |d| sink.lock().unwrap().push(d))).await;
    let deltas = seen.lock().unwrap().clone();
    (reply, deltas)
}

fn script(text: &str) -> Rehearsal {
    Rehearsal::new(Script::parse(text).unwrap())
}

#[tokio::test]
async fn a_whole_conversation_follows_the_script() {
    let model = script(REFUNDS);
    let mut said = vec![user("please REFUND Order 1042!")];
    let (reply, deltas) = ask(&model, call(1, said.clone())).await;
    let reply = reply.unwrap();
    assert_eq!(reply.text, "Looking at order 1042.");
    assert_eq!(reply.stop, StopReason::ToolCalls);
    assert_eq!(reply.calls[0].id, "call_1_0");
    assert_eq!(
        reply.calls[0].arguments.get(),
        r#"{"order_id":"1042","deep":{"n":1042,"list":[1,true,null,"x 1042"]}}"#
    );
    assert_eq!((reply.calls[1].id.as_str(), reply.calls[1].arguments.get()), ("call_1_1", "{}"));
    assert_eq!(deltas.len(), 3);

    said.extend([
        assistant(&["orders_lookup", "clock"]),
        result("clock", "12:00", false),
        result("orders_lookup", r#"{"rows":[{"status":"delivered","total":129.5}]}"#, false),
    ]);
    let (reply, _) = ask(&model, call(2, said.clone())).await;
    assert_eq!(reply.unwrap().calls[0].arguments.get(), r#"{"order_id":"1042","amount":129.5}"#);

    said.extend([assistant(&["payments_refund"]), result("payments_refund", "{}", false)]);
    let (reply, _) = ask(&model, call(3, said)).await;
    let reply = reply.unwrap();
    assert_eq!(reply.text, "Refunded 129.5 for order 1042: no receipt.");
    assert_eq!(reply.stop, StopReason::End);
}

#[tokio::test]
async fn asking_again_gives_the_same_reply() {
    let model = script(REFUNDS);
    let one = ask(&model, call(4, vec![user("refund order 7")])).await;
    assert_eq!(one, ask(&script(REFUNDS), call(4, vec![user("refund order 7")])).await);
}

#[tokio::test]
async fn what_the_script_does_not_know_is_answered_with_what_it_can_answer() {
    let model = script(REFUNDS);
    let (reply, _) = ask(&model, call(1, vec![user("What is the meaning of life?")])).await;
    let text = reply.unwrap().text;
    assert!(text.contains("scripted model, no AI"), "{text}");
    assert!(text.ends_with("It can answer:\n- Refund order 1042"), "{text}");

    let messages = vec![user("refund order 1"), assistant(&["orders_lookup"]), result("orders_lookup", "{}", false)];
    let (reply, _) = ask(&model, call(2, messages)).await;
    assert!(reply.unwrap().text.contains("no line for this result of `orders_lookup`"));

    let bare = script("rules:\n- { when: { user: hello }, say: hi }\n");
    let (reply, _) = ask(&bare, call(1, vec![user("x")])).await;
    assert!(reply.unwrap().text.ends_with("- /hello/"));
    assert!(bare.scripted());
    assert_eq!(bare.name().as_str(), "rehearsal");
}

#[tokio::test]
async fn a_user_rule_is_silent_once_tools_have_answered() {
    let model = script(
        "rules:\n- { when: { user: go }, call: [{ tool: t }] }\n- { when: { turn: 3 }, say: third }\n- { say: rest }\n",
    );
    let messages = vec![user("go"), assistant(&["t"]), result("t", "{}", false)];
    assert_eq!(ask(&model, call(2, messages.clone())).await.0.unwrap().text, "rest");
    assert_eq!(ask(&model, call(3, messages)).await.0.unwrap().text, "third");
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_an_error_that_names_the_line() {
    let model = script("rules:\n- when: { tool: t }\n  say: '{{result.total}}'\n");
    let (reply, _) = ask(&model, call(1, vec![user("x"), assistant(&["t"]), result("t", "prose", false)])).await;
    let error = reply.unwrap_err();
    assert_eq!((error.code, error.retry, error.charged), (code::REHEARSAL, Retry::No, false));
    assert!(error.detail.contains("line 2") && error.detail.contains("result.total"), "{}", error.detail);
}

#[tokio::test]
async fn faults_strike_by_the_number_of_the_attempt() {
    let model = script(
        "rules:\n- { when: { user: busy }, say: ok, fail: { code: busy, times: 2, retry_after: 2s } }\n\
         - { when: { user: cut }, say: abcdef, stream: 2, fail: { code: cut } }\n\
         - { when: { user: no }, fail: { code: refused } }\n",
    );
    let at = |attempt, text: &str| ModelCall { attempt, ..call(1, vec![user(text)]) };
    for attempt in [1, 2] {
        let e = ask(&model, at(attempt, "busy")).await.0.unwrap_err();
        let wanted = (code::MODEL_BUSY, Retry::After(Some(Span::from_secs(2))), false);
        assert_eq!((e.code, e.retry, e.charged), wanted);
        assert!(e.detail.contains("scripted model, no AI"));
    }
    assert_eq!(ask(&model, at(3, "busy")).await.0.unwrap().text, "ok");
    let (reply, deltas) = ask(&model, at(1, "cut")).await;
    let e = reply.unwrap_err();
    assert_eq!((e.code, e.retry, e.charged), (code::MODEL_CUT, Retry::After(None), true));
    assert_eq!(deltas, [Delta::Text("ab".into()), Delta::Text("c".into())]);
    assert_eq!(ask(&model, at(1, "no")).await.0.unwrap_err().retry, Retry::No);
    assert_eq!(ask(&model, at(2, "no")).await.0.unwrap().text, "");
}

#[tokio::test(start_paused = true)]
async fn a_text_is_streamed_at_the_pace_of_the_script() {
    let model = script(
        "delay: 20ms\nrules:\n- { when: { user: x }, say: 'äöüß!', stream: 2 }\n- { when: { user: hang }, fail: { code: hang } }\n",
    );
    let start = tokio::time::Instant::now();
    let (reply, deltas) = ask(&model, call(1, vec![user("x")])).await;
    assert_eq!(reply.unwrap().text, "äöüß!");
    assert_eq!(deltas, ["äö", "üß", "!"].map(|s| Delta::Text(s.into())));
    assert_eq!(start.elapsed(), Duration::from_millis(60));
    let never = ask(&model, call(1, vec![user("hang")]));
    assert!(tokio::time::timeout(Duration::from_secs(3_600), never).await.is_err());
}

#[tokio::test]
async fn usage_is_estimated_unless_the_script_says_it() {
    let model =
        script("rules:\n- { when: { user: 'count' }, say: x, usage: { input: 120, output: 30 } }\n- { say: 'four' }\n");
    let reply = ask(&model, call(1, vec![user("count")])).await.0.unwrap();
    assert_eq!(reply.usage, Usage { input: 120, output: 30, ..Usage::default() });
    let reply = ask(&model, call(1, vec![user("12345")])).await.0.unwrap();
    assert_eq!(reply.usage, Usage { input: 4, output: 1, ..Usage::default() });
}

#[tokio::test]
async fn a_reply_stays_within_the_output_limit() {
    let model = script("rules:\n- { say: 'ääääääää', call: [{ tool: t }] }\n");
    let reply = ask(&model, ModelCall { max_output_tokens: 2, ..call(1, vec![user("x")]) }).await.0.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop, reply.calls.len()), ("ääää", StopReason::Length, 0));
}

#[test]
fn a_wrong_script_is_refused_with_its_place() {
    let cases = [
        ("rules:\n- { say: x, cal: [] }\n", code::MANIFEST_KEY, 2, "did you mean `call`"),
        ("rules:\n- say: x\n  when: { usr: y }\n", code::MANIFEST_KEY, 3, "did you mean `user`"),
        ("rules: [\n", code::MANIFEST_SYNTAX, 0, ""),
        ("rules:\n- { say: 5, fail: { code: never } }\n", code::MANIFEST_VALUE, 2, "never"),
        ("rules:\n- {}\n", code::MANIFEST_VALUE, 2, "needs `say`, `call` or `fail`"),
        ("rules:\n- say: x\n  when: { user: '(' }\n", code::MANIFEST_VALUE, 3, "not a pattern"),
        ("rules:\n- say: x\n  when: { user: '(?<turn>x)' }\n", code::MANIFEST_VALUE, 3, "cannot be named `turn`"),
        ("rules:\n- say: x\n  when: { user: '(\\w{500}){500}' }\n", code::MANIFEST_VALUE, 3, "not a pattern"),
        ("rules:\n- say: 'x {{id}}'\n", code::MANIFEST_VALUE, 2, "no pattern has a group"),
        ("rules:\n- say: 'x {{id'\n", code::MANIFEST_VALUE, 2, "never closed"),
        ("rules:\n- say: '{{result}}'\n", code::MANIFEST_VALUE, 2, "needs a rule with"),
        ("rules:\n- say: x\n  when: { result: x }\n", code::MANIFEST_VALUE, 2, "need `tool`"),
        ("rules:\n- say: x\n  delay: soon\n", code::MANIFEST_VALUE, 3, "not a duration"),
        ("rules:\n- say: x\n  stream: 0\n", code::MANIFEST_VALUE, 3, "from 1"),
        ("rules:\n- call: [{ tool: t, args: [1] }]\n", code::MANIFEST_VALUE, 2, "mapping"),
        ("rules:\n- { say: x }\nrules:\n- { say: y }\n", code::MANIFEST_SYNTAX, 3, ""),
        ("answers: []\n", code::MANIFEST_VALUE, 0, "rules"),
    ];
    for (text, code, line, words) in cases {
        let e = Script::parse(text).unwrap_err();
        assert_eq!(e.code, code, "{text}: {e}");
        assert!(line == 0 || e.line == line, "{text}: {e}");
        assert!(line == 0 || e.column > 0, "{text}: {e}");
        assert!(e.detail.contains(words), "{text}: {e}");
    }
}

#[test]
fn a_hostile_script_is_refused_without_harm() {
    let bomb =
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nrules: [*c]\n";
    for text in [bomb.to_owned(), "[".repeat(100_000), "x".repeat(2 << 20), format!("rules: {}", "- ".repeat(5_000))] {
        assert!(Script::parse(&text).is_err());
    }
}

#[tokio::test]
async fn auto_calls_every_tool_once_and_sums_up() {
    let tool = |name: &str, schema| ToolDef { name: name.into(), description: String::new(), schema };
    let tools: Arc<[ToolDef]> = Arc::new([
        tool(
            "a",
            json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "integer", "minimum": 3 } } }),
        ),
        tool("b", json!({ "type": "object" })),
        tool("impossible", json!(false)),
    ]);
    let model = Auto::default();
    let with = |turn, messages| ModelCall { tools: Arc::clone(&tools), ..call(turn, messages) };
    let first = ask(&model, with(1, vec![user("go")])).await.0.unwrap();
    let made: Vec<_> = first.calls.iter().map(|c| (c.name.as_str(), c.arguments.get())).collect();
    assert_eq!(made, [("a", r#"{"n":3}"#), ("b", "{}"), ("impossible", "{}")]);

    let mut messages =
        vec![user("go"), Message::Assistant(first), result("a", "{\"x\":\n1}", false), result("b", "no", true)];
    let next = ask(&model, with(2, messages.clone())).await.0.unwrap();
    assert_eq!(next.calls.len(), 1, "the one without an answer");
    messages.extend([Message::Assistant(next), result("impossible", &"y".repeat(500), true)]);
    let last = ask(&model, with(3, messages)).await.0.unwrap();
    assert!(last.calls.is_empty());
    let expected = "This is a scripted model, no AI. It called every tool once:\n- a: {\"x\": 1}\n- b: error: no\n- impossible: error: yyy";
    assert!(last.text.starts_with(expected), "{}", last.text);
    assert!(last.text.ends_with("y…"));
    assert!(ask(&model, call(1, vec![user("go")])).await.0.unwrap().text.contains("has none"));
}

#[test]
fn the_scripts_of_the_guide_and_of_the_examples_are_valid() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let guide = std::fs::read_to_string(format!("{root}/docs/rehearsal.md")).unwrap();
    let blocks = guide.split("```yaml\n").skip(1).map(|b| b.split("```").next().unwrap().to_owned());
    let scripts = std::fs::read_dir(format!("{root}/examples")).unwrap().filter_map(|dir| {
        // Not every example has a script.
        std::fs::read_to_string(dir.unwrap().path().join("script.yaml")).ok()
    });
    let all: Vec<String> = blocks.chain(scripts).collect();
    assert!(all.len() >= 3, "only {} scripts found", all.len());
    for script in all {
        Script::parse(&script).unwrap_or_else(|e| panic!("{e} in\n{script}"));
    }
}
