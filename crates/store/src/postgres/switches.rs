//! What operators turn off and on: the switches port on the shared store.

use async_trait::async_trait;
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::StoreError,
    switches::{MAX_SWITCHES, NewSwitch, SwitchRow, SwitchStore, What},
};
use tokio_postgres::{Row, Transaction};

use super::{
    errors::store_error,
    queries::limit as rows,
    rows::{Bad, Columns},
    store::PgStore,
    values::{int, text},
};

const ROW: &str = "SELECT number, tenant, what, name, turned_on, turned_by, at, reason, heard FROM switches";
/// Those who turn switches take turns: numbers have no gaps, and whoever sees one sees all before it.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtext('stead/switches'), hashtext(current_schema()))";
const LAST: &str = "SELECT coalesce(max(number), 0) FROM switches";

#[async_trait]
impl SwitchStore for PgStore {
    async fn put_switch(&self, switch: NewSwitch) -> Result<Option<u64>, StoreError> {
        let db = self.database();
        let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
        let mut client = db.client().await?;
        let t = client.transaction().await.map_err(fail)?;
        let n = put(&t, &switch).await.map_err(fail)?;
        t.commit().await.map_err(fail)?;
        Ok(n)
    }

    async fn switches(&self, after: u64, limit: u32) -> Result<Vec<SwitchRow>, StoreError> {
        let sql = format!("{ROW} WHERE number > $1 ORDER BY number LIMIT $2");
        self.list(&sql, &[&int(after), &rows(limit)], row).await
    }

    async fn last_switch(&self) -> Result<u64, StoreError> {
        Ok(self.one(LAST, &[], |row| Columns::of(row).unsigned()).await?.unwrap_or(0))
    }

    async fn past_switches(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<SwitchRow>, StoreError> {
        let sql = format!("{ROW} WHERE tenant = $1 AND number < $2 ORDER BY number DESC LIMIT $3");
        self.list(&sql, &[&text(tenant), &before.map_or(i64::MAX, int), &rows(limit)], row).await
    }

    async fn switch_heard(&self, n: u64) -> Result<(), StoreError> {
        let db = self.database();
        let client = db.client().await?;
        let heard = client.execute("UPDATE switches SET heard = 1 WHERE number = $1", &[&int(n)]).await;
        heard.map(drop).map_err(|e| store_error(&db.place, &e))
    }
}

fn row(row: &Row) -> Result<SwitchRow, Bad> {
    let mut c = Columns::of(row);
    let (n, tenant) = (c.unsigned()?, c.name()?);
    let what = What::parse(c.get()?).ok_or_else(|| "an unknown kind of switch".to_owned())?;
    let (name, on, by) = (c.name()?, c.get::<i64>()? != 0, c.name()?);
    let (at, reason) = (Timestamp(c.get()?), c.get::<&str>()?.to_owned());
    let heard = c.get::<i64>()? != 0;
    Ok(SwitchRow { n, switch: NewSwitch { tenant, what, name, on, by, at, reason }, heard })
}

async fn put(t: &Transaction<'_>, switch: &NewSwitch) -> Result<Option<u64>, tokio_postgres::Error> {
    t.execute(TURN, &[]).await?;
    let n = t.query_one(LAST, &[]).await?.try_get::<_, i64>(0)?.unsigned_abs() + 1;
    if n > MAX_SWITCHES {
        return Ok(None);
    }
    let NewSwitch { tenant, what, name, on, by, at, reason } = switch;
    t.execute(
        "INSERT INTO switches (number, tenant, what, name, turned_on, turned_by, at, reason, heard)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)",
        &[&int(n), &text(tenant), &what.as_str(), &text(name), &i64::from(*on), &text(by), &at.0, &text(reason)],
    )
    .await?;
    Ok(Some(n))
}
