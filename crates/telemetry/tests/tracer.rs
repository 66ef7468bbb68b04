//! The spans of a run follow from its records alone.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde_json::{Value, json};
use stead_core::{
    fact::Fact,
    id::{ActivationId, RunId},
    record::{Actor, Header, Payload, Record, Source, VERSION},
    time::Timestamp,
};
use stead_telemetry::{Span, Texts, Tracer, content::Mask};

const SECOND: i64 = 1_000_000;
const WEEK: i64 = 7 * 24 * 3_600 * SECOND;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000_000;

fn started(parent: Value, behalf: Value) -> Value {
    json!({
        "kind": "run_started", "agent": "refund-desk", "version": format!("sha256:{}", "ab".repeat(32)),
        "session": "ses_00000000000000000000000007", "parent": parent, "hops": 0, "input": 0, "behalf": behalf,
        "config": {
            "limits": {}, "models": [{ "name": "openai:gpt-5-mini", "max_output_tokens": 2000, "price": null }], "model_attempts": 3,
            "backoff": 1, "backoff_max": 1, "max_turns": 9, "context_tokens": 9, "approval_ttl": null, "overhead_tokens": 1,
        },
    })
}

fn record(run: u128, seq: u64, at: i64, facts: Value) -> Record {
    let facts: Vec<Fact> = serde_json::from_value(facts).unwrap();
    let header = Header {
        v: VERSION,
        run: RunId(run),
        seq,
        at: Timestamp(BEGIN + at),
        activation: ActivationId(1),
        epoch: 1,
        tenant: "default".into(),
        actor: Actor::Runtime,
        salt: [0; 16],
        subject_key: None,
    };
    let text = |n: usize| Payload::inline(format!("text {n}"), Source::User);
    Record { header, facts, payloads: (0..4).map(text).collect() }
}

fn requested(turn: u32, attempt: u32) -> Value {
    json!({ "kind": "model_requested", "turn": turn, "attempt": attempt, "model": 0, "reserved": { "tokens": 1, "usd": null } })
}

fn replied(turn: u32, attempt: u32, calls: &Value) -> Value {
    json!({
        "kind": "model_replied", "turn": turn, "attempt": attempt, "payload": 1, "calls": calls,
        "usage": { "input": 100, "cached": 40, "output": 10, "reasoning": 3 }, "spent": { "tokens": 110, "usd": 2500 },
    })
}

/// A run that asks people and waits a week, whose second turn fails once.
fn week() -> Vec<Record> {
    let rules =
        json!({ "ask": true, "on_unknown": "tell", "attempts": 3, "key_ttl": null, "settle": 0, "child": null });
    let call = json!([{
        "effect": 1, "tool": "payments_refund", "class": "keyed", "args": vec![0; 16], "schema": vec![0; 16], "rules": rules,
    }]);
    let decided = |verdict: &str| json!({ "kind": "effect_decided", "effect": 1, "verdict": verdict, "ruled": { "epoch": 3, "by": ["big"] } });
    let asked = json!({ "kind": "approval_requested", "effect": 1, "reason": "policy", "expires": null });
    let given = json!({ "kind": "approval_given", "effect": 1, "approved": true, "by": "user:grace" });
    let intended = json!({ "kind": "effect_intended", "effect": 1, "activation": 1, "attempt": 1 });
    let returned = json!({ "kind": "effect_returned", "effect": 1, "payload": 2, "late": false, "error": false });
    let failed = json!({
        "kind": "model_failed", "turn": 2, "attempt": 1, "code": "ST0021", "spent": { "tokens": 0, "usd": 0 }, "estimated": false,
        "next": null, "detail": null,
    });
    let admitted = json!({ "kind": "run_admitted", "base": null, "grant": {} });
    vec![
        record(1, 0, 0, json!([started(Value::Null, Value::Null), admitted, requested(1, 1)])),
        record(1, 1, SECOND, json!([replied(1, 1, &call), decided("ask"), asked])),
        record(1, 2, WEEK, json!([given, decided("allow"), intended])),
        record(1, 3, WEEK + SECOND, json!([returned, requested(2, 1)])),
        record(1, 4, WEEK + 2 * SECOND, json!([failed, requested(2, 2)])),
        record(1, 5, WEEK + 3 * SECOND, json!([replied(2, 2, &json!([])), { "kind": "run_completed", "turns": 2 }])),
    ]
}

fn spans(records: &[Record], texts: Texts<'_>) -> Vec<Span> {
    let mut tracer = Tracer::default();
    records.iter().flat_map(|record| tracer.record(record, texts)).collect()
}

fn said(span: &Span, key: &str) -> String {
    match span.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone()?.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(n)) => n.to_string(),
        Some(Any::DoubleValue(n)) => n.to_string(),
        _ => String::new(),
    }
}

fn one<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"))
}

