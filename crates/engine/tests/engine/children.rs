//! Agents that call agents.

use serde_json::json;
use stead_core::{
    budget::{Limits, MicroUsd},
    code,
    effect::EffectClass,
    fact::Fact,
    id::{EffectId, RunId},
};
use stead_ports::journal::Status;

use crate::common::*;

fn child_of(run: RunId) -> RunId {
    EffectId { run, n: 1 }.child().0
}

#[test]
fn a_childs_answer_and_spending_come_to_its_parent() {
    let lab = lab();
    let child = lab.add(agent("child").model(model(|c| match &*c.messages[0] {
        stead_core::message::Message::User { text, .. } => say(format!("you said {text}")),
        _ => say("?"),
    })));
    let child = agent_tool("child", child, Limits::default());
    let v = lab.add(agent("a").tool(&child).model(once("child", json!({"input": "hello"}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    assert_eq!(node.completes(run), "you said hello");
    let spent = node.go(node.engine().view(run)).unwrap().row.state.spent;
    assert_eq!((spent.tokens, spent.usd), (45, Some(MicroUsd(45))));
    let row = node.go(node.engine().view(child_of(run))).unwrap().row;
    assert_eq!((row.parent, row.state.spent.tokens), (Some(run), 15));
    node.empties();
}

#[test]
fn a_parent_that_waits_for_its_child_leaves_memory() {
    let mut lab = lab();
    lab.options.max_active = 1;
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let child = lab.add(agent("child").tool(&act).model(once("act", json!({}))));
    let child = agent_tool("child", child, Limits::default());
    let v = lab.add(agent("a").tool(&child).model(once("child", json!({"input": "y"}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    gate.open(1);
    assert_eq!(node.completes(run), "done");
    node.empties();
}

#[test]
fn a_child_has_a_slice_of_its_parents_budget() {
    let lab = lab();
    let child = lab.add(agent("child").model(turns(vec![call("nothing", json!({})), say("x")])));
    let child = agent_tool("child", child, Limits { tokens: Some(150), ..Limits::default() });
    let v = lab.add(agent("a").tool(&child).model(once("child", json!({"input": "y"}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let text = node.completes(run);
    assert!(text.starts_with("The agent failed (ST0001)"), "{text}");
    assert_eq!(node.fails(child_of(run)).0, code::BUDGET);
}

#[test]
fn a_child_whose_slice_allows_not_even_one_call_is_told_to_its_parent() {
    let lab = lab();
    let child = lab.add(agent("child").model(turns(vec![say("x")])));
    let child = agent_tool("child", child, Limits { tokens: Some(1), ..Limits::default() });
    let v = lab.add(agent("a").tool(&child).model(once("child", json!({"input": "y"}))));
    let node = lab.open();
    assert!(node.completes(node.start(v, "x").run).starts_with("The agent failed (ST0001)"));
    node.empties();
}

#[test]
fn a_child_that_fails_or_cannot_be_started_is_told_to_its_parent() {
    let lab = lab();
    let bad = lab.add(agent("bad").model(std::sync::Arc::new(|_, _| Box::pin(async { Err(refused()) }))));
    let bad = agent_tool("bad", bad, Limits::default());
    let gone = agent_tool("gone", version("never made"), Limits::default());
    let v = lab.add(agent("a").tool(&bad).tool(&gone).model(model(|c| match last_result(c) {
        None => calls(&[("bad", json!({"input": "y"})), ("gone", json!({"input": "y"}))]),
        Some(text) => say(text),
    })));
    let node = lab.open();
    let text = node.completes(node.start(v, "x").run);
    assert!(text.starts_with("The agent failed (ST0020): no | The agent could not be started (ST0009): "), "{text}");
    assert_eq!(text.matches("ST0009").count(), 1, "{text}");
}

#[test]
fn a_child_is_not_started_with_an_input_that_cannot_be_read_nor_in_the_place_of_another() {
    let lab = lab();
    let child = lab.add(agent("child").model(turns(vec![say("begun")])));
    let child = agent_tool("child", child, Limits::default());
    // Its version has an agent no more: what is behind the name is a tool.
    let mut was = tool("was", EffectClass::Irreversible);
    was.rules.child = Some(Limits::default());
    let v = lab.add(agent("a").tool(&child).tool(&was).model(model(|c| match last_result(c) {
        None => calls(&[("child", json!({"input": 7})), ("child", json!({})), ("was", json!({"input": "y"}))]),
        Some(text) => say(text),
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let text = node.completes(run);
    let told: Vec<_> = text.split(" | ").map(|t| t.split(':').next().unwrap()).collect();
    let not_begun = |code| format!("The agent could not be started ({code})");
    let arguments = not_begun(code::TOOL_ARGUMENTS);
    assert_eq!(told, [arguments.clone(), arguments, not_begun(code::VERSION_GONE)], "{text}");
    assert_eq!((node.engine().stats().runs_started, was.count()), (1, 0));
    node.empties();
}

#[test]
fn a_chain_of_agents_calling_agents_ends_at_the_limit() {
    let mut lab = lab();
    lab.options.max_hops = 3;
    let me = agent_tool("me", version("a"), Limits::default());
    let v = lab.add(agent("a").tool(&me).model(once("me", json!({"input": "deeper"}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let text = node.completes(run);
    assert!(text.contains("too long"), "{text}");
    assert_eq!(node.engine().stats().runs_started, 4);
    let chain = [run, child_of(run), child_of(child_of(run)), child_of(child_of(child_of(run)))];
    assert_eq!(chain.map(|run| node.denials(run)), [vec![], vec![], vec![], vec![code::HOPS]]);
    node.empties();
}

#[test]
fn a_crash_between_a_childs_end_and_its_parents_notice_loses_nothing() {
    // Crashes at whatever point the two have reached; each is one of the moments in between.
    for steps in 0..8 {
        let lab = lab();
        let act = tool("act", EffectClass::Irreversible);
        let child = lab.add(agent("child").tool(&act).model(once("act", json!({}))));
        let child = agent_tool("child", child, Limits::default());
        let v = lab.add(agent("a").tool(&child).model(once("child", json!({"input": "y"}))));
        let node = lab.open();
        let run = node.start(v, "x").run;
        let engine = node.engine();
        node.go(until(|| engine.stats().records > steps));
        drop(engine);
        node.crash();
        let node = lab.open();
        let text = node.completes(run);
        assert!(text == "done" || text.contains("unknown"), "{text}");
        assert!(act.count() <= 1);
        let finished = node.facts(run).iter().filter(|f| matches!(f.fact, Fact::ChildFinished(_))).count();
        assert_eq!(finished, 1);
        node.empties();
    }
}

#[test]
fn a_parent_found_waiting_for_a_child_that_was_never_started_starts_it() {
    let lab = lab();
    let child = lab.add(agent("child").model(turns(vec![say("here")])));
    let child = agent_tool("child", child, Limits::default());
    let gate = Gate::closed();
    let held = gate.clone();
    let v = lab.add(agent("a").tool(&child).model(std::sync::Arc::new(move |c, _| {
        let gate = held.clone();
        Box::pin(async move {
            if let Some(text) = last_result(&c) {
                return Ok(say(text));
            }
            gate.pass().await;
            Ok(call("child", json!({"input": "y"})))
        })
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    // The engine drains before the child is asked for: it is promised and not started.
    let engine = node.engine();
    node.go(async {
        let drained = engine.drain(PATIENCE);
        gate.open(1);
        drained.await;
    });
    drop(engine);
    node.crash();
    let node = lab.open();
    assert_eq!(node.completes(run), "here");
}

#[test]
fn pausing_a_run_pauses_its_children() {
    let lab = lab();
    let gate = Gate::closed();
    let (act, next) = (tool("act", EffectClass::Irreversible).gated(&gate), tool("next", EffectClass::Irreversible));
    let child = lab.add(agent("child").tool(&act).tool(&next).model(turns(vec![
        call("act", json!({})),
        call("next", json!({})),
        say("end"),
    ])));
    let child = agent_tool("child", child, Limits::default());
    let v = lab.add(agent("a").tool(&child).model(once("child", json!({"input": "y"}))));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(engine.pause(run, me())).unwrap();
    gate.open(1);
    node.empties();
    assert_eq!((next.count(), node.status(child_of(run)), node.status(run)), (0, Status::Paused, Status::Paused));
    node.go(engine.resume(run, me())).unwrap();
    assert_eq!(node.completes(run), "end");
    assert_eq!(next.count(), 1);
}
