//! Accounts at model providers: their limits hold over all runs, waiting takes nothing from others, and what a provider says
//! of when to come back counts for everybody.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use stead_core::{code, fact::Fact, id::RunId, time::Span};
use stead_engine::{Cause, Rates, WaitsFor};

use crate::common::*;

/// A model that comes to the gate and waits there.
fn gated(gate: &Gate) -> Script {
    let gate = gate.clone();
    Arc::new(move |_, _| {
        let gate = gate.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(say("hi"))
        })
    })
}

fn lab_limited(account: &str, rates: Rates) -> Lab {
    let mut lab = lab();
    lab.options.providers.insert(account.into(), rates);
    lab
}

fn cause(node: &Node, run: RunId) -> Cause {
    node.go(node.engine().why(run)).unwrap().causes.remove(0)
}

/// Waits until the run stands in line.
fn in_line(node: &Node, run: RunId) -> (u32, WaitsFor) {
    loop {
        if let Cause::Provider { waiting, .. } = cause(node, run) {
            return (waiting.position, waiting.waits_for);
        }
    }
}

#[test]
fn calls_at_once_are_limited_over_all_runs_and_pass_in_the_order_in_which_they_came() {
    let lab = lab_limited("acme", Rates { concurrent: Some(1), ..Rates::default() });
    let gate = Gate::closed();
    let v = lab.add(agent("a").account("acme").model(gated(&gate)));
    let node = lab.open();
    let first = node.start(v, "x").run;
    node.go(gate.arrived());
    let second = node.start(v, "x").run;
    assert_eq!(in_line(&node, second), (1, WaitsFor::Concurrent));
    let third = node.start(v, "x").run;
    assert_eq!(in_line(&node, third), (2, WaitsFor::Concurrent));
    assert!(matches!(cause(&node, first), Cause::Model { .. }));
    let stats = node.engine().stats().providers.remove(0);
    assert_eq!((stats.under_way, stats.waiting, &*stats.provider), (1, 2, "acme"));
    for (run, next) in [(first, Some(second)), (second, Some(third)), (third, None)] {
        gate.open(1);
        assert_eq!(node.completes(run), "hi");
        if next.is_some() {
            node.go(gate.arrived());
        }
        assert_eq!(gate.count(), 0, "one at a time");
    }
    node.empties();
}

#[test]
fn a_call_that_waits_for_its_provider_holds_no_permit_that_another_could_use() {
    let mut lab = lab_limited("slow", Rates { concurrent: Some(1), ..Rates::default() });
    lab.options.max_model_calls = 2;
    let gate = Gate::closed();
    let slow = lab.add(agent("slow").account("slow").model(gated(&gate)));
    let other = lab.add(agent("other").account("other").model(turns(vec![say("at once")])));
    let node = lab.open();
    let under_way = node.start(slow, "x").run;
    node.go(gate.arrived());
    let waiting: Vec<_> = (0..3).map(|_| node.start(slow, "x").run).collect();
    for (run, place) in waiting.iter().zip(1..) {
        assert_eq!(in_line(&node, *run).0, place);
    }
    assert_eq!(node.completes(node.start(other, "x").run), "at once");
    gate.open(4);
    for run in waiting.into_iter().chain([under_way]) {
        assert_eq!(node.completes(run), "hi");
    }
}

#[test]
fn a_run_that_is_stopped_in_line_leaves_it_to_the_next() {
    let lab = lab_limited("acme", Rates { concurrent: Some(1), ..Rates::default() });
    let gate = Gate::closed();
    let v = lab.add(agent("a").account("acme").model(gated(&gate)));
    let node = lab.open();
    let first = node.start(v, "x").run;
    node.go(gate.arrived());
    let (second, third) = (node.start(v, "x").run, node.start(v, "x").run);
    assert_eq!(in_line(&node, third).0, 2);
    node.go(node.engine().stop(second, stead_core::fact::StopMode::Cancel, me())).unwrap();
    gate.open(2);
    assert_eq!(node.completes(first), "hi");
    assert_eq!(node.completes(third), "hi");
    assert_eq!(gate.count(), 1, "the stopped one was not sent");
}

/// Refuses the first call for so long, then answers.
fn refuses_once(wait: Span) -> (Script, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let script: Script = Arc::new(move |_, _| {
        let answer = if counted.fetch_add(1, SeqCst) == 0 { Err(busy(Some(wait))) } else { Ok(say("hi")) };
        Box::pin(async { answer })
    });
    (script, count)
}

