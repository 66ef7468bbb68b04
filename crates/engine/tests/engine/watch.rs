//! Followers of a run: every fact once and in order, pieces of the reply being written, and an end.

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::json;
use stead_core::{code, effect::EffectClass};
use stead_engine::{Event, EventBody, EventId};
use stead_ports::model::Delta;

use crate::common::*;

/// Writes three pieces, each when it is let through the gate, then replies with them.
fn writes(gate: &Gate) -> Script {
    let gate = gate.clone();
    Arc::new(move |_, deltas| {
        let gate = gate.clone();
        Box::pin(async move {
            for piece in ["one ", "two ", "three"] {
                gate.pass().await;
                deltas(Delta::Text(piece.into()));
            }
            gate.pass().await;
            Ok(say("one two three"))
        })
    })
}

fn text(events: &[Event]) -> String {
    let mut out = String::new();
    for event in events {
        match &event.body {
            EventBody::Delta(Delta::Text(t)) => out += t,
            EventBody::Reset => out.clear(),
            _ => {}
        }
    }
    out
}

fn is_end(event: &Event) -> bool {
    matches!(event.body, EventBody::End)
}

#[test]
fn a_follower_from_the_start_sees_facts_pieces_and_the_end_in_order() {
    let lab = lab();
    let gate = Gate::closed();
    let v = lab.add(agent("a").model(writes(&gate)));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let engine = node.engine();
    gate.open(4);
    let events = node.go(collect(engine.watch(run, None), is_end));
    let kinds: Vec<String> = events.iter().map(short).collect();
    assert_eq!(kinds.first().map(String::as_str), Some("0.0.0 run_started"));
    assert_eq!(kinds.last().map(String::as_str), Some("end"));
    assert_eq!(fact_ids(&events).len(), 5);
    assert!(["one two three", ""].contains(&text(&events).as_str()), "{kinds:?}");
    // Of a run that has ended: the same facts, from anywhere.
    let again = node.go(collect(engine.watch(run, None), is_end));
    assert_eq!(fact_ids(&again), fact_ids(&events));
    for after in fact_ids(&events) {
        let rest = node.go(collect(engine.watch(run, Some(after)), is_end));
        assert!(fact_ids(&rest).iter().all(|id| *id > after));
        assert_eq!(fact_ids(&rest).len(), fact_ids(&events).iter().filter(|id| **id > after).count());
    }
    // A name that lies beyond the end finds the end.
    let beyond = EventId { seq: u64::MAX, attempt: 3, index: 9 };
    assert_eq!(node.go(collect(engine.watch(run, Some(beyond)), is_end)).len(), 1);
    node.empties();
}

#[test]
fn a_follower_that_reconnects_after_every_event_misses_nothing_and_sees_nothing_twice() {
    let lab = lab();
    let gate = Gate::closed();
    let v = lab.add(agent("a").model(writes(&gate)));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    let events = node.go(async {
        let mut events: Vec<Event> = Vec::new();
        let mut opened = 0;
        loop {
            let after = events.last().map(|e| e.id);
            let mut stream = Box::pin(engine.watch(run, after));
            // Each connection is already there when the next piece is written, or comes after it.
            if let Some(EventBody::Fact(f)) = events.last().map(|e| &e.body)
                && kind(&f.fact) == "model_requested"
                && opened == 0
            {
                gate.open(1);
                opened = 1;
            }
            let event = stream.next().await.unwrap().unwrap();
            if matches!(event.body, EventBody::Delta(_)) {
                gate.open(1);
            }
            let end = is_end(&event);
            events.push(event);
            if end {
                return events;
            }
        }
    });
    let names: Vec<String> = events.iter().map(short).collect();
    assert_eq!(
        names,
        [
            "0.0.0 run_started",
            "0.0.1 run_admitted",
            "0.0.2 model_requested",
            "0.1.1 Text(\"one \")",
            "0.1.2 Text(\"two \")",
            "0.1.3 Text(\"three\")",
            "1.0.0 model_replied",
            "1.0.1 run_completed",
            "end"
        ]
    );
}

