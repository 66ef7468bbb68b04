//! The audit log: its port on the shared store. What is in no log yet stands in a queue, into which each append puts its records, and out of which rows
//! are taken that were seen: whatever commits late is seen later.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{
    id::{LeafHash, Name, RunId},
    time::Timestamp,
};
use stead_ports::{
    audit::{Act, AuditStore, Integration, LogChange, LogRow, MOST_BYTES, Span, Unsequenced},
    journal::{Lease, StoreError},
};
use tokio::sync::Notify;
use tokio_postgres::{Error, Row, Transaction};

use super::{
    errors::store_error,
    leases::fenced,
    queries::limit as rows,
    rows::{Bad, Columns},
    store::PgStore,
    values::{Octets, Raw, id, int, text},
};
use crate::{
    audit::{pack, pack_indexes, reader_key, unpack, unpack_indexes},
    pack::unpack as unpack_record,
    seal::{Ring, open_one},
};

/// What the records of a batch add, in their order.
pub(super) const QUEUE: &str = "INSERT INTO audit_queue (id, seq)
    SELECT a, b FROM unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS u (a, b, n) ORDER BY n";
/// What data is put into the queue that was not appended, but restored.
pub(crate) const QUEUE_ALL: &str = "INSERT INTO audit_queue (id, seq) SELECT run, seq FROM records ORDER BY run, seq;
    INSERT INTO audit_queue (id, seq) SELECT id, NULL FROM audit_acts ORDER BY at, id";

const RECORDS: &str = "SELECT n, tenant, run, seq, leaf, body, prev FROM (
        SELECT q.n, r.tenant, c.run, c.seq, c.leaf, c.body, p.leaf AS prev,
            sum(length(c.body)) OVER (ORDER BY q.n) - length(c.body) AS before
        FROM (SELECT n, id, seq FROM audit_queue WHERE seq IS NOT NULL ORDER BY n LIMIT $1) q
        JOIN records c ON c.run = q.id AND c.seq = q.seq JOIN runs r ON r.id = q.id
        LEFT JOIN records p ON p.run = q.id AND p.seq = q.seq - 1) AS found
    WHERE before < $2 ORDER BY n";
const ACTS: &str = "SELECT q.n, a.id, a.at, a.topic, a.salt, a.body FROM audit_queue q JOIN audit_acts a ON a.id = q.id
    WHERE q.seq IS NULL ORDER BY q.n LIMIT $1";
const TAKE: &str = "WITH gone AS (DELETE FROM audit_queue WHERE n = ANY($1) RETURNING 1) SELECT count(*) FROM gone";
const LOGS: &str = "SELECT tenant, size, root, note, at, unread, cosigned FROM audit_logs ORDER BY tenant";
const LOG: &str = "SELECT tenant, size, root, note, at, unread, cosigned FROM audit_logs WHERE tenant = $1";
const TILE: &str = "SELECT t.body FROM audit_tiles t JOIN audit_logs l USING (lid)
    WHERE l.tenant = $1 AND t.level = $2 AND t.n = $3";
const SPANS: &str = "SELECT seq, indexes FROM audit_spans WHERE run = $1 AND seq >= coalesce(
        (SELECT max(seq) FROM audit_spans WHERE run = $1 AND seq <= $2), 0) ORDER BY seq LIMIT $3";
const FIND_ACT: &str = "SELECT id, at, topic, salt, body FROM audit_acts WHERE id = $1";

#[async_trait]
impl AuditStore for PgStore {
    fn bell(&self) -> Arc<Notify> {
        self.appended().clone()
    }

    async fn unsequenced(&self, limit: u32) -> Result<Vec<Unsequenced>, StoreError> {
        let mut found = self
            .list(ACTS, &[&rows(limit)], |row| {
                let mut c = Columns::of(row);
                Ok(Unsequenced::Act { place: c.unsigned()?, act: act(&mut c)? })
            })
            .await?;
        let most = MOST_BYTES as i64;
        let records = self.list(RECORDS, &[&rows(limit), &most], record).await?;
        found.extend(
            self.revealed(records, |ring, records| records.iter_mut().fold(true, |known, one| known & open(ring, one)))
                .await?,
        );
        Ok(found)
    }

