//! Reading: rows into the port's types. Every list is bounded, whatever its caller asks for.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, ToSql, params, types::Type};
use stead_core::{
    budget::{MicroUsd, Spend},
    code::Code,
    id::{LeafHash, Name, RunId, SessionId, VersionId},
    time::Timestamp,
};
use stead_ports::journal::{Depths, InboxRow, RunFilter, RunRow, RunState, SessionRow, Snapshot, Status, StoredRecord};

use super::index::{id, int};
use crate::{book::session_used, pack::unpack};

/// The most rows that one question gets.
pub(crate) const ROWS_MAX: u32 = 10_000;

pub(super) fn limit(asked: u32) -> u32 {
    asked.min(ROWS_MAX)
}

pub(super) fn run_id(r: &Row<'_>, column: usize) -> Result<RunId> {
    r.get(column).map(|b| RunId(u128::from_be_bytes(b)))
}

fn optional_run(r: &Row<'_>, column: usize) -> Result<Option<RunId>> {
    r.get::<_, Option<[u8; 16]>>(column).map(|b| b.map(|b| RunId(u128::from_be_bytes(b))))
}

pub(super) fn name(r: &Row<'_>, column: usize) -> Result<Name> {
    r.get_ref(column)?.as_str().map(Name::from).map_err(Into::into)
}

fn spend(r: &Row<'_>, tokens: usize, usd: usize) -> Result<Spend> {
    let usd = r.get::<_, Option<i64>>(usd)?.map(|u| MicroUsd(u.unsigned_abs()));
    Ok(Spend { tokens: r.get::<_, i64>(tokens)?.unsigned_abs(), usd })
}

pub(crate) fn read(conn: &Connection, run: RunId, from: u64, most: u32) -> Result<Vec<StoredRecord>> {
    conn.prepare_cached(
        "SELECT seq, leaf, body FROM records WHERE rid = (SELECT rid FROM runs WHERE id = ?) AND seq >= ?
         ORDER BY seq LIMIT ?",
    )?
    .query_map(params![id(run.0), int(from), limit(most)], |r| {
        let bytes = unpack(r.get(2)?);
        Ok(StoredRecord { seq: r.get::<_, i64>(0)?.unsigned_abs(), leaf: LeafHash(r.get(1)?), bytes })
    })?
    .collect()
}

const RUN: &str = "SELECT r.id, r.tenant, s.id, s.key, r.agent, r.version, r.parent, r.title, r.created, r.updated,
    r.status, r.wake_at, r.turns, r.effects, r.tokens, r.usd, r.code
    FROM runs r JOIN sessions s ON s.sid = r.sid";

fn run_row(r: &Row<'_>) -> Result<RunRow> {
    let word = r.get_ref(10)?.as_str()?;
    let status = Status::parse(word)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(10, Type::Text, "unknown status".into()))?;
    Ok(RunRow {
        id: run_id(r, 0)?,
        tenant: name(r, 1)?,
        session: SessionId(u128::from_be_bytes(r.get(2)?)),
        session_key: r.get::<_, Option<String>>(3)?.map(Into::into),
        agent: name(r, 4)?,
        version: VersionId(r.get(5)?),
        parent: optional_run(r, 6)?,
        title: r.get(7)?,
        created: Timestamp(r.get(8)?),
        updated: Timestamp(r.get(9)?),
        state: RunState {
            status,
            wake_at: r.get::<_, Option<i64>>(11)?.map(Timestamp),
            turns: r.get(12)?,
            effects: r.get(13)?,
            spent: spend(r, 14, 15)?,
            code: r.get::<_, Option<u16>>(16)?.map(Code),
        },
    })
}

pub(crate) fn run(conn: &Connection, run: RunId) -> Result<Option<RunRow>> {
    conn.prepare_cached(&format!("{RUN} WHERE r.id = ?"))?.query_row([id(run.0)], run_row).optional()
}

pub(crate) fn runs(conn: &Connection, filter: &RunFilter) -> Result<Vec<RunRow>> {
    let (sql, values) = runs_statement(filter);
    conn.prepare_cached(&sql)?.query_map(rusqlite::params_from_iter(values.iter().map(|v| &**v)), run_row)?.collect()
}

