//! The audit log: its port on the embedded store. What is in no log yet is told by the number of the last row that is in one: here, and only here,
//! that skips nothing, for one thread writes and commits rows in the order of their numbers.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use stead_core::{
    id::{LeafHash, Name, RunId},
    run::GENESIS,
    time::Timestamp,
};
use stead_ports::{
    audit::{Act, AuditStore, Integration, LogChange, LogRow, MOST_BYTES, Span, Unsequenced},
    journal::{Lease, StoreError},
};
use tokio::sync::Notify;

use super::{
    index::{id, int},
    queries::{limit as rows, name},
    store::SqliteStore,
};
use crate::{
    audit::{pack, pack_indexes, reader_key, unpack, unpack_indexes},
    pack::unpack as unpack_record,
    seal::open_record,
};

const UPTO: &str = "SELECT value FROM meta WHERE key = ?";
const RECORDS: &str = "SELECT id, rid, seq, leaf, body FROM records
    WHERE id > (SELECT value FROM meta WHERE key = 'audit_records') ORDER BY id LIMIT ?";
const RUN: &str = "SELECT tenant, id FROM runs WHERE rid = ?";
const LEAF: &str = "SELECT leaf FROM records WHERE rid = ? AND seq = ?";
const ACTS: &str = "SELECT n, id, at, topic, salt, body FROM audit_acts
    WHERE n > (SELECT value FROM meta WHERE key = 'audit_acts') ORDER BY n LIMIT ?";
const LOGS: &str = "SELECT tenant, size, root, note, at, unread, cosigned FROM audit_logs";

#[async_trait]
impl AuditStore for SqliteStore {
    fn bell(&self) -> Arc<Notify> {
        self.appended().clone()
    }

    async fn unsequenced(&self, limit: u32) -> Result<Vec<Unsequenced>, StoreError> {
        let ring = self.ring().cloned();
        self.read(move |c| {
            let mut found: Vec<Unsequenced> = c
                .prepare_cached(ACTS)?
                .query_map([rows(limit)], |r| {
                    Ok(Unsequenced::Act { place: r.get::<_, i64>(0)?.unsigned_abs(), act: act(r, 1)? })
                })?
                .collect::<Result<_>>()?;
            let (mut records, mut bytes, mut runs) = (c.prepare_cached(RECORDS)?, 0, HashMap::new());
            let mut records = records.query([rows(limit)])?;
            while let Some(r) = records.next()? {
                let (seq, leaf) = (r.get::<_, i64>(2)?, LeafHash(r.get(3)?));
                let (Owner { tenant, run, .. }, prev) = Owner::of_next(c, &mut runs, r.get(1)?, seq, leaf)?;
                let (run, seq) = (*run, seq.unsigned_abs());
                let body = r.get_ref(4)?.as_blob()?;
                let body = match &ring {
                    Some(ring) => open_record(ring, run, seq, &Bytes::copy_from_slice(body)),
                    None => unpack_record(body.to_vec()),
                };
                bytes += body.len();
                found.push(Unsequenced::Record {
                    place: r.get::<_, i64>(0)?.unsigned_abs(),
                    tenant: tenant.clone(),
                    run,
                    seq,
                    prev,
                    leaf,
                    bytes: body,
                });
                if bytes >= MOST_BYTES {
                    break;
                }
            }
            Ok(found)
        })
        .await
    }

    async fn integrate(&self, lease: Lease, mut change: Integration) -> Result<bool, StoreError> {
        pack(&mut change);
        match self.write(move |c| integrate(c, lease, &change)).await? {
            Some(done) => Ok(done),
            None => Err(self.lost(lease)),
        }
    }

    async fn logs(&self) -> Result<Vec<LogRow>, StoreError> {
        self.read(|c| c.prepare_cached(&format!("{LOGS} ORDER BY tenant"))?.query_map([], log)?.collect()).await
    }

