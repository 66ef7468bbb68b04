//! Sessions: one foreground run at a time, in order, one conversation, one budget.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use parking_lot::Mutex;
use serde_json::json;
use stead_core::{
    budget::Limits,
    code,
    effect::{EffectClass, Outcome},
    fact::StopMode,
    id::RunId,
    message::Message,
    record::Record,
    run::{GENESIS, State, fold},
};
use stead_engine::{EngineError, StartRun};
use stead_ports::{journal::Status, tool::Output};

use crate::{common::*, faulty::Faults};

/// Says everything users have said.
fn recalls() -> Script {
    model(|c| {
        let said = c.messages.iter().filter_map(|m| match &**m {
            Message::User { text, .. } => Some(text.clone()),
            _ => None,
        });
        say(said.collect::<Vec<_>>().join(","))
    })
}

#[test]
fn inputs_queue_in_order_and_each_sees_what_was_said_before() {
    let lab = lab();
    let gate = Gate::closed();
    let (held, recalls) = (gate.clone(), recalls());
    let v = lab.add(agent("a").model(Arc::new(move |c, d| {
        let (gate, reply) = (held.clone(), recalls(c, d));
        Box::pin(async move {
            gate.pass().await;
            reply.await
        })
    })));
    let node = lab.open();
    let session = node.session("a", "customer/42");
    let runs: Vec<_> = (0..10).map(|i| node.start_in(v, session, &i.to_string())).collect();
    assert!(!runs[0].queued && runs[1..].iter().all(|r| r.queued));
    for (i, run) in runs.iter().enumerate() {
        node.go(gate.arrived());
        assert_eq!(gate.count(), 0, "one at a time");
        gate.open(1);
        let said: Vec<_> = (0..=i).map(|i| i.to_string()).collect();
        assert_eq!(node.completes(run.run), said.join(","));
    }
    node.empties();
}

#[test]
fn many_inputs_at_once_are_all_answered_one_at_a_time() {
    let lab = lab();
    let now = Arc::new(AtomicUsize::new(0));
    let v = lab.add(agent("a").model(Arc::new(move |_, _| {
        let now = now.clone();
        Box::pin(async move {
            assert_eq!(now.fetch_add(1, SeqCst), 0);
            tokio::task::yield_now().await;
            now.fetch_sub(1, SeqCst);
            Ok(say("x"))
        })
    })));
    let node = lab.open();
    let session = node.session("a", "k");
    let engine = node.engine();
    node.go(async {
        let clients = (0..8).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for _ in 0..8 {
                    let start = StartRun { session: Some(session), ..ask(v, "x") };
                    let run = engine.start(start).await.unwrap().run;
                    assert_eq!(engine.wait(run, false).await.unwrap().row.state.status, Status::Completed);
                }
            })
        });
        futures_util::future::join_all(clients).await.into_iter().for_each(|c| c.unwrap());
    });
    assert_eq!(engine.stats().runs_ended[0], 64);
    node.empties();
}

#[test]
fn a_crash_with_a_queue_goes_on_in_order() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let recalls = recalls();
    let v = lab.add(agent("a").tool(&act).model(Arc::new(move |c, d| match last_result(&c) {
        None => Box::pin(async { Ok(call("act", json!({}))) }),
        Some(_) => recalls(c, d),
    })));
    let node = lab.open();
    let session = node.session("a", "k");
    let runs: Vec<_> = (0..4).map(|i| node.start_in(v, session, &i.to_string()).run).collect();
    node.go(gate.arrived());
    node.crash();
    gate.open(100);
    let node = lab.open();
    // One more comes in behind those that a process before left waiting.
    let last = node.start_in(v, session, "4").run;
    assert_eq!(node.completes(last), "0,1,2,3,4");
    for (run, said) in runs.iter().zip(["0", "0,1", "0,1,2", "0,1,2,3"]) {
        assert_eq!(node.completes(*run), said);
    }
    node.empties();
}

#[test]
fn a_queue_behind_a_run_that_waits_for_a_human_goes_on_after_a_crash_and_the_answer() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&act).model(model(|c| match (c.messages.len(), last_result(c)) {
        (1, None) => call("act", json!({})),
        _ => say("x"),
    })));
    let node = lab.open();
    let session = node.session("a", "k");
    let runs: Vec<_> = (0..4).map(|_| node.start_in(v, session, "x").run).collect();
    let effect = node.asked(runs[0]);
    node.crash();
    let node = lab.open();
    node.approve(effect, true).unwrap();
    runs.iter().for_each(|r| drop(node.completes(*r)));
    node.empties();
}

#[test]
fn a_queued_run_can_be_cancelled_and_the_next_one_goes() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let session = node.session("a", "k");
    let runs: Vec<_> = (0..3).map(|i| node.start_in(v, session, &i.to_string()).run).collect();
    node.go(node.engine().stop(runs[1], StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(runs[1]).0, Status::Cancelled);
    gate.open(10);
    assert_eq!(node.completes(runs[2]), "done");
    assert_eq!(node.facts(runs[1]).len(), 3);
    node.empties();
}

