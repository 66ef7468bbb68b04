//! From start to end: what callers see of a run, what unknown names answer, what stays in memory.

use futures_util::StreamExt;
use serde_json::json;
use stead_core::{
    code,
    effect::{EffectClass, Outcome},
    fact::StopMode,
    id::{EffectId, RunId, SessionId},
};
use stead_engine::{EngineError, StartRun};
use stead_ports::{journal::Status, tool::Output};

use crate::common::*;

#[test]
fn a_run_completes_and_its_facts_and_answer_can_be_read() {
    let lab = lab();
    let look = tool("look", EffectClass::Pure);
    let v = lab.add(agent("a").model(once("look", json!({"x": 1}))).tool(&look));
    let node = lab.open();
    let run = node.start(v, "hello there").run;
    assert_eq!(node.completes(run), "done");
    assert_eq!(
        node.kinds(run),
        [
            "run_started",
            "run_admitted",
            "model_requested",
            "model_replied",
            "effect_decided",
            "effect_returned",
            "model_requested",
            "model_replied",
            "run_completed"
        ]
    );
    let view = node.go(node.engine().view(run)).unwrap();
    assert_eq!(view.row.title, "hello there");
    assert_eq!((view.row.state.turns, view.row.state.effects, view.row.state.spent.tokens), (2, 1, 30));
    assert_eq!(node.facts(run)[0].text.as_deref(), Some("hello there"));
    node.empties();
}

#[test]
fn views_tell_how_a_run_failed_or_was_cancelled() {
    let lab = lab();
    let fails = lab.add(agent("fails").model(std::sync::Arc::new(|_, _| Box::pin(async { Err(refused()) }))));
    let asks = tool("act", EffectClass::Irreversible).asks();
    let waits = lab.add(agent("waits").model(once("act", json!({}))).tool(&asks));
    let node = lab.open();
    let (code, why) = node.fails(node.start(fails, "x").run);
    assert_eq!((code, why.as_str()), (code::MODEL_REFUSED, "no"));
    let run = node.start(waits, "x").run;
    node.asked(run);
    node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(run), (Status::Cancelled, String::new()));
    assert_eq!(asks.count(), 0);
    node.empties();
}

#[test]
fn an_unknown_run_is_not_found_by_every_call_and_nothing_stays_registered() {
    let lab = lab();
    let v = lab.add(agent("a").model(turns(vec![say("x")])));
    let node = lab.open();
    let (engine, run) = (node.engine(), RunId(77 << 80));
    let missing = |e: Option<EngineError>| assert_eq!(e.map(|e| e.code()), Some(code::NOT_FOUND));
    node.go(async {
        missing(engine.pause(run, me()).await.err());
        missing(engine.resume(run, me()).await.err());
        missing(engine.stop(run, StopMode::Kill, me()).await.err());
        missing(engine.approve(EffectId { run, n: 1 }, true, "o".into(), None, None).await.err());
        missing(engine.view(run).await.err());
        missing(engine.wait(run, true).await.err());
        missing(engine.facts(run, 0, 10).await.err());
        missing(Box::pin(engine.watch(run, None)).next().await.unwrap().err());
        let session = Some(SessionId(5));
        missing(engine.start(StartRun { session, ..ask(v, "x") }).await.err());
    });
    node.empties();
}

#[test]
fn two_thousand_runs_complete_through_fifty_places_and_memory_empties() {
    let mut lab = lab();
    lab.options.max_active = 50;
    let act = tool("act", EffectClass::Irreversible);
    let v = lab.add(agent("a").model(once("act", json!({}))).tool(&act));
    let node = lab.open();
    let engine = node.engine();
    node.go(async {
        let starts = (0..2_000).map(|_| engine.start(ask(v, "go")));
        let started = futures_util::future::join_all(starts).await;
        for run in started {
            let view = engine.wait(run.unwrap().run, false).await.unwrap();
            assert_eq!(view.output.as_deref(), Some("done"));
        }
    });
    assert_eq!(act.count(), 2_000);
    assert_eq!(engine.stats().runs_ended, [2_000, 0, 0]);
    node.empties();
}

