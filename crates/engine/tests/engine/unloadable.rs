//! A run is never trapped: when the version that it keeps cannot be loaded, it holds, and can be stopped, killed, paused
//! and denied like any other; nothing of it is dispatched meanwhile.

use serde_json::json;
use stead_core::{
    budget::Limits,
    code,
    effect::EffectClass,
    fact::StopMode,
    id::{EffectId, RunId, VersionId},
    time::Span,
};
use stead_engine::Cause;
use stead_ports::journal::Status;

use crate::common::*;

fn child_of(run: RunId) -> RunId {
    EffectId { run, n: 1 }.child().0
}

/// An agent that asks a human before it acts.
fn asks(name: &str) -> (Maker, TestTool) {
    let act = tool("act", EffectClass::Irreversible).asks();
    (agent(name).tool(&act).model(once("act", json!({}))), act)
}

/// A parent whose child waits for a human; neither is in memory.
fn family(lab: &Lab, node: &Node, deadline: Option<Span>) -> (RunId, [VersionId; 2]) {
    let child = lab.add(asks("child").0);
    let (mine, limits) = (agent_tool("child", child, Limits::default()), Limits { deadline, ..Limits::default() });
    let parent = agent("parent").tool(&mine).model(once("child", json!({"input": "y"})));
    let parent = lab.add(parent.config(|c| c.limits = limits));
    let run = node.start(parent, "x").run;
    let engine = node.engine();
    node.go(async { while engine.view(child_of(run)).await.map_or(true, |v| v.approvals.is_empty()) {} });
    node.empties();
    (run, [parent, child])
}

#[test]
fn a_run_whose_version_cannot_be_loaded_can_be_stopped_paused_and_denied() {
    let lab = lab();
    let node = lab.open();
    let begin = |name: &str| {
        let (maker, act) = asks(name);
        let v = lab.add(maker);
        let run = node.start(v, "x").run;
        let effect = node.asked(run);
        node.empties();
        lab.remove(v);
        (run, effect, act)
    };
    for (name, mode) in [("stopped", StopMode::Cancel), ("killed", StopMode::Kill)] {
        let (run, effect, act) = begin(name);
        assert_eq!(node.approve(effect, true).unwrap_err().code(), code::VERSION_GONE);
        node.go(node.engine().stop(run, mode, me())).unwrap();
        assert_eq!((node.end(run).0, act.count()), (Status::Cancelled, 0));
        // Ended, it needs no version to say so.
        assert_eq!(node.go(node.engine().pause(run, me())).unwrap_err().code(), code::CONFLICT);
    }
    let (run, effect, act) = begin("paused");
    node.go(node.engine().pause(run, me())).unwrap();
    assert_eq!(node.status(run), Status::Paused);
    assert_eq!(node.go(node.engine().resume(run, me())).unwrap_err().code(), code::VERSION_GONE);
    lab.add(agent("paused").tool(&act).model(once("act", json!({}))));
    node.go(node.engine().resume(run, me())).unwrap();
    node.approve(effect, true).unwrap();
    assert_eq!((node.completes(run).as_str(), act.count()), ("done", 1));

    let (run, effect, act) = begin("denied");
    node.approve(effect, false).unwrap();
    assert!(node.kinds(run).contains(&"approval_given".to_owned()), "{:?}", node.kinds(run));
    lab.add(agent("denied").tool(&act).model(once("act", json!({}))));
    // Whoever asks for anything loads it.
    node.go(node.engine().pause(run, me())).unwrap();
    node.go(node.engine().resume(run, me())).unwrap();
    assert!(node.completes(run).contains("ST0044"), "{}", node.end(run).1);
    assert_eq!(act.count(), 0);
    node.empties();
}

#[test]
fn an_effect_that_was_under_way_when_its_version_went_is_surfaced_and_its_run_killed() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.crash();
    lab.remove(v);
    let node = lab.open();
    node.go(node.engine().stop(run, StopMode::Kill, me())).unwrap();
    assert_eq!((node.end(run).0, act.count()), (Status::Cancelled, 1));
    assert_eq!(tally(&node.kinds(run))["effect_unknown"], 1, "{:?}", node.kinds(run));
    node.empties();
}

#[test]
fn a_parent_and_its_child_are_stopped_whichever_of_them_cannot_be_loaded() {
    for gone in [&[0, 1][..], &[0], &[1]] {
        let lab = lab();
        let node = lab.open();
        let (run, versions) = family(&lab, &node, None);
        gone.iter().for_each(|i| lab.remove(versions[*i]));
        node.go(node.engine().pause(run, me())).unwrap();
        assert_eq!((node.status(run), node.status(child_of(run))), (Status::Paused, Status::Paused), "{gone:?}");
        node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
        assert_eq!(node.end(child_of(run)).0, Status::Cancelled, "{gone:?}");
        assert_eq!(node.end(run).0, Status::Cancelled, "{gone:?}");
        node.empties();
    }
}

#[test]
fn a_child_that_lives_is_waited_for_though_its_version_cannot_be_loaded() {
    let lab = lab();
    let node = lab.open();
    let (run, [_, child]) = family(&lab, &node, None);
    node.crash();
    lab.remove(child);
    let node = lab.open();
    // Both are taken up again; the parent is not told that its child could not be started, which would let it start another.
    node.empties();
    assert_eq!((node.status(run), node.status(child_of(run))), (Status::Running, Status::Waiting));
    let (maker, act) = asks("child");
    lab.add(maker);
    node.approve(EffectId { run: child_of(run), n: 1 }, true).unwrap();
    assert_eq!((node.completes(run).as_str(), act.count()), ("done", 1));
    node.empties();
}

