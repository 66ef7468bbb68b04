//! [`SqliteStore`]: the journal port over one writer thread and a pool of readers.

use std::{collections::BTreeSet, path::Path, sync::Arc, thread};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, params};
use stead_core::{
    code,
    id::{BlobId, Name, RunId, SessionId, VersionId},
    time::{Span, Timestamp},
};
use stead_ports::journal::{
    Ack, AckSender, AliasEvent, AliasMove, AliasMoved, AliasRow, Append, AppendError, ApprovalFilter, ApprovalRow,
    Backup, BackupAsk, BudgetKey, BudgetRow, CountedRow, Depths, InboxRow, Journal, Lease, OpenedRun, PastRun,
    Question, RunFilter, RunRow, SessionRow, SetBudget, Snapshot, Status, StoreError, StoredRecord, UsageFilter,
    UsageRow, VersionRow,
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Notify, oneshot},
    task::block_in_place,
};

use super::{
    approvals, budgets, counted,
    errors::store_error,
    files::{self, Files},
    index::{self, id, int},
    keys,
    pool::Pool,
    queries as q,
    queue::Queue,
    subjects, usage, versions,
    writer::{Command, Job, Limits, Writer},
};
use crate::{
    backup::{
        KeySet,
        send::pieces,
        sqlite::{Source, take},
        subject::opened,
    },
    blob::{BlobKey, Packed},
    objects::unpack,
    pack::pack,
    seal::{self, Line, LineKey, Ring, Rotated, WrappingKey},
};

/// How a [`SqliteStore`] works; the defaults suit a server with two cores or more.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Connections that read, 1 to 64. Each keeps up to 8 MiB of pages.
    pub readers: usize,
    /// The most appends in one transaction.
    pub batch: usize,
    /// The most bytes of records and packed blobs in one transaction; one append alone may have more.
    pub batch_bytes: usize,
    /// Pages of 8 KiB in the write-ahead log from which it is copied into the database.
    pub log_pages: u32,
    /// Whether data of an older format is brought forward also by steps that are not taken by themselves.
    pub migrate: bool,
    /// The key under which texts are encrypted; the data must have been written with it, or without any.
    pub encrypt: Option<WrappingKey>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 4, batch: 4096, batch_bytes: 32 << 20, log_pages: 4096, migrate: false, encrypt: None }
    }
}

/// The embedded store. Dropping it finishes what is queued and gives the directory back.
#[derive(Debug)]
pub struct SqliteStore {
    // Dropped in this order: readers first, so that the writer's connection is the last and tidies the log away.
    pool: Option<Pool>,
    queue: Arc<Queue<Command>>,
    writer: Option<thread::JoinHandle<()>>,
    desk: Arc<Mutex<Writer>>,
    files: Files,
    ring: Option<Arc<Ring>>,
    /// Appends of tenants whose first key is being made.
    line: Line<Item>,
    /// Rung when records are durable.
    bell: Arc<Notify>,
}

/// An append, its blobs packed, and where its result goes.
type Item = (Append, Vec<Packed>, AckSender);

impl SqliteStore {
    /// Opens the data directory `dir`, making it (mode 0700) if there is none, and owns it until it is dropped.
    /// Blocks for some milliseconds.
    ///
    /// # Errors
    /// ST0140 when another process owns it, ST0141 when a newer release wrote it, ST0142 when it can't be written, ST0143
    /// when the disk is full, ST0144 when it is damaged or a key is missing, ST0157 when it is encrypted and opened without its key.
    pub fn open(dir: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let (files, conn) = files::open(dir, options.migrate)?;
        let limits = Limits {
            commands: options.batch.max(1),
            bytes: options.batch_bytes.max(1),
            log_pages: options.log_pages.max(64),
        };
        let failed = |e: rusqlite::Error| store_error(&files.database, &e);
        let rows = keys::all(&conn).map_err(failed)?;
        let ring = Ring::of(files.database.display(), options.encrypt.as_ref(), &rows)?;
        let writer = Writer::new(conn, files.database.clone(), limits).map_err(failed)?;
        let bell = writer.bell().clone();
        let pool = Pool::open(files.database.clone(), options.readers)?;
        let (desk, queue) = (Arc::new(Mutex::new(writer)), Arc::new(Queue::new()));
        let (worked, taken) = (desk.clone(), queue.clone());
        let writer = thread::Builder::new()
            .name("stead-writer".into())
            .spawn(move || Writer::run(&worked, &taken))
            .map_err(|e| StoreError { code: code::INTERNAL, detail: format!("cannot start the writer thread: {e}") })?;
        Ok(Self { pool: Some(pool), queue, writer: Some(writer), desk, files, ring, line: Line::default(), bell })
    }

