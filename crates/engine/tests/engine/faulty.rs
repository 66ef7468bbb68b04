//! A real store that a test can make refuse what it is given, or leave its fate open; that can have a lease with an end;
//! and that counts what is read from it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use stead_core::{
    code::{self, Code},
    id::{BlobId, Name, RunId, SessionId, VersionId},
    time::{Span, Timestamp},
};
use stead_ports::journal::{
    Ack, AliasEvent, AliasMove, AliasMoved, AliasRow, Append, AppendError, ApprovalFilter, ApprovalRow, BudgetKey,
    BudgetRow, CountedRow, InboxRow, Journal, Lease, OpenedRun, PastRun, Question, RunFilter, RunRow, SessionRow,
    SetBudget, Snapshot, Status, StoreError, StoredRecord, UsageFilter, UsageRow, VersionRow,
};
use stead_store::SqliteStore;

use crate::common::Gate;

/// What becomes of appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are written.
    Honest,
    /// They are refused with this code.
    Refused(Code),
    /// They are written, and nobody is told.
    Written,
    /// They are not written, and nobody is told.
    Lost,
}

/// What the test and the store share.
pub(crate) struct Faults {
    fate: Mutex<Fate>,
    /// Counts appends that did not come back with a success.
    pub(crate) failed: Gate,
    /// Whether the lease has an end, and is not renewed.
    lapses: AtomicBool,
    inbox_gone: AtomicBool,
    /// Runs that were opened.
    pub(crate) opened: Mutex<Vec<RunId>>,
}

impl Faults {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            fate: Mutex::new(Fate::Honest),
            failed: Gate::closed(),
            lapses: AtomicBool::new(false),
            inbox_gone: AtomicBool::new(false),
            opened: Mutex::default(),
        })
    }

    pub(crate) fn appends_are(&self, fate: Fate) {
        *self.fate.lock() = fate;
    }

    pub(crate) fn full(&self) {
        self.appends_are(Fate::Refused(code::DATA_FULL));
    }

    /// From the next acquisition on the lease has an end, and its renewal fails.
    pub(crate) fn lease_lapses(&self) {
        self.lapses.store(true, SeqCst);
    }

    pub(crate) fn inbox_is_gone(&self, gone: bool) {
        self.inbox_gone.store(gone, SeqCst);
    }

    /// The store with these faults.
    pub(crate) fn over(self: &Arc<Self>, store: SqliteStore) -> Arc<dyn Journal> {
        Arc::new(Faulty { store: Arc::new(store), faults: self.clone() })
    }
}

struct Faulty {
    store: Arc<SqliteStore>,
    faults: Arc<Faults>,
}

fn away() -> StoreError {
    StoreError { code: code::DATA_UNREACHABLE, detail: "the store is away".into() }
}

