//! PostgreSQL: every row of one snapshot into a stream, and out of a backup into a fresh schema.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use deadpool_postgres::Transaction as Pooled;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use stead_core::{code, time::Timestamp};
use stead_ports::journal::{BackupAsk, StoreError};
use tokio_postgres::{IsolationLevel, Row, Transaction, types::ToSql};

use super::{
    cassettes,
    check::{Checker, Summary},
    chunk::{Head, Packer},
    read::Chunk,
    send::{Pieces, Stopped, too_long, wrong_key},
    sqlite::sealed,
    subject::{ATTEMPTS, KeySet, Owners, Sealer, fresh, opened, restless},
    table::{CASSETTES, Kind, OBJECTS, Table, Value, around_cassettes},
};
use crate::{
    blob::BlobKey,
    postgres::{
        PgOptions, PgStore,
        approvals::UNLISTED,
        audit::QUEUE_ALL,
        connect::Database,
        errors::{damaged, store_error},
        format::{alone, create, hex},
        keys, subjects,
        usage::UNMETERED,
        values::{Octets, Raw, text},
    },
    seal::{Ring, WayIn, WrappingKey},
};

/// Reads the whole schema in one snapshot.
pub(crate) async fn take(db: Database, key: BlobKey, wrapping: Option<WrappingKey>, ask: BackupAsk, pieces: Pieces) {
    match read_all(&db, &key, wrapping.as_ref(), &ask, &pieces).await {
        Ok(()) | Err(Stopped::Gone) => {}
        Err(Stopped::Failed(error)) => drop(pieces.send(Err(error)).await),
    }
}

async fn read_all(
    db: &Database,
    key: &BlobKey,
    wrapping: Option<&WrappingKey>,
    ask: &BackupAsk,
    pieces: &Pieces,
) -> Result<(), Stopped> {
    let fail = |e: tokio_postgres::Error| Stopped::Failed(store_error(&db.place, &e));
    let mut client = db.client().await.map_err(Stopped::Failed)?;
    for _ in 0..ATTEMPTS {
        let cassettes = looked_at(ask).await.map_err(Stopped::Failed)?;
        let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let t = snapshot.start().await.map_err(fail)?;
        // Whoever takes the stream may be slow.
        t.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            .await
            .map_err(fail)?;
        let owners = match ask.seal.is_some() && subjects::are_there(&t).await.map_err(fail)? {
            true => match owners(db, &t, (key, wrapping), ask.taken).await.map_err(Stopped::Failed)? {
                Some(owners) => Some(owners),
                None => continue,
            },
            false => None,
        };
        return read_snapshot((db, &t), (key, wrapping), owners, cassettes, ask, pieces).await;
    }
    Err(Stopped::Failed(restless(&db.place)))
}

/// Finds out whose what is in a snapshot, with a key for everybody; nothing when erasures went on meanwhile.
async fn owners(
    db: &Database,
    t: &Pooled<'_>,
    (key, wrapping): (&BlobKey, Option<&WrappingKey>),
    now: Timestamp,
) -> Result<Option<Owners>, StoreError> {
    let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
    let seen = subjects::marks(t).await.map_err(fail)?;
    let keys = opened(&db.place, &subjects::all(t).await.map_err(fail)?, wrapping)?;
    let found = subjects::owners(db, t, key, keys).await?;
    let missing = found.missing();
    if missing.is_empty() {
        return Ok(Some(found));
    }
    let mut under_way = Vec::with_capacity(missing.len());
    for (tenant, subject) in &missing {
        under_way.push(subjects::under_way(t, tenant, subject).await.map_err(fail)?);
    }
    if !subjects::settle(db, seen, &fresh(&missing, &under_way, now, wrapping)?).await? {
        return Ok(None);
    }
    // Made after the snapshot, for what is in it.
    let client = db.client().await?;
    let keys = opened(&db.place, &subjects::all(&client).await.map_err(fail)?, wrapping)?;
    drop(client);
    let found = subjects::owners(db, t, key, keys).await?;
    Ok(Some(found).filter(|found| found.missing().is_empty()))
}