    async fn log(&self, tenant: &Name) -> Result<Option<LogRow>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| {
            c.prepare_cached(&format!("{LOGS} WHERE tenant = ?"))?.query_row([tenant.as_str()], log).optional()
        })
        .await
    }

    async fn cosign(&self, tenant: &Name, note: &str) -> Result<(), StoreError> {
        let (tenant, note) = (tenant.clone(), note.to_owned());
        self.write(move |c| {
            c.prepare_cached("UPDATE audit_logs SET cosigned = ? WHERE tenant = ?")?
                .execute(params![note, tenant.as_str()])
                .map(drop)
        })
        .await
    }

    async fn tile(&self, tenant: &Name, level: u8, index: u64) -> Result<Option<Bytes>, StoreError> {
        let tenant = tenant.clone();
        let found: Option<Vec<u8>> = self
            .read(move |c| {
                c.prepare_cached(
                    "SELECT body FROM audit_tiles
                     WHERE lid = (SELECT lid FROM audit_logs WHERE tenant = ?) AND level = ? AND n = ?",
                )?
                .query_row(params![tenant.as_str(), level, int(index)], |r| r.get(0))
                .optional()
            })
            .await?;
        found.map(|body| unpack(level, body)).transpose()
    }

    async fn spans(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<Span>, StoreError> {
        self.read(move |c| {
            c.prepare_cached(
                "SELECT seq, indexes FROM audit_spans WHERE run = ?1 AND seq >= coalesce(
                     (SELECT max(seq) FROM audit_spans WHERE run = ?1 AND seq <= ?2), 0) ORDER BY seq LIMIT ?3",
            )?
            .query_map(params![id(run.0), int(from), rows(limit)], |r| {
                let bad =
                    || rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Blob, "no places".into());
                let indexes = unpack_indexes(r.get_ref(1)?.as_blob()?).ok_or_else(bad)?;
                Ok(Span { run, seq: r.get::<_, i64>(0)?.unsigned_abs(), indexes })
            })?
            .collect()
        })
        .await
    }

    async fn read_upto(&self, reader: &str) -> Result<Vec<(Name, u64)>, StoreError> {
        let prefix = reader_key(reader, "");
        self.read(move |c| {
            c.prepare_cached(
                "SELECT substr(key, length(?1) + 1), value FROM meta WHERE substr(key, 1, length(?1)) = ?1",
            )?
            .query_map([prefix], |r| Ok((name(r, 0)?, r.get::<_, i64>(1)?.unsigned_abs())))?
            .collect()
        })
        .await
    }

    async fn note_upto(&self, lease: Lease, reader: &str, upto: &[(Name, u64)]) -> Result<(), StoreError> {
        let rows: Vec<(String, i64)> = upto.iter().map(|(log, n)| (reader_key(reader, log), int(*n))).collect();
        let noted = self.write(move |c| {
            if c.prepare_cached(UPTO)?.query_row(["epoch"], |r| r.get::<_, i64>(0))? != int(lease.epoch) {
                return Ok(false);
            }
            let mut put = c.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?, ?)")?;
            rows.iter().try_for_each(|row| put.execute(params![row.0, row.1]).map(drop)).map(|()| true)
        });
        if noted.await? { Ok(()) } else { Err(self.lost(lease)) }
    }

    async fn act(&self, act: Act) -> Result<(), StoreError> {
        self.write(move |c| {
            c.prepare_cached("INSERT INTO audit_acts (id, at, topic, salt, body) VALUES (?, ?, ?, ?, ?)")?
                .execute(params![id(act.id), act.at.0, act.topic, act.salt, &act.body[..]])
                .map(drop)
        })
        .await?;
        self.appended().notify_one();
        Ok(())
    }

    async fn find_act(&self, wanted: u128) -> Result<Option<Act>, StoreError> {
        self.read(move |c| {
            c.prepare_cached("SELECT id, at, topic, salt, body FROM audit_acts WHERE id = ?")?
                .query_row([id(wanted)], |r| act(r, 0))
                .optional()
        })
        .await
    }
}

/// Whose records were just read, and which was the last. Most records of one reading follow another of it: so neither their run nor the record before
/// them is looked up again.
struct Owner {
    tenant: Name,
    run: RunId,
    last: (i64, LeafHash),
}

