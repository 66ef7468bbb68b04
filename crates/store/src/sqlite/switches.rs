//! What operators turn off and on: the switches port on the embedded store.

use async_trait::async_trait;
use rusqlite::{Connection, Result, Row, params, types::Type};
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::StoreError,
    switches::{MAX_SWITCHES, NewSwitch, SwitchRow, SwitchStore, What},
};

use super::{
    index::int,
    queries::{limit as rows, name},
    store::SqliteStore,
};

const ROW: &str = "SELECT number, tenant, what, name, turned_on, turned_by, at, reason, heard FROM switches";

#[async_trait]
impl SwitchStore for SqliteStore {
    async fn put_switch(&self, switch: NewSwitch) -> Result<Option<u64>, StoreError> {
        self.write(move |c| put(c, &switch)).await
    }

    async fn switches(&self, after: u64, limit: u32) -> Result<Vec<SwitchRow>, StoreError> {
        self.read(move |c| {
            c.prepare_cached(&format!("{ROW} WHERE number > ? ORDER BY number LIMIT ?"))?
                .query_map(params![int(after), rows(limit)], row)?
                .collect()
        })
        .await
    }

    async fn last_switch(&self) -> Result<u64, StoreError> {
        self.read(last).await
    }

    async fn past_switches(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<SwitchRow>, StoreError> {
        let (tenant, before) = (tenant.clone(), before.map_or(i64::MAX, int));
        self.read(move |c| {
            c.prepare_cached(&format!("{ROW} WHERE tenant = ? AND number < ? ORDER BY number DESC LIMIT ?"))?
                .query_map(params![tenant.as_str(), before, rows(limit)], row)?
                .collect()
        })
        .await
    }

    async fn switch_heard(&self, n: u64) -> Result<(), StoreError> {
        self.write(move |c| c.execute("UPDATE switches SET heard = 1 WHERE number = ?", [int(n)]).map(drop)).await
    }
}

fn row(r: &Row<'_>) -> Result<SwitchRow> {
    let word: String = r.get(2)?;
    let what = What::parse(&word)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, "an unknown kind of switch".into()))?;
    let switch = NewSwitch {
        tenant: name(r, 1)?,
        what,
        name: name(r, 3)?,
        on: r.get(4)?,
        by: name(r, 5)?,
        at: Timestamp(r.get(6)?),
        reason: r.get(7)?,
    };
    Ok(SwitchRow { n: r.get::<_, i64>(0)?.unsigned_abs(), switch, heard: r.get(8)? })
}

fn last(conn: &Connection) -> Result<u64> {
    let last: Option<i64> = conn.prepare_cached("SELECT max(number) FROM switches")?.query_row([], |r| r.get(0))?;
    Ok(last.map_or(0, i64::unsigned_abs))
}

fn put(conn: &Connection, switch: &NewSwitch) -> Result<Option<u64>> {
    let n = last(conn)? + 1;
    if n > MAX_SWITCHES {
        return Ok(None);
    }
    let NewSwitch { tenant, what, name, on, by, at, reason } = switch;
    conn.prepare_cached(
        "INSERT INTO switches (number, tenant, what, name, turned_on, turned_by, at, reason, heard)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
    )?
    .execute(params![int(n), tenant.as_str(), what.as_str(), name.as_str(), on, by.as_str(), at.0, reason])?;
    Ok(Some(n))
}
