//! Promise 6, before it is approved: people are shown what an action would do, and it is done only while that holds.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use stead_core::{
    budget::Limits,
    effect::{EffectClass, OnUnknown, Outcome},
    fact::{Fact, Precondition},
    id::{EffectId, RunId},
};
use stead_engine::SeenView;
use stead_ports::{agent::Binds, journal::Status, tool::Output};

use crate::common::{Gate, Lab, Node, TestTool, agent, calls, lab, last_result, me, model, say, tool};

/// What a tool that looks answers.
fn looks(answer: Value) -> TestTool {
    tool("look", EffectClass::Pure).does(move |_| {
        let answer = answer.to_string();
        async move { Outcome::Returned(Output { etag: Some("\"v7\"".into()), ..Output::ok(answer) }) }
    })
}

fn rows(n: u64) -> Value {
    json!({ "columns": ["n"], "rows": [{ "n": n }], "truncated": false })
}

type Held = Arc<Mutex<Vec<Option<Precondition>>>>;

/// A tool that asks a human, and notes what it is held to.
fn purge() -> (TestTool, Held) {
    let held: Held = Arc::default();
    let noted = held.clone();
    let purge = tool("purge", EffectClass::Irreversible).asks().does(move |invocation| {
        noted.lock().push(invocation.precondition.clone());
        async { Outcome::Returned(Output::ok("purged")) }
    });
    (purge, held)
}

/// What the model reads, all of it.
type Read = Arc<Mutex<Vec<String>>>;

fn desk(lab: &Lab, purge: &TestTool, look: &TestTool, limits: Limits) -> (Node, RunId, Read) {
    let read: Read = Arc::default();
    let noted = read.clone();
    let script = model(move |call| {
        noted.lock().push(format!("{:?}", call.messages));
        match last_result(call) {
            None => calls(&[("purge", json!({ "older": 30 }))]),
            Some(_) => say("done"),
        }
    });
    let v = lab.add(agent("desk").tool(purge).tool(look).model(script).config(|c| c.limits = limits));
    let node = lab.open();
    let run = node.start(v, "x").run;
    (node, run, read)
}

fn shown(node: &Node, effect: EffectId) -> Option<SeenView> {
    let view = node.go(node.engine().view(effect.run)).unwrap();
    view.approvals.into_iter().find(|a| a.effect == effect).unwrap().preview
}

#[test]
fn what_people_are_shown_binds_what_is_done_and_no_model_reads_it() {
    let lab = lab();
    let (purge, held) = purge();
    let look = looks(rows(4_000));
    let purge = purge.seen_by(&look, Some(Binds::Rows));
    let (node, run, read) = desk(&lab, &purge, &look, Limits::default());
    let effect = node.asked(run);
    let seen = shown(&node, effect).unwrap();
    assert_eq!((&*seen.text, seen.precondition.as_deref()), ("4,000 rows", Some("exactly 4000 rows are changed")));
    assert_eq!((look.count(), purge.count()), (1, 0));
    node.approve(effect, true).unwrap();
    node.completes(run);
    assert_eq!(*held.lock(), [Some(Precondition::Rows(4_000))]);
    assert!(!read.lock().iter().any(|text| text.contains("4000") || text.contains("4,000")), "{read:?}");
    let kinds = node.kinds(run);
    let at = |kind: &str| kinds.iter().position(|k| k == kind).unwrap();
    assert!(at("effect_decided") < at("preview_decided") && at("preview_decided") < at("previewed"));
    assert_eq!(at("previewed") + 1, at("approval_requested"), "the question is in the same record: {kinds:?}");
    // The look has counted as a call of the run.
    let decided = node.facts(run).into_iter().find_map(|f| match f.fact {
        Fact::PreviewDecided(decided) => Some(decided),
        _ => None,
    });
    assert_eq!(decided.unwrap().tool, "look".into());
}

