//! What policies count: rows that appends add, and what is kept of them.

use bytes::Bytes;
use stead_core::id::Name;
use stead_ports::journal::{CountedRow, Lease, StoreError};
use tokio_postgres::Row;

use super::{
    connect::Database,
    leases::fenced,
    rows::{Bad, Columns},
    values::{Octets, int, text},
};

/// What the appends of a batch add, in their order.
pub(super) const ADD: &str = "INSERT INTO counted (tenant, body)
    SELECT a, b FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS u (a, b, n) ORDER BY n";

/// Rows of a tenant after a place, in their order.
pub(super) const AFTER: &str = "SELECT n, body FROM counted WHERE tenant = $1 AND n > $2 ORDER BY n LIMIT $3";

/// What is kept of a tenant's counters.
pub(super) const KEPT: &str = "SELECT body FROM counters WHERE tenant = $1";

/// A row of [`AFTER`].
pub(super) fn row(row: &Row) -> Result<CountedRow, Bad> {
    let mut c = Columns::of(row);
    Ok(CountedRow { n: c.unsigned()?, body: c.bytes()? })
}

/// A row of [`KEPT`].
pub(super) fn body(row: &Row) -> Result<Bytes, Bad> {
    Columns::of(row).bytes()
}

/// Keeps a tenant's counters in one transaction that proves its epoch, as an append does.
pub(super) async fn keep(db: &Database, lease: Lease, tenant: &Name, body: Bytes, upto: u64) -> Result<(), StoreError> {
    let fail = |e: tokio_postgres::Error| fenced(db, lease.epoch, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute("SELECT fence(ARRAY[0]::smallint[], ARRAY[$1]::bigint[])", &[&int(lease.epoch)]).await.map_err(fail)?;
    let put =
        "INSERT INTO counters (tenant, body) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE SET body = excluded.body";
    t.execute(put, &[&text(tenant), &Octets(body)]).await.map_err(fail)?;
    let forget = "DELETE FROM counted WHERE tenant = $1 AND n <= $2";
    t.execute(forget, &[&text(tenant), &int(upto)]).await.map_err(fail)?;
    t.commit().await.map_err(fail)
}
