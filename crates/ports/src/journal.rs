//! The journal port: where facts become durable, and the indexes that are kept in the same transaction.
//!
//! An append is group-committed with those of other runs. It is acknowledged only when it is on disk; a refused append
//! fails alone, not its batch; after an unknown result the caller reads the tail again.

mod approvals;
mod budgets;
mod counted;
mod usage;
mod versions;

use std::{future::Future, path::PathBuf, pin::Pin, task};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{Amounts, Limit, Move, Spend},
    code::{self, Code},
    id::{BlobId, LeafHash, Name, RunId, SessionId, VersionId},
    time::{Span, Timestamp},
};
use tokio::sync::{mpsc, oneshot};

use crate::objects::Leads;

pub use self::{
    approvals::{ApprovalFilter, ApprovalRow, Question},
    budgets::{BudgetKey, BudgetRow, MAX_BUDGETS, SetBudget},
    counted::CountedRow,
    usage::{GroupBy, HOUR, PastRun, Settled, UsageFilter, UsageRow, Used, hour_of},
    versions::{AliasEvent, AliasMove, AliasMoved, AliasRow, LIVE, MAX_ALIASES, MovedBy, Step, VersionRow},
};
pub use stead_core::status::Status;

/// Partitions that sessions hash to; one owner each.
pub const PARTITIONS: u16 = 256;

/// The partition of a session.
pub fn partition(session: SessionId) -> u16 {
    // The low 64 bits of a ULID are random, so a fold spreads evenly.
    (session.0 as u64 % u64::from(PARTITIONS)) as u16
}

/// One append of one run.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// Its tenant.
    pub tenant: Name,
    /// The partition of its session.
    pub partition: u16,
    /// The position the record must take; anything else is a conflict.
    pub seq: u64,
    /// The owner's epoch for that partition.
    pub epoch: u64,
    /// The record as encoded by `stead_core::record`.
    pub record: Bytes,
    /// Its leaf hash.
    pub leaf: LeafHash,
    /// The record's time.
    pub at: Timestamp,
    /// New blobs that the record refers to.
    pub blobs: Vec<NewBlob>,
    /// Changes to the indexes, when there are any.
    pub index: Option<Box<IndexChange>>,
}

/// Changes to the indexes that belong to an append.
#[derive(Clone, Debug, Default)]
pub struct IndexChange {
    /// The run begins; with `seq` 0 only.
    pub create: Option<NewRun>,
    /// The run's row changes.
    pub run: Option<RunState>,
    /// The session changes hands.
    pub session: Option<SessionChange>,
    /// Messages to other runs, deduplicated by (`to`, `from`, `effect`).
    pub send: Vec<InboxRow>,
    /// Messages to this run that the record has taken in, as (`from`, `effect`).
    pub taken: Vec<(RunId, u32)>,
    /// What the run now asks a human; asked again, a question has its new time.
    pub asked: Vec<Question>,
    /// Questions that are open no more, by effect: answered, expired or withdrawn.
    pub closed: Vec<u32>,
    /// What the run has settled since it last told; each hour and model once. While it runs it may wait with this a little,
    /// and tells all with the record after which it does not.
    pub settled: Vec<Settled>,
    /// What the record adds to the counters of the tenant's policies, encoded by the engine.
    pub counted: Option<Bytes>,
    /// What moves in the budgets above the run; a window of a budget is in it once. Refused with [`AppendError::OverBudget`] when there
    /// is no room for what is to be held. Budgets that are no more are passed over.
    pub budgets: Vec<Move>,
}

impl IndexChange {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let Self { create, run, session, send, taken, asked, closed, settled, counted, budgets } = self;
        let nothing = create.is_none() && run.is_none() && session.is_none() && settled.is_empty() && counted.is_none();
        nothing && send.is_empty() && taken.is_empty() && asked.is_empty() && closed.is_empty() && budgets.is_empty()
    }
}

