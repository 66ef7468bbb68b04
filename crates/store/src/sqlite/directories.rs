//! Directories of approvers: their port on the embedded store.

use async_trait::async_trait;
use rusqlite::{Connection, Result, params};
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::StoreError,
    trust::{DirectoryRow, DirectoryStore},
};

use super::{
    index::int,
    queries::{limit as rows, name},
    store::SqliteStore,
};

#[async_trait]
impl DirectoryStore for SqliteStore {
    async fn add_entry(&self, tenant: &Name, row: DirectoryRow) -> Result<bool, StoreError> {
        let tenant = tenant.clone();
        self.write(move |c| add(c, &tenant, &row)).await
    }

    async fn entries(&self, tenant: &Name, from: u64, limit: u32) -> Result<Vec<DirectoryRow>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| {
            c.prepare_cached(
                "SELECT seq, body, added_by, at FROM directories WHERE tenant = ? AND seq >= ? ORDER BY seq LIMIT ?",
            )?
            .query_map(params![tenant.as_str(), int(from), rows(limit)], |r| {
                let body: Vec<u8> = r.get(1)?;
                let seq = r.get::<_, i64>(0)?.unsigned_abs();
                Ok(DirectoryRow { seq, body: body.into(), by: name(r, 2)?, at: Timestamp(r.get(3)?) })
            })?
            .collect()
        })
        .await
    }

    async fn directories(&self) -> Result<Vec<(Name, u64)>, StoreError> {
        self.read(move |c| {
            c.prepare_cached("SELECT tenant, count(*) FROM directories GROUP BY tenant ORDER BY tenant")?
                .query_map([], |r| Ok((name(r, 0)?, r.get::<_, i64>(1)?.unsigned_abs())))?
                .collect()
        })
        .await
    }
}

/// The writer is alone, so what is next does not change meanwhile.
fn add(conn: &Connection, tenant: &Name, row: &DirectoryRow) -> Result<bool> {
    let DirectoryRow { seq, body, by, at } = row;
    conn.prepare_cached(
        "INSERT INTO directories (tenant, seq, body, added_by, at)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?2 = (SELECT count(*) FROM directories WHERE tenant = ?1)",
    )?
    .execute(params![tenant.as_str(), int(*seq), &body[..], by.as_str(), at.0])
    .map(|written| written == 1)
}
