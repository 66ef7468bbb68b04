//! [`PgStore`]: the journal port over one flusher and a pool of connections.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join3;
use stead_core::{
    code,
    id::{BlobId, Name, RunId, SessionId, VersionId},
    time::{Span, Timestamp},
};
use stead_ports::journal::{
    Ack, AliasEvent, AliasMove, AliasMoved, AliasRow, Append, AppendError, ApprovalFilter, ApprovalRow, Backup,
    BackupAsk, BudgetKey, BudgetRow, CountedRow, Depths, InboxRow, Journal, Lease, OpenedRun, PastRun, Question,
    RunFilter, RunRow, SessionRow, SetBudget, Snapshot, Status, StoreError, StoredRecord, UsageFilter, UsageRow,
    VersionRow,
};
use tokio::sync::{
    Notify,
    mpsc::{UnboundedSender, unbounded_channel},
};
use tokio_postgres::{Row, types::ToSql};

use super::{
    approvals, budgets,
    connect::{Database, PgOptions},
    counted,
    errors::{damaged, store_error},
    flusher::{Bounds, Flusher},
    keys, leases,
    plan::Pending,
    queries as q,
    rows::{self, Bad, Columns},
    subjects, usage,
    values::{Raw, id, int, text},
    versions,
};
use crate::{
    backup::{postgres::take, send::pieces},
    blob::{BlobKey, Packed},
    objects::unpack,
    pack::pack,
    seal::{self, Line, LineKey, Ring, Rotated, WrappingKey},
};

/// The shared store. Dropping it lets the flusher finish what is queued.
pub struct PgStore {
    db: Database,
    key: BlobKey,
    queue: UnboundedSender<Pending>,
    ring: Option<Arc<Ring>>,
    /// Appends of tenants whose first key is being made.
    line: Line<Pending>,
    /// Rung when records are durable.
    bell: Arc<Notify>,
}

impl std::fmt::Debug for PgStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgStore").field("db", &self.db).finish_non_exhaustive()
    }
}

const OPEN_RUNS: &str = "SELECT id FROM runs WHERE status NOT IN ('completed', 'failed', 'cancelled') AND id > $1
    ORDER BY id LIMIT $2";

