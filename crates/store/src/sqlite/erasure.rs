//! Erasure and legal holds: their port on the embedded store.
//!
//! **What is left of a row that is gone.** SQLite leaves the bytes of old rows in free parts of pages, in free pages and in the
//! write-ahead log. So [`purge`] writes the whole file anew (`VACUUM`) and cuts the log off, while nobody writes.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Result, Row, params, types::Type};
use stead_core::{
    code,
    id::{BlobId, LeafHash, Name, RunId, TreeId},
    time::Timestamp,
};
use stead_ports::{
    erasure::{Bare, BareRun, ERASED_TITLE, Erasure, ErasureStore, Held, Hold, KeptTree, MAX_HOLDS, Naming, Placed},
    journal::{RunRow, StoreError},
};

use super::{
    errors::store_error,
    index::id,
    queries::{self as q, limit as rows, name, run_id},
    store::SqliteStore,
    subjects,
};
use crate::{
    erasure::{run_ids, runs_of, strike_out, unread},
    pack::{pack, unpack},
    seal,
};

/// Records looked at in one read.
const RECORDS: u32 = 500;
/// How long the log is waited for, by readers of an older state.
const PATIENCE: Duration = Duration::from_secs(30);

const HOLD: &str = "SELECT id, tenant, what, name, placed_by, at, reason, released_by, released_at FROM legal_holds";
const UNDER_WAY: &str = "SELECT id FROM erasures WHERE tenant = ? AND proposed = 0 AND certificate IS NULL";
const IN_FORCE: &str = "SELECT id FROM legal_holds WHERE tenant = ? AND released_at IS NULL";

#[async_trait]
impl ErasureStore for SqliteStore {
    fn pseudonym(&self, tenant: &Name, subject: &Name) -> [u8; 32] {
        self.key().pseudonym(tenant, subject)
    }

    async fn runs_of(
        &self,
        tenant: &Name,
        subject: &Name,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        let (tenant, subject, after) = (tenant.clone(), subject.clone(), after.map_or(0, |a| a.0));
        self.read(move |c| {
            let ids: Vec<RunId> = c
                .prepare_cached(
                    "SELECT id FROM runs WHERE tenant = ? AND started_by = ? AND id > ? ORDER BY id LIMIT ?",
                )?
                .query_map(params![tenant.as_str(), subject.as_str(), id(after), rows(limit)], |r| run_id(r, 0))?
                .collect::<Result<_>>()?;
            ids.into_iter().filter_map(|run| q::run(c, run).transpose()).collect()
        })
        .await
    }

    async fn subjects(&self, after: Option<(Name, Name)>, limit: u32) -> Result<Vec<(Name, Name)>, StoreError> {
        self.read(move |c| {
            let sql = "SELECT DISTINCT tenant, started_by FROM runs WHERE started_by IS NOT NULL
                AND (?1 IS NULL OR (tenant, started_by) > (?1, ?2)) ORDER BY tenant, started_by LIMIT ?3";
            let (tenant, subject) = after.unzip();
            c.prepare_cached(sql)?
                .query_map(params![tenant.as_deref(), subject.as_deref(), rows(limit)], |r| {
                    Ok((name(r, 0)?, name(r, 1)?))
                })?
                .collect()
        })
        .await
    }

    async fn subject(&self, run: RunId) -> Result<Option<Name>, StoreError> {
        self.read(move |c| {
            let found: Option<Option<String>> = c
                .prepare_cached("SELECT started_by FROM runs WHERE id = ?")?
                .query_row([id(run.0)], |r| r.get(0))
                .optional()?;
            Ok(found.flatten().map(Name::from))
        })
        .await
    }

    async fn place_hold(&self, hold: Hold, known: Vec<u128>) -> Result<Placed, StoreError> {
        self.write(move |c| place(c, &hold, &known)).await
    }

    async fn release_hold(&self, tenant: &Name, hold: u128, by: &Name, at: Timestamp) -> Result<bool, StoreError> {
        let (tenant, by) = (tenant.clone(), by.clone());
        self.write(move |c| {
            c.prepare_cached(
                "UPDATE legal_holds SET released_by = ?, released_at = ?
                 WHERE id = ? AND tenant = ? AND released_at IS NULL",
            )?
            .execute(params![by.as_str(), at.0, id(hold), tenant.as_str()])
            .map(|changed| changed == 1)
        })
        .await
    }

