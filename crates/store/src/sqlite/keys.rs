//! Keys of encrypted texts in the embedded store: read when it is opened, made when a tenant's first text is written, changed by a
//! rotation.

use std::path::Path;

use rusqlite::{Connection, Result, Row, params};
use stead_ports::journal::StoreError;

use super::{errors::store_error, files, subjects};
use crate::backup::subject::KeptKey;
use crate::seal::{Rotated, WrappedKey, WrappingKey, rotated, told};

const KEY: &str = "SELECT id, tenant, wrapper, wrapped, current FROM data_keys";

fn row(r: &Row<'_>) -> Result<WrappedKey> {
    Ok(WrappedKey {
        id: r.get(0)?,
        tenant: r.get(1)?,
        wrapper: r.get(2)?,
        wrapped: r.get(3)?,
        current: r.get::<_, i64>(4)? == 1,
    })
}

/// All keys; none in data of an older format.
pub(crate) fn all(conn: &Connection) -> Result<Vec<WrappedKey>> {
    let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'data_keys'";
    if conn.query_row(known, [], |r| r.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    conn.prepare(&format!("{KEY} ORDER BY id"))?.query_map([], row)?.collect()
}

/// Keeps a key.
pub(crate) fn insert(conn: &Connection, key: &WrappedKey) -> Result<()> {
    conn.prepare_cached("INSERT INTO data_keys (id, tenant, wrapper, wrapped, current) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![key.id, key.tenant, key.wrapper, key.wrapped, i64::from(key.current)])
        .map(drop)
}

/// Keeps the fresh key of a tenant, unless it has one meanwhile; gives the one that counts.
pub(super) fn settle(conn: &Connection, fresh: &WrappedKey) -> Result<WrappedKey> {
    let current = format!("{KEY} WHERE tenant = ? AND current = 1");
    let found = conn.prepare_cached(&current)?.query_map([&fresh.tenant], row)?.next().transpose()?;
    match found {
        Some(found) => Ok(found),
        None => insert(conn, fresh).map(|()| fresh.clone()),
    }
}

/// Gives every tenant a new key for what is written from now on, and wraps all keys with `to`. One transaction: what is cut off
/// in the middle was never begun.
pub(super) fn rotate(dir: &Path, wrapping: &WrappingKey, to: &WrappingKey) -> Result<Rotated, StoreError> {
    let (files, mut conn) = files::open(dir, false)?;
    let fail = |e: rusqlite::Error| store_error(&files.database, &e);
    // What the old key opens must not stay in free space of the file.
    conn.pragma_update(None, "secure_delete", true).map_err(fail)?;
    let t = conn.transaction().map_err(fail)?;
    let rows = all(&t).map_err(fail)?;
    let next = rotated(files.database.display(), wrapping, to, &rows)?;
    t.execute("DELETE FROM data_keys", []).map_err(fail)?;
    next.iter().try_for_each(|key| insert(&t, key)).map_err(fail)?;
    for key in subjects::all(&t).map_err(fail)? {
        let KeptKey { id, wrapper, body, .. } = key.open(files.database.display(), Some(wrapping))?.kept(Some(to))?;
        t.execute("UPDATE subject_keys SET wrapper = ?, body = ? WHERE id = ?", params![wrapper, body, id])
            .map_err(fail)?;
    }
    t.commit().map_err(fail)?;
    // Nor in the log.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fail)?;
    Ok(told(&next))
}