/// Parameters of a question.
type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl PgStore {
    /// Connects to the database of `url` (`postgres://user@host/database`; a password that is not in it is taken from
    /// `PGPASSWORD`), makes the schema if there is none, and starts the flusher on the present tokio runtime.
    /// A lost connection is made anew, with a growing wait between attempts.
    ///
    /// # Errors
    /// ST0110 when the URL or schema name is wrong, ST0141 when a newer release made the schema, ST0142 when it can't be
    /// written, ST0144 when the schema is another program's or the blob key another one, ST0145 when nothing answers, ST0156
    /// when the connection is not protected as the URL asks, ST0157 when the data is encrypted and opened without its key.
    pub async fn connect(url: &str, options: PgOptions) -> Result<Self, StoreError> {
        let db = Database::connect(url, &options).await?;
        let ring = Ring::of(&db.place, options.encrypt.as_ref(), &keys::load(&db).await?)?;
        Ok(Self::over(db, options, ring))
    }

    pub(crate) fn over(db: Database, options: PgOptions, ring: Option<Arc<Ring>>) -> Self {
        let bounds = Bounds {
            appends: options.batch.clamp(1, 8192),
            bytes: options.batch_bytes.max(1),
            timeout: options.timeout,
        };
        let (queue, waiting) = unbounded_channel();
        let bell = Arc::<Notify>::default();
        tokio::spawn(Flusher::new(db.clone(), bounds, bell.clone()).run(waiting));
        Self { db, key: options.blob_key, queue, ring, line: Line::default(), bell }
    }

    /// The format of a schema's data; `None` when it has none.
    ///
    /// # Errors
    /// ST0110 when the URL or schema name is wrong, ST0145 when nothing answers.
    pub async fn look(url: &str, options: &PgOptions) -> Result<Option<u32>, StoreError> {
        let db = Database::reach(url, options)?;
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let client = db.client().await?;
        let ours = "SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename = 'meta'";
        if client.query_one(ours, &[&options.schema]).await.map_err(fail)?.get::<_, i64>(0) == 0 {
            return Ok(None);
        }
        let row = client.query_opt("SELECT value FROM meta WHERE key = 'format'", &[]).await.map_err(fail)?;
        Ok(row.and_then(|r| r.get::<_, &str>(0).parse().ok()))
    }

    /// The backup of a schema as it is: nothing is brought forward, and no server that works on it is disturbed.
    ///
    /// # Errors
    /// ST0110 when the URL or schema name is wrong.
    pub fn backup_of(url: &str, options: &PgOptions, ask: BackupAsk) -> Result<Backup, StoreError> {
        let db = Database::reach(url, options)?;
        let (pieces, backup) = pieces();
        tokio::spawn(take(db, options.blob_key.clone(), options.encrypt.clone(), ask, pieces));
        Ok(backup)
    }

    /// The keys of persons that a schema has, as the bytes of their file.
    ///
    /// # Errors
    /// ST0110 when the URL or schema name is wrong, ST0155 when it was written with another key of addresses, ST0157 when its keys are wrapped with another key than `options.encrypt`.
    pub async fn subject_keys_of(url: &str, options: &PgOptions, now: Timestamp) -> Result<Bytes, StoreError> {
        let db = Database::reach(url, options)?;
        subjects::file(&db, &options.blob_key, options.encrypt.as_ref(), now).await
    }

    /// Gives every tenant of an encrypted schema a new key for what is written from now on, and wraps all keys with `to`, which may
    /// be the same as before. What was written stays as it is, and readable.
    ///
    /// # Errors
    /// ST0140 while a server works on it, ST0157 when `options.encrypt` is not its key, and those of [`PgStore::connect`].
    pub async fn rotate(url: &str, options: PgOptions, to: &WrappingKey) -> Result<Rotated, StoreError> {
        let db = Database::connect(url, &options).await?;
        let wrapping = options.encrypt.clone().unwrap_or_else(|| to.clone());
        keys::rotate(&db, &options, &wrapping, to).await
    }

    /// What seals lines of files beside the database; none when the data is not encrypted.
    ///
    /// # Errors
    /// When its key cannot be kept.
    pub async fn line_key(&self) -> Result<Option<LineKey>, StoreError> {
        Ok(self.keyed(&Name::from(LineKey::TENANT)).await?.cloned().map(LineKey))
    }

    /// Runs that have not ended, in the order of their ids, after `after`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open_runs(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        let params: Params<'_> = &[&after.map_or(id(0), |a| id(a.0)), &i64::from(limit)];
        self.list(OPEN_RUNS, params, rows::run_id).await
    }

    /// What rings when records are durable.
    pub(super) fn appended(&self) -> &Arc<Notify> {
        &self.bell
    }

    /// The key of addresses.
    pub(super) fn key(&self) -> &BlobKey {
        &self.key
    }

    /// The database, for what is more than one statement or has much to send.
    pub(super) fn database(&self) -> &Database {
        &self.db
    }

    /// The keys of an encrypted store.
    pub(super) fn ring(&self) -> Option<&Ring> {
        self.ring.as_deref()
    }

    /// Sees to it that a tenant has a key, when texts are encrypted.
    pub(super) async fn keyed(&self, tenant: &Name) -> Result<Option<&Arc<Ring>>, StoreError> {
        let Some(ring) = &self.ring else { return Ok(None) };
        settle(&self.db, ring, [tenant.clone()].into()).await?;
        Ok(Some(ring))
    }

    /// Takes in the keys that other servers have made.
    pub(super) async fn learn(&self, ring: &Ring) -> Result<(), StoreError> {
        ring.learn(&self.db.place, &keys::load(&self.db).await?)
    }

    /// What is stored of a content, opened, unpacked and proved.
    pub(super) async fn unpacked(
        &self,
        tenant: &Name,
        id: BlobId,
        packed: (i16, i64, Vec<u8>),
    ) -> Result<Bytes, StoreError> {
        if let Some(ring) = &self.ring
            && packed.0 >= Packed::SEALED
            && !ring.knows(&packed.2)
        {
            self.learn(ring).await?;
        }
        unpack(self.ring.as_deref(), &self.key, tenant, id, packed)
    }

    /// Opens what was read; `open` tells whether it had all keys for it.
    pub(super) async fn revealed<T>(&self, mut read: T, open: impl Fn(&Ring, &mut T) -> bool) -> Result<T, StoreError> {
        if let Some(ring) = &self.ring
            && !open(ring, &mut read)
        {
            self.learn(ring).await?;
            open(ring, &mut read);
        }
        Ok(read)
    }

    /// Asks; a connection that has died since its last use is replaced once. For what may be done twice.
    async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let mut again = true;
        loop {
            let client = self.db.client().await?;
            let asked = async { client.query(&client.prepare_cached(sql).await?, params).await };
            match asked.await {
                Ok(rows) => return Ok(rows),
                Err(e) if again && (e.is_closed() || client.is_closed()) => again = false,
                Err(e) => return Err(store_error(&self.db.place, &e)),
            }
        }
    }

    pub(super) async fn list<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, Bad>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows(sql, params).await?;
        rows.iter().map(|r| read(r).map_err(|e| damaged(&self.db.place, e))).collect()
    }

    pub(super) async fn one<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, Bad>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.list(sql, params, read).await?.into_iter().next())
    }
}