    /// The backup of a data directory as it is, that no process owns: nothing is brought forward.
    ///
    /// # Errors
    /// ST0140 when another process owns it, ST0155 when its key cannot be read.
    pub fn backup_of(dir: &Path, ask: BackupAsk) -> Result<Backup, StoreError> {
        let lock = files::own(dir)?;
        let key = BlobKey::read(&dir.join("keys").join("blob.key"))?;
        let (database, (pieces, backup)) = (dir.join("stead.db"), pieces());
        tokio::task::spawn_blocking(move || {
            let settle = |seen, fresh: Vec<_>| subjects::settle_in(&database, seen, &fresh);
            let source = Source { database: &database, key: &key, wrapping: None, settle: &settle };
            take(&source, &ask, &pieces);
            drop(lock);
        });
        Ok(backup)
    }

    /// Gives every tenant of an encrypted data directory a new key for what is written from now on, and wraps all keys with `to`,
    /// which may be the same as before. What was written stays as it is, and readable.
    ///
    /// # Errors
    /// ST0157 when `wrapping` is not its key, and those of [`SqliteStore::open`].
    pub fn rotate(dir: &Path, wrapping: &WrappingKey, to: &WrappingKey) -> Result<Rotated, StoreError> {
        keys::rotate(dir, wrapping, to)
    }

    /// What seals lines of files beside the database; none when the data is not encrypted.
    ///
    /// # Errors
    /// When its key cannot be kept.
    pub async fn line_key(&self) -> Result<Option<LineKey>, StoreError> {
        let Some(ring) = &self.ring else { return Ok(None) };
        settle(&self.queue, ring, [Name::from(LineKey::TENANT)].into()).await?;
        Ok(Some(LineKey(ring.clone())))
    }

    /// Runs that have not ended, in the order of their ids, after `after`.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub async fn open_runs(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.read(move |c| q::open_runs(c, after, limit)).await
    }

    /// Runs a write that is no append, together with the appends that wait.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        write_to(&self.queue, write).await
    }

    /// What rings when records are durable.
    pub(super) fn appended(&self) -> &Arc<Notify> {
        &self.bell
    }

    /// The keys of an encrypted store.
    pub(super) fn ring(&self) -> Option<&Arc<Ring>> {
        self.ring.as_ref()
    }

    /// Sees to it that a tenant has a key, when texts are encrypted.
    pub(super) async fn keyed(&self, tenant: &Name) -> Result<Option<&Arc<Ring>>, StoreError> {
        let Some(ring) = &self.ring else { return Ok(None) };
        settle(&self.queue, ring, [tenant.clone()].into()).await?;
        Ok(Some(ring))
    }

    /// Opens what was read.
    pub(super) fn revealed<T>(&self, mut read: T, open: impl FnOnce(&Ring, &mut T)) -> T {
        if let Some(ring) = &self.ring {
            open(ring, &mut read);
        }
        read
    }

    /// Puts an append in its queue, or writes it at once.
    fn enqueue(&self, append: Append, blobs: Vec<Packed>, tx: AckSender) {
        let command = Command::Append(append, blobs, tx);
        if may_block()
            && let Some(turn) = self.queue.alone()
        {
            block_in_place(|| Writer::at_once(&self.desk, turn, command));
        } else {
            push(&self.queue, command);
        }
    }

    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match &self.pool {
            Some(pool) => pool.read(read).await,
            None => Err(StoreError { code: code::INTERNAL, detail: "the store is closed".into() }),
        }
    }

    /// The key of addresses.
    pub(super) fn key(&self) -> &BlobKey {
        &self.files.key
    }

    /// Where writes are made: whoever holds it is alone.
    pub(super) fn desk(&self) -> Arc<Mutex<Writer>> {
        self.desk.clone()
    }

    /// The file.
    pub(super) fn database(&self) -> std::path::PathBuf {
        self.files.database.clone()
    }

    pub(super) fn lost(&self, lease: Lease) -> StoreError {
        StoreError {
            code: code::DATA_LOCKED,
            detail: format!(
                "{}: another owner has taken over from epoch {}",
                self.files.database.display(),
                lease.epoch
            ),
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.pool = None;
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // It has answered everyone already if it has panicked.
            let _ = writer.join();
        }
    }
}