#[test]
fn a_new_attempt_begins_with_a_reset() {
    let lab = lab();
    let gate = Gate::closed();
    let held = gate.clone();
    let v = lab.add(agent("a").model(Arc::new(move |c, deltas| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            deltas(Delta::Text(format!("attempt {}", c.attempt)));
            gate.pass().await;
            if c.attempt < 3 { Err(busy(None)) } else { Ok(say("attempt 3")) }
        })
    })));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    let events = node.go(async {
        node_arrived(&gate).await;
        let stream = engine.watch(run, None);
        gate.open(6);
        collect(stream, is_end).await
    });
    let ids: Vec<_> = events[..events.len() - 1].iter().map(|e| e.id).collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
    assert_eq!(text(&events), "attempt 3");
    assert!(events.iter().filter(|e| matches!(e.body, EventBody::Reset)).count() <= 2);
}

async fn node_arrived(gate: &Gate) {
    gate.arrived().await;
}

#[test]
fn a_slow_follower_comes_back_and_still_sees_every_fact() {
    let mut lab = lab();
    lab.options.stream_buffer = 16;
    let look = tool("look", EffectClass::Pure);
    let go = Gate::closed();
    let held = go.clone();
    let v = lab.add(agent("a").tool(&look).model(Arc::new(move |c, deltas| {
        let gate = held.clone();
        Box::pin(async move {
            if c.turn == 1 {
                gate.pass().await;
            }
            for i in 0..50 {
                deltas(Delta::Text(format!("{i} ")));
            }
            Ok(if c.turn <= 100 { call("look", json!({ "turn": c.turn })) } else { say("end") })
        })
    })));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    let events = node.go(async {
        let mut stream = Box::pin(engine.watch(run, None));
        let mut events = vec![stream.next().await.unwrap().unwrap()];
        go.open(1);
        // It looks away until everything has happened.
        engine.wait(run, false).await.unwrap();
        events.extend(collect(stream, is_end).await);
        events
    });
    assert_eq!(fact_ids(&events).len(), node.facts(run).len());
    assert!(is_end(events.last().unwrap()));
    node.empties();
}

#[test]
fn many_followers_that_come_and_go_all_see_the_same_facts() {
    let lab = lab();
    let look = tool("look", EffectClass::Pure);
    let v = lab.add(agent("a").tool(&look).model(Arc::new(move |c, deltas| {
        Box::pin(async move {
            for i in 0..5 {
                deltas(Delta::Text(format!("{i} ")));
                tokio::task::yield_now().await;
            }
            Ok(if c.turn <= 60 { call("look", json!({ "turn": c.turn })) } else { say("end") })
        })
    })));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    let seen = node.go(async {
        let followers = (1..=16usize).map(|every| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let (mut all, mut after): (Vec<Event>, _) = (Vec::new(), None);
                loop {
                    let mut n = 0;
                    let part = collect(engine.watch(run, after), |e| {
                        n += 1;
                        is_end(e) || n == every * 3
                    });
                    all.extend(part.await);
                    after = all.last().map(|e| e.id);
                    if all.last().is_some_and(is_end) {
                        return all;
                    }
                }
            })
        });
        futures_util::future::join_all(followers).await
    });
    let facts: Vec<EventId> =
        node.facts(run).iter().map(|f| EventId { seq: f.seq, attempt: 0, index: f.index }).collect();
    for events in seen {
        let events = events.unwrap();
        assert_eq!(fact_ids(&events), facts);
        // Pieces of one attempt follow each other without a gap.
        for w in events.windows(2) {
            if let [Event { id: a, body: EventBody::Delta(_) }, Event { id: b, body: EventBody::Delta(_) }] = w {
                assert_eq!((b.seq, b.attempt, b.index), (a.seq, a.attempt, a.index + 1));
            }
        }
    }
    node.empties();
}

#[test]
fn a_follower_is_let_go_when_the_engine_ends() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let engine = node.engine();
    let run = node.start(v, "x").run;
    node.asked(run);
    let last = node.go(async {
        let (mut stream, mut last) = (Box::pin(engine.watch(run, None)), None);
        for _ in 0..5 {
            stream.next().await.unwrap().unwrap();
        }
        let drains = engine.drain(PATIENCE);
        let follows = async {
            while let Some(event) = stream.next().await {
                last = Some(event);
            }
        };
        futures_util::future::join(drains, follows).await;
        last
    });
    assert_eq!(last.unwrap().unwrap_err().code(), code::DRAINING);
}