    async fn holds(&self, tenant: Option<&Name>, all: bool) -> Result<Vec<Hold>, StoreError> {
        let tenant = tenant.cloned();
        self.read(move |c| {
            let sql =
                format!("{HOLD} WHERE (?1 IS NULL OR tenant = ?1) AND (?2 OR released_at IS NULL) ORDER BY id DESC");
            c.prepare_cached(&sql)?.query_map(params![tenant.as_deref(), all], hold)?.collect()
        })
        .await
    }

    async fn begin_erasure(
        &self,
        erasure: Erasure,
        subject: Option<Name>,
        known: Vec<u128>,
    ) -> Result<bool, StoreError> {
        self.write(move |c| begin(c, &erasure, subject.as_ref(), &known)).await
    }

    async fn erasures(&self) -> Result<Vec<Erasure>, StoreError> {
        self.read(|c| {
            c.prepare_cached("SELECT id, tenant, subject, asked_by, at, runs, proposed, confirmed_by, certificate FROM erasures ORDER BY id")?
                .query_map([], erasure)?
                .collect()
        })
        .await
    }

    async fn erase_run(&self, erasure: u128, mut run: BareRun) -> Result<bool, StoreError> {
        for record in &mut run.records {
            record.bytes = pack(record.bytes.clone());
        }
        if let Some(ring) = self.keyed(&run.tenant).await? {
            for record in &mut run.records {
                record.bytes = seal::seal_record(ring, &run.tenant, run.run, record.seq, &record.bytes)?;
            }
        }
        self.write(move |c| erase(c, erasure, &run)).await
    }

    async fn leave_sessions(&self, runs: Vec<RunId>) -> Result<(), StoreError> {
        self.write(move |c| leave(c, &runs)).await
    }

    async fn remove_blobs(&self, erasure: u128, tenant: &Name, names: Naming) -> Result<u64, StoreError> {
        let mut left: HashSet<BlobId> = self
            .read(move |c| {
                c.prepare_cached("SELECT id FROM erasure_blobs WHERE erasure = ?")?
                    .query_map([id(erasure)], |r| r.get(0).map(BlobId))?
                    .collect()
            })
            .await?;
        let mut after = 0;
        while !left.is_empty() {
            let (tenant, ring) = (tenant.clone(), self.ring().cloned());
            let (page, last) = self.read(move |c| named_after(c, ring.as_deref(), &tenant, after)).await?;
            let Some(last) = last else { break };
            after = last;
            if !page.iter().all(|bytes| strike_out(&mut left, &names, bytes)) {
                return Err(unread());
            }
        }
        let (tenant, ring) = (tenant.clone(), self.ring().cloned());
        self.write(move |c| {
            // What was appended since: the writer is alone.
            let (mut left, mut after) = (left.clone(), after);
            while !left.is_empty() {
                let (page, last) = named_after(c, ring.as_deref(), &tenant, after)?;
                let Some(last) = last else { break };
                after = last;
                if !page.iter().all(|bytes| strike_out(&mut left, &names, bytes)) {
                    return Ok(None);
                }
            }
            let mut gone = c.prepare_cached("DELETE FROM blobs WHERE id = ? AND tenant = ?")?;
            let mut removed: u64 = 0;
            for blob in &left {
                removed += gone.execute(params![blob.0, tenant.as_str()])? as u64;
            }
            c.prepare_cached("DELETE FROM erasure_blobs WHERE erasure = ?")?.execute([id(erasure)])?;
            Ok(Some(removed))
        })
        .await?
        .ok_or_else(unread)
    }

    async fn held_until(&self, tenant: &Name, ids: &[BlobId]) -> Result<Vec<(BlobId, Timestamp)>, StoreError> {
        let (tenant, ids) = (tenant.clone(), ids.to_vec());
        self.read(move |c| {
            let mut held = c.prepare_cached("SELECT held FROM objects WHERE tenant = ? AND id = ?")?;
            let mut out = Vec::new();
            for blob in ids {
                let found = held.query_row(params![tenant.as_str(), blob.0], |r| r.get(0)).optional()?;
                out.extend(found.map(|until| (blob, Timestamp(until))));
            }
            Ok(out)
        })
        .await
    }

    async fn remove_held(&self, tenant: &Name, ids: Vec<(BlobId, Timestamp)>) -> Result<u64, StoreError> {
        let tenant = tenant.clone();
        self.write(move |c| {
            let mut gone = c.prepare_cached("DELETE FROM objects WHERE tenant = ? AND id = ? AND held = ?")?;
            ids.iter()
                .try_fold(0, |n, (blob, held)| Ok(n + gone.execute(params![tenant.as_str(), blob.0, held.0])? as u64))
        })
        .await
    }