/// Tenants of an append that have no key yet.
fn lacking(ring: &Ring, append: &Append) -> BTreeSet<Name> {
    seal::tenants(append).into_iter().filter(|t| ring.current(t).is_none()).cloned().collect()
}

fn seal_and_send(ring: &Ring, queue: &UnboundedSender<Pending>, mut pending: Pending) {
    match seal::seal_append(ring, &mut pending.append, &mut pending.blobs) {
        Ok(()) => enqueue(queue, pending),
        Err(e) => drop(pending.ack.send(Err(AppendError::Unavailable(e)))),
    }
}

/// Seals appends of tenants that have no key yet, each with its key before it.
async fn seal_in_turn(line: Line<Pending>, ring: Arc<Ring>, queue: UnboundedSender<Pending>, db: Database) {
    while let Some(pending) = line.next() {
        match settle(&db, &ring, lacking(&ring, &pending.append)).await {
            Ok(()) => seal_and_send(&ring, &queue, pending),
            Err(e) => drop(pending.ack.send(Err(AppendError::Unavailable(e)))),
        }
    }
}

/// Makes the keys that tenants lack, durable before anything is sealed with them.
async fn settle(db: &Database, ring: &Ring, tenants: BTreeSet<Name>) -> Result<(), StoreError> {
    for tenant in tenants.into_iter().filter(|t| ring.current(t).is_none()) {
        let kept = keys::settle(db, &ring.fresh(&tenant)?).await?;
        ring.learn(&db.place, &[kept])?;
    }
    Ok(())
}

fn enqueue(queue: &UnboundedSender<Pending>, pending: Pending) {
    if let Err(refused) = queue.send(pending) {
        let _ = refused.0.ack.send(Err(AppendError::Unavailable(StoreError::stopped())));
    }
}

/// Whether all of them had their keys.
fn each<T>(rows: &mut [T], open: impl Fn(&mut T) -> bool) -> bool {
    rows.iter_mut().fold(true, |known, row| known & open(row))
}

#[async_trait]
impl Journal for PgStore {
    /// Waits for the lease of another holder to end, and is refused with ST0140 when that is renewed meanwhile.
    async fn acquire(&self, holder: &str, ttl: Span) -> Result<Lease, StoreError> {
        let epoch = leases::acquire(&self.db, holder, ttl).await?;
        Ok(Lease { epoch, ttl: Some(ttl) })
    }

    async fn renew(&self, lease: Lease, ttl: Span) -> Result<(), StoreError> {
        leases::renew(&self.db, lease.epoch, ttl).await
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        leases::release(&self.db, lease.epoch).await
    }

    fn append(&self, mut append: Append) -> Ack {
        let (ack, result) = Ack::new();
        // Packed here and not by the flusher, where everybody would wait for it.
        append.record = pack(append.record);
        let blobs: Vec<_> = append.blobs.iter().map(|b| Packed::new(&b.content)).collect();
        let Some(ring) = &self.ring else {
            enqueue(&self.queue, Pending { append, blobs, ack });
            return result;
        };
        let lacks = !lacking(ring, &append).is_empty();
        let passed = self.line.pass(Pending { append, blobs, ack }, lacks, |line| {
            tokio::spawn(seal_in_turn(line, ring.clone(), self.queue.clone(), self.db.clone()));
        });
        if let Some(pending) = passed {
            seal_and_send(ring, &self.queue, pending);
        }
        result
    }

    async fn read(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        let records = self.list(q::READ, &[&id(run.0), &int(from), &q::limit(limit)], rows::record).await?;
        self.revealed(records, |ring, records| seal::open_records(ring, run, records)).await
    }

