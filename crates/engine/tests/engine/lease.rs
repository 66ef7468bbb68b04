//! An epoch fences the journal, not the world: so the lease is looked at last of all before something leaves.

use serde_json::json;
use stead_core::{effect::EffectClass, fact::StopMode, time::Span};
use stead_ports::journal::Status;

use crate::{common::*, faulty::Faults};

#[test]
fn nothing_is_dispatched_once_the_lease_may_have_lapsed() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let (faults, gate) = (Faults::new(), Gate::closed());
    faults.lease_lapses();
    let held = gate.clone();
    let act = tool("act", EffectClass::Irreversible);
    let v = lab.add(agent("a").tool(&act).model(std::sync::Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(call("act", json!({})))
        })
    })));
    let node = lab.open_on(|store| faults.over(store));
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.go(gate.arrived());
    assert!(engine.is_ready());
    // The lease still has three seconds to live: another owner is not there yet, and may be when a request arrives.
    clock.advance(Span::from_secs(12));
    assert!(!engine.is_ready());
    gate.open(1);
    node.go(async {
        while !engine.facts(run, 0, 100).await.unwrap().iter().any(|f| kind(&f.fact) == "effect_intended") {}
        // Acknowledged by the run's own task, which has looked at the call before.
        engine.pause(run, me()).await.unwrap();
    });
    assert_eq!(act.count(), 0);
    // It is known that nothing was sent.
    node.go(engine.stop(run, StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(run).0, Status::Cancelled);
    assert_eq!((act.count(), tally(&node.kinds(run))["effect_withdrawn"]), (0, 1));
}

#[test]
fn no_model_is_asked_once_the_lease_may_have_lapsed() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let faults = Faults::new();
    faults.lease_lapses();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = asked.clone();
    let v = lab.add(agent("a").model(std::sync::Arc::new(move |_, _| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async { Ok(say("done")) })
    })));
    let node = lab.open_on(|store| faults.over(store));
    let engine = node.engine();
    clock.advance(Span::from_secs(12));
    let run = node.start(v, "x").run;
    // Acknowledged by the run's own task, which has looked at the call before.
    node.go(engine.pause(run, me())).unwrap();
    node.go(engine.stop(run, StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(run).0, Status::Cancelled);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}