    async fn purge(&self) -> Result<(), StoreError> {
        let (desk, database) = (self.desk(), self.database());
        let purged = tokio::task::spawn_blocking(move || {
            // Nobody writes meanwhile, and what reads sees the same as before.
            let _alone = desk.lock();
            let busy = purge(&database).map_err(|e| store_error(&database, &e))?;
            match busy {
                false => Ok(()),
                true => Err(StoreError {
                    code: code::ERASURE_UNFINISHED,
                    detail: format!(
                        "{}: the log cannot be cut off while an older state is read, by a backup say; it is tried again",
                        database.display()
                    ),
                }),
            }
        });
        purged.await.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })?
    }

    async fn destroy_keys(&self, erasure: &Erasure) -> Result<u64, StoreError> {
        let Erasure { id: erasure, tenant, subject, at, .. } = erasure.clone();
        self.write(move |c| subjects::destroy(c, &tenant, &subject, erasure, at)).await
    }

    async fn finish_erasure(&self, erasure: u128, certificate: String) -> Result<(), StoreError> {
        self.write(move |c| {
            c.prepare_cached("UPDATE erasures SET certificate = ? WHERE id = ?")?
                .execute(params![certificate, id(erasure)])
                .map(drop)
        })
        .await
    }

    async fn keep_tree(&self, tree: KeptTree, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            // Not those of a tenant or a person that a hold is on.
            c.prepare_cached(
                "DELETE FROM kept_trees WHERE until < ? AND NOT EXISTS (
                     SELECT 1 FROM legal_holds h WHERE h.tenant = kept_trees.tenant AND h.released_at IS NULL
                         AND (h.what = 'tenant' OR h.what = 'subject' AND h.name = kept_trees.owner))",
            )?
            .execute([now.0])?;
            let KeptTree { tenant, owner, tree, until } = &tree;
            c.prepare_cached(
                "INSERT INTO kept_trees (tenant, owner, tree, until) VALUES (?, ?, ?, ?)
                 ON CONFLICT (tenant, owner, tree) DO UPDATE SET until = max(until, excluded.until)",
            )?
            .execute(params![tenant.as_str(), owner.as_str(), tree.0, until.0])
            .map(drop)
        })
        .await
    }

    async fn kept_trees(&self, tenant: &Name, owner: Option<&Name>) -> Result<Vec<KeptTree>, StoreError> {
        let (tenant, owner) = (tenant.clone(), owner.cloned());
        self.read(move |c| {
            c.prepare_cached(
                "SELECT tenant, tree, owner, until FROM kept_trees WHERE tenant = ?1 AND (?2 IS NULL OR owner = ?2)",
            )?
            .query_map(params![tenant.as_str(), owner.as_deref()], |r| {
                Ok(KeptTree {
                    tenant: name(r, 0)?,
                    tree: TreeId(r.get(1)?),
                    owner: name(r, 2)?,
                    until: Timestamp(r.get(3)?),
                })
            })?
            .collect()
        })
        .await
    }

    async fn forget_trees(&self, tenant: &Name, owner: &Name) -> Result<(), StoreError> {
        let (tenant, owner) = (tenant.clone(), owner.clone());
        self.write(move |c| {
            c.prepare_cached("DELETE FROM kept_trees WHERE tenant = ? AND owner = ?")?
                .execute([tenant.as_str(), owner.as_str()])
                .map(drop)
        })
        .await
    }
}

fn hold(r: &Row<'_>) -> Result<Hold> {
    let word: String = r.get(2)?;
    let what = Held::parse(&word)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, "an unknown kind of hold".into()))?;
    let released = r.get::<_, Option<String>>(7)?.zip(r.get::<_, Option<i64>>(8)?);
    Ok(Hold {
        id: u128::from_be_bytes(r.get(0)?),
        tenant: name(r, 1)?,
        what,
        name: name(r, 3)?,
        by: name(r, 4)?,
        at: Timestamp(r.get(5)?),
        reason: r.get(6)?,
        released: released.map(|(by, at)| (by.into(), Timestamp(at))),
    })
}

fn erasure(r: &Row<'_>) -> Result<Erasure> {
    let runs: Vec<u8> = r.get(5)?;
    Ok(Erasure {
        id: u128::from_be_bytes(r.get(0)?),
        tenant: name(r, 1)?,
        subject: r.get(2)?,
        by: name(r, 3)?,
        at: Timestamp(r.get(4)?),
        runs: run_ids(&runs),
        proposed: r.get(6)?,
        confirmed_by: r.get::<_, Option<String>>(7)?.map(Into::into),
        certificate: r.get(8)?,
    })
}