    async fn open(&self, run: RunId, limit: u32) -> Result<Option<OpenedRun>, StoreError> {
        let ulid = run;
        let (id, limit) = (id(run.0), q::limit(limit));
        let mut again = true;
        let (records, snapshot, row) = loop {
            let client = self.db.client().await?;
            // One round trip, answered in this order: a snapshot that is put meanwhile includes more than the records
            // were asked for, never less.
            let asked = async {
                let (records, snapshot, row) = (
                    client.prepare_cached(q::READ_REST).await?,
                    client.prepare_cached(q::SNAPSHOT).await?,
                    client.prepare_cached(q::RUN).await?,
                );
                let (of_rest, of_run): ([&(dyn ToSql + Sync); 2], [&(dyn ToSql + Sync); 1]) = ([&id, &limit], [&id]);
                try_join3(
                    client.query(&records, &of_rest),
                    client.query_opt(&snapshot, &of_run),
                    client.query_opt(&row, &of_run),
                )
                .await
            };
            match asked.await {
                Ok(found) => break found,
                Err(e) if again && (e.is_closed() || client.is_closed()) => again = false,
                Err(e) => return Err(store_error(&self.db.place, &e)),
            }
        };
        let opened = || -> Result<Option<OpenedRun>, Bad> {
            let Some(row) = row else { return Ok(None) };
            let snapshot = snapshot.as_ref().map(rows::snapshot).transpose()?;
            let from = snapshot.as_ref().map_or(0, |s| s.seq);
            let records = records.iter().map(rows::record).collect::<Result<Vec<_>, _>>()?;
            let records = records.into_iter().filter(|r| r.seq >= from).collect();
            Ok(Some(OpenedRun { row: rows::run(&row)?, snapshot, records }))
        };
        let opened = opened().map_err(|e| damaged(&self.db.place, e))?;
        self.revealed(opened, |ring, opened| opened.as_mut().is_none_or(|o| seal::open_all(ring, ulid, o))).await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        let row = self.one(q::RUN, &[&id(run.0)], rows::run).await?;
        self.revealed(row, |ring, row| each(row.as_mut_slice(), |r| seal::open_run(ring, r))).await
    }

    async fn by_key(&self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, StoreError> {
        let read = |row: &Row| {
            let mut c = Columns::of(row);
            Ok((RunId(c.ulid()?), c.digest()?))
        };
        self.one(q::BY_KEY, &[&text(tenant), &text(key)], read).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let (sql, params) = q::runs(filter);
        let params: Vec<_> = params.iter().map(|p| &**p as &(dyn ToSql + Sync)).collect();
        let found = self.list(&sql, &params, rows::run).await?;
        self.revealed(found, |ring, rows| each(rows, |r| seal::open_run(ring, r))).await
    }

    async fn count(&self, tenant: Option<&Name>) -> Result<Vec<(Status, u64)>, StoreError> {
        let read = |row: &Row| {
            let mut c = Columns::of(row);
            Ok((rows::status(c.get()?)?, c.get::<i64>()?.unsigned_abs()))
        };
        let counted = match tenant.map(|t| text(t)) {
            Some(tenant) => self.list(q::COUNT_OF, &[&tenant], read).await?,
            None => self.list(q::COUNT, &[], read).await?,
        };
        let of = |status| counted.iter().find(|(s, _)| *s == status).map_or(0, |(_, n)| *n);
        Ok(Status::ALL.into_iter().map(|s| (s, of(s))).collect())
    }

    async fn depths(&self) -> Result<Depths, StoreError> {
        let read = |row: &Row| {
            let mut c = Columns::of(row);
            Ok(Depths { queued: c.unsigned()?, asked: c.unsigned()? })
        };
        Ok(self.one(q::DEPTHS, &[], read).await?.unwrap_or_default())
    }

    async fn unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        // Every id is greater than the empty one.
        let after = after.map(|a| a.0.to_be_bytes().to_vec()).unwrap_or_default();
        self.list(q::UNFINISHED, &[&after, &q::limit(limit)], rows::run_id).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.list(q::DUE, &[&now.0, &q::limit(limit)], rows::run_id).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        let earliest = self.one(q::NEXT_WAKE, &[], |row| Columns::of(row).get::<Option<i64>>()).await?;
        Ok(earliest.flatten().map(Timestamp))
    }

    async fn inbox(&self, run: RunId) -> Result<Vec<InboxRow>, StoreError> {
        let found = self.list(q::INBOX, &[&id(run.0), &q::limit(u32::MAX)], |row| rows::message(run, row)).await?;
        self.revealed(found, |ring, rows| each(rows, |r| seal::open_message(ring, r))).await
    }