async fn read_snapshot(
    (db, t): (&Database, &Pooled<'_>),
    (key, wrapping): (&BlobKey, Option<&WrappingKey>),
    owners: Option<Owners>,
    mut cassettes: cassettes::Pieces,
    ask: &BackupAsk,
    pieces: &Pieces,
) -> Result<(), Stopped> {
    let fail = |e: tokio_postgres::Error| Stopped::Failed(store_error(&db.place, &e));
    let long = |row| too_long(&db.place, row);
    let meta = t.query("SELECT key, value FROM meta", &[]).await.map_err(fail)?;
    let text = |name: &str| meta.iter().find(|r| r.get::<_, &str>(0) == name).map(|r| r.get::<_, &str>(1));
    if text("blob_key_check") != Some(&hex(&key.check())) {
        return Err(Stopped::Failed(wrong_key(&db.place)));
    }
    let meta = |name: &str| text(name).and_then(|n| n.parse::<u32>().ok());
    let epoch: i64 =
        t.query_one("SELECT coalesce(max(epoch), 0) FROM leases", &[]).await.map_err(fail)?.try_get(0).map_err(fail)?;
    let format = meta("format").unwrap_or(0);
    let head = Head {
        format,
        taken: ask.taken.0,
        generation: meta("generation").unwrap_or(1),
        epoch: epoch.unsigned_abs(),
        store: "postgres".into(),
        release: ask.release.clone(),
        key_check: key.check(),
        // Ids and lengths of long texts stand in the clear: beside this key a text that somebody guesses could be told.
        key: (ask.key && owners.is_none()).then(|| key.bytes()),
        unmetered: format < 2 || text(UNMETERED).is_some(),
        data_keys: Some(keys::all(t).await.map_err(fail)?).filter(|keys| !keys.is_empty()),
        seals: owners.as_ref().map(Owners::uses),
    };
    let mut sealer = match owners.zip(ask.seal.clone()) {
        Some((owners, leads)) => {
            let ring = Ring::of(&db.place, wrapping, head.data_keys()).map_err(Stopped::Failed)?;
            Some(Sealer::new(owners, ring, leads))
        }
        None => None,
    };
    let (mut packer, begin) = Packer::begin(&head).map_err(long)?;
    let send = async |piece: Bytes| pieces.send(Ok(piece)).await.map_err(|_| Stopped::Gone);
    send(begin).await?;
    let (before, after) = around_cassettes();
    sections((db, t, key), head.format, before, (&mut packer, &mut sealer), pieces).await?;
    loop {
        let (rest, row) = apart(move || {
            let row = cassettes.next();
            (cassettes, row)
        })
        .await
        .map_err(Stopped::Failed)?;
        cassettes = rest;
        let Some(mut row) = row.map_err(Stopped::Failed)? else { break };
        sealed(&mut sealer, &CASSETTES, &mut row)?;
        if let Some(piece) = packer.push(&CASSETTES, &row).map_err(long)? {
            send(piece).await?;
        }
    }
    sections((db, t, key), head.format, after, (&mut packer, &mut sealer), pieces).await?;
    send(packer.finish().map_err(long)?).await
}

/// Sends the rows of these tables.
async fn sections(
    (db, t, key): (&Database, &Transaction<'_>, &BlobKey),
    format: u32,
    tables: &[Table],
    (packer, sealer): (&mut Packer, &mut Option<Sealer>),
    pieces: &Pieces,
) -> Result<(), Stopped> {
    let fail = |e: tokio_postgres::Error| Stopped::Failed(store_error(&db.place, &e));
    for table in tables {
        let Some(sql) = table.in_postgres(format) else { continue };
        if let Some(sealer) = sealer.as_mut().filter(|_| table.number == OBJECTS) {
            led((db, t), sealer, key).await?;
        }
        let rows = t.query_raw(&*sql, std::iter::empty::<&(dyn ToSql + Sync)>()).await.map_err(fail)?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.next().await {
            let values = values(table, &row.map_err(fail)?);
            let mut values = values.map_err(|what| Stopped::Failed(damaged(&db.place, what)))?;
            sealed(sealer, table, &mut values)?;
            if let Some(piece) = packer.push(table, &values).map_err(|row| too_long(&db.place, row))? {
                pieces.send(Ok(piece)).await.map_err(|_| Stopped::Gone)?;
            }
        }
    }
    Ok(())
}

/// Reads directories of workspaces, until it is known whose all of their content is.
async fn led((db, t): (&Database, &Transaction<'_>), sealer: &mut Sealer, key: &BlobKey) -> Result<(), Stopped> {
    let fail = |e: tokio_postgres::Error| Stopped::Failed(store_error(&db.place, &e));
    let sql = "SELECT id, codec, length, body FROM objects WHERE tenant = $1 AND id = ANY ($2::bytea[])";
    while let Some((tenant, ids)) = sealer.wanted() {
        let ids: Vec<Raw<32>> = ids.into_iter().map(Raw).collect();
        let found = t.query(sql, &[&text(&tenant), &ids]).await.map_err(fail)?;
        let row = |r: &Row| Ok((r.try_get::<_, Raw<32>>(0)?.0, r.try_get(1)?, r.try_get(2)?, r.try_get(3)?));
        let rows = found.iter().map(row).collect::<Result<_, _>>().map_err(fail)?;
        sealer.found(key, &tenant, rows);
    }
    Ok(())
}

async fn looked_at(ask: &BackupAsk) -> Result<cassettes::Pieces, StoreError> {
    let folder = ask.cassettes.clone();
    apart(move || cassettes::Pieces::of(folder.as_deref())).await?
}

/// On a thread that may wait for a disk.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })
}

fn values(table: &Table, row: &Row) -> Result<Vec<Value>, String> {
    let column = |i: usize, kind: Kind| {
        let value = match kind {
            Kind::Int => row.try_get::<_, Option<i64>>(i)?.map(Value::Int),
            Kind::Text => row.try_get::<_, Option<String>>(i)?.map(Value::Text),
            Kind::Bytes => row.try_get::<_, Option<&[u8]>>(i)?.map(|b| Value::Bytes(Bytes::copy_from_slice(b))),
        };
        Ok(value.unwrap_or(Value::Null))
    };
    let read = |(i, c): (usize, &super::table::Column)| column(i, c.kind);
    table
        .columns
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(|e| format!("a row of {}: {e}", table.name))
}

/// A schema that is being filled out of a backup. No store opens it before [`PgRestore::finish`].
pub struct PgRestore {
    db: Database,
    options: PgOptions,
    ring: Option<Arc<Ring>>,
    way_in: Mutex<Option<WayIn>>,
}

impl std::fmt::Debug for PgRestore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgRestore").field("db", &self.db).finish_non_exhaustive()
    }
}

