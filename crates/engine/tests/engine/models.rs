//! Model attempts that fail: repeated, handed to the next model, or given up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use stead_core::{code, time::Span};
use stead_ports::{journal::Status, model::ModelError};

use crate::common::*;

/// Fails `n` times with `error`, then says hi.
fn fails(n: usize, error: ModelError) -> (Script, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let script: Script = Arc::new(move |_, _| {
        let answer = if counted.fetch_add(1, SeqCst) < n { Err(error.clone()) } else { Ok(say("hi")) };
        Box::pin(async { answer })
    });
    (script, count)
}

#[test]
fn a_busy_model_is_tried_again_and_attempts_have_an_end() {
    let lab = lab();
    let (twice, _) = fails(2, busy(None));
    let (always, count) = fails(usize::MAX, busy(None));
    let twice = lab.add(agent("twice").model(twice));
    let always = lab.add(agent("always").model(always));
    let node = lab.open();
    assert_eq!(node.completes(node.start(twice, "x").run), "hi");
    assert_eq!(node.fails(node.start(always, "x").run).0, code::MODEL_BUSY);
    assert_eq!(count.load(SeqCst), 3);
    node.empties();
}

#[test]
fn the_next_model_of_the_chain_takes_over_and_a_chain_can_be_exhausted() {
    let lab = lab();
    let (refuses, count) = fails(usize::MAX, refused());
    let v = lab.add(agent("a").model(refuses.clone()).model(turns(vec![say("second")])));
    let w = lab.add(agent("b").model(refuses.clone()).model(refuses));
    let node = lab.open();
    assert_eq!(node.completes(node.start(v, "x").run), "second");
    assert_eq!(node.fails(node.start(w, "x").run).0, code::MODEL_EXHAUSTED);
    assert_eq!(count.load(SeqCst), 3);
}

#[test]
fn a_model_without_a_price_is_passed_over_under_a_money_limit() {
    let lab = lab();
    let maker = agent("a").config(|c| c.limits.usd = Some(stead_core::budget::MicroUsd(1_000_000)));
    let v = lab.add(maker.priced(None, turns(vec![say("unpriced")])).model(turns(vec![say("priced")])));
    let node = lab.open();
    assert_eq!(node.completes(node.start(v, "x").run), "priced");
}

#[test]
fn a_long_retry_after_takes_no_memory_and_survives_a_restart() {
    let clock = HandClock::new();
    let lab = lab_with(Arc::new(clock.clone()));
    let (script, count) = fails(1, busy(Some(Span::from_secs(3_600))));
    let v = lab.add(agent("a").model(script));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let engine = node.engine();
    node.go(async { while engine.view(run).await.unwrap().row.state.status != Status::Waiting {} });
    drop(engine);
    node.empties();
    node.crash();
    clock.advance(Span::from_secs(1_800));
    let node = lab.open();
    assert_eq!((node.status(run), count.load(SeqCst)), (Status::Waiting, 1));
    // As much as was asked for, and up to half a minute more.
    clock.advance(Span::from_secs(1_831));
    assert_eq!(node.completes(run), "hi");
    assert_eq!(count.load(SeqCst), 2);
    node.empties();
}

#[test]
fn many_sleepers_are_all_woken() {
    let clock = HandClock::new();
    let lab = lab_with(Arc::new(clock.clone()));
    let v = lab.add(agent("a").model(Arc::new(|c, _| {
        let answer = if c.attempt == 1 { Err(busy(Some(Span::from_secs(3_600)))) } else { Ok(say("hi")) };
        Box::pin(async { answer })
    })));
    let mut options = lab.options.clone();
    options.max_active = 20;
    let node = lab.open_with(options);
    let runs: Vec<_> = (0..300).map(|_| node.start(v, "x").run).collect();
    node.empties();
    clock.advance(Span::from_secs(3_631));
    for run in runs {
        assert_eq!(node.completes(run), "hi");
    }
    node.empties();
}

#[test]
fn a_model_that_does_not_answer_in_time_is_tried_again() {
    let lab = lab();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let mut maker = agent("a").model(Arc::new(move |_, _| {
        let first = counted.fetch_add(1, SeqCst) == 0;
        Box::pin(async move {
            if first {
                std::future::pending::<()>().await;
            }
            Ok(say("hi"))
        })
    }));
    maker.model_timeout = Span::from_millis(30);
    let v = lab.add(maker);
    let node = lab.open();
    assert_eq!(node.completes(node.start(v, "x").run), "hi");
}