    async fn session(&self, session: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.one(q::SESSION, &[&id(session.0)], rows::session).await
    }

    async fn open_session(
        &self,
        tenant: &Name,
        agent: &Name,
        key: &Name,
        session: SessionId,
        now: Timestamp,
    ) -> Result<SessionRow, StoreError> {
        let (tenant, agent, key) = (text(tenant), text(agent), text(key));
        if let Some(found) = self.one(q::SESSION_OF_KEY, &[&tenant, &agent, &key], rows::session).await? {
            return Ok(found);
        }
        self.rows(q::OPEN_SESSION, &[&tenant, &agent, &key, &id(session.0), &now.0]).await?;
        let found = self.one(q::SESSION_OF_KEY, &[&tenant, &agent, &key], rows::session).await?;
        found.ok_or_else(|| StoreError { code: code::INTERNAL, detail: "a session that was made is not there".into() })
    }

    async fn sessions(
        &self,
        tenant: &Name,
        agent: Option<&Name>,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let (tenant, before, limit) = (text(tenant), before.map(|b| id(b.0)), q::limit(limit));
        match agent.map(|a| text(a)) {
            Some(agent) => self.list(q::SESSIONS_OF, &[&tenant, &before, &limit, &agent], rows::session).await,
            None => self.list(q::SESSIONS, &[&tenant, &before, &limit], rows::session).await,
        }
    }

    async fn sessions_of_key(&self, tenant: &Name, key: &Name, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        self.list(q::SESSIONS_OF_KEY, &[&text(tenant), &text(key), &q::limit(limit)], rows::session).await
    }

    async fn queued(&self, session: SessionId, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.list(q::QUEUED, &[&id(session.0), &q::limit(limit)], rows::run_id).await
    }

    async fn stranded(&self, limit: u32) -> Result<Vec<SessionId>, StoreError> {
        self.list(q::STRANDED, &[&q::limit(limit)], rows::session_id).await
    }

    async fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError> {
        let (sql, params) = approvals::list(filter);
        let params: Vec<_> = params.iter().map(|p| &**p as &(dyn ToSql + Sync)).collect();
        self.list(&sql, &params, approvals::row).await
    }

    async fn unlisted(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        // Every id is greater than the empty one.
        let after = after.map(|a| a.0.to_be_bytes().to_vec()).unwrap_or_default();
        self.list(approvals::UNLISTED_RUNS, &[&after, &q::limit(limit)], rows::run_id).await
    }

    async fn fill_approvals(&self, lease: Lease, open: &[(RunId, Question)], all: bool) -> Result<(), StoreError> {
        approvals::fill(&self.db, lease, open, all).await
    }

    fn blob_id(&self, tenant: &Name, content: &[u8]) -> BlobId {
        self.key.address(tenant, content)
    }

    async fn blob(&self, tenant: &Name, blob: BlobId) -> Result<Option<Bytes>, StoreError> {
        let read = |row: &Row| {
            let mut c = Columns::of(row);
            Ok((c.get::<i16>()?, c.get::<i64>()?, c.get::<Vec<u8>>()?))
        };
        let packed = self.one(q::BLOB, &[&Raw(blob.0), &text(tenant)], read).await?;
        match packed {
            Some(packed) => self.unpacked(tenant, blob, packed).await.map(Some),
            None => Ok(None),
        }
    }

