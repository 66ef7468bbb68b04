//! Directories of approvers: their port on the shared store.

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::StoreError,
    trust::{DirectoryRow, DirectoryStore},
};
use tokio_postgres::Row;

use super::{
    errors::store_error,
    queries::limit as rows,
    rows::{Bad, Columns},
    store::PgStore,
    values::{int, text},
};

const ENTRIES: &str = "SELECT seq, body, added_by, at FROM directories
    WHERE tenant = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
const ALL: &str = "SELECT tenant, count(*) FROM directories GROUP BY tenant ORDER BY tenant";
/// Who takes a place that another one takes at the same time waits for it, and then has none.
const ADD: &str = "INSERT INTO directories (tenant, seq, body, added_by, at)
    SELECT $1::text, $2::bigint, $3, $4, $5 WHERE $2 = (SELECT count(*) FROM directories WHERE tenant = $1)
    ON CONFLICT DO NOTHING";

#[async_trait]
impl DirectoryStore for PgStore {
    async fn add_entry(&self, tenant: &Name, row: DirectoryRow) -> Result<bool, StoreError> {
        let db = self.database();
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let client = db.client().await?;
        let DirectoryRow { seq, body, by, at } = row;
        let (tenant, by) = (text(tenant), text(&by));
        let written = client.execute(ADD, &[&tenant, &int(seq), &&body[..], &by, &at.0]).await.map_err(fail)?;
        Ok(written == 1)
    }

    async fn entries(&self, tenant: &Name, from: u64, limit: u32) -> Result<Vec<DirectoryRow>, StoreError> {
        self.list(ENTRIES, &[&text(tenant), &int(from), &rows(limit)], row).await
    }

    async fn directories(&self) -> Result<Vec<(Name, u64)>, StoreError> {
        let counted = |row: &Row| {
            let mut c = Columns::of(row);
            Ok((c.name()?, c.unsigned()?))
        };
        self.list(ALL, &[], counted).await
    }
}

fn row(row: &Row) -> Result<DirectoryRow, Bad> {
    let mut c = Columns::of(row);
    let (seq, body) = (c.unsigned()?, Bytes::copy_from_slice(c.get::<&[u8]>()?));
    Ok(DirectoryRow { seq, body, by: c.name()?, at: Timestamp(c.get()?) })
}
