//! The index of open questions: its changes with an append, its lists, and the one filling that data of format 1 needs.

use rusqlite::{Connection, OptionalExtension as _, Result, ToSql, params};
use stead_core::{
    id::{EffectId, RunId},
    time::Timestamp,
};
use stead_ports::journal::{ApprovalFilter, ApprovalRow, IndexChange, Lease, Question};

use super::{
    index::{id, int},
    queries::{limit, run_id},
};

/// The key in `meta` that is there as long as open questions of format 1 are not entered.
pub(crate) const UNLISTED: &str = "approvals_unlisted";

/// What an append of the run in that row changes.
pub(super) fn change(conn: &Connection, run: RunId, rid: i64, index: &IndexChange) -> Result<()> {
    for effect in &index.closed {
        conn.prepare_cached("DELETE FROM approvals WHERE run = ? AND effect = ?")?
            .execute(params![id(run.0), effect])?;
    }
    index.asked.iter().try_for_each(|question| enter(conn, rid, *question))
}

/// Enters a question of the run in that row.
fn enter(conn: &Connection, rid: i64, question: Question) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO approvals (run, effect, tenant, agent, asked, round)
         SELECT id, ?2, tenant, agent, ?3, ?4 FROM runs WHERE rid = ?1
         ON CONFLICT (run, effect) DO UPDATE SET asked = excluded.asked, round = excluded.round",
    )?
    .execute(params![rid, question.effect, question.asked.0, question.round])
    .map(drop)
}

/// Open questions that match, the one asked last first.
pub(super) fn list(conn: &Connection, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>> {
    let (sql, values) = statement(filter);
    conn.prepare_cached(&sql)?
        .query_map(rusqlite::params_from_iter(values.iter().map(|v| &**v)), |r| {
            Ok(ApprovalRow { effect: EffectId { run: run_id(r, 0)?, n: r.get(1)? }, asked: Timestamp(r.get(2)?) })
        })?
        .collect()
}

/// The question for a list, and its parameters. A `+` keeps a column from choosing the index: the one that finds the
/// fewest rows in the list's order is known.
fn statement(filter: &ApprovalFilter) -> (String, Vec<Box<dyn ToSql>>) {
    let narrow = filter.run.is_some() || filter.session.is_some();
    let plus = if narrow { "+" } else { "" };
    let mut sql = format!("SELECT run, effect, asked FROM approvals WHERE {plus}tenant = ?");
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(filter.tenant.as_str().to_owned())];
    if let Some(agent) = &filter.agent {
        sql += &format!(" AND {plus}agent = ?");
        values.push(Box::new(agent.as_str().to_owned()));
    }
    if let Some(session) = filter.session {
        sql += " AND run IN (SELECT id FROM runs WHERE sid = (SELECT sid FROM sessions WHERE id = ?))";
        values.push(Box::new(id(session.0)));
    }
    if let Some(run) = filter.run {
        sql += " AND run = ?";
        values.push(Box::new(id(run.0)));
    }
    if let Some(before) = filter.before {
        sql += " AND (asked, run, effect) < (?, ?, ?)";
        values.push(Box::new(before.asked.0));
        values.push(Box::new(id(before.effect.run.0)));
        values.push(Box::new(before.effect.n));
    }
    sql += " ORDER BY asked DESC, run DESC, effect DESC LIMIT ?";
    values.push(Box::new(limit(filter.limit)));
    (sql, values)
}

/// Runs that format 1 left and that may ask something. Looks at each run once in the life of a directory.
pub(super) fn unlisted(conn: &Connection, after: Option<RunId>, most: u32) -> Result<Vec<RunId>> {
    let owed = conn.query_row("SELECT 1 FROM meta WHERE key = ?", [UNLISTED], |_| Ok(())).optional()?;
    if owed.is_none() {
        return Ok(Vec::new());
    }
    let after = after.map(|a| id(a.0));
    conn.prepare_cached(
        "SELECT id FROM runs WHERE status IN ('running', 'waiting', 'paused') AND id > ? ORDER BY id LIMIT ?",
    )?
    // Every id is greater than the empty blob.
    .query_map(params![after.as_ref().map_or(&[][..], |a| &a[..]), limit(most)], |r| run_id(r, 0))?
    .collect()
}

/// Enters questions under a lease; tells whether that is still the owner's.
pub(super) fn fill(conn: &Connection, lease: Lease, open: &[(RunId, Question)], all: bool) -> Result<bool> {
    let epoch: i64 = conn.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |r| r.get(0))?;
    if epoch != int(lease.epoch) {
        return Ok(false);
    }
    for (run, question) in open {
        let rid = conn.prepare_cached("SELECT rid FROM runs WHERE id = ?")?.query_row([id(run.0)], |r| r.get(0));
        if let Some(rid) = rid.optional()? {
            enter(conn, rid, *question)?;
        }
    }
    if all {
        conn.execute("DELETE FROM meta WHERE key = ?", [UNLISTED])?;
    }
    Ok(true)
}
