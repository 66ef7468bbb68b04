//! Policy sets: the policies port on the embedded store.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::StoreError,
    policies::{Confirmed, MAX_EPOCH, NewPolicy, PolicyRow, PolicyStore},
};

use super::{
    index::int,
    queries::{limit as rows, name},
    store::SqliteStore,
};

/// Columns of a set; `BODY` is its body, or nothing.
const SET: &str =
    "SELECT tenant, epoch, digest, BODY, applied_by, at, proposed, rollback_to, confirmed_by, confirmed_at
    FROM policies WHERE tenant = ?1";
const IN_FORCE: &str = "SELECT max(epoch) FROM policies
    WHERE tenant = ? AND (proposed = 0 OR confirmed_by IS NOT NULL)";

#[async_trait]
impl PolicyStore for SqliteStore {
    async fn put_policy(&self, set: NewPolicy) -> Result<Option<u64>, StoreError> {
        self.write(move |c| put(c, &set)).await
    }

    async fn confirm_policy(
        &self,
        tenant: &Name,
        epoch: u64,
        by: &Name,
        at: Timestamp,
    ) -> Result<Confirmed, StoreError> {
        let (tenant, by) = (tenant.clone(), by.clone());
        self.write(move |c| confirm(c, &tenant, epoch, &by, at)).await
    }

    async fn policy(&self, tenant: &Name, epoch: u64) -> Result<Option<PolicyRow>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| one(c, &tenant, epoch)).await
    }

    async fn policy_epoch(&self, tenant: &Name) -> Result<u64, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| in_force(c, &tenant)).await
    }

    async fn policies(&self, tenant: &Name, before: Option<u64>, limit: u32) -> Result<Vec<PolicyRow>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| {
            let sql = SET.replace("BODY", "x''");
            let before = before.map_or(i64::MAX, int);
            c.prepare_cached(&format!("{sql} AND epoch < ?2 ORDER BY epoch DESC LIMIT ?3"))?
                .query_map(params![tenant.as_str(), before, rows(limit)], row)?
                .collect()
        })
        .await
    }
}

fn row(r: &Row<'_>) -> Result<PolicyRow> {
    let body: Vec<u8> = r.get(3)?;
    let confirmed = match (r.get::<_, Option<String>>(8)?, r.get::<_, Option<i64>>(9)?) {
        (Some(by), Some(at)) => Some((Name::from(by), Timestamp(at))),
        _ => None,
    };
    Ok(PolicyRow {
        tenant: name(r, 0)?,
        epoch: r.get::<_, i64>(1)?.unsigned_abs(),
        digest: r.get(2)?,
        body: body.into(),
        by: name(r, 4)?,
        at: Timestamp(r.get(5)?),
        proposed: r.get(6)?,
        rollback: r.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
        confirmed,
    })
}

fn one(conn: &Connection, tenant: &Name, epoch: u64) -> Result<Option<PolicyRow>> {
    let sql = SET.replace("BODY", "body");
    conn.prepare_cached(&format!("{sql} AND epoch = ?2"))?
        .query_row(params![tenant.as_str(), int(epoch)], row)
        .optional()
}

fn in_force(conn: &Connection, tenant: &Name) -> Result<u64> {
    let epoch: Option<i64> = conn.prepare_cached(IN_FORCE)?.query_row([tenant.as_str()], |r| r.get(0))?;
    Ok(epoch.map_or(0, i64::unsigned_abs))
}

fn put(conn: &Connection, set: &NewPolicy) -> Result<Option<u64>> {
    let NewPolicy { tenant, digest, body, by, at, rollback, proposed } = set;
    let last: Option<i64> = conn
        .prepare_cached("SELECT max(epoch) FROM policies WHERE tenant = ?")?
        .query_row([tenant.as_str()], |r| r.get(0))?;
    let epoch = last.map_or(0, i64::unsigned_abs) + 1;
    if epoch > MAX_EPOCH {
        return Ok(None);
    }
    conn.prepare_cached(
        "INSERT INTO policies (tenant, epoch, digest, body, applied_by, at, proposed, rollback_to)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        tenant.as_str(),
        int(epoch),
        digest,
        &body[..],
        by.as_str(),
        at.0,
        proposed,
        rollback.map(int),
    ])?;
    Ok(Some(epoch))
}

fn confirm(conn: &Connection, tenant: &Name, epoch: u64, by: &Name, at: Timestamp) -> Result<Confirmed> {
    let Some(row) = one(conn, tenant, epoch)? else { return Ok(Confirmed::Unknown) };
    let now = in_force(conn, tenant)?;
    Ok(match row {
        row if row.is_applied() => Confirmed::NotProposed,
        row if row.by == *by => Confirmed::Same,
        _ if now > epoch => Confirmed::Late(now),
        _ => {
            conn.prepare_cached(
                "UPDATE policies SET confirmed_by = ?, confirmed_at = ? WHERE tenant = ? AND epoch = ?",
            )?
            .execute(params![by.as_str(), at.0, tenant.as_str(), int(epoch)])?;
            Confirmed::Done
        }
    })
}