/// The first row of a run.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The tenant.
    pub tenant: Name,
    /// Its session; made if it does not exist.
    pub session: SessionId,
    /// The agent's name.
    pub agent: Name,
    /// The agent's version.
    pub version: VersionId,
    /// The parent run.
    pub parent: Option<RunId>,
    /// Who started it. A run with a parent has its parent's, whatever this says.
    pub user: Option<Name>,
    /// The caller's idempotency key and a digest of the request; a second create with the same key is refused with
    /// [`AppendError::Exists`].
    pub idempotency: Option<(Name, [u8; 32])>,
    /// The beginning of the input, for lists.
    pub title: String,
}

/// What lists show of a run, and when it must be woken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// Where it stands.
    pub status: Status,
    /// When the engine must look at it again, though nothing happens.
    pub wake_at: Option<Timestamp>,
    /// Model turns so far.
    pub turns: u32,
    /// Effects so far.
    pub effects: u32,
    /// Spent so far.
    pub spent: Spend,
    /// Why it failed.
    pub code: Option<Code>,
}

/// A change of a session's foreground run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// The run becomes the foreground run; refused with [`AppendError::SessionBusy`] when another is.
    Claim,
    /// The run ends: the session has no foreground run. `head` moves to this run if it says so.
    Release {
        /// Whether this run becomes the head whose conversation the next one continues.
        head: bool,
        /// What the run spent, added to the session's sum.
        spent: Spend,
        /// What it used beside, added likewise; of tokens and money nothing.
        used: Amounts,
    },
}

/// A message from one run to another; today a child's end to its parent, or a stop to a child not yet started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// The receiver.
    pub to: RunId,
    /// The sender.
    pub from: RunId,
    /// The effect of the receiver (child's end) or of the sender that it belongs to.
    pub effect: u32,
    /// What it says, encoded by the engine.
    pub body: Bytes,
}

/// A blob that becomes durable with the append that refers to it.
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// The tenant.
    pub tenant: Name,
    /// Its address, from [`Journal::blob_id`].
    pub id: BlobId,
    /// Its content.
    pub content: Bytes,
}

/// Why an append was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The run's next position is another.
    #[error("the run is at position {next}")]
    Conflict {
        /// The position the next record must take.
        next: u64,
    },
    /// The writer no longer owns the partition.
    #[error("another owner holds epoch {current}")]
    Fenced {
        /// The epoch now.
        current: u64,
    },
    /// The idempotency key is taken.
    #[error("the idempotency key belongs to {run}")]
    Exists {
        /// By this run.
        run: RunId,
        /// Whether its request was the same.
        same: bool,
    },
    /// The session has another foreground run.
    #[error("the session is busy with {active}")]
    SessionBusy {
        /// That run.
        active: RunId,
    },
    /// A budget above the run has no room for the slice that it wants; what is left of it has changed since it was looked at.
    #[error("a budget has no room for the slice: its limit of {limit:?} leaves {left}")]
    OverBudget {
        /// Which limit of it.
        limit: Limit,
        /// What it leaves, in the unit of the limit.
        left: u64,
    },
    /// The store cannot write now (a full disk, data that is read-only, a database that is away); nothing was written. The
    /// caller may try again later.
    #[error(transparent)]
    Unavailable(StoreError),
    /// Nobody knows whether it was written: read the tail.
    #[error("the result of the append is unknown: {0}")]
    Unknown(String),
}

/// The pending result of an append.
#[derive(Debug)]
pub struct Ack(oneshot::Receiver<Result<(), AppendError>>);

/// The other end of an [`Ack`].
pub type AckSender = oneshot::Sender<Result<(), AppendError>>;

impl Ack {
    /// A pending result and where to deliver it.
    pub fn new() -> (AckSender, Self) {
        let (tx, rx) = oneshot::channel();
        (tx, Self(rx))
    }
}

impl Future for Ack {
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|r| r.unwrap_or_else(|_| Err(AppendError::Unknown("the store has stopped".into()))))
    }
}

/// A store that cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct StoreError {
    /// The stable code.
    pub code: Code,
    /// What and where, and what to do.
    pub detail: String,
}

impl StoreError {
    /// The store has ended and takes nothing any more.
    pub fn stopped() -> Self {
        Self { code: stead_core::code::INTERNAL, detail: "the store has stopped".into() }
    }
}