#[test]
fn what_one_run_is_told_by_its_provider_slows_all_runs_of_that_provider_and_no_other() {
    let clock = HandClock::new();
    let lab = lab_with(Arc::new(clock.clone()));
    let (script, count) = refuses_once(Span::from_secs(3));
    let v = lab.add(agent("a").account("acme").model(script));
    let other = lab.add(agent("b").account("acme#OTHER_KEY").model(turns(vec![say("another key")])));
    let node = lab.open();
    let refused = node.start(v, "x").run;
    while !matches!(cause(&node, refused), Cause::ModelRetry { .. }) {}
    let next = node.start(v, "x").run;
    assert_eq!(in_line(&node, next), (1, WaitsFor::Refused));
    assert_eq!(node.completes(node.start(other, "x").run), "another key");
    assert_eq!(count.load(SeqCst), 1);
    clock.advance(Span::from_secs(5));
    assert_eq!(node.completes(next), "hi");
    // Calls pass at a distance now.
    clock.advance(Span::from_secs(1));
    assert_eq!(node.completes(refused), "hi");
    assert_eq!(count.load(SeqCst), 3);
}

#[test]
fn a_long_wait_for_a_provider_takes_no_memory_costs_nothing_and_survives_a_crash() {
    let clock = HandClock::new();
    let lab = lab_with(Arc::new(clock.clone()));
    let (script, count) = refuses_once(Span::from_secs(40));
    // One for the refusal and one more: to be sent away by one's own runtime is none.
    let v = lab.add(agent("a").account("acme").model(script).config(|c| c.model_attempts = 2));
    let node = lab.open();
    let refused = node.start(v, "x").run;
    while !matches!(cause(&node, refused), Cause::ModelRetry { .. }) {}
    let next = node.start(v, "x").run;
    let given_back = loop {
        if let Cause::ModelRetry { code, detail, .. } = cause(&node, next) {
            break (code, detail);
        }
    };
    assert_eq!(given_back.0, code::PROVIDER_LIMIT);
    assert!(given_back.1.starts_with("acme: the provider has had enough for now"), "{}", given_back.1);
    node.empties();
    let spent = node.go(node.engine().view(next)).unwrap().row.state.spent;
    assert_eq!(spent, stead_core::budget::Spend::ZERO);
    node.crash();
    let node = lab.open();
    assert_eq!(count.load(SeqCst), 1);
    clock.advance(Span::from_secs(51));
    assert_eq!(node.completes(next), "hi");
    assert_eq!(node.completes(refused), "hi");
    let unmade =
        |f: &stead_engine::FactEvent| matches!(&f.fact, Fact::ModelFailed(f) if f.code == code::PROVIDER_LIMIT);
    assert_eq!(node.facts(next).iter().filter(|f| unmade(f)).count(), 1);
    assert_eq!(node.engine().stats().model_failures, 0, "an attempt that was not made is none that failed");
}

#[test]
fn calls_that_wait_are_given_back_when_the_process_is_about_to_end() {
    let lab = lab_limited("acme", Rates { concurrent: Some(1), ..Rates::default() });
    let gate = Gate::closed();
    let v = lab.add(agent("a").account("acme").model(gated(&gate)));
    let node = lab.open();
    let first = node.start(v, "x").run;
    node.go(gate.arrived());
    let second = node.start(v, "x").run;
    in_line(&node, second);
    let engine = node.engine();
    let given_back = |f: &stead_engine::FactEvent| matches!(&f.fact, Fact::ModelFailed(f) if f.code == code::DRAINING && !f.estimated);
    let then_the_first_ends = async {
        while !engine.facts(second, 0, 100).await.unwrap().iter().any(given_back) {
            tokio::task::yield_now().await;
        }
        gate.open(1);
    };
    node.go(async { tokio::join!(engine.drain(PATIENCE), then_the_first_ends) });
    drop(engine);
    node.crash();
    let node = lab.open();
    gate.open(1);
    assert_eq!((node.completes(first), node.completes(second)), ("hi".into(), "hi".into()));
    let lost = |f: &stead_engine::FactEvent| matches!(&f.fact, Fact::ModelFailed(f) if f.estimated);
    assert!(!node.facts(second).iter().any(lost));
}

#[test]
fn the_next_minute_begins_when_the_clock_says_so() {
    let clock = HandClock::new();
    let mut lab = lab_with(Arc::new(clock.clone()));
    lab.options.providers.insert("acme".into(), Rates { requests_per_minute: Some(2), ..Rates::default() });
    let v = lab.add(agent("a").account("acme").model(turns(vec![say("hi")])));
    let node = lab.open();
    for _ in 0..2 {
        assert_eq!(node.completes(node.start(v, "x").run), "hi");
    }
    let third = node.start(v, "x").run;
    assert_eq!(in_line(&node, third), (1, WaitsFor::Requests));
    clock.advance(Span::from_secs(61));
    assert_eq!(node.completes(third), "hi");
}
