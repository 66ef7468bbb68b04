//! A process that ends in the middle of a tool or a model call: each class of effect is settled by its rule.

use serde_json::json;
use stead_core::{
    code,
    effect::{EffectClass, OnUnknown, Outcome, Reconciled},
    fact::Fact,
    id::RunId,
    time::Span,
};
use stead_ports::tool::Output;

use crate::common::*;

/// A lab whose agent is inside `tool` when its process crashes.
fn crashed_inside(tool: &TestTool, gate: &Gate) -> (Lab, RunId) {
    let lab = lab();
    let v = lab.add(agent("a").tool(tool).model(once("act", json!({"order": 7}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.crash();
    (lab, run)
}

#[test]
fn pure_and_contained_tools_are_run_again() {
    for class in [EffectClass::Pure, EffectClass::Contained] {
        let gate = Gate::closed();
        let act = hangs_once(class, &gate);
        let (lab, run) = crashed_inside(&act, &gate);
        let node = lab.open();
        assert_eq!(node.completes(run), "done");
        assert_eq!(act.count(), 2);
        node.empties();
    }
}

#[test]
fn a_keyed_tool_is_run_again_under_the_same_key() {
    let gate = Gate::closed();
    let mut act = hangs_once(EffectClass::Keyed, &gate);
    let (lab, run) = crashed_inside(&act, &gate);
    assert_eq!(lab.open().completes(run), "done");
    assert_eq!(act.keys(), vec![format!("{run}.e1").into(); 2]);

    act = hangs_once(EffectClass::Keyed, &gate);
    act.key = Some("$.order".into());
    let (lab, run) = crashed_inside(&act, &gate);
    assert_eq!(lab.open().completes(run), "done");
    assert_eq!(act.keys(), ["7".into(), "7".into()]);
}

#[test]
fn a_reconcilable_effect_is_asked_about_first() {
    let gate = Gate::closed();
    let happened = hangs_once(EffectClass::Reconcilable, &gate).answers(|_| Reconciled::Happened(Output::ok("it did")));
    let (lab, run) = crashed_inside(&happened, &gate);
    assert_eq!(lab.open().completes(run), "it did");
    assert_eq!((happened.count(), happened.asked()), (1, 1));

    let absent = hangs_once(EffectClass::Reconcilable, &gate).answers(|_| Reconciled::Absent);
    let (lab, run) = crashed_inside(&absent, &gate);
    assert_eq!(lab.open().completes(run), "done");
    assert_eq!((absent.count(), absent.asked()), (2, 1));

    let mut silent = hangs_once(EffectClass::Reconcilable, &gate);
    silent = silent.answers(|_| Reconciled::StillUnknown);
    silent.rules.attempts = 2;
    let (lab, run) = crashed_inside(&silent, &gate);
    assert!(lab.open().completes(run).contains("unknown"));
    assert_eq!(silent.count(), 1);
    assert!(silent.asked() >= 2);
}

#[test]
fn absent_counts_only_after_the_settle_time() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let gate = Gate::closed();
    let asked = Gate::closed();
    let asks = asked.clone();
    let mut act = hangs_once(EffectClass::Reconcilable, &gate).answers(move |_| {
        // Only noted: nobody waits at this gate.
        let asks = asks.clone();
        asks.note();
        Reconciled::Absent
    });
    act.rules.settle = Span::from_secs(3_600);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.crash();
    let node = lab.open();
    node.go(asked.arrived());
    node.empties();
    assert_eq!(act.count(), 1);
    clock.advance(Span::from_secs(3_601));
    assert_eq!(node.completes(run), "done");
    assert_eq!((act.count(), act.asked()), (2, 2));
}

#[test]
fn a_crash_while_the_destination_is_being_asked_is_asked_again() {
    let gate = Gate::closed();
    let act = hangs_once(EffectClass::Reconcilable, &gate);
    let ask = Gate::closed();
    let act = act.answers_at(&ask, Reconciled::Happened(Output::ok("it did")));
    let (lab, run) = crashed_inside(&act, &gate);
    let node = lab.open();
    node.go(ask.arrived());
    node.crash();
    ask.open(10);
    assert_eq!(lab.open().completes(run), "it did");
    assert_eq!(act.count(), 1);
}

#[test]
fn an_irreversible_or_compensable_effect_is_never_repeated_and_the_model_is_told() {
    for class in [EffectClass::Irreversible, EffectClass::Compensable] {
        let gate = Gate::closed();
        let act = hangs_once(class, &gate);
        let (lab, run) = crashed_inside(&act, &gate);
        let node = lab.open();
        assert!(node.completes(run).contains("may or may not have happened"));
        assert_eq!(act.count(), 1);
        assert_eq!(node.engine().stats().effects_unknown, 1);
    }
}

#[test]
fn a_human_decides_about_an_unknown_effect_when_the_manifest_says_so() {
    for (yes, count) in [(true, 2), (false, 1)] {
        let gate = Gate::closed();
        let act = hangs_once(EffectClass::Irreversible, &gate).on_unknown(OnUnknown::Ask);
        let (lab, run) = crashed_inside(&act, &gate);
        let node = lab.open();
        let effect = node.asked(run);
        node.empties();
        node.approve(effect, yes).unwrap();
        let text = node.completes(run);
        assert_eq!(text.contains("denied"), !yes, "{text}");
        assert_eq!(act.count(), count);
    }
}

#[test]
fn a_model_call_that_is_lost_is_settled_at_its_full_reservation_and_made_again() {
    let lab = lab();
    let gate = Gate::closed();
    let held = gate.clone();
    let v = lab.add(agent("a").model(std::sync::Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(say("hi"))
        })
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.crash();
    gate.open(10);
    let node = lab.open();
    assert_eq!(node.completes(run), "hi");
    let facts = node.facts(run);
    let reserved = facts.iter().find_map(|f| match &f.fact {
        Fact::ModelRequested(m) => Some(m.reserved),
        _ => None,
    });
    let lost = facts.iter().find_map(|f| match &f.fact {
        Fact::ModelFailed(m) => Some(m.clone()),
        _ => None,
    });
    let lost = lost.unwrap();
    assert_eq!((lost.code, Some(lost.spent), lost.estimated), (code::MODEL_LOST, reserved, true));
}

#[test]
fn a_tool_that_takes_too_long_is_unknown_and_its_late_answer_corrects_the_ledger() {
    let lab = lab();
    let (late, ask) = (Gate::closed(), Gate::closed());
    let act = tool("act", EffectClass::Irreversible).gated(&late).times_out_after(20);
    let look = tool("look", EffectClass::Pure).gated(&ask);
    let v = lab.add(agent("a").tool(&act).tool(&look).model(model(|c| match c.turn {
        1 => call("act", json!({})),
        2 | 3 => call("look", json!({ "turn": c.turn })),
        _ => {
            let notice = c.messages.iter().find_map(|m| match &**m {
                stead_core::message::Message::User { text, .. } if text.starts_with("[notice") => Some(text.clone()),
                _ => None,
            });
            say(notice.unwrap_or_default())
        }
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(ask.arrived());
    assert!(node.kinds(run).contains(&"effect_unknown".to_owned()));
    late.open(1);
    let engine = node.engine();
    node.go(async {
        while !engine.facts(run, 0, 100).await.unwrap().iter().any(|f| kind(&f.fact) == "effect_returned") {}
    });
    ask.open(2);
    assert!(node.completes(run).ends_with("A late answer to an earlier action: done"));
    assert_eq!(act.count(), 1);
}

#[test]
fn a_keyed_tool_that_takes_too_long_is_tried_again_under_the_same_key() {
    let lab = lab();
    let gate = Gate::closed();
    let act = hangs_once(EffectClass::Keyed, &gate).times_out_after(20);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    assert_eq!(node.completes(node.start(v, "x").run), "done");
    let keys = act.keys();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

#[test]
fn what_was_not_sent_is_tried_again_a_few_times_and_then_told() {
    let lab = lab();
    let mut act =
        tool("act", EffectClass::Irreversible).does(|_| async { Outcome::NotSent(Output::error("no route")) });
    act.rules.attempts = 3;
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    assert_eq!(node.completes(node.start(v, "x").run), "ST0049: no route");
    assert_eq!(act.count(), 3);
}

#[test]
fn an_equal_call_after_an_unknown_one_needs_a_human() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).does(|_| async { Outcome::Unknown(Output::error("500")) });
    let v = lab.add(agent("a").tool(&act).model(model(|c| match c.turn {
        1 | 2 => call("act", json!({"a": 1})),
        _ => say("gave up"),
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    assert_eq!((effect.n, act.count()), (2, 1));
    node.approve(effect, false).unwrap();
    assert_eq!(node.completes(run), "gave up");
    assert_eq!(act.count(), 1);
}
