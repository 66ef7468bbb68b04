//! After a stop is acknowledged nothing starts.

use futures_util::FutureExt;
use serde_json::json;
use stead_core::{
    budget::Limits,
    effect::{EffectClass, Outcome},
    fact::StopMode,
};
use stead_ports::{journal::Status, tool::Output};

use crate::common::*;

#[test]
fn a_cancel_lets_the_tool_finish_and_nothing_else_starts() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(turns(vec![call("act", json!({}))])));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
    gate.open(10);
    assert_eq!(node.end(run).0, Status::Cancelled);
    let kinds = node.kinds(run);
    assert_eq!((act.count(), tally(&kinds)["effect_returned"], tally(&kinds)["model_requested"]), (1, 1, 1));
    node.empties();
}

#[test]
fn a_kill_abandons_the_tool_and_its_outcome_is_unknown() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(turns(vec![call("act", json!({}))])));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(node.engine().stop(run, StopMode::Kill, me())).unwrap();
    assert_eq!(node.end(run).0, Status::Cancelled);
    assert_eq!(tally(&node.kinds(run))["effect_unknown"], 1);
    node.empties();
}

#[test]
fn calls_that_wait_for_a_permit_are_withdrawn_and_never_made() {
    let mut lab = lab();
    lab.options.max_tool_calls = 1;
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let three: Vec<_> = (0..3).map(|i| ("act", json!({ "i": i }))).collect();
    let v = lab.add(agent("a").tool(&act).model(turns(vec![calls(&three)])));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
    gate.open(10);
    assert_eq!(node.end(run).0, Status::Cancelled);
    let kinds = node.kinds(run);
    assert_eq!((act.count(), tally(&kinds)["effect_withdrawn"]), (1, 2));
}

#[test]
fn another_attempt_that_waits_for_a_permit_is_not_made_after_a_stop() {
    let mut lab = lab();
    lab.options.max_tool_calls = 1;
    let gate = Gate::closed();
    let block = tool("block", EffectClass::Pure).gated(&gate);
    let act = tool("act", EffectClass::Irreversible).does(|_| async { Outcome::NotSent(Output::error("no route")) });
    let a = lab.add(agent("a").tool(&act).model(turns(vec![call("act", json!({}))])));
    let b = lab.add(agent("b").tool(&block).model(turns(vec![call("block", json!({}))])));
    let node = lab.open();
    let run = node.start(a, "x").run;
    node.go(until(|| act.count() == 1));
    // The only permit goes to another run before the second attempt is due.
    let other = node.start(b, "x").run;
    node.go(gate.arrived());
    let engine = node.engine();
    let attempts = async {
        while tally(&engine.facts(run, 0, 100).await.unwrap().iter().map(|f| kind(&f.fact)).collect::<Vec<_>>())["effect_intended"]
            < 2
        {}
    };
    node.go(attempts);
    node.go(engine.stop(run, StopMode::Cancel, me())).unwrap();
    gate.open(10);
    assert_eq!(node.end(run).0, Status::Cancelled);
    node.go(engine.stop(other, StopMode::Kill, me())).unwrap();
    assert_eq!(act.count(), 1);
}

#[test]
fn a_stop_during_a_model_call_ends_the_run_at_once() {
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
    node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(run).0, Status::Cancelled);
    node.empties();
}

