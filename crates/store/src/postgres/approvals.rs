//! The index of open questions: its lists, and the one filling that data of format 1 needs. An append changes it in
//! `write`.

use stead_core::{
    id::{EffectId, RunId},
    time::Timestamp,
};
use stead_ports::journal::{ApprovalFilter, ApprovalRow, Lease, Question, StoreError};
use tokio_postgres::{Row, types::ToSql};

use super::{
    connect::Database,
    leases::fenced,
    queries::limit,
    rows::{Bad, Columns},
    values::{id, int, text},
    write::ASKED,
};

/// The key in `meta` that is there as long as open questions of format 1 are not entered.
pub(crate) const UNLISTED: &str = "approvals_unlisted";

/// Runs that format 1 left and that may ask something.
pub(crate) const UNLISTED_RUNS: &str = "SELECT id FROM runs WHERE status IN ('running', 'waiting', 'paused')
    AND id > $1 AND EXISTS (SELECT 1 FROM meta WHERE key = 'approvals_unlisted') ORDER BY id LIMIT $2";

/// The question for a list of open questions, and its parameters.
pub(super) fn list(filter: &ApprovalFilter) -> (String, Vec<Box<dyn ToSql + Sync + Send>>) {
    let mut sql = "SELECT asked, run, effect FROM approvals WHERE tenant = $1".to_owned();
    let mut params: Vec<Box<dyn ToSql + Sync + Send>> = vec![Box::new(text(&filter.tenant).into_owned())];
    let mut put = |value: Box<dyn ToSql + Sync + Send>| {
        params.push(value);
        params.len()
    };
    if let Some(agent) = &filter.agent {
        sql += &format!(" AND agent = ${}", put(Box::new(text(agent).into_owned())));
    }
    if let Some(session) = filter.session {
        sql += &format!(" AND session = ${}", put(Box::new(id(session.0))));
    }
    if let Some(run) = filter.run {
        sql += &format!(" AND run = ${}", put(Box::new(id(run.0))));
    }
    if let Some(ApprovalRow { asked, effect }) = filter.before {
        let (asked, run, n) =
            (put(Box::new(asked.0)), put(Box::new(id(effect.run.0))), put(Box::new(i64::from(effect.n))));
        sql += &format!(" AND (asked, run, effect) < (${asked}, ${run}, ${n})");
    }
    sql += &format!(" ORDER BY asked DESC, run DESC, effect DESC LIMIT ${}", put(Box::new(limit(filter.limit))));
    (sql, params)
}

/// A row of a list.
pub(super) fn row(row: &Row) -> Result<ApprovalRow, Bad> {
    let mut c = Columns::of(row);
    let asked = Timestamp(c.get()?);
    Ok(ApprovalRow { asked, effect: EffectId { run: RunId(c.ulid()?), n: c.small()? } })
}

/// Enters questions in one transaction that proves its epoch, as an append does.
pub(super) async fn fill(db: &Database, lease: Lease, open: &[(RunId, Question)], all: bool) -> Result<(), StoreError> {
    let fail = |e: tokio_postgres::Error| fenced(db, lease.epoch, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute("SELECT fence(ARRAY[0]::smallint[], ARRAY[$1]::bigint[])", &[&int(lease.epoch)]).await.map_err(fail)?;
    let runs: Vec<_> = open.iter().map(|(run, _)| id(run.0)).collect();
    let effects: Vec<_> = open.iter().map(|(_, q)| i64::from(q.effect)).collect();
    let asked: Vec<_> = open.iter().map(|(_, q)| q.asked.0).collect();
    let round: Vec<_> = open.iter().map(|(_, q)| i64::from(q.round)).collect();
    t.execute(ASKED, &[&runs, &effects, &asked, &round]).await.map_err(fail)?;
    if all {
        t.execute("DELETE FROM meta WHERE key = $1", &[&UNLISTED]).await.map_err(fail)?;
    }
    t.commit().await.map_err(fail)
}