    async fn integrate(&self, lease: Lease, mut change: Integration) -> Result<bool, StoreError> {
        pack(&mut change);
        let db = self.database();
        let fail = |e: Error| fenced(db, lease.epoch, &e);
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        t.execute("SELECT fence(ARRAY[0]::smallint[], ARRAY[$1]::bigint[])", &[&int(lease.epoch)])
            .await
            .map_err(fail)?;
        if !integrate(&t, &change).await.map_err(fail)? {
            return Ok(false);
        }
        t.commit().await.map_err(fail)?;
        Ok(true)
    }

    async fn logs(&self) -> Result<Vec<LogRow>, StoreError> {
        self.list(LOGS, &[], log).await
    }

    async fn log(&self, tenant: &Name) -> Result<Option<LogRow>, StoreError> {
        self.one(LOG, &[&text(tenant)], log).await
    }

    async fn cosign(&self, tenant: &Name, note: &str) -> Result<(), StoreError> {
        let db = self.database();
        let client = db.client().await?;
        let done =
            client.execute("UPDATE audit_logs SET cosigned = $2 WHERE tenant = $1", &[&text(tenant), &note]).await;
        done.map(drop).map_err(|e| store_error(&db.place, &e))
    }

    async fn tile(&self, tenant: &Name, level: u8, index: u64) -> Result<Option<Bytes>, StoreError> {
        let read = |row: &_| Columns::of(row).get::<Vec<u8>>();
        let found = self.one(TILE, &[&text(tenant), &i16::from(level), &int(index)], read).await?;
        found.map(|body| unpack(level, body)).transpose()
    }

