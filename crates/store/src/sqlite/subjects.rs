//! Keys of persons in the embedded store: made when a backup first needs them, destroyed by erasures. No backup has them.

use std::{collections::HashSet, path::Path};

use rusqlite::{Connection, OpenFlags, Result, params};
use stead_core::{id::RunId, time::Timestamp};
use stead_ports::{
    erasure::{ERASED_TITLE, Erasure},
    journal::StoreError,
};

use super::{errors::store_error, index::id};
use crate::{
    backup::subject::{Gone, KeptKey, KeySet, Marks, Owners, Run},
    blob::BlobKey,
    erasure::run_ids,
    seal::WrappingKey,
};

/// All keys; none in data of an older format.
pub(crate) fn all(conn: &Connection) -> Result<Vec<KeptKey>> {
    let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'subject_keys'";
    if conn.query_row(known, [], |r| r.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    conn.prepare("SELECT id, tenant, subject, made, until, wrapper, body FROM subject_keys ORDER BY id")?
        .query_map([], |r| {
            Ok(KeptKey {
                id: r.get(0)?,
                tenant: r.get(1)?,
                subject: r.get(2)?,
                made: r.get(3)?,
                until: r.get(4)?,
                wrapper: r.get(5)?,
                body: r.get(6)?,
            })
        })?
        .collect()
}

/// Keeps a key, unless its person has one in use.
pub(crate) fn insert(conn: &Connection, key: &KeptKey) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO subject_keys (id, tenant, subject, made, until, wrapper, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![key.id, key.tenant, key.subject, key.made, key.until, key.wrapper, key.body])
    .map(drop)
}

/// How far erasures are.
pub(crate) fn marks(conn: &Connection) -> Result<Marks> {
    let sql = "SELECT count(*), count(certificate), (SELECT count(*) FROM subject_keys_gone) FROM erasures WHERE proposed = 0";
    conn.query_row(sql, [], |r| Ok(Marks(r.get(0)?, r.get(1)?, r.get(2)?)))
}

/// Keeps fresh keys; false when an erasure has gone on meanwhile, so that it may have passed them by.
pub(super) fn settle(conn: &Connection, seen: Marks, fresh: &[KeptKey]) -> Result<bool> {
    if marks(conn)? != seen {
        return Ok(false);
    }
    fresh.iter().try_for_each(|key| insert(conn, key)).map(|()| true)
}

/// The same in a database that no process works on.
pub(super) fn settle_in(database: &Path, seen: Marks, fresh: &[KeptKey]) -> Result<bool, StoreError> {
    let work = || -> Result<bool> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(database, flags)?;
        conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0")?;
        let t = conn.transaction()?;
        let done = settle(&t, seen, fresh)?;
        t.commit().map(|()| done)
    };
    work().map_err(|e| store_error(database, &e))
}

/// Looks at all runs: whose what is.
pub(crate) fn owners(
    conn: &Connection,
    digests: &BlobKey,
    keys: Vec<crate::backup::subject::SubjectKey>,
) -> Result<Owners> {
    let mut erased: HashSet<RunId> = HashSet::new();
    let mut finished = conn.prepare("SELECT runs FROM erasures WHERE certificate IS NOT NULL")?;
    for runs in finished.query_map([], |r| r.get::<_, Vec<u8>>(0))? {
        erased.extend(run_ids(&runs?));
    }
    let mut owners = Owners::new(digests.clone(), keys);
    let mut runs = conn.prepare(
        "SELECT r.id, s.id, r.tenant, r.started_by, r.created, r.title FROM runs r JOIN sessions s ON s.sid = r.sid ORDER BY r.id",
    )?;
    let mut rows = runs.query([])?;
    while let Some(r) = rows.next()? {
        let id = RunId(u128::from_be_bytes(r.get(0)?));
        let bare = r.get_ref(5)?.as_str().is_ok_and(|title| title == ERASED_TITLE);
        owners.add(&Run {
            id,
            session: r.get(1)?,
            tenant: r.get(2)?,
            person: r.get(3)?,
            created: r.get(4)?,
            erased: bare && erased.contains(&id),
        });
    }
    let mut kept = conn.prepare("SELECT tenant, owner, tree FROM kept_trees")?;
    let mut rows = kept.query([])?;
    while let Some(r) = rows.next()? {
        owners.keeps(r.get_ref(0)?.as_str()?, r.get_ref(1)?.as_str()?, r.get(2)?);
    }
    Ok(owners)
}

