//! A real process that appends until something ends it and tells of each append that was acknowledged, and the proof
//! that all of those are found afterwards. What ends it is the business of the tests that use this.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
};

use bytes::Bytes;
use stead_core::{
    budget::Spend,
    id::{ActivationId, LeafHash, RunId, SessionId, VersionId},
    record::{Actor, Body, Header, Payload, Record, Source, VERSION},
    time::{Span, Timestamp},
};
use stead_ports::journal::{Append, IndexChange, Journal, NewBlob, NewRun, RunState, Status, StoredRecord, partition};
use stead_store::{SqliteOptions, SqliteStore};

/// Runs that append at the same time, so that a commit has many appends.
const RUNS: u64 = 64;

/// The data directory; only the writer's process has it.
const DIR: &str = "STEAD_TEST_WRITER_DIR";
/// Which writer of the test it is: its runs are others than those of the writers before it.
const LIFE: &str = "STEAD_TEST_WRITER_LIFE";
/// After how many acknowledgements it kills itself; 0 for never.
const KILL: &str = "STEAD_TEST_WRITER_KILL";

const TENANT: &str = "acme";

/// An append that the store said was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acked {
    run: RunId,
    seq: u64,
    leaf: LeafHash,
}

impl Acked {
    /// Reads a line of the writer; `None` for what the test harness says, and for a line cut off by the end.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("ack ")?.strip_suffix(" .")?.split(' ');
        let (run, seq, leaf) = (words.next()?, words.next()?, words.next()?);
        Some(Self { run: RunId::from_str(run).ok()?, seq: seq.parse().ok()?, leaf: LeafHash::from_str(leaf).ok()? })
    }
}

/// A process that writes.
pub(crate) struct Writer {
    /// The process.
    pub(crate) child: Child,
    acks: Receiver<Acked>,
}

impl Writer {
    /// Starts this test program again, as the writer: `test` is the test that calls [`serve`] first.
    pub(crate) fn spawn(test: &str, dir: &Path, life: u64, kill_after: u32) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["--exact", test, "--include-ignored", "--nocapture"])
            .env(DIR, dir)
            .env(LIFE, life.to_string())
            .env(KILL, kill_after.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let (tx, acks) = mpsc::channel();
        // Read at once: a writer that waits for its reader does not write.
        thread::spawn(move || {
            for ack in BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|l| Acked::parse(&l)) {
                if tx.send(ack).is_err() {
                    return;
                }
            }
        });
        Self { child, acks }
    }

    /// Waits for the next `count` acknowledgements; fewer come when the writer ends before.
    pub(crate) fn acks(&self, count: usize) -> Vec<Acked> {
        self.acks.iter().take(count).collect()
    }

    /// Waits for the end of the writer, and gives what was acknowledged until then.
    pub(crate) fn end(mut self) -> (Vec<Acked>, ExitStatus) {
        let acks = self.acks.iter().collect();
        (acks, self.child.wait().expect("the writer ends"))
    }
}

/// In a writer's process: appends for as long as the store takes it, and does not return. In any other: returns.
pub(crate) fn serve() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok()).expect("the test says it");
    let (life, kill_after) = (number(LIFE), number(KILL) as u32);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime starts");
    runtime.block_on(async {
        // Every second writer copies the log into the database all the time, so that the end comes in the middle of
        // that. The others never do: such a copy forces the log to the disk, and would hide that a commit did not.
        let log_pages = if life.is_multiple_of(2) { 64 } else { u32::MAX };
        let options = SqliteOptions { log_pages, ..SqliteOptions::default() };
        let store = SqliteStore::open(Path::new(&dir), options).expect("the store opens");
        let lease = store.acquire("writer", Span::from_secs(600)).await.expect("the store can be owned");
        let (store, count) = (Arc::new(store), Arc::new(AtomicU32::new(0)));
        let runs: Vec<_> = (1..=RUNS)
            .map(|n| {
                let (store, count) = (store.clone(), count.clone());
                let run = RunId(u128::from(life) << 80 | u128::from(n));
                tokio::spawn(async move {
                    let mut leaf = LeafHash([0; 32]);
                    for seq in 0.. {
                        let append = append(&store, run, seq, lease.epoch, leaf);
                        leaf = append.leaf;
                        if store.append(append).await.is_err() {
                            return;
                        }
                        tell(&Acked { run, seq, leaf });
                        if count.fetch_add(1, Ordering::Relaxed) + 1 == kill_after {
                            let _ =
                                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                        }
                    }
                })
            })
            .collect();
        for run in runs {
            run.await.expect("a run ends without panic");
        }
    });
    // Every run was refused: the store can write no more.
    std::process::exit(3);
}

