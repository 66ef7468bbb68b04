//! However few places there are in memory, nobody waits for ever for one.

use serde_json::json;
use stead_core::{
    budget::Limits,
    effect::{EffectClass, Outcome, Reconciled},
    fact::StopMode,
    time::Span,
};
use stead_ports::{
    journal::{RunFilter, Status},
    tool::Output,
};

use crate::common::*;

#[test]
fn parents_that_wait_for_stopped_children_leave_their_places_to_them() {
    for places in [1, 2] {
        let clock = HandClock::new();
        let mut lab = lab_with(std::sync::Arc::new(clock.clone()));
        lab.options.max_active = places;
        // The answer is lost, and what the destination says counts only after a while: the child sleeps until then.
        let gate = Gate::closed();
        let held = gate.clone();
        let mut act = tool("act", EffectClass::Reconcilable)
            .does(move |_| {
                let gate = held.clone();
                async move {
                    gate.pass().await;
                    Outcome::Unknown(Output::error("cut"))
                }
            })
            .answers(|n| if n == 1 { Reconciled::Absent } else { Reconciled::Happened(Output::ok("there")) });
        act.rules.settle = Span::from_secs(3_600);
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
        let rows =
            || node.go(journal(&node).runs(&RunFilter { tenant: tenant(), limit: 10, ..Default::default() })).unwrap();
        let child = rows().iter().find(|r| r.agent == "leaf".into()).unwrap().id;
        while !node.kinds(child).iter().any(|k| k == "effect_unknown") {}
        clock.advance(Span::from_secs(1));
        // Whoever still waits does so outside memory.
        node.go(until(|| act.asked() == 1));
        node.empties();
        assert_eq!(node.status(run), Status::Running);
        // Others come and go meanwhile.
        let hello = lab.add(agent("hello").model(turns(vec![say("hi")])));
        assert_eq!(node.completes(node.start(hello, "x").run), "hi");
        clock.advance(Span::from_secs(7_200));
        assert_eq!(node.end(run).0, Status::Cancelled);
        assert!(rows().iter().all(|r| r.state.status.ended()), "{:?}", rows());
        node.empties();
    }
}

#[test]
fn families_in_busy_sessions_all_end_with_one_place_or_two() {
    for places in [1, 2] {
        let mut lab = lab();
        lab.options.max_active = places;
        let act = tool("act", EffectClass::Irreversible);
        let leaf = lab.add(agent("leaf").tool(&act).model(once("act", json!({}))));
        let mid = agent_tool("leaf", leaf, Limits::default());
        let two = calls(&[("leaf", json!({"input": "1"})), ("leaf", json!({"input": "2"}))]);
        let mid = lab.add(agent("mid").tool(&mid).model(model(move |c| match last_result(c) {
            None => two.clone(),
            Some(text) => say(text),
        })));
        let top = agent_tool("mid", mid, Limits::default());
        let top = lab.add(agent("top").tool(&top).model(once("mid", json!({"input": "y"}))));
        let node = lab.open();
        let sessions: Vec<_> = (0..3).map(|n| node.session("top", &n.to_string())).collect();
        let runs: Vec<_> = (0..12).map(|n| node.start_in(top, sessions[n % 3], "x").run).collect();
        for run in runs {
            assert_eq!(node.completes(run), "done | done");
        }
        assert_eq!(act.count(), 24);
        node.empties();
    }
}