impl PgRestore {
    /// Makes the schema, with the keys of that backup. One in which nothing has been kept yet, or that an earlier restore left
    /// unfinished, is made anew.
    ///
    /// # Errors
    /// ST0157 when the backup is encrypted under another key than `options.encrypt`, ST0149 when it is not empty or has an owner, and those of [`PgStore::connect`].
    pub async fn begin(
        url: &str,
        options: PgOptions,
        head: &Head,
        keys_of_persons: Option<&KeySet>,
    ) -> Result<Self, StoreError> {
        let ring = Ring::of("the backup", options.encrypt.as_ref(), head.data_keys())?;
        let db = Database::reach(url, &options)?;
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let schema = &options.schema;
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        alone(&t, schema).await.map_err(fail)?;
        let tables = "SELECT count(*), count(*) FILTER (WHERE tablename = 'meta') FROM pg_tables WHERE schemaname = $1";
        let found = t.query_one(tables, &[schema]).await.map_err(fail)?;
        if found.get::<_, i64>(0) > 0 {
            let ours = found.get::<_, i64>(1) == 1;
            if !(ours && Self::is_empty(&t).await.map_err(fail)?) {
                return Err(StoreError {
                    code: code::RESTORE_TARGET,
                    detail: format!(
                        "{}: the schema `{schema}` is in use: restore into an empty database, or another schema",
                        db.place
                    ),
                });
            }
            // The name has only harmless letters.
            t.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.map_err(fail)?;
        }
        t.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await.map_err(fail)?;
        create(&t, &options.blob_key).await.map_err(fail)?;
        // What is asked is entered by whoever opens the journal next.
        t.execute("INSERT INTO meta VALUES ('restoring', ''), ($1, '1')", &[&UNLISTED]).await.map_err(fail)?;
        for key in head.data_keys() {
            keys::insert(&t, key).await.map_err(fail)?;
        }
        if let Some(set) = keys_of_persons {
            subjects::import(&db, &t, set, options.encrypt.as_ref()).await?;
        }
        t.commit().await.map_err(fail)?;
        drop(client);
        let way_in = Mutex::new(ring.clone().map(WayIn::new));
        Ok(Self { db, options, ring, way_in })
    }

