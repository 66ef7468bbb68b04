//! How far notices have gone out: their port on the embedded store.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use stead_core::{
    id::{EffectId, Name},
    time::Timestamp,
};
use stead_ports::{
    journal::StoreError,
    notices::{NoticeStore, Owed},
};

use super::{
    index::id,
    queries::{limit as rows, name, run_id},
    store::SqliteStore,
};

#[async_trait]
impl NoticeStore for SqliteStore {
    async fn owed(&self, dest: &Name, now: Timestamp, limit: u32) -> Result<Vec<Owed>, StoreError> {
        let dest = dest.clone();
        self.read(move |c| owed(c, &dest, now, limit)).await
    }

    async fn take(
        &self,
        dest: &Name,
        owed: &Owed,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        let (dest, owed) = (dest.clone(), owed.clone());
        self.write(move |c| take(c, &dest, &owed, now, until)).await
    }

    async fn told(&self, dest: &Name, owed: &Owed, sent: bool, now: Timestamp) -> Result<(), StoreError> {
        let (dest, owed) = (dest.clone(), owed.clone());
        let Owed { effect, asked, round, closed, .. } = owed;
        self.write(move |c| {
            let run = id(effect.run.0);
            match closed {
                true => c
                    .prepare_cached("DELETE FROM notices WHERE dest = ? AND run = ? AND effect = ? AND asked = ?")?
                    .execute(params![dest.as_str(), run, effect.n, asked.0]),
                false => c
                    .prepare_cached(
                        "UPDATE notices SET round = max(round, ?5), sent = max(sent, ?6), attempts = 0, due = ?7
                         WHERE dest = ?1 AND run = ?2 AND effect = ?3 AND asked = ?4",
                    )?
                    .execute(params![dest.as_str(), run, effect.n, asked.0, round, sent, now.0]),
            }
            .map(drop)
        })
        .await
    }

    async fn again(&self, dest: &Name, owed: &Owed, at: Timestamp) -> Result<(), StoreError> {
        let (dest, Owed { effect, asked, .. }) = (dest.clone(), owed.clone());
        self.write(move |c| {
            c.prepare_cached("UPDATE notices SET due = ? WHERE dest = ? AND run = ? AND effect = ? AND asked = ?")?
                .execute(params![at.0, dest.as_str(), id(effect.run.0), effect.n, asked.0])
                .map(drop)
        })
        .await
    }

    async fn forget(&self, before: Timestamp) -> Result<(), StoreError> {
        self.write(move |c| {
            c.prepare_cached(
                "DELETE FROM notices WHERE due < ? AND NOT EXISTS
                 (SELECT 1 FROM approvals a WHERE a.run = notices.run AND a.effect = notices.effect)",
            )?
            .execute([before.0])
            .map(drop)
        })
        .await
    }
}

fn owed(conn: &Connection, dest: &Name, now: Timestamp, limit: u32) -> Result<Vec<Owed>> {
    let mut open = conn.prepare_cached(
        "SELECT a.run, a.effect, a.asked, a.round, a.tenant, coalesce(n.asked = a.asked AND n.sent, 0)
         FROM approvals a LEFT JOIN notices n ON n.dest = ?1 AND n.run = a.run AND n.effect = a.effect
         WHERE n.run IS NULL OR (n.due <= ?2 AND (n.asked <> a.asked OR n.round < a.round))
         ORDER BY a.asked, a.run, a.effect LIMIT ?3",
    )?;
    let one = |r: &Row<'_>, tenant, closed| {
        let effect = EffectId { run: run_id(r, 0)?, n: r.get(1)? };
        Ok(Owed { effect, asked: Timestamp(r.get(2)?), round: r.get(3)?, tenant, told: r.get(5)?, closed })
    };
    let mut all: Vec<Owed> = open
        .query_map(params![dest.as_str(), now.0, rows(limit)], |r| one(r, name(r, 4)?, false))?
        .collect::<Result<_>>()?;
    let mut closed = conn.prepare_cached(
        "SELECT run, effect, asked, max(round, 0), '', sent FROM notices n WHERE dest = ?1 AND due <= ?2
         AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.run = n.run AND a.effect = n.effect)
         ORDER BY run, effect LIMIT ?3",
    )?;
    let closed = closed.query_map(params![dest.as_str(), now.0, rows(limit)], |r| one(r, Name::default(), true))?;
    for one in closed {
        all.push(one?);
    }
    Ok(all)
}

fn take(conn: &Connection, dest: &Name, owed: &Owed, now: Timestamp, until: Timestamp) -> Result<Option<u32>> {
    let run = id(owed.effect.run.0);
    if owed.closed {
        return conn
            .prepare_cached(
                "UPDATE notices SET attempts = attempts + 1, due = ?5
                 WHERE dest = ?1 AND run = ?2 AND effect = ?3 AND asked = ?6 AND due <= ?4 AND NOT EXISTS
                 (SELECT 1 FROM approvals a WHERE a.run = notices.run AND a.effect = notices.effect)
                 RETURNING attempts",
            )?
            .query_row(params![dest.as_str(), run, owed.effect.n, now.0, until.0, owed.asked.0], |r| r.get(0))
            .optional();
    }
    // What was answered since is owed no more.
    conn.prepare_cached(
        "INSERT INTO notices (dest, run, effect, asked, round, sent, attempts, due)
         SELECT ?1, run, effect, asked, -1, 0, 1, ?5 FROM approvals WHERE run = ?2 AND effect = ?3 AND asked = ?6
         ON CONFLICT (dest, run, effect) DO UPDATE SET
             attempts = CASE WHEN notices.asked = excluded.asked THEN notices.attempts + 1 ELSE 1 END,
             round = CASE WHEN notices.asked = excluded.asked THEN notices.round ELSE -1 END,
             sent = CASE WHEN notices.asked = excluded.asked THEN notices.sent ELSE 0 END,
             asked = excluded.asked, due = excluded.due
         WHERE notices.due <= ?4 AND (notices.asked <> excluded.asked OR notices.round < ?7)
         RETURNING attempts",
    )?
    .query_row(params![dest.as_str(), run, owed.effect.n, now.0, until.0, owed.asked.0, owed.round], |r| r.get(0))
    .optional()
}