    async fn spans(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<Span>, StoreError> {
        let read = |row: &_| {
            let mut c = Columns::of(row);
            let (seq, indexes) = (c.unsigned()?, c.get::<&[u8]>()?);
            Ok(Span { run, seq, indexes: unpack_indexes(indexes).ok_or("places that are none")? })
        };
        self.list(SPANS, &[&id(run.0), &int(from), &rows(limit)], read).await
    }

    async fn read_upto(&self, reader: &str) -> Result<Vec<(Name, u64)>, StoreError> {
        let read = |row: &_| {
            let mut c = Columns::of(row);
            Ok((c.name()?, c.get::<String>()?.parse().map_err(|_| "a position that is none")?))
        };
        let all = "SELECT substr(key, length($1) + 1), value FROM meta WHERE starts_with(key, $1)";
        self.list(all, &[&reader_key(reader, "")], read).await
    }

    async fn note_upto(&self, lease: Lease, reader: &str, upto: &[(Name, u64)]) -> Result<(), StoreError> {
        let keys: Vec<String> = upto.iter().map(|(log, _)| reader_key(reader, log)).collect();
        let values: Vec<String> = upto.iter().map(|(_, n)| n.to_string()).collect();
        let db = self.database();
        let fail = |e: Error| fenced(db, lease.epoch, &e);
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        t.execute("SELECT fence(ARRAY[0]::smallint[], ARRAY[$1]::bigint[])", &[&int(lease.epoch)])
            .await
            .map_err(fail)?;
        let put = "INSERT INTO meta (key, value) SELECT * FROM unnest($1::text[], $2::text[])
            ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        t.execute(put, &[&keys, &values]).await.map_err(fail)?;
        t.commit().await.map_err(fail)
    }

    async fn act(&self, act: Act) -> Result<(), StoreError> {
        let db = self.database();
        let put =
            "WITH kept AS (INSERT INTO audit_acts (id, at, topic, salt, body) VALUES ($1, $2, $3, $4, $5) RETURNING id)
            INSERT INTO audit_queue (id, seq) SELECT id, NULL FROM kept";
        let Act { id: name, at, topic, salt, body } = act;
        let client = db.client().await?;
        let done = client.execute(put, &[&id(name), &at.0, &text(&topic), &Raw(salt), &Octets(body)]).await;
        done.map_err(|e| store_error(&db.place, &e))?;
        self.appended().notify_one();
        Ok(())
    }

    async fn find_act(&self, wanted: u128) -> Result<Option<Act>, StoreError> {
        self.one(FIND_ACT, &[&id(wanted)], |row| act(&mut Columns::of(row))).await
    }
}

fn act(c: &mut Columns<'_>) -> Result<Act, Bad> {
    let (id, at, topic) = (c.ulid()?, Timestamp(c.get()?), c.get()?);
    Ok(Act { id, at, topic, salt: c.get::<Raw<16>>()?.0, body: c.bytes()? })
}

/// A row of [`RECORDS`]; its bytes may be sealed.
fn record(row: &Row) -> Result<Unsequenced, Bad> {
    let mut c = Columns::of(row);
    let (place, tenant, run, seq) = (c.unsigned()?, c.name()?, RunId(c.ulid()?), c.unsigned()?);
    let (leaf, bytes) = (LeafHash(c.digest()?), unpack_record(c.get()?));
    let prev = LeafHash(c.get::<Option<Raw<32>>>()?.map(|prev| prev.0).unwrap_or_default());
    Ok(Unsequenced::Record { place, tenant, run, seq, prev, leaf, bytes })
}

/// Opens a record; tells whether its key was there.
fn open(ring: &Ring, one: &mut Unsequenced) -> bool {
    match one {
        Unsequenced::Record { run, seq, bytes, .. } => open_one(ring, *run, *seq, bytes),
        Unsequenced::Act { .. } => true,
    }
}

fn log(row: &Row) -> Result<LogRow, Bad> {
    let mut c = Columns::of(row);
    let (tenant, size, root) = (c.name()?, c.unsigned()?, c.digest()?);
    let (note, at, unread) = (c.get()?, Timestamp(c.get()?), c.unsigned()?);
    Ok(LogRow { tenant, size, root, note, at, unread, cosigned: c.get()? })
}

async fn integrate(t: &Transaction<'_>, change: &Integration) -> Result<bool, Error> {
    let places: Vec<i64> = change.records.iter().chain(&change.acts).map(|n| int(*n)).collect();
    if t.query_one(TAKE, &[&places]).await?.try_get::<_, i64>(0)? != places.len() as i64 {
        return Ok(false);
    }
    for log in &change.logs {
        if !put(t, log).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the log stood where it should.
async fn put(t: &Transaction<'_>, change: &LogChange) -> Result<bool, Error> {
    let LogRow { tenant, size, root, note, at, unread, .. } = &change.now;
    let (tenant, size, root, unread) = (text(tenant), int(*size), Raw(*root), int(*unread));
    let lid = match change.was {
        None => {
            let new = "INSERT INTO audit_logs (tenant, size, root, note, at, unread) VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (tenant) DO NOTHING RETURNING lid";
            t.query_opt(new, &[&tenant, &size, &root, note, &at.0, &unread]).await?
        }
        Some((was, at_root)) => {
            let set = "UPDATE audit_logs SET size = $2, root = $3, note = $4, at = $5, unread = $6
                WHERE tenant = $1 AND size = $7 AND root = $8 RETURNING lid";
            t.query_opt(set, &[&tenant, &size, &root, note, &at.0, &unread, &int(was), &Raw(at_root)]).await?
        }
    };
    let Some(lid) = lid.map(|row| row.try_get::<_, i64>(0)).transpose()? else { return Ok(false) };
    let tiles: HashMap<(u8, u64), &Bytes> = change.tiles.iter().map(|(level, n, body)| ((*level, *n), body)).collect();
    let levels: Vec<i16> = tiles.keys().map(|(level, _)| i16::from(*level)).collect();
    let indexes: Vec<i64> = tiles.keys().map(|(_, n)| int(*n)).collect();
    let bodies: Vec<Octets> = tiles.values().map(|body| Octets((*body).clone())).collect();
    let put = "INSERT INTO audit_tiles (lid, level, n, body)
        SELECT $1, a, b, c FROM unnest($2::int2[], $3::int8[], $4::bytea[]) AS u (a, b, c)
        ON CONFLICT (lid, level, n) DO UPDATE SET body = excluded.body";
    t.execute(put, &[&lid, &levels, &indexes, &bodies]).await?;
    let spans = || change.spans.iter();
    let runs: Vec<Raw<16>> = spans().map(|span| id(span.run.0)).collect();
    let seqs: Vec<i64> = spans().map(|span| int(span.seq)).collect();
    let packed: Vec<Octets> = spans().map(|span| Octets(pack_indexes(&span.indexes).into())).collect();
    let put = "INSERT INTO audit_spans (run, seq, indexes) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[])
        ON CONFLICT (run, seq) DO UPDATE SET indexes = excluded.indexes";
    t.execute(put, &[&runs, &seqs, &packed]).await?;
    Ok(true)
}
