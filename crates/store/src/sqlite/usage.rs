//! The index of what runs have used: its changes with an append, its sums, and the one filling that data of format 1
//! needs.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension as _, Result, params_from_iter, types::Value};
use stead_core::id::{RunId, SessionId};
use stead_ports::journal::{Lease, PastRun, Settled, UsageFilter, UsageRow, Used};

use super::{
    index::{id, int},
    queries::{limit, run_id},
};
use crate::usage::{CELL_MAX, COLUMNS, cells, group_by, groups};

/// The key in `meta` that is there as long as the usage of format 1 is not entered.
pub(crate) const UNMETERED: &str = "usage_unmetered";

static ENTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO usage (tenant, hour, rid, model, {})
         SELECT tenant, ?2, rid, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15 FROM runs WHERE rid = ?1",
        COLUMNS.join(", ")
    )
});
/// Adds to what is there. (`true` keeps the parser from reading `ON` as the beginning of a join.)
static ADD: LazyLock<String> = LazyLock::new(|| {
    let sums = COLUMNS.map(|c| format!("{c} = min({c} + excluded.{c}, {CELL_MAX})")).join(", ");
    format!("{} AND true ON CONFLICT (tenant, hour, rid, model) DO UPDATE SET {sums}", *ENTER)
});
static REPLACE: LazyLock<String> = LazyLock::new(|| ENTER.replacen("INSERT", "INSERT OR REPLACE", 1));

/// What an append settles.
pub(super) fn settle(conn: &Connection, rid: i64, settled: &[Settled]) -> Result<()> {
    settled.iter().try_for_each(|s| put(conn, &ADD, rid, s))
}

/// Runs a statement about one row.
fn put(conn: &Connection, sql: &str, rid: i64, settled: &Settled) -> Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    statement.raw_bind_parameter(1, rid)?;
    statement.raw_bind_parameter(2, settled.hour)?;
    statement.raw_bind_parameter(3, &*settled.model)?;
    for (n, cell) in (4..).zip(cells(&settled.used)) {
        statement.raw_bind_parameter(n, cell)?;
    }
    statement.raw_execute().map(drop)
}

/// Sums in groups, the largest first.
pub(super) fn sums(conn: &Connection, filter: &UsageFilter) -> Result<Vec<UsageRow>> {
    let groups = groups(filter.by, "r.sid");
    let column = |g: Option<&'static str>| g.unwrap_or("NULL");
    let [agent, model, user, session] = groups.map(column);
    let session = if session == "NULL" { session } else { "(SELECT id FROM sessions WHERE sid = r.sid)" };
    let sums = COLUMNS.map(|c| format!("coalesce(sum(u.{c}), 0)")).join(", ");
    let joined = groups[0].or(groups[2]).or(groups[3]).map_or("", |_| "JOIN runs r ON r.rid = u.rid");
    let sql = format!(
        "SELECT {agent}, {model}, {user}, {session}, count(DISTINCT u.rid), {sums}
         FROM usage u {joined} WHERE u.tenant = ?1 AND u.hour >= ?2 AND u.hour < ?3 {}
         ORDER BY sum(u.input) + sum(u.output) + sum(u.estimated_tokens) DESC, 1, 2, 3, 4 LIMIT ?4",
        group_by(groups)
    );
    let values = [
        Value::from(filter.tenant.as_str().to_owned()),
        Value::from(filter.since_hour.unwrap_or(i64::MIN)),
        Value::from(filter.until_hour.unwrap_or(i64::MAX)),
        Value::from(limit(filter.limit)),
    ];
    conn.prepare_cached(&sql)?
        .query_map(params_from_iter(values), |r| {
            let text = |n| r.get::<_, Option<String>>(n).map(|t| t.map(Into::into));
            let mut cells = [0; 12];
            for (n, cell) in (5..).zip(&mut cells) {
                *cell = r.get::<_, i64>(n)?.unsigned_abs();
            }
            Ok(UsageRow {
                agent: text(0)?,
                model: text(1)?,
                user: text(2)?,
                session: r.get::<_, Option<[u8; 16]>>(3)?.map(|s| SessionId(u128::from_be_bytes(s))),
                runs: r.get::<_, i64>(4)?.unsigned_abs(),
                used: Used::from_columns(cells),
            })
        })?
        .collect()
}

/// Runs that format 1 left. Looks at each run once in the life of a directory.
pub(super) fn unmetered(conn: &Connection, after: Option<RunId>, most: u32) -> Result<Vec<RunId>> {
    if conn.query_row("SELECT 1 FROM meta WHERE key = ?", [UNMETERED], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    // Every id is greater than the empty blob.
    let after = after.map_or_else(Vec::new, |a| id(a.0).to_vec());
    conn.prepare_cached("SELECT id FROM runs WHERE id > ? ORDER BY id LIMIT ?")?
        .query_map(rusqlite::params![after, limit(most)], |r| run_id(r, 0))?
        .collect()
}

/// Enters the usage of runs anew under a lease; tells whether that is still the owner's.
pub(super) fn fill(conn: &Connection, lease: Lease, past: &[PastRun], all: bool) -> Result<bool> {
    let epoch: i64 = conn.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |r| r.get(0))?;
    if epoch != int(lease.epoch) {
        return Ok(false);
    }
    for PastRun { run, user, usage } in past {
        let rid = conn.prepare_cached("SELECT rid FROM runs WHERE id = ?")?.query_row([id(run.0)], |r| r.get(0));
        let Some(rid) = rid.optional()? else { continue };
        if let Some(user) = user {
            conn.prepare_cached("UPDATE runs SET started_by = ? WHERE rid = ?")?
                .execute(rusqlite::params![user.as_str(), rid])?;
        }
        usage.iter().try_for_each(|settled| put(conn, &REPLACE, rid, settled))?;
    }
    if all {
        conn.execute("DELETE FROM meta WHERE key = ?", [UNMETERED])?;
    }
    Ok(true)
}