impl Owner {
    /// The owner of the next record, and the leaf hash of the record before it.
    fn of_next<'a>(
        conn: &Connection,
        owners: &'a mut HashMap<i64, Self>,
        rid: i64,
        seq: i64,
        leaf: LeafHash,
    ) -> Result<(&'a Self, LeafHash)> {
        let owner = match owners.entry(rid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let (tenant, run) = conn
                    .prepare_cached(RUN)?
                    .query_row([rid], |r| Ok((name(r, 0)?, RunId(u128::from_be_bytes(r.get(1)?)))))?;
                // No record is at -2, so that the one before is looked up.
                new.insert(Self { tenant, run, last: (-2, GENESIS) })
            }
        };
        let prev = if owner.last.0 == seq - 1 {
            owner.last.1
        } else {
            let found = conn.prepare_cached(LEAF)?.query_row([rid, seq - 1], |r| r.get(0)).optional()?;
            found.map_or(GENESIS, LeafHash)
        };
        owner.last = (seq, leaf);
        Ok((owner, prev))
    }
}

/// An act whose columns begin there.
fn act(r: &Row<'_>, first: usize) -> Result<Act> {
    Ok(Act {
        id: u128::from_be_bytes(r.get(first)?),
        at: Timestamp(r.get(first + 1)?),
        topic: r.get(first + 2)?,
        salt: r.get(first + 3)?,
        body: r.get::<_, Vec<u8>>(first + 4)?.into(),
    })
}

fn log(r: &Row<'_>) -> Result<LogRow> {
    Ok(LogRow {
        tenant: name(r, 0)?,
        size: r.get::<_, i64>(1)?.unsigned_abs(),
        root: r.get(2)?,
        note: r.get(3)?,
        at: Timestamp(r.get(4)?),
        unread: r.get::<_, i64>(5)?.unsigned_abs(),
        cosigned: r.get(6)?,
    })
}

/// In the writer's transaction: what was found not to hold is found before anything is written. `None` when the lease is another's.
fn integrate(conn: &Connection, lease: Lease, change: &Integration) -> Result<Option<bool>> {
    let value = |key: &str| conn.prepare_cached(UPTO)?.query_row([key], |r| r.get::<_, i64>(0));
    if value("epoch")? != int(lease.epoch) {
        return Ok(None);
    }
    let taken = [("audit_records", &change.records), ("audit_acts", &change.acts)];
    for (key, places) in taken {
        if places.first().is_some_and(|first| int(*first) <= value(key).unwrap_or(i64::MAX)) {
            return Ok(Some(false));
        }
    }
    for log in &change.logs {
        let found: Option<(i64, [u8; 32])> = conn
            .prepare_cached("SELECT size, root FROM audit_logs WHERE tenant = ?")?
            .query_row([log.now.tenant.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        if found != log.was.map(|(size, root)| (int(size), root)) {
            return Ok(Some(false));
        }
    }
    for (key, places) in taken {
        if let Some(last) = places.last() {
            conn.prepare_cached("UPDATE meta SET value = ? WHERE key = ?")?.execute(params![int(*last), key])?;
        }
    }
    change.logs.iter().try_for_each(|log| put(conn, log))?;
    Ok(Some(true))
}

fn put(conn: &Connection, change: &LogChange) -> Result<()> {
    let LogRow { tenant, size, root, note, at, unread, .. } = &change.now;
    conn.prepare_cached(
        "INSERT INTO audit_logs (tenant, size, root, note, at, unread) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant)
         DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note, at = excluded.at,
             unread = excluded.unread",
    )?
    .execute(params![tenant.as_str(), int(*size), root, note, at.0, int(*unread)])?;
    let lid: i64 = conn
        .prepare_cached("SELECT lid FROM audit_logs WHERE tenant = ?")?
        .query_row([tenant.as_str()], |r| r.get(0))?;
    let mut tile = conn.prepare_cached(
        "INSERT INTO audit_tiles (lid, level, n, body) VALUES (?, ?, ?, ?)
         ON CONFLICT (lid, level, n) DO UPDATE SET body = excluded.body",
    )?;
    for (level, n, body) in &change.tiles {
        tile.execute(params![lid, level, int(*n), &body[..]])?;
    }
    let mut span = conn.prepare_cached("INSERT OR REPLACE INTO audit_spans (run, seq, indexes) VALUES (?, ?, ?)")?;
    for Span { run, seq, indexes } in &change.spans {
        span.execute(params![id(run.0), int(*seq), pack_indexes(indexes)])?;
    }
    Ok(())
}
