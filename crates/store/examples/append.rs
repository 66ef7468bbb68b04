//! Measures a store: `cargo run --release -p stead-store --example append [-- SECONDS [POSTGRES_URL]]`.
//!
//! Prints one line for each load: runs at a time, appends a second, and the time from call to acknowledgement. A load of
//! N runs keeps N appends of 300-byte records in flight, one of each run; for SQLite it also says how much of a core the
//! writer thread took for one append. The last lines give the disk's own limit. Data goes to a temporary folder under the working directory, and is removed.

use std::{
    fs::{self, File},
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use stead_core::{
    budget::Spend,
    id::{LeafHash, RunId, SessionId, VersionId},
    time::{Span, Timestamp},
};
use stead_ports::journal::{Append, IndexChange, Journal, NewRun, RunState, Status, partition};
use stead_store::{BlobKey, PgOptions, PgStore, SqliteOptions, SqliteStore};

/// Records of one run; then the task goes on with a new run.
const RECORDS: u64 = 21;

fn append(run: RunId, seq: u64, epoch: u64, record: &Bytes) -> Append {
    let session = SessionId(run.0 ^ 0xffff);
    let state = |status| RunState { status, wake_at: None, turns: 0, effects: 0, spent: Spend::ZERO, code: None };
    let create = || NewRun {
        tenant: "default".into(),
        session,
        agent: "bench".into(),
        version: VersionId([7; 32]),
        parent: None,
        user: None,
        idempotency: None,
        title: "bench".into(),
    };
    let index = match seq {
        0 => Some(IndexChange { create: Some(create()), run: Some(state(Status::Running)), ..IndexChange::default() }),
        n if n == RECORDS - 1 => Some(IndexChange { run: Some(state(Status::Completed)), ..IndexChange::default() }),
        _ => None,
    };
    Append {
        run,
        tenant: "default".into(),
        partition: partition(session),
        seq,
        epoch,
        record: record.clone(),
        leaf: LeafHash([seq as u8; 32]),
        at: Timestamp(1),
        blobs: Vec::new(),
        index: index.map(Box::new),
    }
}

/// Keeps `runs` appends in flight for `time`; prints what came of it.
async fn load(what: &str, store: Arc<dyn Journal>, runs: u64, time: Duration) {
    let epoch = store.acquire("bench", Span::from_secs(3_600)).await.expect("an empty store can be owned").epoch;
    let record = Bytes::from(vec![0x83; 300]);
    let start = Instant::now();
    let tasks: Vec<_> = (0..runs)
        .map(|n| {
            let (store, record) = (store.clone(), record.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                for life in 1u64.. {
                    // The upper half is time, as in a ULID; the lower half is spread like random bits.
                    let low = (life * runs + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let run = RunId(u128::from(life) << 80 | u128::from(low));
                    for seq in 0..RECORDS {
                        let asked = Instant::now();
                        store.append(append(run, seq, epoch, &record)).await.expect("the store takes it");
                        waits.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                        if start.elapsed() >= time {
                            return waits;
                        }
                    }
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("a task ends without panic"));
    }
    let (took, appends) = (start.elapsed(), waits.len() as f64);
    report(what, runs, waits, took);
    if let Some(cpu) = writer_cpu() {
        println!("{:<23}the writer took {:.1} us of a core for one append", "", cpu.as_micros() as f64 / appends);
    }
}

/// Processor time of the writer thread so far, as Linux counts it (proc(5), `schedstat`).
fn writer_cpu() -> Option<Duration> {
    let threads = fs::read_dir("/proc/self/task").ok()?.flatten();
    let writer = threads.map(|t| t.path()).find(|t| fs::read(t.join("comm")).is_ok_and(|c| c == b"stead-writer\n"))?;
    let stat = fs::read_to_string(writer.join("schedstat")).ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn report(what: &str, runs: u64, mut waits: Vec<u32>, took: Duration) {
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    let rate = waits.len() as f64 / took.as_secs_f64();
    println!("{what:<10} {runs:>5} runs  {rate:>9.0} appends/s  p50 {:>6} us  p99 {:>6} us", at(0.5), at(0.99));
}

/// One write of `bytes` and one `fdatasync` after the other, in a file that is long enough already.
fn disk(dir: &std::path::Path, bytes: usize, time: Duration) -> std::io::Result<()> {
    let path = dir.join("raw");
    let mut file = File::create(&path)?;
    file.write_all(&vec![1; 64 << 20])?;
    file.sync_all()?;
    let file = File::options().write(true).open(&path)?;
    let (start, mut waits, block, mut at) = (Instant::now(), Vec::new(), vec![2; bytes], 0);
    while start.elapsed() < time {
        let asked = Instant::now();
        std::os::unix::fs::FileExt::write_all_at(&file, &block, at)?;
        file.sync_data()?;
        waits.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
        at = (at + bytes as u64) % (60 << 20);
    }
    report(&format!("raw {bytes}"), 1, waits, start.elapsed());
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().and_then(|s| s.parse().ok()).unwrap_or(3.0);
    let time = Duration::from_secs_f64(seconds);
    let url = args.next();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for runs in [1, 64, 1_000, 4_000] {
        let dir = tempfile::tempdir_in(".")?;
        runtime.block_on(async {
            if let Some(url) = &url {
                let schema = format!("bench_{}_{runs}", std::process::id());
                let options = PgOptions { schema, ..PgOptions::new(BlobKey::from_bytes([7; 32])) };
                let store = PgStore::connect(url, options).await.expect("the database answers");
                load("postgres", Arc::new(store), runs, time).await;
            } else {
                let store = SqliteStore::open(dir.path(), SqliteOptions::default()).expect("a fresh folder opens");
                load("sqlite", Arc::new(store), runs, time).await;
            }
        });
    }
    let dir = tempfile::tempdir_in(".")?;
    disk(dir.path(), 4_096, time)?;
    disk(dir.path(), 16_384, time)
}
