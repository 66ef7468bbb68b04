//! The audit log behind a real journal: everything that was written is in it once and in order, whatever happens in between, and nothing that is
//! kept of it is believed.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::json;
use stead_audit::{
    bundle,
    checkpoint::Checkpoint,
    key::{Role, SignerKey},
    leaf::Entry,
    note::Trust,
};
use stead_core::{
    effect::EffectClass,
    id::{Name, RunId},
    time::Timestamp,
};
use stead_engine::{Log, LogError, LogKey, Picked};
use stead_ports::audit::{Act, AuditStore, OPERATORS};
use stead_store::SqliteStore;

use crate::common::*;

/// Far more than is ever needed.
const LONG: Duration = Duration::from_secs(120);

fn key() -> LogKey {
    let base = SignerKey::from_seed("log.example", Role::Log, [3; 32].into()).unwrap();
    LogKey::new(base, 1).unwrap()
}

/// An engine with its log.
fn open(lab: &Lab) -> (Node, Log) {
    let kept: Arc<Mutex<Option<Arc<SqliteStore>>>> = Arc::default();
    let store = kept.clone();
    let node = lab.open_on(move |opened| {
        let opened = Arc::new(opened);
        *store.lock() = Some(opened.clone());
        opened
    });
    let audit: Arc<dyn AuditStore> = kept.lock().take().unwrap();
    let engine = node.engine();
    let log = node.go(async move { engine.keep_log(audit, key()) });
    (node, log)
}

fn caught_up(node: &Node, log: &Log) {
    assert!(node.go(log.caught_up(LONG)), "{:?}", log.health());
}

/// All leaves of the tenant's log: run and position of each; and that a bundle of all of them verifies, beside a checkpoint that was kept.
fn whole(node: &Node, log: &Log, held: Option<&str>) -> (Vec<(RunId, u64)>, String) {
    let row = node.go(log.head(&tenant())).unwrap().unwrap();
    let entries = node.go(log.entries(&row, 0, u32::MAX)).unwrap();
    assert_eq!(entries.len() as u64, row.size);
    let places = entries
        .iter()
        .map(|(_, leaf)| match Entry::decode(leaf).unwrap() {
            Entry::Record(leaf) => (leaf.run, leaf.seq),
            Entry::Act(_) => panic!("operators have a log of their own"),
        })
        .collect();
    let trust = Trust::in_log(log.verifier(&tenant()));
    let size = |note: &str| Checkpoint::verify(note, &trust).unwrap().0.size;
    let links = held.map(size).filter(|held| *held < row.size).into_iter().collect();
    let leaves = (0..row.size).map(|index| (index, None)).collect();
    let note = row.note.clone();
    let file = node.go(log.bundle(Picked { row, leaves, links })).unwrap();
    let report = bundle::verify(&file, &trust, held).unwrap();
    assert_eq!(report.leaves, entries.len() as u64);
    (places, note)
}

/// The records of all runs.
fn written(node: &Node, runs: &[RunId]) -> Vec<(RunId, u64)> {
    let mut all = Vec::new();
    for run in runs {
        let records = node.go(node.engine().journal().read(*run, 0, 10_000)).unwrap();
        all.extend(records.iter().map(|record| (*run, record.seq)));
    }
    all
}

fn same(mut logged: Vec<(RunId, u64)>, mut written: Vec<(RunId, u64)>) {
    logged.sort_unstable();
    written.sort_unstable();
    assert_eq!(logged, written, "each record is in the log once");
}

#[test]
fn every_record_is_in_the_log_once_and_in_order_over_crashes_at_any_moment() {
    let lab = lab();
    let pure = tool("look", EffectClass::Pure);
    let v = lab.add(agent("worker").tool(&pure).model(turns(vec![
        call("look", json!({})),
        call("look", json!({})),
        say("done"),
    ])));
    let (mut runs, mut held) = (Vec::new(), None::<String>);
    for life in 0..6 {
        let (node, log) = open(&lab);
        for _ in 0..20 {
            runs.push(node.start(v, "x").run);
        }
        // Some lives end at once, others while much is under way, one in order.
        if life % 2 == 0 {
            runs.iter().for_each(|run| drop(node.completes(*run)));
            caught_up(&node, &log);
            let (_, note) = whole(&node, &log, held.as_deref());
            held = Some(note);
        }
        if life < 5 {
            drop(log);
            node.crash();
        }
    }
    let (node, log) = open(&lab);
    runs.iter().for_each(|run| drop(node.completes(*run)));
    caught_up(&node, &log);
    let (logged, _) = whole(&node, &log, held.as_deref());
    same(logged, written(&node, &runs));
}

