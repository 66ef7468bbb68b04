//! Building appends with few words, for the cases.

use bytes::Bytes;
use stead_core::{
    budget::{MicroUsd, Spend},
    id::{LeafHash, Name, RunId, SessionId, VersionId},
    time::{Span, Timestamp},
};

use crate::journal::{
    Append, IndexChange, Journal, Lease, NewRun, RunState, SessionChange, Status, StoredRecord, partition,
};

pub(super) const TENANT: &str = "acme";

/// The owner of a journal under test.
pub(super) struct Owner<'j> {
    pub(super) journal: &'j dyn Journal,
    pub(super) lease: Lease,
}

impl<'j> Owner<'j> {
    pub(super) async fn new(journal: &'j dyn Journal) -> Self {
        let lease = journal.acquire("conformance", Span::from_secs(600)).await.expect("a fresh journal can be owned");
        Self { journal, lease }
    }

    /// An append of `run` at `seq`, whose record is recognisable.
    pub(super) fn append(&self, run: RunId, seq: u64) -> Append {
        Append {
            run,
            tenant: TENANT.into(),
            partition: partition(session_of(run)),
            seq,
            epoch: self.lease.epoch,
            record: record(run, seq),
            leaf: leaf(run, seq),
            at: Timestamp(1_000_000i64.saturating_add_unsigned(seq)),
            blobs: Vec::new(),
            index: None,
        }
    }

    /// The first append of `run`, in a session of its own.
    pub(super) fn first(&self, run: RunId, status: Status) -> Append {
        self.first_of(run, new_run(session_of(run)), status)
    }

    pub(super) fn first_of(&self, run: RunId, new: NewRun, status: Status) -> Append {
        let (partition, tenant) = (partition(new.session), new.tenant.clone());
        let index = IndexChange { create: Some(new), run: Some(state(status)), ..IndexChange::default() };
        Append { partition, tenant, index: Some(Box::new(index)), ..self.append(run, 0) }
    }

    /// The append with a change of its indexes.
    pub(super) fn changing(&self, run: RunId, seq: u64, index: IndexChange) -> Append {
        Append { index: Some(Box::new(index)), ..self.append(run, seq) }
    }

    /// Appends and expects it to be taken.
    pub(super) async fn put(&self, append: Append) {
        let (run, seq) = (append.run, append.seq);
        if let Err(e) = self.journal.append(append).await {
            panic!("{run} at {seq}: {e}");
        }
    }

    /// Creates a run and expects it to be taken.
    pub(super) async fn start(&self, run: RunId, status: Status) {
        self.put(self.first(run, status)).await;
    }
}

/// A run id whose time is `n` milliseconds, so that larger is newer.
pub(super) fn run(n: u64) -> RunId {
    RunId(u128::from(n) << 80 | u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The session that a run has to itself.
pub(super) fn session_of(run: RunId) -> SessionId {
    SessionId(run.0 ^ 0xffff)
}

pub(super) fn record(run: RunId, seq: u64) -> Bytes {
    format!("{run}/{seq}/\u{0}\u{ff}").into_bytes().into()
}

pub(super) fn leaf(run: RunId, seq: u64) -> LeafHash {
    let mut leaf = [0; 32];
    leaf[..16].copy_from_slice(&run.0.to_be_bytes());
    leaf[16..24].copy_from_slice(&seq.to_be_bytes());
    LeafHash(leaf)
}

pub(super) fn new_run(session: SessionId) -> NewRun {
    NewRun {
        tenant: TENANT.into(),
        session,
        agent: "refund-desk".into(),
        version: VersionId([7; 32]),
        parent: None,
        user: None,
        idempotency: None,
        title: "Refund order 1042".into(),
    }
}

pub(super) fn state(status: Status) -> RunState {
    RunState { status, wake_at: None, turns: 0, effects: 0, spent: Spend::ZERO, code: None }
}

pub(super) fn told(state: RunState) -> IndexChange {
    IndexChange { run: Some(state), ..IndexChange::default() }
}

pub(super) fn handed(change: SessionChange) -> IndexChange {
    IndexChange { session: Some(change), ..IndexChange::default() }
}

pub(super) fn spend(tokens: u64, usd: Option<u64>) -> Spend {
    Spend { tokens, usd: usd.map(MicroUsd) }
}

pub(super) fn name(s: &str) -> Name {
    s.into()
}

/// Proves that `records` are those of `run` from `from` on, `count` of them.
pub(super) fn assert_records(records: &[StoredRecord], run: RunId, from: u64, count: u64) {
    assert_eq!(records.len() as u64, count, "{run} from {from}");
    for (seq, r) in (from..).zip(records) {
        assert_eq!((r.seq, &r.bytes, r.leaf), (seq, &record(run, seq), leaf(run, seq)), "{run}");
    }
}