    /// Whether nothing is lost with the schema's tables: a restore that was not finished, or a store never used.
    async fn is_empty(t: &Transaction<'_>) -> Result<bool, tokio_postgres::Error> {
        let restoring = "SELECT count(*) FROM meta WHERE key = 'restoring'";
        if t.query_one(restoring, &[]).await?.try_get::<_, i64>(0)? > 0 {
            return Ok(true);
        }
        let used = "SELECT EXISTS (SELECT FROM runs) OR EXISTS (SELECT FROM sessions) OR EXISTS (SELECT FROM versions)
            OR EXISTS (SELECT FROM leases WHERE holder IS NOT NULL AND expires_at > clock_timestamp())";
        if t.query_one(used, &[]).await?.try_get(0)? {
            return Ok(false);
        }
        // Data of an older format has not all of these tables.
        for table in
            ["objects", "policies", "budgets", "audit_acts", "switches", "directories", "erasures", "legal_holds"]
        {
            let known = "SELECT to_regclass($1) IS NOT NULL";
            if t.query_one(known, &[&table]).await?.try_get(0)?
                && t.query_one(&format!("SELECT EXISTS (SELECT FROM {table})"), &[]).await?.try_get(0)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A checker that opens what is sealed.
    pub fn checker(&self) -> Checker {
        Checker::new(Some(self.options.blob_key.clone())).opened(self.ring.clone())
    }

    /// Writes the rows of tables; they are looked at by `checker` first.
    ///
    /// # Errors
    /// ST0148 when they are damaged, and those of a database that does not take them.
    pub async fn fill(&self, chunk: &Chunk, checker: &mut Checker) -> Result<(), StoreError> {
        checker.look(chunk)?;
        if cassettes::are_here(chunk) {
            return Ok(());
        }
        let fail = |e: tokio_postgres::Error| store_error(&self.db.place, &e);
        let table = chunk.table;
        let rows = match &mut *self.way_in.lock() {
            Some(way_in) => {
                let mut rows = chunk.rows.clone();
                way_in.seal(table.number, &mut rows)?;
                Cow::Owned(rows)
            }
            None => Cow::Borrowed(&chunk.rows),
        };
        let names: Vec<_> = table.columns.iter().map(|c| c.name).collect();
        let arrays: Vec<_> =
            table.columns.iter().enumerate().map(|(i, c)| format!("${}::{}[]", i + 1, pg_type(c.kind))).collect();
        // The order of the rows is that of their serial numbers, where a table has such.
        let sql = format!(
            "INSERT INTO {} ({names}) SELECT {names} FROM unnest({}) WITH ORDINALITY AS u ({names}, n) ORDER BY n",
            table.name,
            arrays.join(", "),
            names = names.join(", "),
        );
        let columns: Vec<Box<dyn ToSql + Sync + Send>> =
            table.columns.iter().enumerate().map(|(i, c)| array(c.kind, rows.iter().map(|r| &r[i]))).collect();
        let params: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|c| &**c as &(dyn ToSql + Sync)).collect();
        let client = self.db.client().await?;
        client.execute(&sql, &params).await.map_err(fail).map(drop)
    }

    /// Moves epochs and generation on, when all rows are there.
    ///
    /// # Errors
    /// Those of a database that does not take it, and ST0148.
    pub async fn fence(&self, head: &Head, checker: Checker, now: Timestamp) -> Result<Summary, StoreError> {
        let summary = checker.finish()?;
        let fail = |e: tokio_postgres::Error| store_error(&self.db.place, &e);
        let client = self.db.client().await?;
        let fresh = self.way_in.lock().take().map(WayIn::into_fresh).unwrap_or_default();
        for key in &fresh {
            keys::insert(&client, key).await.map_err(fail)?;
        }
        let epoch = i64::try_from(head.epoch_after(now)).unwrap_or(i64::MAX);
        client.execute("UPDATE leases SET epoch = $1", &[&epoch]).await.map_err(fail)?;
        // Before the store in the making appends: records of a run are integrated in the order of the queue.
        client
            .batch_execute(&format!("BEGIN; SET LOCAL statement_timeout = 0; {QUEUE_ALL}; COMMIT"))
            .await
            .map_err(fail)?;
        let (generation, taken) = (head.generation_after().to_string(), head.taken.to_string());
        let set = "INSERT INTO meta VALUES ('generation', $1), ('taken', $2)";
        client.execute(set, &[&generation, &taken]).await.map_err(fail)?;
        if head.unmetered {
            client.execute("INSERT INTO meta VALUES ($1, '1')", &[&UNMETERED]).await.map_err(fail)?;
        }
        Ok(summary)
    }

    /// The store in the making.
    pub fn store(&self) -> PgStore {
        PgStore::over(self.db.clone(), self.options.clone(), self.ring.clone())
    }

    /// Lets stores open it.
    ///
    /// # Errors
    /// Those of a database that does not take it.
    pub async fn finish(self) -> Result<(), StoreError> {
        let client = self.db.client().await?;
        let done = client.batch_execute("DELETE FROM meta WHERE key = 'restoring'; ANALYZE").await;
        done.map_err(|e| store_error(&self.db.place, &e))
    }
}

const fn pg_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "int8",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
    }
}

/// The values of a column.
fn array<'v>(kind: Kind, values: impl Iterator<Item = &'v Value>) -> Box<dyn ToSql + Sync + Send> {
    match kind {
        Kind::Int => Box::new(values.map(super::table::number).collect::<Vec<_>>()),
        Kind::Text => Box::new(
            values
                .map(|v| match v {
                    Value::Text(t) => Some(text(t).into_owned()),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        ),
        Kind::Bytes => Box::new(
            values
                .map(|v| match v {
                    Value::Bytes(b) => Some(Octets(b.clone())),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        ),
    }
}
