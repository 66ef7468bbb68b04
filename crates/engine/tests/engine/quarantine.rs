//! A run whose journal is damaged is set aside alone.

use serde_json::json;
use stead_core::{code, effect::EffectClass, fact::StopMode, id::RunId};

use crate::common::*;

/// Changes a byte in the last record of a run.
fn damage(lab: &Lab, run: RunId) {
    let db = rusqlite::Connection::open(lab.path().join("stead.db")).unwrap();
    let changed = db
        .execute(
            "UPDATE records SET body = CAST(substr(body, 1, length(body) - 9) || x'ff' || substr(body, length(body) - 7) AS BLOB)
             WHERE rid = (SELECT rid FROM runs WHERE id = ?1)
               AND seq = (SELECT max(seq) FROM records r WHERE r.rid = records.rid)",
            [run.0.to_be_bytes()],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn a_damaged_run_is_set_aside_and_the_others_go_on() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let asks = tool("ask", EffectClass::Irreversible).asks();
    let w = lab.add(agent("w").tool(&asks).model(once("ask", json!({}))));
    let node = lab.open();
    let runs: Vec<_> = (0..5).map(|_| node.start(v, "x").run).collect();
    for _ in 0..5 {
        node.go(gate.arrived());
    }
    let waits = [node.start(w, "x").run, node.start(w, "x").run];
    let effects = waits.map(|r| node.asked(r));
    node.crash();
    damage(&lab, runs[2]);
    damage(&lab, waits[0]);
    gate.open(100);
    let node = lab.open();
    for (i, run) in runs.iter().enumerate().filter(|(i, _)| *i != 2) {
        assert_eq!(node.completes(*run), "done", "{i}");
    }
    let engine = node.engine();
    let quarantined = |e: Option<stead_engine::EngineError>| assert_eq!(e.map(|e| e.code()), Some(code::QUARANTINED));
    for run in [runs[2], waits[0]] {
        node.go(async {
            quarantined(engine.stop(run, StopMode::Kill, me()).await.err());
            quarantined(engine.pause(run, me()).await.err());
            quarantined(engine.resume(run, me()).await.err());
            quarantined(engine.view(run).await.err());
            quarantined(engine.wait(run, false).await.err());
        });
    }
    quarantined(node.approve(effects[0], true).err());
    // It hides none of the questions of others.
    let approvals = node.go(engine.approvals(&all_approvals())).unwrap().items;
    assert_eq!(approvals.iter().map(|a| a.effect).collect::<Vec<_>>(), [effects[1]]);
    node.approve(effects[1], true).unwrap();
    assert_eq!(node.completes(waits[1]), "done");
    node.empties();
}

#[test]
fn a_damaged_run_in_a_queue_lets_the_next_one_go() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let session = node.session("a", "k");
    let runs: Vec<_> = (0..3).map(|i| node.start_in(v, session, &i.to_string()).run).collect();
    node.go(gate.arrived());
    node.crash();
    damage(&lab, runs[1]);
    gate.open(100);
    let node = lab.open();
    assert_eq!(node.completes(runs[0]), "done");
    assert_eq!(node.completes(runs[2]), "done");
    node.empties();
}

#[test]
fn stopping_a_run_whose_child_is_damaged_ends_it() {
    let lab = lab();
    let asks = tool("ask", EffectClass::Irreversible).asks();
    let child = lab.add(agent("child").tool(&asks).model(once("ask", json!({}))));
    let child = agent_tool("child", child, Default::default());
    let v = lab.add(agent("a").tool(&child).model(once("child", json!({"input": "y"}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let (child, _) = stead_core::id::EffectId { run, n: 1 }.child();
    let engine = node.engine();
    node.go(async { while engine.view(child).await.map_or(true, |v| v.approvals.is_empty()) {} });
    drop(engine);
    node.crash();
    damage(&lab, child);
    let node = lab.open();
    node.go(node.engine().stop(run, StopMode::Cancel, me())).unwrap();
    assert_eq!(node.end(run).0, stead_ports::journal::Status::Cancelled);
    node.empties();
}

#[test]
fn a_snapshot_that_cannot_be_read_is_discarded() {
    for how in ["body = x'00'", "version = 999", "leaf = zeroblob(32)"] {
        let mut lab = lab();
        lab.options.snapshot_every = 1;
        let asks = tool("ask", EffectClass::Irreversible).asks();
        let v = lab.add(agent("a").tool(&asks).model(once("ask", json!({}))));
        let node = lab.open();
        let run = node.start(v, "x").run;
        let effect = node.asked(run);
        node.empties();
        node.crash();
        let db = rusqlite::Connection::open(lab.path().join("stead.db")).unwrap();
        assert_eq!(db.execute(&format!("UPDATE snapshots SET {how}"), []).unwrap(), 1);
        drop(db);
        let node = lab.open();
        node.approve(effect, true).unwrap();
        assert_eq!(node.completes(run), "done");
    }
}

#[test]
fn a_run_whose_agent_is_gone_says_so_and_goes_on_when_it_is_back() {
    let lab = lab();
    let asks = tool("ask", EffectClass::Irreversible).asks();
    let v = lab.add(agent("a").tool(&asks).model(once("ask", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.empties();
    lab.remove(v);
    assert_eq!(node.approve(effect, true).unwrap_err().code(), code::VERSION_GONE);
    // What stood in for it has left.
    node.empties();
    lab.add(agent("a").tool(&asks).model(once("ask", json!({}))));
    node.approve(effect, true).unwrap();
    assert_eq!(node.completes(run), "done");
}