/// A record as stored.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// Its position in the run.
    pub seq: u64,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its leaf hash as written; a reader recomputes and compares.
    pub leaf: LeafHash,
}

/// A run in a list.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// The tenant.
    pub tenant: Name,
    /// Its session.
    pub session: SessionId,
    /// Its session's key, when it has one.
    pub session_key: Option<Name>,
    /// The agent's name.
    pub agent: Name,
    /// The agent's version.
    pub version: VersionId,
    /// The parent run.
    pub parent: Option<RunId>,
    /// The beginning of the input.
    pub title: String,
    /// When it was created.
    pub created: Timestamp,
    /// When its row last changed.
    pub updated: Timestamp,
    /// Where it stands.
    pub state: RunState,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Runs that wait for the foreground of their sessions.
    pub queued: u64,
    /// Open questions to people.
    pub asked: u64,
}

/// A session in a list.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The session.
    pub id: SessionId,
    /// The tenant.
    pub tenant: Name,
    /// The agent's name.
    pub agent: Name,
    /// The caller's own name for it (`customer/42`), unique within tenant and agent.
    pub key: Option<Name>,
    /// The foreground run.
    pub active: Option<RunId>,
    /// The run whose conversation the next run continues.
    pub head: Option<RunId>,
    /// Spent by its ended runs.
    pub spent: Spend,
    /// What they used beside; of tokens and money nothing.
    pub used: Amounts,
    /// When it was created.
    pub created: Timestamp,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this tenant.
    pub tenant: Name,
    /// Of these statuses; empty means all.
    pub status: Vec<Status>,
    /// Of this agent.
    pub agent: Option<Name>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Children of this run.
    pub parent: Option<RunId>,
    /// Older than this run.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: u32,
}

/// A snapshot of a run's folded state. One of another state version is discarded.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state includes records before this position.
    pub seq: u64,
    /// Hash of the last record it includes.
    pub leaf: LeafHash,
    /// Version of the state's encoding.
    pub version: u16,
    /// The encoded state.
    pub body: Bytes,
}

/// What is needed to load a run, read in one look.
#[derive(Clone, Debug)]
pub struct OpenedRun {
    /// Its row.
    pub row: RunRow,
    /// Its latest snapshot.
    pub snapshot: Option<Snapshot>,
    /// Its first records, or the first that the snapshot does not include.
    pub records: Vec<StoredRecord>,
}

/// Ownership of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The epoch to write under; higher than any before.
    pub epoch: u64,
    /// How long it holds without renewal; `None` for as long as the process lives (a file lock).
    pub ttl: Option<Span>,
}

/// What a backup is asked for with.
#[derive(Clone, Debug)]
pub struct BackupAsk {
    /// Now: everything acknowledged before is in the backup.
    pub taken: Timestamp,
    /// Whether the key of the blobs' addresses goes with it.
    pub key: bool,
    /// The release that writes it.
    pub release: String,
    /// The folder of the cassettes of recorded runs, which go with it: files `RUN.jsonl`.
    pub cassettes: Option<PathBuf>,
    /// With it what is a person's is sealed under the person's key, which is in no backup: it tells what of workspaces is whose. Data of
    /// before format 10 has no such keys, and is not sealed.
    pub seal: Option<Leads>,
}

/// A backup on its way: pieces of a stream of bytes, or what ended it early.
pub type Backup = mpsc::Receiver<Result<Bytes, StoreError>>;