    async fn put_snapshot(&self, run: RunId, mut snapshot: Snapshot) -> Result<(), StoreError> {
        if self.ring.is_some()
            && let Some(row) = self.one(q::RUN, &[&id(run.0)], rows::run).await?
            && let Some(ring) = self.keyed(&row.tenant).await?
        {
            seal::seal_snapshot(ring, &row.tenant, run, &mut snapshot)?;
        }
        let Snapshot { seq, leaf, version, body } = snapshot;
        let version = i32::from(version);
        self.rows(q::PUT_SNAPSHOT, &[&id(run.0), &int(seq), &Raw(leaf.0), &version, &&body[..]]).await.map(drop)
    }

    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        let found = self.one(q::SNAPSHOT, &[&id(run.0)], rows::snapshot).await?;
        self.revealed(found, |ring, s| each(s.as_mut_slice(), |s| seal::open_snapshot(ring, run, s))).await
    }

    async fn put_version(&self, mut version: VersionRow, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        if let Some(ring) = self.keyed(&version.tenant).await? {
            seal::seal_version(ring, &mut version)?;
        }
        versions::keep(&self.db, Some(&version), &alias).await
    }

    async fn move_alias(&self, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        versions::keep(&self.db, None, &alias).await
    }

    async fn aliases(&self, tenant: &Name, agent: &Name) -> Result<Vec<AliasRow>, StoreError> {
        let params: Params<'_> = &[&text(tenant), &text(agent), &q::limit(u32::MAX)];
        self.list(versions::ALIASES, params, versions::alias).await
    }

    async fn alias_history(&self, tenant: &Name, agent: &Name, limit: u32) -> Result<Vec<AliasEvent>, StoreError> {
        let params: Params<'_> = &[&text(tenant), &text(agent), &q::limit(limit)];
        self.list(versions::HISTORY, params, versions::event).await
    }

    async fn version(&self, tenant: &Name, version: VersionId) -> Result<Option<VersionRow>, StoreError> {
        let row = self.one(versions::VERSION, &[&text(tenant), &Raw(version.0)], rows::version).await?;
        self.revealed(row, |ring, row| each(row.as_mut_slice(), |r| seal::open_version(ring, r))).await
    }

    async fn aliased(&self, tenant: &Name, agent: &Name, alias: &Name) -> Result<Option<VersionRow>, StoreError> {
        let row = self.one(versions::ALIASED, &[&text(tenant), &text(agent), &text(alias)], rows::version).await?;
        self.revealed(row, |ring, row| each(row.as_mut_slice(), |r| seal::open_version(ring, r))).await
    }

    async fn versions(&self, tenant: &Name, agent: Option<&Name>) -> Result<Vec<VersionRow>, StoreError> {
        let agent = agent.map(|a| text(a));
        self.list(versions::VERSIONS, &[&text(tenant), &agent, &q::limit(u32::MAX)], rows::version).await
    }

    async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        let (sql, params) = usage::sums(filter);
        self.list(&sql, &params.each_ref().map(|p| &**p as &(dyn ToSql + Sync)), usage::row).await
    }

    async fn unmetered(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        // Every id is greater than the empty one.
        let after = after.map(|a| a.0.to_be_bytes().to_vec()).unwrap_or_default();
        self.list(usage::UNMETERED_RUNS, &[&after, &q::limit(limit)], rows::run_id).await
    }

    async fn fill_usage(&self, lease: Lease, past: &[PastRun], all: bool) -> Result<(), StoreError> {
        usage::fill(&self.db, lease, past, all).await
    }

    async fn counters(&self, tenant: &Name) -> Result<Option<Bytes>, StoreError> {
        self.one(counted::KEPT, &[&text(tenant)], counted::body).await
    }

    async fn counted(&self, tenant: &Name, after: u64, limit: u32) -> Result<Vec<CountedRow>, StoreError> {
        self.list(counted::AFTER, &[&text(tenant), &int(after), &q::limit(limit)], counted::row).await
    }

    async fn keep_counters(&self, lease: Lease, tenant: &Name, body: Bytes, upto: u64) -> Result<(), StoreError> {
        counted::keep(&self.db, lease, tenant, body, upto).await
    }

    async fn budgets(&self, tenant: Option<&Name>, now: Timestamp) -> Result<Vec<BudgetRow>, StoreError> {
        let (sql, params) = budgets::list(tenant, now);
        self.list(sql, &params.each_ref().map(|p| &**p as &(dyn ToSql + Sync)), budgets::row).await
    }

    async fn set_budget(&self, set: SetBudget) -> Result<bool, StoreError> {
        budgets::set(&self.db, &set).await
    }

    async fn remove_budget(&self, key: &BudgetKey) -> Result<bool, StoreError> {
        budgets::remove(&self.db, key).await
    }

    async fn backup(&self, ask: BackupAsk) -> Result<Backup, StoreError> {
        let (pieces, backup) = pieces();
        let wrapping = self.ring.as_deref().map(Ring::wrapping).cloned();
        tokio::spawn(take(self.db.clone(), self.key.clone(), wrapping, ask, pieces));
        Ok(backup)
    }

    async fn subject_keys(&self, now: Timestamp) -> Result<Bytes, StoreError> {
        subjects::file(&self.db, &self.key, self.ring.as_deref().map(Ring::wrapping), now).await
    }

    async fn generation(&self) -> Result<u32, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = 'generation'";
        let found = self.one(sql, &[], |r| r.try_get::<_, String>(0).map_err(|e| e.to_string())).await?;
        Ok(found.and_then(|n| n.parse().ok()).unwrap_or(1))
    }
}