#[test]
fn a_run_that_waited_a_week_is_one_trace_with_its_wait_and_its_failure() {
    let spans = spans(&week(), Texts::default());
    let traces: BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    assert_eq!((traces.len(), ids.len()), (1, spans.len()));
    let run = one(&spans, "invoke_agent refund-desk");
    assert!(run.parent_span_id.is_empty());
    assert_eq!(said(run, "gen_ai.usage.input_tokens"), "200");
    assert_eq!(said(run, "gen_ai.usage.cache_read.input_tokens"), "80");
    assert_eq!(said(run, "stead.cost.usd"), "0.005");
    let wait = one(&spans, "wait_for_approval payments_refund");
    assert_eq!(wait.end_time_unix_nano - wait.start_time_unix_nano, (WEEK - SECOND) as u64 * 1_000);
    assert_eq!(
        (said(wait, "stead.approval.reason"), said(wait, "stead.approval.outcome")),
        ("policy".into(), "approved".into())
    );
    let tool = one(&spans, "execute_tool payments_refund");
    assert_eq!((&wait.parent_span_id, &tool.parent_span_id), (&tool.span_id, &run.span_id));
    assert_eq!(one(&spans, "attempt_tool payments_refund").parent_span_id, tool.span_id);
    let chats: Vec<&Span> = spans.iter().filter(|span| span.name == "chat gpt-5-mini").collect();
    let errors: Vec<String> = chats.iter().map(|span| said(span, "error.type")).collect();
    assert_eq!(errors, ["", "ST0021", ""]);
    assert_eq!(said(chats[0], "gen_ai.provider.name"), "openai");
    let verdicts: Vec<String> = spans
        .iter()
        .filter(|span| span.name == "apply_guardrail policy")
        .map(|span| said(span, "gen_ai.guardrail.result.value"))
        .collect();
    assert_eq!(verdicts, ["ask", "allow"]);
}

#[test]
fn whoever_begins_anew_tells_the_same_and_what_goes_on_is_marked() {
    let records = week();
    let all = spans(&records, Texts::default());
    // A process that ended after each record: the next one derives what was, and tells what is new.
    let mut told = Vec::new();
    for n in 0..records.len() {
        let mut tracer = Tracer::default();
        let mut last = Vec::new();
        for record in &records[..=n] {
            last = tracer.record(record, Texts::default());
        }
        told.extend(last);
        let open = tracer.unfinished();
        assert_eq!(open.is_empty(), n + 1 == records.len());
        for span in open {
            assert!(span.attributes.iter().any(|a| a.key == "stead.unfinished"), "{span:?}");
            assert!(all.iter().any(|s| s.span_id == span.span_id), "it ends under the same id: {span:?}");
        }
    }
    assert_eq!(told, all);
    // A record that comes twice, or too early, changes nothing.
    let mut tracer = Tracer::default();
    let once: Vec<Span> = [0, 0, 2, 1, 1, 2, 3, 4, 5, 5]
        .iter()
        .flat_map(|n: &usize| tracer.record(&records[*n], Texts::default()))
        .collect();
    assert_eq!(once, all);
}

#[test]
fn a_child_and_a_run_of_somebodys_trace_stand_below_what_asked_for_them() {
    let all = spans(&week(), Texts::default());
    let tool = one(&all, "execute_tool payments_refund");
    let parent = json!({ "run": RunId(1).to_string(), "effect": 1 });
    let ended = json!({ "kind": "run_cancelled" });
    let child = spans(&[record(2, 0, 0, json!([started(parent, Value::Null), ended]))], Texts::default());
    let child = one(&child, "invoke_agent refund-desk");
    assert_eq!((&child.trace_id, &child.parent_span_id), (&tool.trace_id, &tool.span_id));
    let trace =
        json!({ "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "span": "00f067aa0ba902b7", "flags": 1, "state": "a=1" });
    let joined =
        spans(&[record(3, 0, 0, json!([started(Value::Null, json!({ "trace": trace })), ended]))], Texts::default());
    let joined = one(&joined, "invoke_agent refund-desk");
    assert_eq!(joined.trace_id[..2], [0x4b, 0xf9]);
    assert_eq!((joined.parent_span_id[1], joined.trace_state.as_str(), joined.flags), (0xf0, "a=1", 0x301));
}

#[test]
fn texts_are_told_when_there_is_a_mask_and_erased_ones_never() {
    let mask = Mask::new(["hunter2-hunter2".to_owned()]);
    let texts: Vec<Option<String>> = vec![
        Some("my key is hunter2-hunter2".into()),
        Some(r#"{"text":"Write to a@b.example"}"#.into()),
        Some("paid".into()),
        None,
    ];
    let shown = spans(&week(), Texts { all: &texts, mask: Some(&mask) });
    assert_eq!(said(one(&shown, "invoke_agent refund-desk"), "input.value"), "my key is [secret]");
    assert_eq!(said(one(&shown, "invoke_agent refund-desk"), "output.value"), "Write to [personal]");
    assert_eq!(said(one(&shown, "execute_tool payments_refund"), "gen_ai.tool.call.result"), "paid");
    let erased = spans(&week(), Texts { all: &[None, None, None, None], mask: Some(&mask) });
    let silent = spans(&week(), Texts { all: &texts, mask: None });
    assert_eq!(erased, spans(&week(), Texts::default()));
    assert_eq!(silent, spans(&week(), Texts::default()));
}