#[test]
fn a_journal_without_a_log_is_integrated_from_its_beginning() {
    let lab = lab();
    let v = lab.add(agent("a").model(turns(vec![say("x")])));
    let node = lab.open();
    let runs: Vec<RunId> = (0..400).map(|_| node.start(v, "x").run).collect();
    runs.iter().for_each(|run| drop(node.completes(*run)));
    node.crash();
    let (node, log) = open(&lab);
    caught_up(&node, &log);
    let (logged, _) = whole(&node, &log, None);
    same(logged, written(&node, &runs));
    // Where records are is found.
    for run in [runs[0], runs[200], runs[399]] {
        let places = node.go(log.places(run)).unwrap();
        let records = node.go(node.engine().journal().read(run, 0, 100)).unwrap();
        assert_eq!(
            places.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
            (0..records.len() as u64).collect::<Vec<_>>()
        );
        let row = node.go(log.head(&tenant())).unwrap().unwrap();
        for (seq, index) in places {
            let (_, leaf) = node.go(log.entries(&row, index, 1)).unwrap().remove(0);
            let Entry::Record(leaf) = Entry::decode(&leaf).unwrap() else { panic!("no record") };
            assert_eq!((leaf.run, leaf.seq), (run, seq));
        }
    }
}

#[test]
fn what_operators_do_has_a_log_of_its_own() {
    let lab = lab();
    let (node, log) = open(&lab);
    let operators = Name::from(OPERATORS);
    for n in 1..=3_u128 {
        let act = Act {
            id: n,
            at: Timestamp(n as i64),
            topic: "apply_policy".into(),
            salt: [n as u8; 16],
            body: format!("{{\"n\":{n}}}").into(),
        };
        node.go(log.store().act(act)).unwrap();
    }
    caught_up(&node, &log);
    let row = node.go(log.head(&operators)).unwrap().unwrap();
    assert_eq!((row.size, log.verifier(&operators).name()), (3, "log.example/operators"));
    let kept = node.go(log.store().find_act(2)).unwrap().unwrap();
    let shown = stead_audit::leaf::Act::shown(&kept.salt, &kept.body);
    let picked = Picked { row, leaves: vec![(0, None), (1, Some(shown))], links: vec![] };
    let file = node.go(log.bundle(picked)).unwrap();
    let report = bundle::verify(&file, &Trust::in_log(log.verifier(&operators)), None).unwrap();
    assert_eq!((report.acts, report.records), (2, 1));
    assert!(node.go(log.head(&tenant())).unwrap().is_none(), "nobody ran anything");
}

/// Changes the database behind everybody's back.
fn behind(lab: &Lab, sql: &str) {
    let conn = rusqlite::Connection::open(lab.path().join("stead.db")).unwrap();
    conn.busy_timeout(LONG).unwrap();
    assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn nothing_that_is_kept_of_a_log_is_believed() {
    let lab = lab();
    let v = lab.add(agent("a").model(turns(vec![say("x")])));
    let (node, log) = open(&lab);
    for _ in 0..150 {
        node.completes(node.start(v, "x").run);
    }
    caught_up(&node, &log);
    let head = || node.go(log.head(&tenant())).unwrap().unwrap();
    let all = |row: stead_ports::audit::LogRow| {
        let leaves = (0..row.size).map(|index| (index, None)).collect();
        node.go(log.bundle(Picked { row, leaves, links: vec![1] }))
    };
    assert!(head().size > 256, "there is a full tile: {}", head().size);
    all(head()).unwrap();
    let forged = |what: &str| {
        let found = all(head());
        assert!(matches!(found, Err(LogError::Forged(_))), "{what}: {found:?}");
    };
    let conn = rusqlite::Connection::open(lab.path().join("stead.db")).unwrap();
    conn.execute_batch("CREATE TABLE kept AS SELECT * FROM audit_tiles").unwrap();
    drop(conn);
    let flip = "body = zeroblob(length(body))";
    for (what, change, back) in [
        ("a tile of hashes", format!("UPDATE audit_tiles SET {flip} WHERE level = 0 AND n = 0"), "level = 0 AND n = 0"),
        ("the edge", format!("UPDATE audit_tiles SET {flip} WHERE level = 0 AND n = 1"), "level = 0 AND n = 1"),
        (
            "leaves",
            "UPDATE audit_tiles SET body = x'00' WHERE level = 255 AND n = 0".to_owned(),
            "level = 255 AND n = 0",
        ),
        ("a tile that is gone", "UPDATE audit_tiles SET n = 77 WHERE level = 0 AND n = 0".to_owned(), ""),
    ] {
        behind(&lab, &change);
        forged(what);
        match back {
            "" => behind(&lab, "UPDATE audit_tiles SET n = 0 WHERE n = 77"),
            place => behind(
                &lab,
                &format!(
                    "UPDATE audit_tiles SET body = (SELECT k.body FROM kept k WHERE k.lid = audit_tiles.lid AND k.level = audit_tiles.level AND k.n = audit_tiles.n) WHERE {place}"
                ),
            ),
        }
        all(head()).unwrap();
    }
    behind(&lab, "UPDATE audit_logs SET size = size - 1");
    forged("a size");
    behind(&lab, "UPDATE audit_logs SET size = size + 1");
    behind(&lab, "UPDATE audit_logs SET root = zeroblob(32)");
    forged("a root");
}