/// The question for a list of runs, and its parameters: an index gives the rows in their order, whatever is asked for,
/// so that a page of few among many is as cheap as one of all.
fn runs_statement(filter: &RunFilter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut values: Vec<Box<dyn ToSql>> = vec![
        Box::new(filter.tenant.as_str().to_owned()),
        Box::new(limit(filter.limit)),
        Box::new(filter.before.map_or([0xff; 17].to_vec(), |b| id(b.0).to_vec())),
    ];
    // One branch for each status, each in its index's order; without a word about it, that is every status.
    let asked = |s: &&Status| filter.status.is_empty() || filter.status.contains(s);
    let words: Vec<_> = Status::ALL.iter().filter(asked).map(|s| format!("'{}'", s.as_str())).collect();
    let and = |values: &mut Vec<Box<dyn ToSql>>, value: Box<dyn ToSql>| {
        values.push(value);
        values.len()
    };
    let agent = filter.agent.as_ref().map(|a| and(&mut values, Box::new(a.as_str().to_owned())));
    // A session's runs and a run's children are few: they are gone through, in order. A `+` keeps a column from choosing
    // another index.
    let mut narrow = String::new();
    if let Some(session) = filter.session {
        let n = and(&mut values, Box::new(id(session.0)));
        narrow += &format!(" AND r.sid = (SELECT sid FROM sessions WHERE id = ?{n})");
    }
    if let Some(parent) = filter.parent {
        let n = and(&mut values, Box::new(id(parent.0)));
        narrow += &format!(" AND {}r.parent = ?{n}", if filter.session.is_some() { "+" } else { "" });
    }
    if !narrow.is_empty() {
        let agent = agent.map_or_else(String::new, |n| format!(" AND +r.agent = ?{n}"));
        let sql = format!(
            "{RUN} WHERE +r.tenant = ?1 AND r.id < ?3{narrow}{agent} AND +r.status IN ({}) ORDER BY r.id DESC LIMIT ?2",
            words.join(",")
        );
        return (sql, values);
    }
    let agent = agent.map_or_else(String::new, |n| format!(" AND agent = ?{n}"));
    let branches: Vec<_> = words
        .iter()
        .map(|word| {
            format!(
                "SELECT * FROM (SELECT rid FROM runs WHERE tenant = ?1{agent} AND status = {word} AND id < ?3
                 ORDER BY id DESC LIMIT ?2)"
            )
        })
        .collect();
    let sql = format!("{RUN} WHERE r.rid IN ({}) ORDER BY r.id DESC LIMIT ?2", branches.join(" UNION ALL "));
    (sql, values)
}

