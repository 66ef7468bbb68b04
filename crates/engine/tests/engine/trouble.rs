//! A store that takes nothing for a while, after runs have begun: who asks is told at once, what is in hand is kept.

use std::sync::Arc;

use serde_json::json;
use stead_core::{code, effect::EffectClass, fact::StopMode};
use stead_engine::{Engine, EngineError};
use stead_ports::journal::Status;

use crate::{
    common::*,
    faulty::{Fate, Faults},
};

/// Asks everything that can be asked of a run.
async fn ask_all(engine: &Engine, run: stead_core::id::RunId) -> Vec<Result<(), EngineError>> {
    let effect = stead_core::id::EffectId { run, n: 1 };
    vec![
        engine.pause(run, me()).await,
        engine.resume(run, me()).await,
        engine.stop(run, StopMode::Cancel, me()).await,
        engine.stop(run, StopMode::Kill, me()).await,
        engine.approve(effect, true, "olga".into(), None, None).await,
    ]
}

#[test]
fn what_is_asked_of_a_run_while_the_store_cannot_write_is_answered_with_the_stores_own_code_and_changes_nothing() {
    for why in [code::DATA_FULL, code::DATA_UNREACHABLE, code::DATA_READONLY] {
        let lab = lab();
        let faults = Faults::new();
        let act = tool("act", EffectClass::Irreversible).asks();
        let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
        let node = lab.open_on(|store| faults.over(store));
        let engine = node.engine();
        let run = node.start(v, "x").run;
        let effect = node.asked(run);
        node.empties();
        let before = node.kinds(run);
        faults.appends_are(Fate::Refused(why));
        // A resume of a run that is not paused changes nothing, so there is nothing to record.
        for (i, answer) in node.go(ask_all(&engine, run)).into_iter().enumerate().filter(|(i, _)| *i != 1) {
            let error = answer.unwrap_err();
            assert_eq!(error.code(), why, "{i}: {error}");
            assert_eq!(error.to_string().contains("not acknowledged"), i == 2 || i == 3, "{error}");
        }
        node.empties();
        assert_eq!(node.kinds(run), before);
        assert_eq!(node.go(engine.start(ask(v, "x"))).unwrap_err().code(), why);
        faults.appends_are(Fate::Honest);
        assert_eq!(node.status(run), Status::Waiting);
        node.approve(effect, true).unwrap();
        assert_eq!(node.completes(run), "done");
        assert_eq!(act.count(), 1);
    }
}

#[test]
fn an_outcome_in_hand_is_kept_until_it_is_durable_and_whoever_asks_meanwhile_is_answered_at_once() {
    let lab = lab();
    let (faults, gate) = (Faults::new(), Gate::closed());
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open_on(|store| faults.over(store));
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    faults.full();
    gate.open(1);
    // The outcome has been refused once, and is tried again and again.
    node.go(faults.failed.arrived());
    for answer in node.go(ask_all(&engine, run)) {
        assert_eq!(answer.unwrap_err().code(), code::DATA_FULL);
    }
    node.go(faults.failed.arrived());
    faults.appends_are(Fate::Honest);
    assert_eq!(node.completes(run), "done");
    let kinds = node.kinds(run);
    let kinds = tally(&kinds);
    assert_eq!((act.count(), kinds["effect_returned"], kinds.get("effect_unknown")), (1, 1, None));
    assert_eq!((kinds.get("paused"), kinds.get("cancel_requested")), (None, None));
}

#[test]
fn an_outcome_in_hand_survives_a_full_disk_also_when_a_child_cannot_be_started_or_heard() {
    let lab = lab();
    let (faults, gate, child_gate) = (Faults::new(), Gate::closed(), Gate::closed());
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let leaf =
        lab.add(agent("leaf").tool(&tool("wait", EffectClass::Pure).gated(&child_gate)).model(once("wait", json!({}))));
    let child = agent_tool("leaf", leaf, Default::default());
    let both = calls(&[("act", json!({})), ("leaf", json!({"input": "y"}))]);
    let v = lab.add(agent("a").tool(&act).tool(&child).model(model(move |c| match last_result(c) {
        None => both.clone(),
        Some(text) => say(text),
    })));
    let node = lab.open_on(|store| faults.over(store));
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    node.go(child_gate.arrived());
    faults.inbox_is_gone(true);
    child_gate.open(1);
    // The child has ended, and its parent cannot read what it says: it must not give up the call beside it for that.
    node.go(faults.failed.arrived());
    node.go(faults.failed.arrived());
    gate.open(1);
    faults.inbox_is_gone(false);
    assert_eq!(node.completes(run), "done | done");
    assert_eq!((act.count(), tally(&node.kinds(run)).get("effect_unknown")), (1, None));
}

#[test]
fn an_answer_whose_record_may_have_been_written_is_given_only_when_that_is_known() {
    for written in [true, false] {
        let lab = lab();
        let faults = Faults::new();
        let act = tool("act", EffectClass::Irreversible).asks();
        let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
        let node = lab.open_on(|store| faults.over(store));
        let engine = node.engine();
        let run = node.start(v, "x").run;
        node.asked(run);
        node.empties();
        faults.appends_are(if written { Fate::Written } else { Fate::Lost });
        let told = node.go(async {
            let pause = engine.pause(run, me());
            let rest = async {
                faults.failed.arrived().await;
                if !written {
                    // While nobody knows, nobody else is told that the run has changed, or has not.
                    let stop = engine.stop(run, StopMode::Cancel, me()).await.unwrap_err();
                    assert_eq!(stop.code(), code::DATA_UNREACHABLE);
                    assert!(stop.to_string().contains("not acknowledged"), "{stop}");
                }
                faults.appends_are(Fate::Honest);
            };
            futures_util::future::join(pause, rest).await.0
        });
        told.unwrap();
        assert_eq!(tally(&node.kinds(run))["paused"], 1);
        assert_eq!(node.status(run), Status::Paused);
    }
}

#[test]
fn a_queued_run_does_not_keep_its_session_to_itself_while_the_disk_is_full() {
    let lab = lab();
    let (faults, gate) = (Faults::new(), Gate::closed());
    let held = gate.clone();
    let v = lab.add(agent("a").model(Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(say("hi"))
        })
    })));
    let node = lab.open_on(|store| faults.over(store));
    let engine = node.engine();
    let session = node.session("a", "k");
    let first = node.start_in(v, session, "x").run;
    let second = node.start_in(v, session, "y").run;
    node.go(gate.arrived());
    node.go(engine.stop(first, StopMode::Kill, me())).unwrap();
    faults.full();
    // Whatever the second is doing about its turn, a third is refused at once and not when that is over.
    let third = stead_engine::StartRun { session: Some(session), ..ask(v, "z") };
    assert_eq!(node.go(engine.start(third.clone())).unwrap_err().code(), code::DATA_FULL);
    faults.appends_are(Fate::Honest);
    let third = node.go(engine.start(third)).unwrap().run;
    gate.open(10);
    assert_eq!((node.completes(second), node.completes(third)), ("hi".into(), "hi".into()));
}