/// Where facts become durable.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Becomes the owner of all partitions, fencing whoever was. `holder` names this process in messages.
    async fn acquire(&self, holder: &str, ttl: Span) -> Result<Lease, StoreError>;

    /// Extends the lease; an error means that it is lost and the engine must stop.
    async fn renew(&self, lease: Lease, ttl: Span) -> Result<(), StoreError>;

    /// Gives the lease back.
    async fn release(&self, lease: Lease) -> Result<(), StoreError>;

    /// Queues an append; the returned future tells when it is durable. Appends of one run are taken in the order of
    /// these calls. It does not wait for its turn; the queue is bounded by the engine, which has at most one append of a run
    /// under way. A store may write an append that finds nobody before it on the caller's thread: the caller's task, and a
    /// time limit inside it, then stand still for one sync of the disk, other tasks do not.
    fn append(&self, append: Append) -> Ack;

    /// Records of a run from position `from`, in order.
    async fn read(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<StoredRecord>, StoreError>;

    /// A run with its snapshot and at most `limit` of the records after it: one look where three would do.
    async fn open(&self, run: RunId, limit: u32) -> Result<Option<OpenedRun>, StoreError> {
        let Some(row) = self.run(run).await? else { return Ok(None) };
        let snapshot = self.snapshot(run).await?;
        let records = self.read(run, snapshot.as_ref().map_or(0, |s| s.seq), limit).await?;
        Ok(Some(OpenedRun { row, snapshot, records }))
    }

    /// The row of a run.
    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError>;

    /// The run that was created with this idempotency key, and the digest of its request.
    async fn by_key(&self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, StoreError>;

    /// Runs that match, newest first.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError>;

    /// How many runs are in each status.
    async fn count(&self, tenant: Option<&Name>) -> Result<Vec<(Status, u64)>, StoreError>;

    /// What waits now, over all tenants: read from small indexes, however many runs there are.
    async fn depths(&self) -> Result<Depths, StoreError> {
        Ok(Depths::default())
    }

    /// Runs that an owner must load after a start: `running`, and any run with messages in its inbox; in id order,
    /// after `after`.
    async fn unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError>;

    /// Runs with `wake_at <= now`, earliest first.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError>;

    /// The earliest `wake_at` of all.
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Messages waiting for a run, oldest first.
    async fn inbox(&self, run: RunId) -> Result<Vec<InboxRow>, StoreError>;

    /// A session.
    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError>;

    /// Gets the session of that key, or makes it with `id`. Durable when it returns.
    async fn open_session(
        &self,
        tenant: &Name,
        agent: &Name,
        key: &Name,
        id: SessionId,
        now: Timestamp,
    ) -> Result<SessionRow, StoreError>;

    /// Sessions of a tenant, newest first, older than `before`.
    async fn sessions(
        &self,
        tenant: &Name,
        agent: Option<&Name>,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError>;

    /// Sessions of that key, one of each agent, by the agents' names.
    async fn sessions_of_key(&self, tenant: &Name, key: &Name, limit: u32) -> Result<Vec<SessionRow>, StoreError>;

    /// The session's queued runs, oldest first.
    async fn queued(&self, session: SessionId, limit: u32) -> Result<Vec<RunId>, StoreError>;

    /// Sessions without a foreground run that have queued runs: a promotion was lost with the process.
    async fn stranded(&self, limit: u32) -> Result<Vec<SessionId>, StoreError>;

    /// Open questions to humans that match, the one asked last first.
    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError>;

    /// Runs that may ask a human something the index does not know, because a release that kept no such index wrote
    /// them; in id order, after `after`. None once [`Journal::fill_approvals`] was told that it has all.
    async fn unlisted(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError>;

    /// Enters open questions of runs that [`Journal::unlisted`] named; with `all`, none is missing any more. What is
    /// entered already stays once. Refused when the lease is another's: this is no append of the run's owner.
    async fn fill_approvals(&self, lease: Lease, open: &[(RunId, Question)], all: bool) -> Result<(), StoreError>;

    /// The address that `content` has within `tenant`.
    fn blob_id(&self, tenant: &Name, content: &[u8]) -> BlobId;

    /// A blob's content.
    async fn blob(&self, tenant: &Name, id: BlobId) -> Result<Option<Bytes>, StoreError>;

    /// Keeps a snapshot, replacing an older one of the run. May be lost without harm.
    async fn put_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError>;

    /// The latest snapshot of a run.
    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError>;

    /// Keeps an agent version and, in the same transaction, moves an alias to it. Keeping one again changes nothing. When the
    /// alias cannot be moved, the version is not kept either.
    async fn put_version(&self, version: VersionRow, alias: AliasMove) -> Result<AliasMoved, StoreError>;

    /// Moves an alias. A move and its line in the history are one.
    async fn move_alias(&self, alias: AliasMove) -> Result<AliasMoved, StoreError>;

    /// An agent's aliases, by name.
    async fn aliases(&self, tenant: &Name, agent: &Name) -> Result<Vec<AliasRow>, StoreError>;

    /// How an agent's aliases moved, the last move first.
    async fn alias_history(&self, tenant: &Name, agent: &Name, limit: u32) -> Result<Vec<AliasEvent>, StoreError>;

    /// A version of an agent.
    async fn version(&self, tenant: &Name, version: VersionId) -> Result<Option<VersionRow>, StoreError>;

    /// The version that an alias of an agent names.
    async fn aliased(&self, tenant: &Name, agent: &Name, alias: &Name) -> Result<Option<VersionRow>, StoreError>;

    /// Versions, newest first: of one agent, or one of each: the live one, or the newest of an agent that has none live.
    /// Bodies are empty.
    async fn versions(&self, tenant: &Name, agent: Option<&Name>) -> Result<Vec<VersionRow>, StoreError>;

    /// What was used, in groups, the largest first.
    async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError>;

    /// Runs whose usage the index does not know, because a release that kept no such index wrote them; in id order, after
    /// `after`. None once [`Journal::fill_usage`] was told that it has all.
    async fn unmetered(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError>;

    /// Enters the usage and the user of runs anew, replacing what is entered of each: those that [`Journal::unmetered`] named,
    /// and those whose process ended before it had told. With `all`, none of the former is missing any more. Refused when the
    /// lease is another's.
    async fn fill_usage(&self, lease: Lease, past: &[PastRun], all: bool) -> Result<(), StoreError>;

    /// What is kept of the counters of a tenant's policies, as [`Journal::keep_counters`] was told last.
    async fn counters(&self, tenant: &Name) -> Result<Option<Bytes>, StoreError>;

    /// What appends added to a tenant's counters after `after`, in their order.
    async fn counted(&self, tenant: &Name, after: u64, limit: u32) -> Result<Vec<CountedRow>, StoreError>;

    /// Keeps the counters of a tenant, in the place of what was kept before, and forgets what appends up to `upto` added: it is
    /// in what is kept. Refused when the lease is another's.
    async fn keep_counters(&self, lease: Lease, tenant: &Name, body: Bytes, upto: u64) -> Result<(), StoreError>;

    /// Budgets of one tenant or of all, by tenant, agent (that of the tenant first) and window, with what is held and used in the
    /// windows that `now` is in. At most [`MAX_BUDGETS`] of each tenant are kept.
    async fn budgets(&self, _tenant: Option<&Name>, _now: Timestamp) -> Result<Vec<BudgetRow>, StoreError> {
        Ok(Vec::new())
    }

    /// Makes a budget or gives it other limits; durable when it returns. False when the tenant has [`MAX_BUDGETS`] others.
    async fn set_budget(&self, _set: SetBudget) -> Result<bool, StoreError> {
        Err(StoreError { code: code::INTERNAL, detail: "this journal keeps no budgets".into() })
    }

    /// Removes a budget with all that is known of it; false when there is none. Slices that runs hold of it are worth nothing then,
    /// and block nobody.
    async fn remove_budget(&self, _key: &BudgetKey) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Everything that is kept, of all tenants, as it is at one moment after the call; work goes on meanwhile. A journal
    /// that is not on disk has none.
    async fn backup(&self, _ask: BackupAsk) -> Result<Backup, StoreError> {
        Err(StoreError { code: code::INTERNAL, detail: "this journal is not one that can be backed up".into() })
    }

    /// The keys of persons under which backups are sealed, and what became of others: the bytes of the file in which they are kept, apart
    /// from backups.
    async fn subject_keys(&self, _now: Timestamp) -> Result<Bytes, StoreError> {
        Err(StoreError { code: code::INTERNAL, detail: "this journal is not one that can be backed up".into() })
    }

    /// How often this journal has been restored from a backup, from 1.
    async fn generation(&self) -> Result<u32, StoreError> {
        Ok(1)
    }
}