pub(crate) fn count(conn: &Connection, tenant: Option<&str>) -> Result<Vec<(Status, u64)>> {
    let mut statement = conn.prepare_cached(if tenant.is_some() { COUNT_OF } else { COUNT })?;
    let counted = statement.query_map(rusqlite::params_from_iter(tenant), |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    let mut counted = counted.collect::<Result<std::collections::HashMap<_, _>>>()?;
    Ok(Status::ALL.into_iter().map(|s| (s, counted.remove(s.as_str()).unwrap_or(0))).collect())
}

const COUNT: &str = "SELECT status, count(*) FROM runs GROUP BY status";
const COUNT_OF: &str = "SELECT status, count(*) FROM runs WHERE tenant = ? GROUP BY status";

/// Runs that are queued, and open questions: each has an index of its own.
pub(crate) fn depths(conn: &Connection) -> Result<Depths> {
    let count = |sql: &str| conn.prepare_cached(sql)?.query_row([], |r| r.get::<_, i64>(0)).map(i64::unsigned_abs);
    let queued = count("SELECT count(*) FROM runs WHERE status = 'queued'")?;
    Ok(Depths { queued, asked: count("SELECT count(*) FROM approvals")? })
}

pub(crate) fn unfinished(conn: &Connection, after: Option<RunId>, most: u32) -> Result<Vec<RunId>> {
    conn.prepare_cached(
        "SELECT id FROM (SELECT id FROM runs WHERE status = 'running' AND id > ?1 ORDER BY id LIMIT ?2)
         UNION
         SELECT id FROM (SELECT DISTINCT receiver AS id FROM inbox
             WHERE receiver > ?1 AND EXISTS (SELECT 1 FROM runs WHERE runs.id = receiver) ORDER BY receiver LIMIT ?2)
         ORDER BY 1 LIMIT ?2",
    )?
    // Every id is greater than the empty blob.
    .query_map(params![after.map(|a| id(a.0)).as_ref().map_or(&[][..], |a| &a[..]), limit(most)], |r| run_id(r, 0))?
    .collect()
}

/// A number of the table `meta`.
pub(crate) fn meta(conn: &Connection, name: &str) -> Result<Option<i64>> {
    conn.query_row("SELECT value FROM meta WHERE key = ?", [name], |r| r.get(0)).optional()
}

pub(crate) fn open_runs(conn: &Connection, after: Option<RunId>, most: u32) -> Result<Vec<RunId>> {
    conn.prepare_cached(
        "SELECT id FROM runs WHERE status NOT IN ('completed', 'failed', 'cancelled') AND id > ? ORDER BY id LIMIT ?",
    )?
    .query_map(params![after.map_or(id(0), |a| id(a.0)), limit(most)], |r| run_id(r, 0))?
    .collect()
}

pub(crate) fn due(conn: &Connection, now: Timestamp, most: u32) -> Result<Vec<RunId>> {
    conn.prepare_cached("SELECT id FROM runs WHERE wake_at <= ? ORDER BY wake_at, id LIMIT ?")?
        .query_map(params![now.0, limit(most)], |r| run_id(r, 0))?
        .collect()
}

pub(crate) fn next_wake(conn: &Connection) -> Result<Option<Timestamp>> {
    conn.prepare_cached("SELECT wake_at FROM runs WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1")?
        .query_row([], |r| r.get(0).map(Timestamp))
        .optional()
}

pub(crate) fn inbox(conn: &Connection, run: RunId) -> Result<Vec<InboxRow>> {
    conn.prepare_cached("SELECT sender, effect, body FROM inbox WHERE receiver = ? ORDER BY id LIMIT ?")?
        .query_map(params![id(run.0), ROWS_MAX], |r| {
            let body: Vec<u8> = r.get(2)?;
            Ok(InboxRow { to: run, from: run_id(r, 0)?, effect: r.get(1)?, body: body.into() })
        })?
        .collect()
}

const SESSION: &str =
    "SELECT id, tenant, agent, key, active, head, tokens, usd, created, tool_calls, active_time, cpu, traffic,
    disk, children FROM sessions";

fn session_row(r: &Row<'_>) -> Result<SessionRow> {
    Ok(SessionRow {
        id: SessionId(u128::from_be_bytes(r.get(0)?)),
        tenant: name(r, 1)?,
        agent: name(r, 2)?,
        key: r.get::<_, Option<String>>(3)?.map(Into::into),
        active: optional_run(r, 4)?,
        head: optional_run(r, 5)?,
        spent: spend(r, 6, 7)?,
        used: session_used([r.get(9)?, r.get(10)?, r.get(11)?, r.get(12)?, r.get(13)?, r.get(14)?]),
        created: Timestamp(r.get(8)?),
    })
}

pub(crate) fn session(conn: &Connection, session: SessionId) -> Result<Option<SessionRow>> {
    conn.prepare_cached(&format!("{SESSION} WHERE id = ?"))?.query_row([id(session.0)], session_row).optional()
}

pub(crate) fn session_of_key(conn: &Connection, tenant: &str, agent: &str, key: &str) -> Result<Option<SessionRow>> {
    conn.prepare_cached(&format!("{SESSION} WHERE tenant = ? AND agent = ? AND key = ?"))?
        .query_row([tenant, agent, key], session_row)
        .optional()
}

pub(crate) fn sessions_of_key(conn: &Connection, tenant: &str, key: &str, most: u32) -> Result<Vec<SessionRow>> {
    conn.prepare_cached(&format!("{SESSION} WHERE tenant = ? AND key = ? ORDER BY agent LIMIT ?"))?
        .query_map(params![tenant, key, limit(most)], session_row)?
        .collect()
}

pub(crate) fn sessions(
    conn: &Connection,
    tenant: &str,
    agent: Option<&str>,
    before: Option<SessionId>,
    most: u32,
) -> Result<Vec<SessionRow>> {
    let before = before.map_or([0xff; 17].to_vec(), |b| id(b.0).to_vec());
    let mut statement = conn.prepare_cached(&sessions_statement(agent.is_some()))?;
    match agent {
        Some(agent) => statement.query_map(params![tenant, before, limit(most), agent], session_row)?.collect(),
        None => statement.query_map(params![tenant, before, limit(most)], session_row)?.collect(),
    }
}

fn sessions_statement(of_agent: bool) -> String {
    let agent = if of_agent { " AND agent = ?4" } else { "" };
    format!("{SESSION} WHERE tenant = ?1{agent} AND id < ?2 ORDER BY id DESC LIMIT ?3")
}

pub(crate) fn queued(conn: &Connection, session: SessionId, most: u32) -> Result<Vec<RunId>> {
    conn.prepare_cached(
        "SELECT id FROM runs WHERE sid = (SELECT sid FROM sessions WHERE id = ?) AND status = 'queued'
         ORDER BY id LIMIT ?",
    )?
    .query_map(params![id(session.0), limit(most)], |r| run_id(r, 0))?
    .collect()
}

pub(crate) fn stranded(conn: &Connection, most: u32) -> Result<Vec<SessionId>> {
    conn.prepare_cached(
        "SELECT DISTINCT s.id FROM runs r JOIN sessions s ON s.sid = r.sid
         WHERE r.status = 'queued' AND s.active IS NULL ORDER BY s.id LIMIT ?",
    )?
    .query_map([limit(most)], |r| r.get(0).map(|b| SessionId(u128::from_be_bytes(b))))?
    .collect()
}

/// A blob as packed: codec, length and body.
pub(crate) fn blob(conn: &Connection, tenant: &str, blob: [u8; 32]) -> Result<Option<(i16, i64, Vec<u8>)>> {
    conn.prepare_cached("SELECT codec, length, body FROM blobs WHERE id = ? AND tenant = ?")?
        .query_row(params![blob, tenant], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()
}

pub(crate) fn snapshot(conn: &Connection, run: RunId) -> Result<Option<Snapshot>> {
    conn.prepare_cached("SELECT seq, leaf, version, body FROM snapshots WHERE run = ?")?
        .query_row([id(run.0)], |r| {
            let body: Vec<u8> = r.get(3)?;
            Ok(Snapshot {
                seq: r.get::<_, i64>(0)?.unsigned_abs(),
                leaf: LeafHash(r.get(1)?),
                version: r.get(2)?,
                body: body.into(),
            })
        })
        .optional()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// What the database does for a question, one step a line.
    fn plan(conn: &Connection, sql: &str) -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps = statement.query_map(rusqlite::params_from_iter(nothing), |r| r.get::<_, String>(3)).unwrap();
        steps.collect::<Result<Vec<_>>>().unwrap().join("\n")
    }

    #[test]
    fn no_list_goes_through_a_whole_table() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(concat!(
            include_str!("schema.sql"),
            include_str!("format-2.sql"),
            include_str!("format-6.sql")
        ))
        .unwrap();
        let filter = RunFilter { tenant: "acme".into(), limit: 50, ..RunFilter::default() };
        let mut lists = vec![sessions_statement(true), sessions_statement(false), COUNT_OF.to_owned()];
        for bits in 0..32_u128 {
            let given = |bit: u32| bits >> bit & 1 == 1;
            let filter = RunFilter {
                status: given(0).then_some(Status::Failed).into_iter().collect(),
                agent: given(1).then(|| "desk".into()),
                session: given(2).then_some(SessionId(1)),
                parent: given(3).then_some(RunId(1)),
                before: given(4).then_some(RunId(9)),
                ..filter.clone()
            };
            lists.push(runs_statement(&filter).0);
        }
        for sql in lists {
            let plan = plan(&conn, &sql);
            // The ids of a page are gone through, and nothing else.
            let scans = plan.lines().filter(|l| l.starts_with("SCAN") && !l.contains("subquery"));
            assert_eq!(scans.count(), 0, "{sql}\n{plan}");
            assert!(plan.contains("SEARCH"), "{sql}\n{plan}");
        }
    }
}