#[test]
fn the_time_of_a_run_without_its_version_runs_out_and_its_child_is_stopped_with_it() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let node = lab.open();
    let (run, versions) = family(&lab, &node, Some(Span::from_secs(3_600)));
    versions.iter().for_each(|v| lab.remove(*v));
    clock.advance(Span::from_secs(3_601));
    assert_eq!(node.fails(run).0, code::BUDGET);
    assert_eq!(node.end(child_of(run)).0, Status::Cancelled);
    node.empties();
}

#[test]
fn runs_of_a_session_that_cannot_be_loaded_can_be_stopped_and_the_next_one_goes() {
    let lab = lab();
    let node = lab.open();
    let (v, w) = (lab.add(asks("a").0), lab.add(agent("b").version_of("a").model(turns(vec![say("mine")]))));
    let session = node.session("a", "k");
    let runs = [v, v, w].map(|v| node.start_in(v, session, "x").run);
    node.asked(runs[0]);
    node.empties();
    lab.remove(v);
    let engine = node.engine();
    node.go(engine.stop(runs[0], StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(runs[0]).0, Status::Cancelled);
    assert_eq!(node.status(runs[2]), Status::Queued);
    node.go(engine.stop(runs[1], StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(runs[1]).0, Status::Cancelled);
    assert_eq!(node.completes(runs[2]), "mine");
    node.empties();
}

#[test]
fn a_run_is_tried_again_at_one_time_however_often_it_is_asked_for_and_says_why_it_waits() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let (maker, act) = asks("a");
    let v = lab.add(maker);
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.empties();
    lab.remove(v);
    assert!(node.approve(effect, true).is_err());
    node.empties();
    let sleepers = clock.sleepers();
    for _ in 0..5 {
        assert!(node.approve(effect, true).is_err());
        node.go(node.engine().pause(run, me())).unwrap();
        node.empties();
    }
    assert_eq!(clock.sleepers(), sleepers, "one timer, not one for each time that it was asked for");
    let why = node.go(node.engine().why(run)).unwrap();
    let [Cause::Unloadable { code, detail, again: Some(again) }, Cause::Paused { .. }, Cause::Human { .. }] =
        &why.causes[..]
    else {
        panic!("{:?}", why.causes)
    };
    assert_eq!((*code, detail.as_str()), (code::VERSION_GONE, "no such version"));
    // What is denied is recorded; what follows from it waits for the version.
    node.approve(effect, false).unwrap();
    node.empties();
    lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    node.go(node.engine().resume(run, me())).unwrap();
    node.completes(run);
    let why = node.go(node.engine().why(run)).unwrap();
    assert!(matches!(why.causes[..], [Cause::Completed]), "{:?}", why.causes);
    assert!(again.0 > 1_800_000_000_000_000);
    node.empties();
}

#[test]
fn a_run_goes_on_by_itself_when_its_version_is_back() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let (maker, act) = asks("a");
    let v = lab.add(maker);
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.empties();
    lab.remove(v);
    node.approve(effect, false).unwrap();
    node.empties();
    lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    clock.advance(Span::from_secs(60));
    node.completes(run);
    node.empties();
}

#[test]
fn at_rest_what_is_said_of_a_run_is_recorded_without_its_version() {
    let lab = lab();
    let (maker, act) = asks("a");
    let v = lab.add(maker);
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.empties();
    node.crash();
    lab.remove(v);
    let node = lab.open_with(stead_engine::Options { at_rest: true, ..lab.options.clone() });
    let why = node.go(node.engine().why(run)).unwrap();
    assert!(matches!(why.causes[..], [Cause::Unloadable { again: None, .. }, Cause::Human { .. }]), "{:?}", why.causes);
    node.approve(effect, true).unwrap();
    node.crash();
    lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    assert_eq!((node.completes(run).as_str(), act.count()), ("done", 1));
    node.empties();
}

#[test]
fn what_was_approved_is_not_lost_while_the_version_cannot_be_loaded() {
    let lab = lab();
    lab.policies.apply(
        r#"@require("approval") @approvers("finance") @quorum("2") @ttl("15m")
           forbid (principal, action in Action::"call_tool", resource);"#,
    );
    let act = tool("act", EffectClass::Irreversible);
    let both = calls(&[("act", json!({ "n": 1 })), ("act", json!({ "n": 2 }))]);
    let script = move || {
        let both = both.clone();
        model(move |asked| if last_result(asked).is_some() { say("done") } else { both.clone() })
    };
    let v = lab.add(agent("a").tool(&act).model(script()));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(node.engine().wait(run, true)).unwrap();
    let [first, second] = [1, 2].map(|n| EffectId { run, n });
    let finance = |name: &str| stead_core::ruling::Person { name: name.into(), roles: vec!["finance".into()] };
    node.go(node.engine().approve(first, true, finance("ann"), None, None)).unwrap();
    node.empties();
    node.crash();
    lab.remove(v);
    let node = lab.open();
    node.approve(second, false).unwrap();
    let view = node.go(node.engine().view(run)).unwrap();
    assert_eq!(view.approvals.iter().map(|a| (a.effect, a.given.len())).collect::<Vec<_>>(), [(first, 1)]);
    node.empties();
    lab.add(agent("a").tool(&act).model(script()));
    node.go(node.engine().approve(first, true, finance("cem"), None, None)).unwrap();
    assert_eq!((node.completes(run).as_str(), act.count()), ("done", 1));
}