#[test]
fn a_sessions_budget_holds_over_its_runs_and_does_not_stick() {
    let lab = lab();
    let gate = Gate::closed();
    let held = gate.clone();
    let limits = Limits { tokens: Some(160), ..Limits::default() };
    let v = lab.add(agent("a").session(limits).model(Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(say("x"))
        })
    })));
    let node = lab.open();
    let session = node.session("a", "k");
    let runs: Vec<_> = (0..5).map(|_| node.start_in(v, session, "x").run).collect();
    gate.open(100);
    node.completes(runs[0]);
    node.completes(runs[1]);
    // Those that cannot make even one call any more end as soon as it is their turn, and let the next one go.
    for run in &runs[2..] {
        assert_eq!(node.fails(*run).0, code::BUDGET);
    }
    let late = node.start_in(v, session, "x");
    assert!(!late.queued);
    assert_eq!(node.fails(late.run).0, code::BUDGET);
    assert_eq!(node.go(journal(&node).session(session)).unwrap().unwrap().active, None);
    node.empties();
}

#[test]
fn a_sessions_budget_counts_calls_and_children_of_all_its_runs_through_a_crash() {
    let lab = lab();
    let look = tool("look", EffectClass::Pure);
    let child = lab.add(agent("child").tool(&look).model(once("look", json!({}))));
    let helper = agent_tool("helper", child, Limits::default());
    let limits = Limits { tool_calls: Some(5), children: Some(2), ..Limits::default() };
    // Each run calls a child, which makes a call: two of each.
    let script = once("helper", json!({ "input": "x" }));
    let v = lab.add(agent("a").tool(&helper).session(limits).model(script));
    let mut node = lab.open();
    let session = node.session("a", "s");
    for _ in 0..2 {
        assert_eq!(node.completes(node.start_in(v, session, "x").run), "done");
        node.empties();
        node.crash();
        node = lab.open();
    }
    let row = node.go(journal(&node).session(session)).unwrap().unwrap();
    assert_eq!((row.used.tool_calls, row.used.children), (4, 2));
    // One call is left, and no child.
    assert_eq!(node.fails(node.start_in(v, session, "x").run).0, code::BUDGET);
    assert_eq!(look.count(), 2);
    let other = node.session("a", "t");
    assert_eq!(node.completes(node.start_in(v, other, "x").run), "done");
}

#[test]
fn a_session_of_another_agent_or_tenant_is_refused() {
    let lab = lab();
    let a = lab.add(agent("a").model(turns(vec![say("x")])));
    let b = lab.add(agent("b").model(turns(vec![say("x")])));
    let node = lab.open();
    let session = Some(node.session("a", "k"));
    let refused = node.go(node.engine().start(StartRun { session, ..ask(b, "x") })).unwrap_err();
    assert_eq!(refused.code(), code::CONFLICT);
    let other = StartRun { session, tenant: "other".into(), ..ask(a, "x") };
    assert!(matches!(node.go(node.engine().start(other)), Err(EngineError::NotFound { .. })));
}

#[test]
fn a_full_queue_refuses_and_takes_again_when_it_is_shorter() {
    let mut lab = lab();
    lab.options.max_session_queue = 2;
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let session = node.session("a", "k");
    let runs: Vec<_> = (0..3).map(|_| node.start_in(v, session, "x").run).collect();
    let start = || StartRun { session: Some(session), ..ask(v, "x") };
    assert_eq!(node.go(node.engine().start(start())).unwrap_err().code(), code::OVERLOADED);
    gate.open(100);
    runs.iter().for_each(|r| drop(node.completes(*r)));
    node.completes(node.go(node.engine().start(start())).unwrap().run);
    node.empties();
}

#[test]
fn a_long_session_begins_its_next_run_from_a_snapshot() {
    let mut lab = lab();
    lab.options.snapshot_every = 20;
    let v = lab.add(agent("a").model(model(|c| say(c.messages.len().to_string()))));
    let node = lab.open();
    let session = node.session("a", "k");
    let runs: Vec<_> = (0..60).map(|_| node.start_in(v, session, "x").run).collect();
    assert_eq!(node.completes(runs[59]), "119");
    let mut snapshots = 0;
    for run in &runs {
        snapshots += usize::from(node.go(journal(&node).snapshot(*run)).unwrap().is_some());
    }
    assert!((4..=20).contains(&snapshots), "{snapshots}");
    node.crash();
    let node = lab.open();
    assert_eq!(node.completes(node.start_in(v, session, "x").run), "121");
}

/// The run's state as its journal tells it, from the first record of its session on.
fn folded(node: &Node, run: RunId) -> State {
    let mut prev = GENESIS;
    let mut records = Vec::new();
    for stored in node.go(journal(node).read(run, 0, 1_000)).unwrap() {
        let (record, leaf) = Record::decode(&stored.bytes, prev).unwrap();
        prev = leaf;
        records.push(record);
    }
    fold(&records, |base| folded(node, base).carry()).unwrap()
}

