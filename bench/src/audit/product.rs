//! The log behind a real journal, on SQLite with every sync: what the integrator takes a second, how soon after its acknowledgement a record is proven
//! while runs are worked on, and how many durable steps that costs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stead_core::{
    budget::Spend,
    effect::EffectClass,
    fact::Fact,
    id::{ActivationId, LeafHash, RunId, SessionId, VersionId},
    record::{Actor, Header, Record, VERSION},
    run::GENESIS,
    time::{Span, Timestamp},
};
use stead_engine::{DefaultPolicy, PolicySets};
use stead_ports::journal::{Append, IndexChange, Journal, NewRun, RunState, Status, partition};
use stead_store::{SqliteOptions, SqliteStore};

use crate::durable::{
    agent::{a_run, logged, noop},
    runtime, scratch, steps,
};

/// Runs whose records are integrated.
const RUNS: u64 = 1_000;
/// Callers of the durable bench that goes on meanwhile.
const CALLERS: usize = 64;
/// Far more than is ever needed.
const LONG: Duration = Duration::from_secs(600);

/// The figures, by their keys.
pub(super) fn figures(quick: bool) -> [(&'static str, Value); 4] {
    let time = Duration::from_secs_f64(if quick { 1.5 } else { 10.0 });
    let (integrated, records) = integrated(if quick { 100_000 } else { 1_000_000 });
    [
        ("entries_per_s", json!(integrated.round())),
        ("entries", json!(records)),
        ("provable_p99_ms", json!((provable(time) * 10.0).round() / 10.0)),
        ("durable_overhead_pct", json!((overhead(time) * 10.0).round() / 10.0)),
    ]
}

/// Entries a second out of a journal that was written before, until the last is under a durable checkpoint.
fn integrated(records: u64) -> (f64, u64) {
    let dir = scratch();
    runtime().block_on(async {
        let store = SqliteStore::open(dir.path(), SqliteOptions::default()).expect("the store opens");
        fill(&store, records / RUNS).await;
        drop(store);
        let agent = noop(EffectClass::Pure, false, &Arc::default());
        let begin = Instant::now();
        let (engine, log) = logged(dir.path(), agent, policies()).await;
        assert!(log.caught_up(LONG).await, "{:?}", log.health());
        let took = begin.elapsed().as_secs_f64();
        let row = log.head(&"default".into()).await.expect("the store answers").expect("there is a log");
        assert_eq!((row.size, row.unread), (records / RUNS * RUNS, 0));
        engine.drain(Duration::ZERO).await;
        (row.size as f64 / took, row.size)
    })
}

fn policies() -> Arc<dyn PolicySets> {
    Arc::new(DefaultPolicy::default())
}

/// Appends so many records to each run, round and round. Each has ended with its first, so that no engine takes it up.
async fn fill(store: &SqliteStore, each: u64) {
    let lease = store.acquire("bench", Span::from_secs(600)).await.expect("it is ours");
    let mut prev = vec![GENESIS; RUNS as usize];
    for seq in 0..each {
        let mut acks = Vec::with_capacity(RUNS as usize);
        for n in 0..RUNS {
            let (append, leaf) = record(n, seq, lease.epoch, prev[n as usize]);
            prev[n as usize] = leaf;
            acks.push(store.append(append));
        }
        for ack in acks {
            ack.await.expect("is taken");
        }
    }
    store.release(lease).await.expect("it was ours");
}

fn record(n: u64, seq: u64, epoch: u64, prev: LeafHash) -> (Append, LeafHash) {
    let run = RunId(u128::from(n + 1) << 80 | u128::from(n));
    let session = SessionId(run.0 ^ 0xffff);
    let header = Header {
        v: VERSION,
        run,
        seq,
        at: Timestamp(1_767_225_600_000_000 + seq as i64),
        activation: ActivationId(1),
        epoch,
        tenant: "default".into(),
        actor: Actor::Runtime,
        salt: [seq as u8; 16],
        subject_key: None,
    };
    let encoded = Record { header, facts: vec![Fact::Paused, Fact::Resumed], payloads: Vec::new() }.encode(prev);
    let create = NewRun {
        tenant: "default".into(),
        session,
        agent: "bench".into(),
        version: VersionId([1; 32]),
        parent: None,
        user: None,
        idempotency: None,
        title: String::new(),
    };
    let ended =
        RunState { status: Status::Completed, wake_at: None, turns: 0, effects: 0, spent: Spend::ZERO, code: None };
    let index = IndexChange { create: Some(create), run: Some(ended), ..IndexChange::default() };
    let append = Append {
        run,
        tenant: "default".into(),
        partition: partition(session),
        seq,
        epoch,
        record: encoded.bytes,
        leaf: encoded.leaf,
        at: Timestamp(1),
        blobs: Vec::new(),
        index: (seq == 0).then(|| Box::new(index)),
    };
    (append, encoded.leaf)
}

/// Milliseconds from the acknowledgement of a start until its record is in the log under a durable checkpoint: the 99th percentile, while the durable
/// bench goes on.
fn provable(time: Duration) -> f64 {
    let dir = scratch();
    runtime().block_on(async {
        let agent = noop(EffectClass::Pure, false, &Arc::default());
        let (engine, log) = logged(dir.path(), agent, policies()).await;
        let begin = Instant::now();
        let load: Vec<_> = (0..CALLERS)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    while begin.elapsed() < time {
                        engine.start_and_wait(a_run()).await.expect("the run ends");
                    }
                })
            })
            .collect();
        let (mut took, mut news) = (Vec::new(), log.news());
        while begin.elapsed() < time {
            let run = engine.start(a_run()).await.expect("it starts").run;
            let acknowledged = Instant::now();
            while log.store().spans(run, 0, 1).await.expect("the store answers").is_empty() {
                news.changed().await.expect("the integrator works");
            }
            took.push(acknowledged.elapsed().as_secs_f64() * 1e3);
        }
        for caller in load {
            caller.await.expect("the caller ends");
        }
        engine.drain(Duration::from_secs(10)).await;
        took.sort_by(f64::total_cmp);
        took.get((took.len().saturating_sub(1) as f64 * 0.99) as usize).copied().unwrap_or(f64::NAN)
    })
}

/// How many fewer durable steps a second there are with the log behind the journal, in per cent: the two take turns.
fn overhead(time: Duration) -> f64 {
    let rate = |cell: Value| cell["steps_per_s"].as_f64().unwrap_or(0.0);
    let (mut without, mut with) = (0.0, 0.0);
    for _ in 0..3 {
        without += rate(steps::cell(EffectClass::Pure, CALLERS, time / 2));
        with += rate(steps::logged_cell(EffectClass::Pure, CALLERS, time / 2));
    }
    (1.0 - with / without) * 100.0
}
