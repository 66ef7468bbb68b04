//! Humans are asked, answer, pause and resume.

use serde_json::json;
use stead_core::{code, effect::EffectClass, time::Span};
use stead_ports::journal::Status;

use crate::common::*;

#[test]
fn a_run_that_waits_for_a_human_leaves_memory_and_goes_on_after_a_restart() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({"a": 1}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.empties();
    assert_eq!(node.status(run), Status::Waiting);
    node.crash();
    let node = lab.open();
    let approvals = node.go(node.engine().approvals(&all_approvals())).unwrap().items;
    assert_eq!((approvals.len(), approvals[0].effect, approvals[0].arguments.as_str()), (1, effect, r#"{"a":1}"#));
    node.approve(effect, true).unwrap();
    assert_eq!(node.completes(run), "done");
    assert_eq!(act.count(), 1);
    assert_eq!(node.approve(effect, true).unwrap_err().code(), code::CONFLICT);
    node.empties();
}

#[test]
fn a_denial_is_told_to_the_model_and_the_action_is_not_done() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.go(node.engine().approve(effect, false, "olga".into(), Some("too much".into()), None)).unwrap();
    assert_eq!(node.completes(run), "ST0044: a human (olga) denied this action: too much");
    assert_eq!(act.count(), 0);
}

#[test]
fn of_two_answers_at_once_one_counts() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    let engine = node.engine();
    let answers = node
        .go(futures_util::future::join_all((0..20).map(|_| engine.approve(effect, true, "olga".into(), None, None))));
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
    assert!(answers.iter().filter_map(|a| a.as_ref().err()).all(|e| e.code() == code::CONFLICT));
    node.completes(run);
    assert_eq!(act.count(), 1);
}

#[test]
fn a_question_expires_by_itself_also_over_a_restart() {
    for restart in [false, true] {
        let clock = HandClock::new();
        let lab = lab_with(std::sync::Arc::new(clock.clone()));
        let act = tool("act", EffectClass::Irreversible).asks();
        let ttl = Some(Span::from_secs(3_600));
        let v = lab.add(agent("a").tool(&act).config(|c| c.approval_ttl = ttl).model(once("act", json!({}))));
        let mut node = lab.open();
        let run = node.start(v, "x").run;
        let effect = node.asked(run);
        node.empties();
        if restart {
            node.crash();
            node = lab.open();
        }
        clock.advance(Span::from_secs(3_601));
        assert!(node.completes(run).starts_with("ST0045: nobody approved this action in time"));
        assert_eq!(act.count(), 0);
        assert_eq!(node.approve(effect, true).unwrap_err().code(), code::CONFLICT);
    }
}

#[test]
fn a_pause_holds_what_comes_next_and_a_resume_goes_on() {
    let lab = lab();
    let gate = Gate::closed();
    let (first, second) = (tool("first", EffectClass::Irreversible).gated(&gate), tool("second", EffectClass::Pure));
    let v = lab.add(agent("a").tool(&first).tool(&second).model(turns(vec![
        call("first", json!({})),
        call("second", json!({})),
        say("end"),
    ])));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(engine.pause(run, me())).unwrap();
    node.go(engine.pause(run, me())).unwrap();
    gate.open(1);
    // What was under way finishes, and the run leaves memory.
    node.empties();
    assert_eq!((node.status(run), second.count()), (Status::Paused, 0));
    assert_eq!(tally(&node.kinds(run))["model_requested"], 1);
    drop(engine);
    node.crash();
    let node = lab.open();
    node.empties();
    assert_eq!(node.status(run), Status::Paused);
    node.go(node.engine().resume(run, me())).unwrap();
    assert_eq!(node.completes(run), "end");
    assert_eq!((first.count(), second.count()), (1, 1));
    assert_eq!(node.go(node.engine().resume(run, me())).unwrap_err().code(), code::CONFLICT);
}

#[test]
fn an_approval_while_paused_is_recorded_and_used_on_resume() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.go(node.engine().pause(run, me())).unwrap();
    node.approve(effect, true).unwrap();
    node.empties();
    assert_eq!((act.count(), node.status(run)), (0, Status::Paused));
    node.crash();
    let node = lab.open();
    node.go(node.engine().resume(run, me())).unwrap();
    assert_eq!(node.completes(run), "done");
    assert_eq!(act.count(), 1);
}

#[test]
fn an_answer_given_to_an_engine_at_rest_is_acted_on_by_the_next_engine() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.crash();
    let node = lab.open_with(stead_engine::Options { at_rest: true, ..lab.options.clone() });
    node.approve(effect, true).unwrap();
    node.empties();
    assert_eq!(act.count(), 0);
    node.crash();
    let node = lab.open();
    assert_eq!(node.completes(run), "done");
    assert_eq!(act.count(), 1);
}

#[test]
fn a_question_leaves_the_list_when_it_is_answered_expires_or_is_withdrawn() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(
        agent("a").tool(&act).config(|c| c.approval_ttl = Some(Span::from_secs(60))).model(once("act", json!({}))),
    );
    let node = lab.open();
    let listed = || node.go(node.engine().approvals(&all_approvals())).unwrap().items.len();
    let runs: Vec<_> = (0..4).map(|i| node.start(v, &i.to_string()).run).collect();
    let effects: Vec<_> = runs.iter().map(|run| node.asked(*run)).collect();
    assert_eq!(listed(), 4);
    node.approve(effects[0], true).unwrap();
    node.approve(effects[1], false).unwrap();
    assert_eq!(listed(), 2);
    node.go(node.engine().stop(runs[2], stead_core::fact::StopMode::Cancel, me())).unwrap();
    node.end(runs[2]);
    assert_eq!(listed(), 1);
    clock.advance(Span::from_secs(61));
    node.end(runs[3]);
    assert_eq!(listed(), 0);
}
