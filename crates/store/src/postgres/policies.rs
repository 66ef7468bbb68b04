//! Policy sets: the policies port on the shared store.

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::StoreError,
    policies::{Confirmed, MAX_EPOCH, NewPolicy, PolicyRow, PolicyStore},
};
use tokio_postgres::{Row, Transaction};

use super::{
    errors::{damaged, store_error},
    queries::limit as rows,
    rows::{Bad, Columns},
    store::PgStore,
    values::{Raw, int, text},
};

const SET: &str =
    "SELECT tenant, epoch, digest, body, applied_by, at, proposed, rollback_to, confirmed_by, confirmed_at
    FROM policies WHERE tenant = $1 AND epoch = $2";
const SETS: &str =
    "SELECT tenant, epoch, digest, ''::bytea, applied_by, at, proposed, rollback_to, confirmed_by, confirmed_at
    FROM policies WHERE tenant = $1 AND epoch < $2 ORDER BY epoch DESC LIMIT $3";
const IN_FORCE: &str = "SELECT coalesce(max(epoch), 0) FROM policies
    WHERE tenant = $1 AND (proposed = 0 OR confirmed_by IS NOT NULL)";
/// Those who apply sets of one tenant take turns: epochs have no gaps, and what is in force does not change under a confirmation.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtext('stead/policies'), hashtext($1))";

#[async_trait]
impl PolicyStore for PgStore {
    async fn put_policy(&self, set: NewPolicy) -> Result<Option<u64>, StoreError> {
        let db = self.database();
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        let epoch = put(&t, &set).await.map_err(fail)?;
        t.commit().await.map_err(fail)?;
        Ok(epoch)
    }

    async fn confirm_policy(
        &self,
        tenant: &Name,
        epoch: u64,
        by: &Name,
        at: Timestamp,
    ) -> Result<Confirmed, StoreError> {
        let db = self.database();
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let owner = text(tenant);
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        t.execute(TURN, &[&owner]).await.map_err(fail)?;
        let found = t.query_opt(SET, &[&owner, &int(epoch)]).await.map_err(fail)?;
        let found = found.as_ref().map(row).transpose().map_err(|e| damaged(&db.place, e))?;
        let now: i64 = t.query_one(IN_FORCE, &[&owner]).await.and_then(|r| r.try_get(0)).map_err(fail)?;
        let confirmed = match found {
            None => Confirmed::Unknown,
            Some(row) if row.is_applied() => Confirmed::NotProposed,
            Some(row) if row.by == *by => Confirmed::Same,
            Some(_) if now.unsigned_abs() > epoch => Confirmed::Late(now.unsigned_abs()),
            Some(_) => {
                let sql = "UPDATE policies SET confirmed_by = $3, confirmed_at = $4 WHERE tenant = $1 AND epoch = $2";
                t.execute(sql, &[&owner, &int(epoch), &text(by), &at.0]).await.map_err(fail)?;
                Confirmed::Done
            }
        };
        t.commit().await.map_err(fail)?;
        Ok(confirmed)
    }

    async fn policy(&self, tenant: &Name, epoch: u64) -> Result<Option<PolicyRow>, StoreError> {
        self.one(SET, &[&text(tenant), &int(epoch)], row).await
    }

    async fn policy_epoch(&self, tenant: &Name) -> Result<u64, StoreError> {
        let epoch = self.one(IN_FORCE, &[&text(tenant)], |row| Columns::of(row).unsigned()).await?;
        Ok(epoch.unwrap_or(0))
    }

    async fn policies(&self, tenant: &Name, before: Option<u64>, limit: u32) -> Result<Vec<PolicyRow>, StoreError> {
        let before = before.map_or(i64::MAX, int);
        self.list(SETS, &[&text(tenant), &before, &rows(limit)], row).await
    }
}

fn row(row: &Row) -> Result<PolicyRow, Bad> {
    let mut c = Columns::of(row);
    let (tenant, epoch, digest) = (c.name()?, c.unsigned()?, c.digest()?);
    let body = Bytes::copy_from_slice(c.get::<&[u8]>()?);
    let (by, at, proposed) = (c.name()?, Timestamp(c.get()?), c.get::<i64>()? != 0);
    let rollback = c.get::<Option<i64>>()?.map(i64::unsigned_abs);
    let (who, when) = (c.get::<Option<&str>>()?, c.get::<Option<i64>>()?);
    let confirmed = who.zip(when).map(|(who, when)| (Name::from(who), Timestamp(when)));
    Ok(PolicyRow { tenant, epoch, digest, body, by, at, rollback, proposed, confirmed })
}

async fn put(t: &Transaction<'_>, set: &NewPolicy) -> Result<Option<u64>, tokio_postgres::Error> {
    let NewPolicy { tenant, digest, body, by, at, rollback, proposed } = set;
    let tenant = text(tenant);
    t.execute(TURN, &[&tenant]).await?;
    let last = "SELECT coalesce(max(epoch), 0) FROM policies WHERE tenant = $1";
    let epoch = t.query_one(last, &[&tenant]).await?.try_get::<_, i64>(0)?.unsigned_abs() + 1;
    if epoch > MAX_EPOCH {
        return Ok(None);
    }
    t.execute(
        "INSERT INTO policies (tenant, epoch, digest, body, applied_by, at, proposed, rollback_to)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &[&tenant, &int(epoch), &Raw(*digest), &&body[..], &text(by), &at.0, &i64::from(*proposed), &rollback.map(int)],
    )
    .await?;
    Ok(Some(epoch))
}