#[async_trait]
impl Journal for Faulty {
    async fn acquire(&self, holder: &str, ttl: Span) -> Result<Lease, StoreError> {
        let lease = self.store.acquire(holder, ttl).await?;
        Ok(Lease { ttl: self.faults.lapses.load(SeqCst).then_some(ttl), ..lease })
    }
    async fn renew(&self, lease: Lease, ttl: Span) -> Result<(), StoreError> {
        if self.faults.lapses.load(SeqCst) { Err(away()) } else { self.store.renew(lease, ttl).await }
    }
    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        self.store.release(lease).await
    }
    fn append(&self, append: Append) -> Ack {
        let (tx, ack) = Ack::new();
        let fate = *self.faults.fate.lock();
        let error = match fate {
            Fate::Honest => return self.store.append(append),
            Fate::Refused(code) => AppendError::Unavailable(StoreError { code, detail: "no".into() }),
            Fate::Written | Fate::Lost => AppendError::Unknown("the answer was lost".into()),
        };
        let (store, failed) = (self.store.clone(), self.faults.failed.clone());
        tokio::spawn(async move {
            if fate == Fate::Written {
                let _ = store.append(append).await;
            }
            let _ = tx.send(Err(error));
            failed.note();
        });
        ack
    }
    async fn read(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        self.store.read(run, from, limit).await
    }
    async fn open(&self, run: RunId, limit: u32) -> Result<Option<OpenedRun>, StoreError> {
        self.faults.opened.lock().push(run);
        self.store.open(run, limit).await
    }
    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        self.store.run(run).await
    }
    async fn by_key(&self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, StoreError> {
        self.store.by_key(tenant, key).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        self.store.runs(filter).await
    }
    async fn count(&self, tenant: Option<&Name>) -> Result<Vec<(Status, u64)>, StoreError> {
        self.store.count(tenant).await
    }
    async fn unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.store.unfinished(after, limit).await
    }
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.store.due(now, limit).await
    }
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_wake().await
    }
    async fn budgets(&self, tenant: Option<&Name>, now: Timestamp) -> Result<Vec<BudgetRow>, StoreError> {
        self.store.budgets(tenant, now).await
    }
    async fn set_budget(&self, set: SetBudget) -> Result<bool, StoreError> {
        self.store.set_budget(set).await
    }
    async fn remove_budget(&self, key: &BudgetKey) -> Result<bool, StoreError> {
        self.store.remove_budget(key).await
    }
    async fn inbox(&self, run: RunId) -> Result<Vec<InboxRow>, StoreError> {
        if self.faults.inbox_gone.load(SeqCst) {
            self.faults.failed.note();
            return Err(away());
        }
        self.store.inbox(run).await
    }
    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.store.session(id).await
    }
    async fn open_session(
        &self,
        tenant: &Name,
        agent: &Name,
        key: &Name,
        id: SessionId,
        now: Timestamp,
    ) -> Result<SessionRow, StoreError> {
        self.store.open_session(tenant, agent, key, id, now).await
    }
    async fn sessions(
        &self,
        tenant: &Name,
        agent: Option<&Name>,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.store.sessions(tenant, agent, before, limit).await
    }
    async fn sessions_of_key(&self, tenant: &Name, key: &Name, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        self.store.sessions_of_key(tenant, key, limit).await
    }
    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError> {
        self.store.approvals(filter).await
    }
    async fn unlisted(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.store.unlisted(after, limit).await
    }
    async fn fill_approvals(&self, lease: Lease, open: &[(RunId, Question)], all: bool) -> Result<(), StoreError> {
        self.store.fill_approvals(lease, open, all).await
    }
    async fn queued(&self, session: SessionId, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.store.queued(session, limit).await
    }
    async fn stranded(&self, limit: u32) -> Result<Vec<SessionId>, StoreError> {
        self.store.stranded(limit).await
    }
    fn blob_id(&self, tenant: &Name, content: &[u8]) -> BlobId {
        self.store.blob_id(tenant, content)
    }
    async fn blob(&self, tenant: &Name, id: BlobId) -> Result<Option<Bytes>, StoreError> {
        self.store.blob(tenant, id).await
    }
    async fn put_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.store.put_snapshot(run, snapshot).await
    }
    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.store.snapshot(run).await
    }
    async fn put_version(&self, version: VersionRow, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        self.store.put_version(version, alias).await
    }
    async fn move_alias(&self, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        self.store.move_alias(alias).await
    }
    async fn aliases(&self, tenant: &Name, agent: &Name) -> Result<Vec<AliasRow>, StoreError> {
        self.store.aliases(tenant, agent).await
    }
    async fn alias_history(&self, tenant: &Name, agent: &Name, limit: u32) -> Result<Vec<AliasEvent>, StoreError> {
        self.store.alias_history(tenant, agent, limit).await
    }
    async fn version(&self, tenant: &Name, version: VersionId) -> Result<Option<VersionRow>, StoreError> {
        self.store.version(tenant, version).await
    }
    async fn aliased(&self, tenant: &Name, agent: &Name, alias: &Name) -> Result<Option<VersionRow>, StoreError> {
        self.store.aliased(tenant, agent, alias).await
    }
    async fn versions(&self, tenant: &Name, agent: Option<&Name>) -> Result<Vec<VersionRow>, StoreError> {
        self.store.versions(tenant, agent).await
    }
    async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        self.store.usage(filter).await
    }
    async fn unmetered(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.store.unmetered(after, limit).await
    }
    async fn fill_usage(&self, lease: Lease, past: &[PastRun], all: bool) -> Result<(), StoreError> {
        self.store.fill_usage(lease, past, all).await
    }
    async fn counters(&self, tenant: &Name) -> Result<Option<Bytes>, StoreError> {
        self.store.counters(tenant).await
    }
    async fn counted(&self, tenant: &Name, after: u64, limit: u32) -> Result<Vec<CountedRow>, StoreError> {
        self.store.counted(tenant, after, limit).await
    }
    async fn keep_counters(&self, lease: Lease, tenant: &Name, body: Bytes, upto: u64) -> Result<(), StoreError> {
        self.store.keep_counters(lease, tenant, body, upto).await
    }
}