/// Tenants of an append that have no key yet.
fn lacking(ring: &Ring, append: &Append) -> BTreeSet<Name> {
    seal::tenants(append).into_iter().filter(|t| ring.current(t).is_none()).cloned().collect()
}

/// Seals appends of tenants that have no key yet, each with its key before it.
async fn seal_in_turn(line: Line<Item>, ring: Arc<Ring>, queue: Arc<Queue<Command>>) {
    while let Some((mut append, mut blobs, tx)) = line.next() {
        let keyed = settle(&queue, &ring, lacking(&ring, &append)).await;
        match keyed.and_then(|()| seal::seal_append(&ring, &mut append, &mut blobs)) {
            Ok(()) => push(&queue, Command::Append(append, blobs, tx)),
            Err(e) => drop(tx.send(Err(AppendError::Unavailable(e)))),
        }
    }
}

/// Makes the keys that tenants lack, durable before anything is sealed with them.
async fn settle(queue: &Queue<Command>, ring: &Ring, tenants: BTreeSet<Name>) -> Result<(), StoreError> {
    for tenant in tenants.into_iter().filter(|t| ring.current(t).is_none()) {
        let fresh = ring.fresh(&tenant)?;
        let kept = write_to(queue, move |c| keys::settle(c, &fresh)).await?;
        ring.learn("the store", &[kept])?;
    }
    Ok(())
}

async fn write_to<T, F>(queue: &Queue<Command>, write: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    let (tx, rx) = oneshot::channel();
    queue.push(Command::Job(Box::new(Write { write, value: None, tx }))).map_err(|_| StoreError::stopped())?;
    rx.await.map_err(|_| StoreError::stopped())?
}

fn push(queue: &Queue<Command>, command: Command) {
    if let Err(Command::Append(_, _, tx)) = queue.push(command) {
        let _ = tx.send(Err(AppendError::Unavailable(StoreError::stopped())));
    }
}