/// One line, one write: all of it reaches the pipe, or nothing.
fn tell(ack: &Acked) {
    let Acked { run, seq, leaf } = ack;
    // A line break first, for the harness may have begun a line. A reader that has gone needs no answer.
    let _ = std::io::stdout().lock().write_all(format!("\nack {run} {seq} {leaf} .\n").as_bytes());
}

/// Text of a length between 0 and 4,000 bytes that differs from record to record.
fn text(run: RunId, seq: u64) -> Bytes {
    let length = (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ run.0 as u64) % 4_000;
    format!("{run}/{seq} ").bytes().cycle().take(length as usize).collect()
}

/// The content of the blob that goes with every eighth append.
fn blob(run: RunId, seq: u64) -> Option<Bytes> {
    seq.is_multiple_of(8).then(|| (0..8_192_u64).map(|i| ((i * seq) ^ run.0 as u64) as u8).collect())
}

fn append(store: &SqliteStore, run: RunId, seq: u64, epoch: u64, prev: LeafHash) -> Append {
    let at = Timestamp(1_000_000 + seq as i64);
    let header = Header {
        v: VERSION,
        run,
        seq,
        at,
        activation: ActivationId(1),
        epoch,
        tenant: TENANT.into(),
        actor: Actor::Runtime,
        salt: run.0.to_be_bytes(),
        subject_key: None,
    };
    let mut payloads = vec![Payload::inline(text(run, seq), Source::Tool)];
    let mut blobs = Vec::new();
    if let Some(content) = blob(run, seq) {
        let (tenant, len) = (TENANT.into(), content.len() as u64);
        let id = store.blob_id(&tenant, &content);
        payloads.push(Payload::new(Body::Blob { id, len, preview: None }, Some(Source::Tool)));
        blobs.push(NewBlob { tenant, id, content });
    }
    let encoded = Record { header, facts: Vec::new(), payloads }.encode(prev);
    let session = SessionId(run.0 ^ 0xffff);
    let first = || {
        Box::new(IndexChange {
            create: Some(NewRun {
                tenant: TENANT.into(),
                session,
                agent: "writer".into(),
                version: VersionId([7; 32]),
                parent: None,
                user: None,
                idempotency: None,
                title: String::new(),
            }),
            run: Some(RunState {
                status: Status::Running,
                wake_at: None,
                turns: 0,
                effects: 0,
                spent: Spend::ZERO,
                code: None,
            }),
            ..IndexChange::default()
        })
    };
    Append {
        run,
        tenant: TENANT.into(),
        partition: partition(session),
        seq,
        epoch,
        record: encoded.bytes,
        leaf: encoded.leaf,
        at,
        blobs,
        index: (seq == 0).then(first),
    }
}

/// Opens the store again and proves that every acknowledged append is in it, and that each run is one chain without a
/// gap, with its texts and blobs. What was appended and never acknowledged may be there or not.
pub(crate) fn assert_all_there(dir: &Path, acked: &[Acked]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        let store = SqliteStore::open(dir, SqliteOptions::default()).expect("the store opens after its sudden end");
        let mut runs: BTreeMap<RunId, Vec<&Acked>> = BTreeMap::new();
        for ack in acked {
            runs.entry(ack.run).or_default().push(ack);
        }
        let mut lost = Vec::new();
        for (run, acks) in runs {
            let records = chain(&store, run).await;
            lost.extend(acks.into_iter().filter(|a| records.get(a.seq as usize).map(|r| r.leaf) != Some(a.leaf)));
        }
        let first = &lost[..lost.len().min(5)];
        assert!(lost.is_empty(), "lost {} of {} acknowledged appends, first {first:?}", lost.len(), acked.len());
    });
}

/// All records of a run, proven to be one chain.
async fn chain(store: &SqliteStore, run: RunId) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    loop {
        let more = store.read(run, records.len() as u64, 1_000).await.expect("the store answers");
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    let mut prev = LeafHash([0; 32]);
    for (seq, stored) in (0..).zip(&records) {
        let (record, leaf) = Record::decode(&stored.bytes, prev).expect("the record can be read");
        assert_eq!((stored.seq, stored.leaf), (seq, leaf), "the chain of {run} is broken at {seq}");
        assert_eq!((record.header.run, record.header.seq), (run, seq));
        assert_eq!(record.payloads[0].body, Body::Inline(text(run, seq)), "{run} at {seq}");
        if let Some(Body::Blob { id, .. }) = record.payloads.get(1).map(|p| &p.body) {
            let content = store.blob(&TENANT.into(), *id).await.expect("the store answers");
            assert_eq!(content, blob(run, seq), "{run} has lost the blob of record {seq}");
        }
        prev = leaf;
    }
    records
}