#[test]
fn an_entity_tag_binds_and_what_binds_nothing_says_so() {
    for (binds, precondition) in [(Some(Binds::Etag), Some(Precondition::Etag("\"v7\"".into()))), (None, None)] {
        let lab = lab();
        let (purge, held) = purge();
        let look = looks(json!({ "status": "open" }));
        let purge = purge.seen_by(&look, binds);
        let (node, run, _) = desk(&lab, &purge, &look, Limits::default());
        let effect = node.asked(run);
        let seen = shown(&node, effect).unwrap();
        assert_eq!(seen.text, r#"{"status":"open"}"#);
        assert_eq!(seen.precondition, precondition.as_ref().map(ToString::to_string));
        node.approve(effect, true).unwrap();
        node.completes(run);
        assert_eq!(*held.lock(), [precondition]);
    }
}

#[test]
fn a_look_that_comes_to_nothing_is_told_and_the_question_is_asked_all_the_same() {
    let fails = tool("look", EffectClass::Pure).does(|_| async { Outcome::Unknown(Output::error("no route")) });
    let hangs = tool("look", EffectClass::Pure).gated(&Gate::closed()).times_out_after(20);
    let odd = looks(json!({ "rows": [] }));
    let few = Limits { tool_calls: Some(1), ..Limits::default() };
    let forbids = r#"@id("closed") @reason("not for you") forbid (principal, action == Action::"look", resource);"#;
    let asks = r#"@id("two") @require("approval") @approvers("x") @quorum("1") @ttl("1m")
        forbid (principal, action == Action::"look", resource);"#;
    let cases = [
        (fails, Limits::default(), "", "no route", 1),
        (hangs, Limits::default(), "", "no answer within", 1),
        (odd, Limits::default(), "", "not one number", 1),
        (looks(rows(1)), few, "", "budget", 0),
        (looks(rows(1)), Limits::default(), forbids, "not for you", 0),
        (looks(rows(1)), Limits::default(), asks, "approval of its own", 0),
    ];
    for (look, limits, policies, why, looked) in cases {
        let lab = lab();
        lab.policies.apply(policies);
        let (purge, held) = purge();
        let purge = purge.seen_by(&look, Some(Binds::Rows));
        let (node, run, _) = desk(&lab, &purge, &look, limits);
        let effect = node.asked(run);
        let seen = shown(&node, effect).unwrap();
        assert!(seen.text.starts_with("ST0387: there is none: ") && seen.text.contains(why), "{why}: {}", seen.text);
        assert_eq!((seen.precondition, look.count()), (None, looked), "{why}");
        node.approve(effect, true).unwrap();
        node.completes(run);
        assert_eq!(*held.lock(), [None], "{why}");
    }
}

#[test]
fn a_look_that_a_crash_cut_off_is_made_again() {
    let lab = lab();
    let (purge, held) = purge();
    let gate = Gate::closed();
    let look = crate::common::hangs_once(EffectClass::Pure, &gate);
    let purge = purge.seen_by(&look, None);
    let (node, run, _) = desk(&lab, &purge, &look, Limits::default());
    node.go(gate.arrived());
    node.crash();
    let node = lab.open();
    let effect = node.asked(run);
    assert_eq!(shown(&node, effect).unwrap().text, "done");
    assert_eq!(look.count(), 2);
    let decided = node.kinds(run).iter().filter(|k| *k == "preview_decided").count();
    assert_eq!(decided, 1, "it was decided once");
    node.approve(effect, true).unwrap();
    node.completes(run);
    assert_eq!(held.lock().len(), 1);
}

#[test]
fn what_is_not_so_any_more_is_not_done_and_the_model_is_told() {
    let lab = lab();
    let look = looks(rows(2));
    let purge = tool("purge", EffectClass::Irreversible)
        .asks()
        .does(|_| async { Outcome::Refused(Output::error("ST0386: not done")) })
        .seen_by(&look, Some(Binds::Rows));
    let (node, run, read) = desk(&lab, &purge, &look, Limits::default());
    let effect = node.asked(run);
    node.approve(effect, true).unwrap();
    node.completes(run);
    assert!(node.kinds(run).contains(&"effect_refused".to_owned()));
    assert!(read.lock().last().unwrap().contains("ST0386: not done"));
    // What would not see to it is not even tried.
    let deaf = tool("purge", EffectClass::Irreversible).asks().seen_by(&look, Some(Binds::Rows)).deaf();
    let other = crate::common::lab();
    let (node, run, read) = desk(&other, &deaf, &look, Limits::default());
    node.approve(node.asked(run), true).unwrap();
    node.completes(run);
    assert_eq!(deaf.count(), 0);
    assert!(read.lock().last().unwrap().contains("ST0386"), "{read:?}");
}

#[test]
fn while_a_run_is_paused_or_once_it_is_stopped_nothing_is_looked_at() {
    let lab = lab();
    let (purge, _) = purge();
    let gate = Gate::closed();
    let look = crate::common::hangs_once(EffectClass::Pure, &gate);
    let purge = purge.seen_by(&look, None);
    let (node, run, _) = desk(&lab, &purge, &look, Limits::default());
    node.go(gate.arrived());
    node.go(node.engine().pause(run, me())).unwrap();
    node.empties();
    assert_eq!((look.count(), node.status(run)), (1, Status::Paused));
    node.go(node.engine().resume(run, me())).unwrap();
    let effect = node.asked(run);
    assert_eq!((look.count(), shown(&node, effect).unwrap().text.as_str()), (2, "done"));
    let gate = Gate::closed();
    let look = crate::common::hangs_once(EffectClass::Pure, &gate);
    let (purge, _) = self::purge();
    let purge = purge.seen_by(&look, None);
    let other = crate::common::lab();
    let (node, run, _) = desk(&other, &purge, &look, Limits::default());
    node.go(gate.arrived());
    node.go(node.engine().stop(run, stead_core::fact::StopMode::Cancel, me())).unwrap();
    let view = node.go(node.engine().wait(run, false)).unwrap();
    assert_eq!((view.row.state.status, purge.count()), (Status::Cancelled, 0));
}

#[test]
fn a_question_about_an_unknown_outcome_keeps_what_was_shown_before() {
    let lab = lab();
    let look = looks(rows(2));
    let purge = tool("purge", EffectClass::Irreversible)
        .asks()
        .on_unknown(OnUnknown::Ask)
        .does(|_| async { Outcome::Unknown(Output::error("cut off")) })
        .seen_by(&look, Some(Binds::Rows));
    let (node, run, _) = desk(&lab, &purge, &look, Limits::default());
    let first = node.asked(run);
    node.approve(first, true).unwrap();
    let again = node.asked(run);
    assert_eq!((first, look.count()), (again, 1));
    assert_eq!(shown(&node, again).unwrap().precondition.as_deref(), Some("exactly 2 rows are changed"));
}
