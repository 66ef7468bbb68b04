//! How far notices have gone out: their port on the shared store.

use async_trait::async_trait;
use stead_core::{
    id::{EffectId, Name, RunId},
    time::Timestamp,
};
use stead_ports::{
    journal::StoreError,
    notices::{NoticeStore, Owed},
};
use tokio_postgres::{Row, types::ToSql};

use super::{
    errors::store_error,
    queries::limit as rows,
    rows::{Bad, Columns},
    store::PgStore,
    values::{id, text},
};

const OPEN: &str = "SELECT a.run, a.effect, a.asked, a.round, a.tenant,
        CASE WHEN n.asked = a.asked THEN n.sent ELSE 0 END
    FROM approvals a LEFT JOIN notices n ON n.dest = $1 AND n.run = a.run AND n.effect = a.effect
    WHERE n.run IS NULL OR (n.due <= $2 AND (n.asked <> a.asked OR n.round < a.round))
    ORDER BY a.asked, a.run, a.effect LIMIT $3";
const CLOSED: &str = "SELECT run, effect, asked, greatest(round, 0), '', sent FROM notices n
    WHERE dest = $1 AND due <= $2
    AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.run = n.run AND a.effect = n.effect)
    ORDER BY run, effect LIMIT $3";
/// What was answered since is owed no more. Who takes what another one takes at the same time waits for it, and then has none.
const TAKE: &str = "INSERT INTO notices AS n (dest, run, effect, asked, round, sent, attempts, due)
    SELECT $1::text, run, effect, asked, -1, 0, 1, $5::bigint FROM approvals
    WHERE run = $2 AND effect = $3 AND asked = $6
    ON CONFLICT (dest, run, effect) DO UPDATE SET
        attempts = CASE WHEN n.asked = excluded.asked THEN n.attempts + 1 ELSE 1 END,
        round = CASE WHEN n.asked = excluded.asked THEN n.round ELSE -1 END,
        sent = CASE WHEN n.asked = excluded.asked THEN n.sent ELSE 0 END,
        asked = excluded.asked, due = excluded.due
    WHERE n.due <= $4 AND (n.asked <> excluded.asked OR n.round < $7)
    RETURNING attempts";
const TAKE_CLOSED: &str = "UPDATE notices n SET attempts = attempts + 1, due = $5
    WHERE dest = $1 AND run = $2 AND effect = $3 AND asked = $6 AND due <= $4 AND NOT EXISTS
    (SELECT 1 FROM approvals a WHERE a.run = n.run AND a.effect = n.effect)
    RETURNING attempts";
const TOLD: &str = "UPDATE notices SET round = greatest(round, $5), sent = greatest(sent, $6), attempts = 0, due = $7
    WHERE dest = $1 AND run = $2 AND effect = $3 AND asked = $4";
const DONE: &str = "DELETE FROM notices WHERE dest = $1 AND run = $2 AND effect = $3 AND asked = $4";
const AGAIN: &str = "UPDATE notices SET due = $5 WHERE dest = $1 AND run = $2 AND effect = $3 AND asked = $4";
const FORGET: &str = "DELETE FROM notices n WHERE due < $1 AND NOT EXISTS
    (SELECT 1 FROM approvals a WHERE a.run = n.run AND a.effect = n.effect)";

#[async_trait]
impl NoticeStore for PgStore {
    async fn owed(&self, dest: &Name, now: Timestamp, limit: u32) -> Result<Vec<Owed>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&text(dest), &now.0, &rows(limit)];
        let mut all = self.list(OPEN, &params, |r| owed(r, false)).await?;
        all.extend(self.list(CLOSED, &params, |r| owed(r, true)).await?);
        Ok(all)
    }

    async fn take(
        &self,
        dest: &Name,
        owed: &Owed,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        let (dest, run, n) = (text(dest), id(owed.effect.run.0), i64::from(owed.effect.n));
        let round = i64::from(owed.round);
        let params: [&(dyn ToSql + Sync); 7] = [&dest, &run, &n, &now.0, &until.0, &owed.asked.0, &round];
        let attempts = |r: &Row| Columns::of(r).small();
        let taken = match owed.closed {
            true => self.list(TAKE_CLOSED, &params[..6], attempts).await?,
            false => self.list(TAKE, &params, attempts).await?,
        };
        Ok(taken.first().copied())
    }

    async fn told(&self, dest: &Name, owed: &Owed, sent: bool, now: Timestamp) -> Result<(), StoreError> {
        let (round, sent) = (i64::from(owed.round), i64::from(sent));
        match owed.closed {
            true => change(self, DONE, dest, owed, &[]).await,
            false => change(self, TOLD, dest, owed, &[&round, &sent, &now.0]).await,
        }
    }

    async fn again(&self, dest: &Name, owed: &Owed, at: Timestamp) -> Result<(), StoreError> {
        change(self, AGAIN, dest, owed, &[&at.0]).await
    }

    async fn forget(&self, before: Timestamp) -> Result<(), StoreError> {
        let db = self.database();
        let client = db.client().await?;
        client.execute(FORGET, &[&before.0]).await.map(drop).map_err(|e| store_error(&db.place, &e))
    }
}

async fn change(
    store: &PgStore,
    sql: &str,
    dest: &Name,
    owed: &Owed,
    more: &[&(dyn ToSql + Sync)],
) -> Result<(), StoreError> {
    let db = store.database();
    let (dest, run, n) = (text(dest), id(owed.effect.run.0), i64::from(owed.effect.n));
    let row: [&(dyn ToSql + Sync); 4] = [&dest, &run, &n, &owed.asked.0];
    let params: Vec<_> = row.into_iter().chain(more.iter().copied()).collect();
    let client = db.client().await?;
    client.execute(sql, &params).await.map(drop).map_err(|e| store_error(&db.place, &e))
}

fn owed(row: &Row, closed: bool) -> Result<Owed, Bad> {
    let mut c = Columns::of(row);
    let (run, n, asked) = (RunId(c.ulid()?), c.small()?, Timestamp(c.get()?));
    let (round, tenant) = (c.small()?, c.name()?);
    let effect = EffectId { run, n };
    Ok(Owed { effect, asked, round, tenant, told: c.get::<i64>()? != 0, closed })
}