/// Whether a query of a tenant's ids finds one that is not known.
fn finds_more(conn: &Connection, sql: &str, tenant: &Name, known: &[u128]) -> Result<bool> {
    let mut found = conn.prepare_cached(sql)?;
    for id in found.query_map([tenant.as_str()], |r| r.get::<_, [u8; 16]>(0))? {
        if !known.contains(&u128::from_be_bytes(id?)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The writer is alone, so holds are counted exactly, and no erasure begins meanwhile.
fn place(conn: &Connection, hold: &Hold, known: &[u128]) -> Result<Placed> {
    let Hold { id: hold, tenant, what, name, by, at, reason, .. } = hold;
    if finds_more(conn, UNDER_WAY, tenant, known)? {
        return Ok(Placed::Erasing);
    }
    let written = conn
        .prepare_cached(
            "INSERT INTO legal_holds (id, tenant, what, name, placed_by, at, reason)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
             WHERE (SELECT count(*) FROM legal_holds WHERE tenant = ?2 AND released_at IS NULL) < ?8",
        )?
        .execute(params![
            id(*hold),
            tenant.as_str(),
            what.as_str(),
            name.as_str(),
            by.as_str(),
            at.0,
            reason,
            MAX_HOLDS.cast_signed()
        ])?;
    Ok(if written == 1 { Placed::InForce } else { Placed::TooMany })
}

fn begin(conn: &Connection, erasure: &Erasure, subject: Option<&Name>, known: &[u128]) -> Result<bool> {
    if finds_more(conn, IN_FORCE, &erasure.tenant, known)? {
        return Ok(false);
    }
    let whole = erasure;
    let Erasure { id: erasure, tenant, subject: pseudonym, by, at, runs, proposed, confirmed_by, certificate } = whole;
    // A mere proposal changes nothing.
    if let (Some(subject), false) = (subject, *proposed) {
        let digits: String = pseudonym.iter().map(|b| format!("{b:02x}")).collect();
        conn.prepare_cached(
            "UPDATE legal_holds SET name = ?1
             WHERE tenant = ?2 AND what = 'subject' AND name = ?3 AND released_at IS NOT NULL",
        )?
        .execute(params![format!("erased:{digits}"), tenant.as_str(), subject.as_str()])?;
    }
    let (runs, confirmed_by) = (runs_of(runs), confirmed_by.as_deref());
    let written = conn
        .prepare_cached(
            "INSERT INTO erasures (id, tenant, subject, asked_by, at, runs, proposed, confirmed_by)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET at = excluded.at, runs = excluded.runs, proposed = 0,
                 confirmed_by = excluded.confirmed_by WHERE proposed = 1",
        )?
        .execute(params![id(*erasure), tenant.as_str(), pseudonym, by.as_str(), at.0, runs, proposed, confirmed_by])?;
    // One that has begun already is as it was, and so are keys.
    if written == 1 && !*proposed {
        subjects::retire(conn, whole, certificate.is_some())?;
    }
    Ok(written == 1)
}

fn erase(conn: &Connection, erasure: u128, run: &BareRun) -> Result<bool> {
    let BareRun { run, records, blobs, .. } = run;
    let rid: Option<(i64, i64)> = conn
        .prepare_cached("SELECT rid, sid FROM runs WHERE id = ?")?
        .query_row([id(run.0)], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let Some((rid, sid)) = rid else { return Ok(true) };
    {
        let mut leaf = conn.prepare_cached("SELECT leaf FROM records WHERE rid = ? AND seq = ?")?;
        for Bare { seq, leaf: ours, .. } in records {
            let kept: [u8; 32] = leaf.query_row(params![rid, seq.cast_signed()], |r| r.get(0))?;
            if LeafHash(kept) != *ours {
                return Ok(false);
            }
        }
    }
    let mut keep = conn.prepare_cached("INSERT OR IGNORE INTO erasure_blobs (erasure, id) VALUES (?, ?)")?;
    blobs.iter().try_for_each(|blob| keep.execute(params![id(erasure), blob.0]).map(drop))?;
    let mut bare = conn.prepare_cached("UPDATE records SET body = ? WHERE rid = ? AND seq = ?")?;
    records.iter().try_for_each(|r| bare.execute(params![&r.bytes[..], rid, r.seq.cast_signed()]).map(drop))?;
    conn.prepare_cached("UPDATE runs SET title = ?, idempotency = NULL, request = NULL WHERE rid = ?")?
        .execute(params![ERASED_TITLE, rid])?;
    conn.prepare_cached("DELETE FROM inbox WHERE receiver = ?1 OR sender = ?1")?.execute([id(run.0)])?;
    conn.prepare_cached("DELETE FROM snapshots WHERE run IN (SELECT id FROM runs WHERE sid = ?)")?.execute([sid])?;
    Ok(true)
}

fn leave(conn: &Connection, runs: &[RunId]) -> Result<()> {
    let mut session = conn.prepare_cached("SELECT sid FROM runs WHERE id = ?")?;
    let mut all = conn.prepare_cached("SELECT id FROM runs WHERE sid = ?")?;
    let mut snapshots =
        conn.prepare_cached("DELETE FROM snapshots WHERE run IN (SELECT id FROM runs WHERE sid = ?)")?;
    let mut head = conn.prepare_cached("UPDATE sessions SET head = NULL WHERE sid = ?")?;
    let mut key = conn.prepare_cached("UPDATE sessions SET key = NULL WHERE sid = ?")?;
    let mut seen = HashSet::new();
    for run in runs {
        let Some(sid) = session.query_row([id(run.0)], |r| r.get::<_, i64>(0)).optional()? else { continue };
        if seen.insert(sid) {
            // Whoever's run it was: it carried on what was said before.
            head.execute([sid])?;
            snapshots.execute([sid])?;
            let mut others = all.query_map([sid], |r| run_id(r, 0))?;
            // A run id sorts as it was made, and so do these.
            if others
                .try_fold(true, |only, other| Ok::<_, rusqlite::Error>(only && runs.binary_search(&other?).is_ok()))?
            {
                key.execute([sid])?;
            }
        }
    }
    Ok(())
}

/// Records of a tenant after a row, opened and unpacked, and the last row that was looked at.
fn named_after(
    conn: &Connection,
    ring: Option<&seal::Ring>,
    tenant: &Name,
    after: i64,
) -> Result<(Vec<bytes::Bytes>, Option<i64>)> {
    let mut page = conn.prepare_cached(
        "SELECT p.id, r.id, r.tenant, p.seq, p.body FROM records p JOIN runs r ON r.rid = p.rid
         WHERE p.id > ? ORDER BY p.id LIMIT ?",
    )?;
    let (mut out, mut last) = (Vec::new(), None);
    let mut found = page.query(params![after, RECORDS])?;
    while let Some(r) = found.next()? {
        last = Some(r.get(0)?);
        if name(r, 2)? != *tenant {
            continue;
        }
        let (run, seq, stored) = (run_id(r, 1)?, r.get::<_, i64>(3)?.unsigned_abs(), r.get::<_, Vec<u8>>(4)?);
        out.push(match ring {
            Some(ring) => seal::open_record(ring, run, seq, &stored.into()),
            None => unpack(stored),
        });
    }
    Ok((out, last))
}

/// Writes the file anew and cuts the log off; true when the log could not be.
fn purge(database: &std::path::Path) -> Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database, flags)?;
    conn.busy_timeout(PATIENCE)?;
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; VACUUM")?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0)).map(|busy| busy != 0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn nobody_goes_on_with_a_session_that_has_an_erased_run_whoevers_was_the_last() {
        let conn = Connection::open_in_memory().unwrap();
        let tables = "CREATE TABLE sessions (sid INTEGER PRIMARY KEY, key TEXT, head BLOB);
            CREATE TABLE runs (id BLOB, sid INTEGER); CREATE TABLE snapshots (run BLOB);";
        conn.execute_batch(tables).unwrap();
        for (run, sid) in [(1_u128, 1_i64), (2, 1), (3, 2)] {
            conn.execute("INSERT INTO runs (id, sid) VALUES (?, ?)", params![id(run), sid]).unwrap();
            conn.execute("INSERT INTO snapshots (run) VALUES (?)", params![id(run)]).unwrap();
            let session = "INSERT OR REPLACE INTO sessions (sid, key, head) VALUES (?, 'k', ?)";
            conn.execute(session, params![sid, id(run)]).unwrap();
        }
        leave(&conn, &[RunId(1)]).unwrap();
        let count = |sql: &str| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM sessions WHERE sid = 1 AND head IS NULL AND key = 'k'"), 1);
        assert_eq!(count("SELECT count(*) FROM sessions WHERE sid = 2 AND head IS NOT NULL"), 1);
        assert_eq!(count("SELECT count(*) FROM snapshots"), 1);
    }
}
