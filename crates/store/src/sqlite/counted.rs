//! What policies count: rows that appends add, and what is kept of them.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Result, params};
use stead_core::id::Name;
use stead_ports::journal::{CountedRow, Lease};

use super::{index::int, queries::limit as rows};

/// What an append adds.
pub(super) fn add(conn: &Connection, tenant: &Name, body: &[u8]) -> Result<()> {
    conn.prepare_cached("INSERT INTO counted (tenant, body) VALUES (?, ?)")?
        .execute(params![tenant.as_str(), body])
        .map(drop)
}

/// Rows of a tenant after `after`, in their order.
pub(super) fn after(conn: &Connection, tenant: &Name, after: u64, limit: u32) -> Result<Vec<CountedRow>> {
    conn.prepare_cached("SELECT n, body FROM counted WHERE tenant = ? AND n > ? ORDER BY n LIMIT ?")?
        .query_map(params![tenant.as_str(), int(after), rows(limit)], |r| {
            Ok(CountedRow { n: r.get::<_, i64>(0)?.unsigned_abs(), body: r.get::<_, Vec<u8>>(1)?.into() })
        })?
        .collect()
}

/// What is kept of a tenant's counters.
pub(super) fn kept(conn: &Connection, tenant: &Name) -> Result<Option<Bytes>> {
    conn.prepare_cached("SELECT body FROM counters WHERE tenant = ?")?
        .query_row([tenant.as_str()], |r| r.get::<_, Vec<u8>>(0).map(Bytes::from))
        .optional()
}

/// Keeps a tenant's counters under a lease; tells whether that is still the owner's.
pub(super) fn keep(conn: &Connection, lease: Lease, tenant: &Name, body: &[u8], upto: u64) -> Result<bool> {
    let epoch: i64 = conn.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |r| r.get(0))?;
    if epoch != int(lease.epoch) {
        return Ok(false);
    }
    conn.prepare_cached("INSERT OR REPLACE INTO counters (tenant, body) VALUES (?, ?)")?
        .execute(params![tenant.as_str(), body])?;
    conn.prepare_cached("DELETE FROM counted WHERE tenant = ? AND n <= ? AND n < (SELECT max(n) FROM counted)")?
        .execute(params![tenant.as_str(), int(upto)])?;
    Ok(true)
}