/// Whether the runtime has other threads that go on meanwhile.
fn may_block() -> bool {
    Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// A write with its value and where that goes.
struct Write<T, F> {
    write: F,
    value: Option<T>,
    tx: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> rusqlite::Result<T> + Send> Job for Write<T, F> {
    fn run(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.value = Some((self.write)(conn)?);
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), StoreError>) {
        let Self { value, tx, .. } = *self;
        let stopped = StoreError { code: code::INTERNAL, detail: "the write was not made".into() };
        // A caller that has gone needs no answer.
        let _ = tx.send(result.and_then(|()| value.ok_or(stopped)));
    }
}

const BUMP: &str = "UPDATE meta SET value = value + 1 WHERE key = 'epoch'";
const BUMP_IF: &str = "UPDATE meta SET value = value + 1 WHERE key = 'epoch' AND value = ?";
const EPOCH: &str = "SELECT value FROM meta WHERE key = 'epoch'";

#[async_trait]
impl Journal for SqliteStore {
    /// The lock on the directory already proves that no other process writes here; the epoch fences an older engine of
    /// this process.
    async fn acquire(&self, holder: &str, _ttl: Span) -> Result<Lease, StoreError> {
        files::sign(&self.files, holder);
        let epoch = self
            .write(|c| {
                c.execute(BUMP, [])?;
                c.query_row(EPOCH, [], |r| r.get::<_, i64>(0))
            })
            .await?;
        Ok(Lease { epoch: epoch.unsigned_abs(), ttl: None })
    }

    async fn renew(&self, lease: Lease, _ttl: Span) -> Result<(), StoreError> {
        let epoch = self.read(|c| c.query_row(EPOCH, [], |r| r.get::<_, i64>(0))).await?;
        if epoch.unsigned_abs() == lease.epoch { Ok(()) } else { Err(self.lost(lease)) }
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let released = self.write(move |c| c.execute(BUMP_IF, [int(lease.epoch)])).await?;
        if released == 1 { Ok(()) } else { Err(self.lost(lease)) }
    }

    fn append(&self, mut append: Append) -> Ack {
        let (tx, ack) = Ack::new();
        // Packed here and not by the writer, where everybody would wait for it.
        append.record = pack(append.record);
        let blobs: Vec<_> = append.blobs.iter().map(|b| Packed::new(&b.content)).collect();
        let Some(ring) = &self.ring else {
            self.enqueue(append, blobs, tx);
            return ack;
        };
        let lacks = !lacking(ring, &append).is_empty();
        let passed = self.line.pass((append, blobs, tx), lacks, |line| {
            tokio::spawn(seal_in_turn(line, ring.clone(), self.queue.clone()));
        });
        if let Some((mut append, mut blobs, tx)) = passed {
            match seal::seal_append(ring, &mut append, &mut blobs) {
                Ok(()) => self.enqueue(append, blobs, tx),
                Err(e) => drop(tx.send(Err(AppendError::Unavailable(e)))),
            }
        }
        ack
    }

    async fn read(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        let records = self.read(move |c| q::read(c, run, from, limit)).await?;
        Ok(self.revealed(records, |ring, r| _ = seal::open_records(ring, run, r)))
    }

    async fn open(&self, run: RunId, limit: u32) -> Result<Option<OpenedRun>, StoreError> {
        let opened = self.read(move |c| {
            let Some(row) = q::run(c, run)? else { return Ok(None) };
            let snapshot = q::snapshot(c, run)?;
            let records = q::read(c, run, snapshot.as_ref().map_or(0, |s| s.seq), limit)?;
            Ok(Some(OpenedRun { row, snapshot, records }))
        });
        Ok(self.revealed(opened.await?, |ring, opened| {
            if let Some(opened) = opened {
                seal::open_all(ring, run, opened);
            }
        }))
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        let row = self.read(move |c| q::run(c, run)).await?;
        Ok(self.revealed(row, |ring, row| row.iter_mut().for_each(|r| _ = seal::open_run(ring, r))))
    }

    async fn by_key(&self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, StoreError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.read(move |c| index::by_key(c, &tenant, &key)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let filter = filter.clone();
        let rows = self.read(move |c| q::runs(c, &filter)).await?;
        Ok(self.revealed(rows, |ring, rows| rows.iter_mut().for_each(|r| _ = seal::open_run(ring, r))))
    }

    async fn count(&self, tenant: Option<&Name>) -> Result<Vec<(Status, u64)>, StoreError> {
        let tenant = tenant.cloned();
        self.read(move |c| q::count(c, tenant.as_deref())).await
    }

    async fn depths(&self) -> Result<Depths, StoreError> {
        self.read(q::depths).await
    }

    async fn unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.read(move |c| q::unfinished(c, after, limit)).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.read(move |c| q::due(c, now, limit)).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(q::next_wake).await
    }

    async fn inbox(&self, run: RunId) -> Result<Vec<InboxRow>, StoreError> {
        let rows = self.read(move |c| q::inbox(c, run)).await?;
        Ok(self.revealed(rows, |ring, rows| rows.iter_mut().for_each(|r| _ = seal::open_message(ring, r))))
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.read(move |c| q::session(c, id)).await
    }

    async fn open_session(
        &self,
        tenant: &Name,
        agent: &Name,
        key: &Name,
        session: SessionId,
        now: Timestamp,
    ) -> Result<SessionRow, StoreError> {
        let (tenant, agent, key) = (tenant.clone(), agent.clone(), key.clone());
        self.write(move |c| {
            if let Some(found) = q::session_of_key(c, &tenant, &agent, &key)? {
                return Ok(found);
            }
            c.prepare_cached("INSERT INTO sessions (id, tenant, agent, key, created) VALUES (?, ?, ?, ?, ?)")?
                .execute(params![id(session.0), &*tenant, &*agent, &*key, now.0])?;
            q::session_of_key(c, &tenant, &agent, &key)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        })
        .await
    }

    async fn sessions(
        &self,
        tenant: &Name,
        agent: Option<&Name>,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let (tenant, agent) = (tenant.clone(), agent.cloned());
        self.read(move |c| q::sessions(c, &tenant, agent.as_deref(), before, limit)).await
    }

    async fn sessions_of_key(&self, tenant: &Name, key: &Name, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.read(move |c| q::sessions_of_key(c, &tenant, &key, limit)).await
    }

    async fn queued(&self, session: SessionId, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.read(move |c| q::queued(c, session, limit)).await
    }

    async fn stranded(&self, limit: u32) -> Result<Vec<SessionId>, StoreError> {
        self.read(move |c| q::stranded(c, limit)).await
    }

    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError> {
        let filter = filter.clone();
        self.read(move |c| approvals::list(c, &filter)).await
    }

    async fn unlisted(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.read(move |c| approvals::unlisted(c, after, limit)).await
    }

    async fn fill_approvals(&self, lease: Lease, open: &[(RunId, Question)], all: bool) -> Result<(), StoreError> {
        let open = open.to_vec();
        let owned = self.write(move |c| approvals::fill(c, lease, &open, all)).await?;
        if owned { Ok(()) } else { Err(self.lost(lease)) }
    }

    fn blob_id(&self, tenant: &Name, content: &[u8]) -> BlobId {
        self.files.key.address(tenant, content)
    }

    async fn blob(&self, tenant: &Name, id: BlobId) -> Result<Option<Bytes>, StoreError> {
        let (owner, key, ring) = (tenant.clone(), self.files.key.clone(), self.ring.clone());
        let found = self
            .read(move |c| {
                let packed = q::blob(c, &owner, id.0)?;
                Ok(packed.map(|packed| unpack(ring.as_deref(), &key, &owner, id, packed)))
            })
            .await?;
        found.transpose()
    }

    async fn put_snapshot(&self, run: RunId, mut snapshot: Snapshot) -> Result<(), StoreError> {
        if self.ring.is_some()
            && let Some(row) = self.read(move |c| q::run(c, run)).await?
            && let Some(ring) = self.keyed(&row.tenant).await?
        {
            seal::seal_snapshot(ring, &row.tenant, run, &mut snapshot)?;
        }
        self.write(move |c| {
            c.prepare_cached(
                "INSERT INTO snapshots (run, seq, leaf, version, body) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, leaf = excluded.leaf,
                     version = excluded.version, body = excluded.body",
            )?
            .execute(params![id(run.0), int(snapshot.seq), snapshot.leaf.0, snapshot.version, &snapshot.body[..]])
            .map(drop)
        })
        .await
    }

    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        let found = self.read(move |c| q::snapshot(c, run)).await?;
        Ok(self.revealed(found, |ring, s| s.iter_mut().for_each(|s| _ = seal::open_snapshot(ring, run, s))))
    }

    async fn put_version(&self, mut version: VersionRow, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        if let Some(ring) = self.keyed(&version.tenant).await? {
            seal::seal_version(ring, &mut version)?;
        }
        self.write(move |c| versions::keep(c, Some(&version), &alias)).await
    }

    async fn move_alias(&self, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        self.write(move |c| versions::keep(c, None, &alias)).await
    }

    async fn aliases(&self, tenant: &Name, agent: &Name) -> Result<Vec<AliasRow>, StoreError> {
        let (tenant, agent) = (tenant.clone(), agent.clone());
        self.read(move |c| versions::aliases(c, &tenant, &agent)).await
    }

    async fn alias_history(&self, tenant: &Name, agent: &Name, limit: u32) -> Result<Vec<AliasEvent>, StoreError> {
        let (tenant, agent) = (tenant.clone(), agent.clone());
        self.read(move |c| versions::history(c, &tenant, &agent, limit)).await
    }

    async fn version(&self, tenant: &Name, version: VersionId) -> Result<Option<VersionRow>, StoreError> {
        let tenant = tenant.clone();
        let row = self.read(move |c| versions::version(c, &tenant, version)).await?;
        Ok(self.revealed(row, |ring, row| row.iter_mut().for_each(|r| _ = seal::open_version(ring, r))))
    }

    async fn aliased(&self, tenant: &Name, agent: &Name, alias: &Name) -> Result<Option<VersionRow>, StoreError> {
        let (tenant, agent, alias) = (tenant.clone(), agent.clone(), alias.clone());
        let row = self.read(move |c| versions::aliased(c, &tenant, &agent, &alias)).await?;
        Ok(self.revealed(row, |ring, row| row.iter_mut().for_each(|r| _ = seal::open_version(ring, r))))
    }

    async fn versions(&self, tenant: &Name, agent: Option<&Name>) -> Result<Vec<VersionRow>, StoreError> {
        let (tenant, agent) = (tenant.clone(), agent.cloned());
        self.read(move |c| versions::versions(c, &tenant, agent.as_deref())).await
    }

    async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        let filter = filter.clone();
        self.read(move |c| usage::sums(c, &filter)).await
    }

    async fn unmetered(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.read(move |c| usage::unmetered(c, after, limit)).await
    }

    async fn fill_usage(&self, lease: Lease, past: &[PastRun], all: bool) -> Result<(), StoreError> {
        let past = past.to_vec();
        let owned = self.write(move |c| usage::fill(c, lease, &past, all)).await?;
        if owned { Ok(()) } else { Err(self.lost(lease)) }
    }

    async fn counters(&self, tenant: &Name) -> Result<Option<Bytes>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| counted::kept(c, &tenant)).await
    }

    async fn counted(&self, tenant: &Name, after: u64, limit: u32) -> Result<Vec<CountedRow>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| counted::after(c, &tenant, after, limit)).await
    }

    async fn keep_counters(&self, lease: Lease, tenant: &Name, body: Bytes, upto: u64) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        let owned = self.write(move |c| counted::keep(c, lease, &tenant, &body, upto)).await?;
        if owned { Ok(()) } else { Err(self.lost(lease)) }
    }

    async fn budgets(&self, tenant: Option<&Name>, now: Timestamp) -> Result<Vec<BudgetRow>, StoreError> {
        let tenant = tenant.cloned();
        self.read(move |c| budgets::list(c, tenant.as_deref(), now)).await
    }

    async fn set_budget(&self, set: SetBudget) -> Result<bool, StoreError> {
        self.write(move |c| budgets::set(c, &set)).await
    }

    async fn remove_budget(&self, key: &BudgetKey) -> Result<bool, StoreError> {
        let key = key.clone();
        self.write(move |c| budgets::remove(c, &key)).await
    }

    async fn backup(&self, ask: BackupAsk) -> Result<Backup, StoreError> {
        let (pieces, backup) = pieces();
        let (database, key) = (self.files.database.clone(), self.files.key.clone());
        let (queue, ring) = (self.queue.clone(), self.ring.clone());
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            // The writer keeps them, as it keeps everything.
            let settle =
                |seen, fresh: Vec<_>| runtime.block_on(write_to(&queue, move |c| subjects::settle(c, seen, &fresh)));
            let wrapping = ring.as_deref().map(Ring::wrapping);
            take(&Source { database: &database, key: &key, wrapping, settle: &settle }, &ask, &pieces);
        });
        Ok(backup)
    }

    async fn subject_keys(&self, now: Timestamp) -> Result<Bytes, StoreError> {
        let (kept, gone, certificates) = self.read(subjects::export).await?;
        let wrapping = self.ring.as_deref().map(Ring::wrapping);
        let keys = opened(&self.files.database.display(), &kept, wrapping)?;
        let (store, addresses) = (self.files.key.check(), Some(self.files.key.clone()));
        Ok(Bytes::copy_from_slice(&KeySet { store, taken: now, keys, gone, certificates, addresses }.to_bytes()))
    }

    async fn generation(&self) -> Result<u32, StoreError> {
        let found = self.read(|c| q::meta(c, "generation")).await?;
        Ok(found.and_then(|n| u32::try_from(n).ok()).unwrap_or(1))
    }
}