/// Erasures of a tenant's person that are not finished: their times.
pub(crate) fn under_way(conn: &Connection, tenant: &str, subject: &[u8; 32]) -> Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT at FROM erasures WHERE tenant = ? AND subject = ? AND proposed = 0 AND certificate IS NULL",
    )?
    .query_map(params![tenant, subject], |r| r.get(0))?
    .collect()
}

/// From now on the key of an erasure's person is for runs of before it, and later ones get another. Not when its keys were destroyed, and
/// `again` not one that was made after it.
pub(super) fn retire(conn: &Connection, erasure: &Erasure, again: bool) -> Result<()> {
    let Erasure { id: erasure, tenant, subject, at, .. } = erasure;
    conn.prepare_cached(
        "UPDATE subject_keys SET until = ?1 WHERE tenant = ?2 AND subject = ?3 AND until IS NULL AND (NOT ?5 OR made <= ?1)
         AND NOT EXISTS (SELECT 1 FROM subject_keys_gone WHERE erasure = ?4)",
    )?
    .execute(params![at.0, tenant.as_str(), subject, id(*erasure), again])
    .map(drop)
}

/// Destroys the keys of an erasure's person; how many it has destroyed in all. What stood in the row is written over, and what is left of
/// it in the file goes when that is written anew.
pub(super) fn destroy(
    conn: &Connection,
    tenant: &str,
    subject: &[u8; 32],
    erasure: u128,
    at: Timestamp,
) -> Result<u64> {
    const THEIRS: &str = "tenant = ?1 AND subject = ?2 AND until <= ?3";
    let keys: Vec<[u8; 16]> = conn
        .prepare_cached(&format!("SELECT id FROM subject_keys WHERE {THEIRS}"))?
        .query_map(params![tenant, subject, at.0], |r| r.get(0))?
        .collect::<Result<_>>()?;
    let mut gone = conn.prepare_cached("INSERT OR IGNORE INTO subject_keys_gone (id, erasure) VALUES (?, ?)")?;
    for key in keys.iter().chain([&id(erasure)]) {
        gone.execute(params![key, id(erasure)])?;
    }
    conn.execute(
        &format!("UPDATE subject_keys SET body = zeroblob(length(body)) WHERE {THEIRS}"),
        params![tenant, subject, at.0],
    )?;
    conn.execute(&format!("DELETE FROM subject_keys WHERE {THEIRS}"), params![tenant, subject, at.0])?;
    let count = "SELECT count(*) FROM subject_keys_gone WHERE erasure = ?1 AND id <> ?1";
    conn.query_row(count, [id(erasure)], |r| r.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// What leaves the store: all keys, what became of those that were destroyed, and the certificates of erasures that are finished. A key may be
/// destroyed by an erasure that has no certificate yet, or of which a restored store knows nothing: it is told all the same. So is each erasure
/// that has destroyed what there was, with itself in the place of a key.
pub(crate) fn export(conn: &Connection) -> Result<(Vec<KeptKey>, Vec<Gone>, Vec<String>)> {
    let gone = conn
        .prepare("SELECT id, erasure FROM subject_keys_gone ORDER BY id")?
        .query_map([], |r| Ok(Gone { id: r.get(0)?, erasure: r.get(1)? }))?
        .collect::<Result<_>>()?;
    let certificates = conn
        .prepare("SELECT certificate FROM erasures WHERE certificate IS NOT NULL ORDER BY id")?
        .query_map([], |r| r.get(0))?
        .collect::<Result<_>>()?;
    Ok((all(conn)?, gone, certificates))
}

/// Takes keys in that a restore was given.
pub(crate) fn import(
    conn: &Connection,
    set: &KeySet,
    wrapping: Option<&WrappingKey>,
) -> Result<Result<(), StoreError>> {
    for key in &set.keys {
        match key.kept(wrapping) {
            Ok(kept) => insert(conn, &kept)?,
            Err(e) => return Ok(Err(e)),
        }
    }
    let mut gone = conn.prepare_cached("INSERT OR IGNORE INTO subject_keys_gone (id, erasure) VALUES (?, ?)")?;
    for one in &set.gone {
        gone.execute(params![one.id, one.erasure])?;
        gone.execute(params![one.erasure, one.erasure])?;
    }
    Ok(Ok(()))
}