#[test]
fn stopping_a_run_stops_its_children_and_grandchildren_before_it_ends() {
    // With one place in memory the stop must not wait for a place that a waiting parent holds.
    for places in [100, 1] {
        let mut lab = lab();
        lab.options.max_active = places;
        let gate = Gate::closed();
        let act = tool("act", EffectClass::Irreversible).gated(&gate);
        let leaf = lab.add(agent("leaf").tool(&act).model(turns(vec![call("act", json!({}))])));
        let mid = agent_tool("leaf", leaf, Limits::default());
        let mid = lab.add(agent("mid").tool(&mid).model(turns(vec![call("leaf", json!({"input": "y"}))])));
        let top = agent_tool("mid", mid, Limits::default());
        let top = lab.add(agent("top").tool(&top).model(turns(vec![call("mid", json!({"input": "y"}))])));
        let node = lab.open();
        let run = node.start(top, "x").run;
        node.go(gate.arrived());
        node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
        gate.open(1);
        assert_eq!(node.end(run).0, Status::Cancelled);
        let filter = stead_ports::journal::RunFilter { tenant: tenant(), limit: 10, ..Default::default() };
        let rows = node.go(journal(&node).runs(&filter)).unwrap();
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|r| r.state.status == Status::Cancelled), "{rows:?}");
        let end = |run| *node.facts(run).last().map(|f| &f.at).unwrap();
        let parent = rows.iter().find(|r| r.id == run).unwrap();
        assert!(rows.iter().all(|r| end(r.id) <= end(parent.id)));
        assert_eq!(act.count(), 1);
        node.empties();
    }
}

#[test]
fn a_stop_while_children_are_being_started_leaves_no_child_running() {
    for _ in 0..20 {
        let lab = lab();
        let gate = Gate::closed();
        let act = tool("act", EffectClass::Irreversible).gated(&gate);
        let child = lab.add(agent("child").tool(&act).model(turns(vec![call("act", json!({}))])));
        let child = agent_tool("child", child, Limits::default());
        let eight: Vec<_> = (0..8).map(|i| ("child", json!({"input": i.to_string()}))).collect();
        let v = lab.add(agent("a").tool(&child).model(turns(vec![calls(&eight)])));
        let node = lab.open();
        let engine = node.engine();
        let run = node.start(v, "x").run;
        node.go(async {
            while !engine.facts(run, 0, 100).await.unwrap().iter().any(|f| kind(&f.fact) == "child_started") {}
            engine.stop(run, StopMode::Kill, me()).await.unwrap();
        });
        let begun = act.count();
        assert_eq!(node.end(run).0, Status::Cancelled);
        node.empties();
        assert_eq!(act.count(), begun);
        let unended = vec![Status::Running, Status::Waiting, Status::Queued, Status::Paused];
        let filter =
            stead_ports::journal::RunFilter { tenant: tenant(), status: unended, limit: 10, ..Default::default() };
        assert!(node.go(journal(&node).runs(&filter)).unwrap().is_empty());
    }
}

#[test]
fn a_stop_that_was_interrupted_by_a_crash_is_finished_by_the_next_process() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let child = lab.add(agent("child").tool(&act).model(turns(vec![call("act", json!({}))])));
    let child = agent_tool("child", child, Limits::default());
    let v = lab.add(agent("a").tool(&child).model(turns(vec![call("child", json!({"input": "y"}))])));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
    node.crash();
    let node = lab.open();
    assert_eq!(node.end(run).0, Status::Cancelled);
    assert_eq!(act.count(), 1);
    node.empties();
}

#[test]
fn a_run_passes_its_stop_on_to_its_children_when_whoever_asked_has_gone() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let child = lab.add(agent("child").tool(&act).model(turns(vec![call("act", json!({}))])));
    let child = agent_tool("child", child, Limits::default());
    let v = lab.add(agent("a").tool(&child).model(turns(vec![call("child", json!({"input": "y"}))])));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    let (child, _) = stead_core::id::EffectId { run, n: 1 }.child();
    node.go(gate.arrived());
    node.go(async {
        // Asked, and gone before the answer.
        assert!(engine.stop(run, StopMode::Cancel, me()).now_or_never().is_none());
        while !engine.facts(child, 0, 100).await.unwrap().iter().any(|f| kind(&f.fact) == "cancel_requested") {}
    });
    gate.open(1);
    assert_eq!((node.end(run).0, node.end(child).0), (Status::Cancelled, Status::Cancelled));
    assert_eq!(act.count(), 1);
    node.empties();
}