#[test]
fn a_start_beyond_the_backlog_is_refused_and_room_comes_back() {
    let mut lab = lab();
    lab.options.max_active = 1;
    lab.options.max_backlog = 2;
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").model(once("act", json!({}))).tool(&act));
    let node = lab.open();
    let runs: Vec<_> = (0..3).map(|_| node.start(v, "x").run).collect();
    let refused = node.go(node.engine().start(ask(v, "x"))).unwrap_err();
    assert_eq!(refused.code(), code::OVERLOADED);
    gate.open(100);
    runs.iter().for_each(|r| drop(node.completes(*r)));
    node.empties();
    node.completes(node.start(v, "x").run);
}

#[test]
fn starting_is_idempotent_by_key() {
    let lab = lab();
    let v = lab.add(agent("a").model(turns(vec![say("x")])));
    let node = lab.open();
    let engine = node.engine();
    let keyed = |digest: u8| StartRun { idempotency: Some(("k".into(), [digest; 32])), ..ask(v, "x") };
    let runs = node.go(async {
        let all = futures_util::future::join_all((0..50).map(|_| engine.start(keyed(1)))).await;
        all.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    assert!(runs.iter().all(|s| s.run == runs[0].run));
    assert_eq!(runs.iter().filter(|s| !s.existing).count(), 1);
    assert!(matches!(node.go(engine.start(keyed(2))), Err(EngineError::KeyReused { run }) if run == runs[0].run));
    node.completes(runs[0].run);
    // The one that was asked first worked on it, and nobody took it for a crashed one.
    assert_eq!(tally(&node.kinds(runs[0].run)).get("model_failed"), None);
    assert_eq!(engine.stats().runs_started, 1);
    assert!(node.go(engine.start(keyed(1))).unwrap().existing);
    node.empties();
}

#[test]
fn a_caller_that_goes_away_while_starting_leaves_no_run_behind_that_nobody_works_on() {
    let lab = lab();
    let v = lab.add(agent("a").model(turns(vec![say("x")])));
    let node = lab.open();
    let engine = node.engine();
    node.go(async {
        for polls in 0..40 {
            let mut start = Box::pin(engine.start(ask(v, "x")));
            for _ in 0..polls {
                let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(start.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    node.empties();
    let filter = stead_ports::journal::RunFilter {
        tenant: tenant(),
        status: vec![Status::Running, Status::Queued, Status::Waiting],
        limit: 100,
        ..Default::default()
    };
    node.go(async {
        // What was begun goes to its end.
        while !engine.journal().runs(&filter).await.unwrap().is_empty() {}
    });
}

#[test]
fn long_texts_go_to_blobs_and_come_back_whole_and_the_model_sees_a_preview_of_what_is_too_long() {
    let lab = lab();
    let long = "input ".repeat(2_000);
    let out: String = (0..20_000).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    let text = out.clone();
    let mut big = tool("big", EffectClass::Pure).does(move |_| {
        let text = text.clone();
        async move { Outcome::Returned(Output::ok(text)) }
    });
    big.max_shown = 5_000;
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let sees = seen.clone();
    let answer = "answer ".repeat(3_000);
    let says = answer.clone();
    let v = lab.add(agent("a").tool(&big).model(model(move |c| {
        sees.lock().push(c.messages.clone());
        if c.turn == 1 { call("big", json!({})) } else { say(says.clone()) }
    })));
    let node = lab.open();
    let run = node.start(v, &long).run;
    assert_eq!(node.completes(run), answer);
    let seen = seen.lock();
    let stead_core::message::Message::User { text, .. } = &*seen[0][0] else { panic!() };
    assert_eq!(*text, long);
    let stead_core::message::Message::Tool(result) = &*seen[1][2] else { panic!() };
    assert!(result.content.len() < 5_000 && out.starts_with(&result.content[..1_000]), "{}", result.content.len());
    assert!(result.content.contains("20000 bytes in all"));
}

#[test]
fn a_model_that_calls_what_is_not_there_or_wrongly_is_told_and_goes_on() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible);
    let v = lab.add(agent("a").tool(&act).model(model(|c| match c.turn {
        1 => calls(&[("nothing", json!({})), ("act", json!([1])), ("act", json!({"ok": true}))]),
        _ => say(last_result(c).unwrap()),
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let text = node.completes(run);
    assert_eq!(node.denials(run), [code::TOOL_UNKNOWN, code::TOOL_ARGUMENTS]);
    assert!(text.starts_with("There is no tool `nothing`. The tools are: act. | The arguments do not fit"), "{text}");
    assert!(text.ends_with("| done"), "{text}");
    assert_eq!(act.count(), 1);
}

#[test]
fn a_reply_with_too_many_calls_is_garbage_and_an_empty_one_ends_the_run() {
    let lab = lab();
    let act = tool("act", EffectClass::Pure);
    let many: Vec<_> = (0..129).map(|i| ("act", json!({ "i": i }))).collect();
    let few: Vec<_> = many[..128].to_vec();
    let flood = lab.add(agent("flood").tool(&act).model(turns(vec![calls(&many)])));
    let full = lab.add(agent("full").tool(&act).model(turns(vec![calls(&few), say("all")])));
    let empty = lab.add(agent("empty").model(turns(vec![say("")])));
    let node = lab.open();
    let run = node.start(flood, "x").run;
    assert_eq!(node.fails(run).0, code::MODEL_GARBAGE);
    assert_eq!(tally(&node.kinds(run))["model_failed"], 3);
    assert_eq!(act.count(), 0);
    assert_eq!(node.completes(node.start(full, "x").run), "all");
    assert_eq!(act.count(), 128);
    assert_eq!(node.completes(node.start(empty, "x").run), "");
}

#[test]
fn an_adapter_that_panics_costs_its_attempt_and_not_the_run() {
    let lab = lab();
    let bad = tool("bad", EffectClass::Irreversible).does(|_| async { panic!("the adapter's own bug") });
    let v = lab.add(agent("a").tool(&bad).model(once("bad", json!({}))));
    let m = lab.add(agent("m").model(model(|_| panic!("the adapter's own bug"))));
    let node = lab.open();
    assert_eq!(node.completes(node.start(v, "x").run), "the tool's adapter panicked");
    assert_eq!(bad.count(), 1);
    assert_eq!(node.fails(node.start(m, "x").run).0, code::INTERNAL);
    node.empties();
}

#[test]
fn old_results_leave_the_models_view_and_stay_in_the_journal() {
    let lab = lab();
    let big = tool("big", EffectClass::Pure).does(|_| async { Outcome::Returned(Output::ok("r".repeat(2_000))) });
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let sees = seen.clone();
    let v = lab.add(agent("a").tool(&big).config(|c| c.context_tokens = 2_000).model(model(move |c| {
        let cleared = c.messages.iter().filter(
            |m| matches!(&***m, stead_core::message::Message::Tool(r) if r.content == stead_core::context::CLEARED),
        );
        sees.lock().push(cleared.count());
        if c.turn <= 8 { call("big", json!({})) } else { say("x") }
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.completes(run);
    let seen = seen.lock();
    assert!(seen.last().is_some_and(|n| *n >= 4), "{seen:?}");
    let facts = node.facts(run);
    assert!(facts.iter().any(|f| kind(&f.fact) == "context_compacted"));
    let kept = facts.iter().filter(|f| kind(&f.fact) == "effect_returned" && f.text.as_ref().unwrap().len() == 2_000);
    assert_eq!(kept.count(), 8);
}

#[test]
fn a_run_that_is_loaded_from_its_snapshot_is_as_it_was() {
    let mut lab = lab();
    lab.options.snapshot_every = 4;
    let (look, act) = (tool("look", EffectClass::Pure), tool("act", EffectClass::Irreversible).asks());
    let v = lab.add(agent("a").tool(&look).tool(&act).model(model(|c| match c.turn {
        1..=10 => call("look", json!({ "turn": c.turn })),
        11 => call("act", json!({})),
        _ => say(format!("{} messages", c.messages.len())),
    })));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    assert!(node.go(journal(&node).snapshot(run)).unwrap().is_some());
    node.crash();
    let node = lab.open();
    node.approve(effect, true).unwrap();
    assert_eq!(node.completes(run), "23 messages");
    assert_eq!((look.count(), act.count()), (10, 1));
}
