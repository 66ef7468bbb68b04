//! A graceful end: what has been sent finishes, nothing begins, nothing is lost.

use serde_json::json;
use stead_core::{code, effect::EffectClass};
use stead_ports::journal::Status;

use crate::common::*;

#[test]
fn a_drain_lets_what_is_under_way_finish_and_the_next_engine_goes_on() {
    let lab = lab();
    let gate = Gate::closed();
    let (act, next) = (tool("act", EffectClass::Irreversible).gated(&gate), tool("next", EffectClass::Irreversible));
    let v = lab.add(agent("a").tool(&act).tool(&next).model(turns(vec![
        call("act", json!({})),
        call("next", json!({})),
        say("end"),
    ])));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(async {
        let drained = engine.drain(PATIENCE);
        let rest = async {
            until(|| !engine.is_ready()).await;
            assert_eq!(engine.start(ask(v, "x")).await.unwrap_err().code(), code::DRAINING);
            gate.open(1);
        };
        futures_util::future::join(drained, rest).await;
    });
    assert_eq!((act.count(), next.count()), (1, 0));
    drop(engine);
    node.crash();
    let node = lab.open();
    assert_eq!(node.completes(run), "end");
    let kinds = node.kinds(run);
    assert_eq!((act.count(), next.count()), (1, 1));
    assert_eq!((tally(&kinds).get("effect_unknown"), tally(&kinds).get("model_failed")), (None, None));
}

#[test]
fn a_reply_that_comes_during_a_drain_has_its_calls_made_once_by_the_next_engine() {
    let lab = lab();
    let gate = Gate::closed();
    let held = gate.clone();
    let act = tool("act", EffectClass::Irreversible);
    let v = lab.add(agent("a").tool(&act).model(std::sync::Arc::new(move |c, _| {
        let gate = held.clone();
        Box::pin(async move {
            match last_result(&c) {
                Some(text) => Ok(say(text)),
                None => {
                    gate.pass().await;
                    Ok(call("act", json!({})))
                }
            }
        })
    })));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(async {
        let drained = engine.drain(PATIENCE);
        let rest = async {
            until(|| !engine.is_ready()).await;
            gate.open(1);
        };
        futures_util::future::join(drained, rest).await;
    });
    drop(engine);
    node.crash();
    assert_eq!(act.count(), 0);
    let node = lab.open();
    assert_eq!(node.completes(run), "done");
    assert_eq!(act.count(), 1);
}

#[test]
fn a_drain_does_not_wait_longer_than_its_deadline() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(node.engine().drain(std::time::Duration::ZERO));
    node.crash();
    gate.open(10);
    let node = lab.open();
    assert_eq!(node.completes(run), "done");
}

#[test]
fn runs_that_wait_for_memory_do_not_hold_a_drain_up() {
    let mut lab = lab();
    lab.options.max_active = 2;
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let engine = node.engine();
    let runs: Vec<_> = (0..50).map(|_| node.start(v, "x").run).collect();
    node.go(async {
        gate.arrived().await;
        gate.arrived().await;
        let drained = engine.drain(PATIENCE);
        let rest = async {
            until(|| !engine.is_ready()).await;
            gate.open(2);
        };
        futures_util::future::join(drained, rest).await;
    });
    assert_eq!(act.count(), 2);
    drop(engine);
    node.crash();
    gate.open(1_000);
    let node = lab.open();
    for run in runs {
        node.completes(run);
        // Two turns; nothing was lost that would have to be paid for.
        let spent = node.go(node.engine().view(run)).unwrap().row.state.spent;
        assert_eq!(spent.tokens, 2 * (USAGE.input + USAGE.output));
    }
    node.empties();
}

#[test]
fn a_waiter_is_told_that_the_engine_ends() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.asked(run);
    let waited = node.go(async {
        let waits = engine.wait(run, false);
        futures_util::future::join(waits, engine.drain(PATIENCE)).await.0
    });
    assert_eq!(waited.unwrap_err().code(), code::DRAINING);
    drop(engine);
    node.crash();
    assert_eq!(lab.open().status(run), Status::Waiting);
}

#[test]
fn calls_that_wait_for_a_permit_are_given_back_at_a_drain_and_made_once_by_the_next_engine() {
    let mut lab = lab();
    lab.options.max_tool_calls = 1;
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let three: Vec<_> = (0..3).map(|i| ("act", json!({ "i": i }))).collect();
    let three = calls(&three);
    let v = lab.add(agent("a").tool(&act).model(model(move |c| match last_result(c) {
        None => three.clone(),
        Some(text) => say(text),
    })));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    let drain = async move { engine.drain(PATIENCE).await };
    let engine = node.engine();
    node.go(async {
        let given_back = async {
            let unsent = |f: &&stead_engine::FactEvent| kind(&f.fact) == "effect_not_sent";
            while engine.facts(run, 0, 100).await.unwrap().iter().filter(unsent).count() < 2 {}
        };
        // The deadline passes while the first call is still under way.
        futures_util::future::select(std::pin::pin!(drain), std::pin::pin!(given_back)).await;
    });
    drop(engine);
    node.crash();
    assert_eq!(act.count(), 1);
    gate.open(10);
    let node = lab.open();
    assert!(node.completes(run).ends_with("done | done"));
    let kinds = node.kinds(run);
    let kinds = tally(&kinds);
    // Of the first nobody knows; the others were never sent by the process before.
    assert_eq!(
        (act.count(), kinds["effect_unknown"], kinds["effect_not_sent"], kinds["effect_returned"]),
        (3, 1, 2, 2)
    );
}

#[test]
fn a_model_call_that_waits_for_a_permit_is_given_back_at_a_drain_and_costs_nothing() {
    let mut lab = lab();
    lab.options.max_model_calls = 1;
    let gate = Gate::closed();
    let held = gate.clone();
    let v = lab.add(agent("a").config(|c| c.model_attempts = 1).model(std::sync::Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(say("hi"))
        })
    })));
    let node = lab.open();
    let engine = node.engine();
    let runs = [node.start(v, "x").run, node.start(v, "y").run];
    node.go(gate.arrived());
    node.go(async {
        let drained = engine.drain(PATIENCE);
        let rest = async {
            let given_back =
                async |run| engine.facts(run, 0, 100).await.unwrap().iter().any(|f| kind(&f.fact) == "model_failed");
            while !given_back(runs[0]).await && !given_back(runs[1]).await {}
            gate.open(1);
        };
        futures_util::future::join(drained, rest).await;
    });
    drop(engine);
    node.crash();
    gate.open(10);
    let node = lab.open();
    let mut failed = 0;
    for run in runs {
        assert_eq!(node.completes(run), "hi");
        let spent = node.go(node.engine().view(run)).unwrap().row.state.spent;
        assert_eq!(spent.tokens, USAGE.input + USAGE.output);
        failed += tally(&node.kinds(run)).get("model_failed").copied().unwrap_or(0);
    }
    assert_eq!(failed, 1, "one of them had not been sent");
}