#[test]
fn what_is_remembered_of_a_session_is_what_its_journal_says() {
    let mut lab = lab();
    // Each record leaves a snapshot of the state that served.
    lab.options.snapshot_every = 1;
    let mut keyed = tool("keyed", EffectClass::Keyed);
    keyed.key = Some("$.k".into());
    let lost = tool("lost", EffectClass::Irreversible).does(|_| async { Outcome::Unknown(Output::error("cut")) });
    let v = lab.add(agent("a").tool(&keyed).tool(&lost).model(model(|c| match last_result(c) {
        None => calls(&[("keyed", json!({"k": c.run.to_string()})), ("lost", json!({"n": c.run.to_string()}))]),
        Some(text) => say(text),
    })));
    let node = lab.open();
    let session = node.session("a", "k");
    let mut runs: Vec<_> =
        (0..3).map(|_| node.start_in(v, session, "x").run).inspect(|r| drop(node.completes(*r))).collect();
    runs.extend((0..4).map(|_| node.start_in(v, session, "y").run));
    for (n, run) in runs.into_iter().enumerate() {
        node.completes(run);
        let folded = folded(&node, run);
        let served = loop {
            // The snapshot follows its record.
            let snapshot = node.go(journal(&node).snapshot(run)).unwrap().unwrap();
            if snapshot.seq == folded.next_seq {
                break State::from_snapshot(&snapshot.body).unwrap();
            }
        };
        assert_eq!((served.unknown.len(), served.keys.len()), (n + 1, n + 1));
        assert_eq!(served, folded);
    }
}

#[test]
fn a_long_session_of_short_runs_is_not_folded_again_for_each_of_them() {
    let lab = lab();
    let faults = Faults::new();
    let v = lab.add(agent("a").model(turns(vec![say("hi")])));
    let node = lab.open_on(|store| faults.over(store));
    let engine = node.engine();
    let session = node.session("a", "k");
    for n in 0..20 {
        let start = StartRun { session: Some(session), ..ask(v, "x") };
        let started = node.go(engine.start_and_wait(start)).unwrap();
        // The second folds the first, which nobody knew would have a successor.
        let opened = std::mem::take(&mut *faults.opened.lock());
        assert_eq!(opened.len(), usize::from(n == 1), "{n}: {opened:?}");
        assert!(!opened.contains(&started.run));
    }
    // What is not remembered is folded, with the same result.
    let run = node.start_in(v, session, "x").run;
    node.completes(run);
    let texts = |node: &Node, run| folded(node, run).transcript.len();
    assert_eq!(texts(&node, run), 42);
    drop(engine);
    node.crash();
    let node = lab.open();
    let next = node.start_in(v, session, "x").run;
    node.completes(next);
    assert_eq!(texts(&node, next), 44);
}

#[test]
fn a_model_is_given_nothing_of_another_session() {
    let lab = lab();
    let given = Arc::new(Mutex::new(Vec::new()));
    let log = given.clone();
    // Notes what was said, and answers with the note: the words of a user come back in every kind of message.
    let note = tool("note", EffectClass::Pure)
        .does(|i| async move { Outcome::Returned(Output::ok(i.arguments.get().to_owned())) });
    let v = lab.add(agent("a").tool(&note).model(model(move |c| {
        let messages: Vec<_> = c.messages.iter().map(|m| serde_json::to_string(&**m).unwrap()).collect();
        log.lock().push((c.run, messages.join("\n")));
        match (last_result(c), c.messages.last().map(|m| &**m)) {
            (None, Some(Message::User { text, .. })) => call("note", json!({ "said": text })),
            (noted, _) => say(noted.unwrap()),
        }
    })));
    let mut node = lab.open();
    let sessions = [("ada", node.session("a", "customer/1")), ("bob", node.session("a", "customer/2"))];
    for n in 0..4 {
        // The last time, what was said before comes from the journal and not from memory.
        if n == 3 {
            node.crash();
            node = lab.open();
        }
        let runs = sessions.map(|(who, session)| node.start_in(v, session, &format!("{who} {n}")).run);
        for ((who, _), run) in sessions.iter().zip(runs) {
            node.completes(run);
            let given = given.lock();
            let of_run: Vec<_> = given.iter().filter(|(of, _)| *of == run).map(|(_, text)| text).collect();
            assert_eq!(of_run.len(), 2);
            let other = if *who == "ada" { "bob" } else { "ada" };
            assert!(of_run.iter().all(|text| !text.contains(other)), "{who} {n}: {of_run:?}");
            assert!(of_run.iter().all(|text| (0..=n).all(|n| text.contains(&format!("{who} {n}")))), "{of_run:?}");
        }
    }
    // A run in a session of its own is given nothing of either.
    let run = node.start(v, "eve").run;
    assert_eq!(node.completes(run), r#"{"said":"eve"}"#);
    assert!(given.lock().iter().filter(|(of, _)| *of == run).all(|(_, t)| !t.contains("ada") && !t.contains("bob")));
}
