//! The audit log. As far as it is pure: what one core appends and verifies, how long proofs are, and whether tampering is found. And behind a real
//! journal: what is integrated, how soon it is proven, and what that costs ([`product`]).

#[expect(unreachable_pub, reason = "shared with the tests of the crate")]
#[path = "../../crates/audit/tests/shared/attack.rs"]
mod attack;
#[expect(unreachable_pub, dead_code, reason = "shared with the tests of the crate")]
#[path = "../../crates/audit/tests/shared/history.rs"]
mod history;

mod product;

use std::{
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use attack::{NAMES, Target};
use history::{Log, ORIGIN, Seeded};
use serde_json::{Value, json};
use stead_audit::{
    bundle::{Shown, make, verify},
    edge::Edge,
    hash,
    leaf::{Decision, Kinds, Leaf, NONE_BEFORE},
    prove,
    tree::Tree,
};
use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

/// Runs of the log at once; each ends after some fifty records.
const RUNS: usize = 1_000;
/// Appends of an integrator come in such numbers.
const BATCH: usize = 4_096;
/// Rounds, of which the median counts.
const ROUNDS: usize = 5;
/// Attacks on one log, before another is made.
const ON_ONE: usize = 50;

pub(crate) fn main(quick: bool, as_json: bool) -> ExitCode {
    let n = if quick { 200_000 } else { 1_000_000 };
    let leaves = leaves(n);
    let mean = leaves.iter().map(Vec::len).sum::<usize>() / n;
    let mut out = json!({"leaves": n, "leaf_bytes": mean});
    out["pure_append_per_s"] = per_s(n, || append(&leaves));
    let (file, log) = whole(&leaves);
    let trust = log.trust(0);
    out["verify_per_s"] = per_s(n, || {
        let report = verify(&file, &trust, None).expect("an honest bundle");
        assert_eq!(report.leaves, n as u64);
    });
    out["sha256_per_s"] = per_s(n, || only_hash(&leaves));
    out["bundle_bytes_per_leaf"] = json!(file.len() / n);
    drop((file, leaves));
    out["inclusion_bytes_1e6"] = json!(longest_inclusion(1_000_000));
    let (tried, found, by_kind) = tamper(if quick { 9_000 } else { 100_000 });
    out["tamper_tried"] = json!(tried);
    out["tamper_found"] = json!(found);
    out["tamper_by_kind"] = by_kind;
    for (key, value) in product::figures(quick) {
        out[key] = value;
    }
    let stopped = crate::durable::kill_switch::case();
    out["kill_switch_10000_ms"] = stopped["acknowledged_ms"].clone();
    out["kill_switch_10000_all_ended_s"] = stopped["all_ended_s"].clone();
    out["quick"] = json!(quick);
    if !as_json {
        println!("{out:#}");
    }
    println!("{out}");
    if found == tried { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Leaves of made-up runs, about as long as real ones: every other record has a decision.
fn leaves(n: usize) -> Vec<Vec<u8>> {
    let mut seeded = Seeded(8);
    let mut runs: Vec<(RunId, u64, LeafHash)> =
        (0..RUNS).map(|_| (RunId(seeded.next().into()), 0, NONE_BEFORE)).collect();
    (0..n)
        .map(|at| {
            let which = seeded.below(RUNS);
            let (run, seq, prev) = runs[which];
            let record = LeafHash(seeded.bytes());
            let mut kinds = Kinds::default();
            [5, 7, 11].iter().for_each(|kind| kinds.insert(*kind));
            let decided = seeded.below(2) == 0;
            let decisions =
                decided.then_some(Decision { effect: 3, verdict: 0, epoch: Some(12) }).into_iter().collect();
            let at = Timestamp(1_767_225_600_000_000 + at as i64);
            let leaf = Leaf { log: ORIGIN, run, seq, at, prev, record, kinds, decisions, approvals: vec![] };
            runs[which] = if seeded.below(50) == 0 {
                (RunId(seeded.next().into()), 0, NONE_BEFORE)
            } else {
                (run, seq + 1, record)
            };
            leaf.encode()
        })
        .collect()
}

/// Hashes leaves and appends them, with all the tiles that a store would be given.
fn append(leaves: &[Vec<u8>]) {
    let mut edge = Edge::default();
    for batch in leaves.chunks(BATCH) {
        let hashes: Vec<_> = batch.iter().map(|leaf| hash::leaf(leaf)).collect();
        black_box(edge.append(&hashes).expect("a log has room"));
        black_box(edge.root());
    }
}

/// A bundle of the whole log.
fn whole(leaves: &[Vec<u8>]) -> (Vec<u8>, Log) {
    let log = Log::new(1, 1, &mut Seeded(9));
    let shown: Vec<Shown> = leaves
        .iter()
        .enumerate()
        .map(|(index, leaf)| Shown { index: index as u64, leaf: leaf.clone(), record: None })
        .collect();
    let mut tree = history::tree(&shown);
    let (note, size) = (log.checkpoint(&tree), tree.size());
    let Ok(file) = make(&mut tree, &note, size, &shown, &[]);
    (file, log)
}

/// What no verifier can do without: the hash of each leaf, and as many of nodes.
fn only_hash(leaves: &[Vec<u8>]) {
    let mut last = hash::empty();
    for leaf in leaves {
        last = hash::node(last, hash::leaf(leaf));
    }
    black_box(last);
}

fn longest_inclusion(size: u64) -> usize {
    let mut tree = Tree::default();
    tree.extend((0..size).map(|n| hash::leaf(&n.to_be_bytes())));
    let mut seeded = Seeded(10);
    let some = (0..10_000).map(|_| seeded.below(size as usize) as u64);
    let longest = some.map(|index| {
        let Ok(path) = prove::inclusion(&mut tree, index, size);
        path.len()
    });
    longest.max().unwrap_or_default() * hash::LEN
}

/// Tries so many attacks, each kind as often, and counts those that were found.
fn tamper(n: usize) -> (usize, usize, Value) {
    let (mut seeded, mut by_kind) = (Seeded(11), [[0_usize; 2]; NAMES.len()]);
    let mut target = Target::new(5, &mut seeded);
    for at in 0..n {
        if at % ON_ONE == 0 {
            target = Target::new(5 + seeded.below(60), &mut seeded);
            assert!(target.honest_is_believed(&mut seeded), "an honest log is not believed");
        }
        let [tried, found] = &mut by_kind[at % NAMES.len()];
        *tried += 1;
        *found += usize::from(target.is_found(at % NAMES.len(), &mut seeded));
    }
    let named: serde_json::Map<_, _> =
        NAMES.iter().zip(by_kind).map(|(name, counts)| ((*name).into(), json!(counts))).collect();
    (n, by_kind.iter().map(|[_, found]| found).sum(), named.into())
}

/// How many a second: the median of the rounds.
fn per_s(n: usize, mut round: impl FnMut()) -> Value {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .collect();
    times.sort();
    json!((n as f64 / times[ROUNDS / 2].as_secs_f64()).round())
}
