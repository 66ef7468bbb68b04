//! A journal whose process ends by `SIGKILL` at a chosen record: a real crash, at a place that can be repeated.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::process::{Signal, getpid, kill_process};
use stead_core::{
    id::{BlobId, Name, RunId, SessionId, VersionId},
    time::{Span, Timestamp},
};
use stead_ports::journal::{
    Ack, AliasEvent, AliasMove, AliasMoved, AliasRow, Append, ApprovalFilter, ApprovalRow, Backup, BackupAsk,
    BudgetKey, BudgetRow, CountedRow, InboxRow, Journal, Lease, OpenedRun, PastRun, Question, RunFilter, RunRow,
    SessionRow, SetBudget, Snapshot, Status, StoreError, StoredRecord, UsageFilter, UsageRow, VersionRow,
};

use super::setup::{CrashAt, Moment};

/// See the module.
pub(crate) struct Doomed {
    inner: Arc<dyn Journal>,
    crash: CrashAt,
    appends: AtomicU64,
}

impl Doomed {
    pub(crate) fn new(inner: Arc<dyn Journal>, crash: CrashAt) -> Self {
        Self { inner, crash, appends: AtomicU64::new(0) }
    }
}

/// Ends this process at once; no handler, no buffer, no destructor.
fn die() -> ! {
    // Its result does not matter: what follows ends the process as well.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

#[async_trait]
impl Journal for Doomed {
    fn append(&self, append: Append) -> Ack {
        let last = self.appends.fetch_add(1, Ordering::Relaxed) + 1 == self.crash.record;
        if last && self.crash.moment == Moment::Before {
            die();
        }
        let ack = self.inner.append(append);
        if !last {
            return ack;
        }
        let (tell, told) = Ack::new();
        tokio::spawn(async move {
            let result = ack.await;
            if result.is_ok() {
                die();
            }
            // Whoever waits may be gone.
            let _ = tell.send(result);
        });
        told
    }

    async fn acquire(&self, holder: &str, ttl: Span) -> Result<Lease, StoreError> {
        self.inner.acquire(holder, ttl).await
    }
    async fn renew(&self, lease: Lease, ttl: Span) -> Result<(), StoreError> {
        self.inner.renew(lease, ttl).await
    }
    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }
    async fn read(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        self.inner.read(run, from, limit).await
    }
    async fn open(&self, run: RunId, limit: u32) -> Result<Option<OpenedRun>, StoreError> {
        self.inner.open(run, limit).await
    }
    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        self.inner.run(run).await
    }
    async fn by_key(&self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, StoreError> {
        self.inner.by_key(tenant, key).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        self.inner.runs(filter).await
    }
    async fn count(&self, tenant: Option<&Name>) -> Result<Vec<(Status, u64)>, StoreError> {
        self.inner.count(tenant).await
    }
    async fn unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.inner.unfinished(after, limit).await
    }
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.inner.due(now, limit).await
    }
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_wake().await
    }
    async fn budgets(&self, tenant: Option<&Name>, now: Timestamp) -> Result<Vec<BudgetRow>, StoreError> {
        self.inner.budgets(tenant, now).await
    }
    async fn set_budget(&self, set: SetBudget) -> Result<bool, StoreError> {
        self.inner.set_budget(set).await
    }
    async fn remove_budget(&self, key: &BudgetKey) -> Result<bool, StoreError> {
        self.inner.remove_budget(key).await
    }
    async fn inbox(&self, run: RunId) -> Result<Vec<InboxRow>, StoreError> {
        self.inner.inbox(run).await
    }
    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.inner.session(id).await
    }
    async fn open_session(
        &self,
        tenant: &Name,
        agent: &Name,
        key: &Name,
        id: SessionId,
        now: Timestamp,
    ) -> Result<SessionRow, StoreError> {
        self.inner.open_session(tenant, agent, key, id, now).await
    }
    async fn sessions(
        &self,
        tenant: &Name,
        agent: Option<&Name>,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.inner.sessions(tenant, agent, before, limit).await
    }
    async fn sessions_of_key(&self, tenant: &Name, key: &Name, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        self.inner.sessions_of_key(tenant, key, limit).await
    }
    async fn queued(&self, session: SessionId, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.inner.queued(session, limit).await
    }
    async fn stranded(&self, limit: u32) -> Result<Vec<SessionId>, StoreError> {
        self.inner.stranded(limit).await
    }
    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError> {
        self.inner.approvals(filter).await
    }
    async fn unlisted(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.inner.unlisted(after, limit).await
    }
    async fn fill_approvals(&self, lease: Lease, open: &[(RunId, Question)], all: bool) -> Result<(), StoreError> {
        self.inner.fill_approvals(lease, open, all).await
    }
    fn blob_id(&self, tenant: &Name, content: &[u8]) -> BlobId {
        self.inner.blob_id(tenant, content)
    }
    async fn blob(&self, tenant: &Name, id: BlobId) -> Result<Option<Bytes>, StoreError> {
        self.inner.blob(tenant, id).await
    }
    async fn put_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.inner.put_snapshot(run, snapshot).await
    }
    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(run).await
    }
    async fn put_version(&self, version: VersionRow, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        self.inner.put_version(version, alias).await
    }
    async fn move_alias(&self, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        self.inner.move_alias(alias).await
    }
    async fn aliases(&self, tenant: &Name, agent: &Name) -> Result<Vec<AliasRow>, StoreError> {
        self.inner.aliases(tenant, agent).await
    }
    async fn alias_history(&self, tenant: &Name, agent: &Name, limit: u32) -> Result<Vec<AliasEvent>, StoreError> {
        self.inner.alias_history(tenant, agent, limit).await
    }
    async fn version(&self, tenant: &Name, version: VersionId) -> Result<Option<VersionRow>, StoreError> {
        self.inner.version(tenant, version).await
    }
    async fn aliased(&self, tenant: &Name, agent: &Name, alias: &Name) -> Result<Option<VersionRow>, StoreError> {
        self.inner.aliased(tenant, agent, alias).await
    }
    async fn versions(&self, tenant: &Name, agent: Option<&Name>) -> Result<Vec<VersionRow>, StoreError> {
        self.inner.versions(tenant, agent).await
    }
    async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        self.inner.usage(filter).await
    }
    async fn unmetered(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.inner.unmetered(after, limit).await
    }
    async fn fill_usage(&self, lease: Lease, past: &[PastRun], all: bool) -> Result<(), StoreError> {
        self.inner.fill_usage(lease, past, all).await
    }
    async fn counters(&self, tenant: &Name) -> Result<Option<Bytes>, StoreError> {
        self.inner.counters(tenant).await
    }
    async fn counted(&self, tenant: &Name, after: u64, limit: u32) -> Result<Vec<CountedRow>, StoreError> {
        self.inner.counted(tenant, after, limit).await
    }
    async fn keep_counters(&self, lease: Lease, tenant: &Name, body: Bytes, upto: u64) -> Result<(), StoreError> {
        self.inner.keep_counters(lease, tenant, body, upto).await
    }
    async fn backup(&self, ask: BackupAsk) -> Result<Backup, StoreError> {
        self.inner.backup(ask).await
    }
    async fn subject_keys(&self, now: Timestamp) -> Result<Bytes, StoreError> {
        self.inner.subject_keys(now).await
    }
    async fn generation(&self) -> Result<u32, StoreError> {
        self.inner.generation().await
    }
}
