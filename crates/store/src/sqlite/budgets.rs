//! Budgets: what an append moves in them, their list, and the changes that operators make.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params, types::Type};
use stead_core::{
    budget::{BudgetId, Move, Per},
    id::Name,
    time::Timestamp,
};
use stead_ports::journal::{BudgetKey, BudgetRow, MAX_BUDGETS, SetBudget};

use super::{index::int, queries::name};
use crate::{
    book::{Booked, caps, cell, columns},
    check::Stop,
};

static LOOK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT u.start, {}, {}, {} FROM budgets b LEFT JOIN budget_use u ON u.budget = b.id AND u.start = ?2 WHERE b.id = ?1",
        columns("b."),
        columns("u.held_"),
        columns("u.used_")
    )
});
/// What a window that begins makes superfluous: those before it that nobody holds anything of, but the last of them, in which the
/// clock may still be found once more.
const FORGET: &str = "DELETE FROM budget_use WHERE budget = ?1
    AND start < (SELECT max(start) FROM budget_use WHERE budget = ?1 AND start < ?2)
    AND max(held_tokens, held_usd, held_tool_calls, held_active, held_cpu, held_traffic, held_disk, held_children) = 0";
static PUT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT OR REPLACE INTO budget_use (budget, start, {}, {})
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        columns("held_"),
        columns("used_")
    )
});
static LIST: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT b.id, b.tenant, b.agent, b.per, b.at, b.set_by, w.start, {}, {}, {}
         FROM budgets b JOIN (SELECT 'hour' AS per, ?2 AS start UNION ALL SELECT 'day', ?3 UNION ALL SELECT 'month', ?4
             UNION ALL SELECT 'ever', ?5) w ON w.per = b.per
         LEFT JOIN budget_use u ON u.budget = b.id AND u.start = w.start
         WHERE ?1 IS NULL OR b.tenant = ?1 ORDER BY b.tenant, b.agent, b.per",
        columns("b."),
        columns("u.held_"),
        columns("u.used_")
    )
});
static SET: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT OR REPLACE INTO budgets (id, tenant, agent, per, at, set_by, {})
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        columns("")
    )
});

/// Cells from a column on; those of a row that is not there are zero.
fn cells<const N: usize>(r: &Row<'_>, from: usize) -> Result<[i64; N]> {
    let mut cells = [0; N];
    for (n, cell) in cells.iter_mut().enumerate() {
        *cell = r.get::<_, Option<i64>>(from + n)?.unwrap_or(0);
    }
    Ok(cells)
}

fn limits(r: &Row<'_>, from: usize) -> Result<[Option<i64>; 8]> {
    let mut limits = [None; 8];
    for (n, limit) in limits.iter_mut().enumerate() {
        *limit = r.get(from + n)?;
    }
    Ok(limits)
}

/// A window after an append: its budget, where it begins, whether something was moved in it for the first time, and what it says.
type After = (i64, i64, bool, Booked);

/// What windows are after an append that moves this in them, or why it is refused. Writes nothing.
pub(super) fn weigh(conn: &Connection, moves: &[Move]) -> std::result::Result<Vec<After>, Stop<rusqlite::Error>> {
    let mut after = Vec::with_capacity(moves.len());
    for m in moves {
        let (budget, start) = (int(m.level.budget.0), m.level.start.0);
        let found = conn
            .prepare_cached(&LOOK)?
            .query_row([budget, start], |r| {
                let begins = r.get::<_, Option<i64>>(0)?.is_none();
                Ok((begins, caps(limits(r, 1)?), Booked::of_cells(cells(r, 9)?)))
            })
            .optional()?;
        // One that was removed pays for nothing and blocks nobody.
        let Some((begins, caps, booked)) = found else { continue };
        after.push((budget, start, begins, booked.after(caps, m).map_err(Stop::Refused)?));
    }
    Ok(after)
}

/// Writes what windows are after an append.
pub(super) fn put(conn: &Connection, after: Vec<After>) -> Result<()> {
    for (budget, start, begins, booked) in after {
        if begins {
            conn.prepare_cached(FORGET)?.execute([budget, start])?;
        }
        let mut put = conn.prepare_cached(&PUT)?;
        put.raw_bind_parameter(1, budget)?;
        put.raw_bind_parameter(2, start)?;
        for (n, cell) in (3..).zip(booked.cells()) {
            put.raw_bind_parameter(n, cell)?;
        }
        put.raw_execute()?;
    }
    Ok(())
}

/// Budgets with the windows that an instant is in.
pub(super) fn list(conn: &Connection, tenant: Option<&str>, now: Timestamp) -> Result<Vec<BudgetRow>> {
    let [hour, day, month, ever] = Per::ALL.map(|p| p.start(now).0);
    conn.prepare_cached(&LIST)?.query_map(params![tenant, hour, day, month, ever], row)?.collect()
}

fn row(r: &Row<'_>) -> Result<BudgetRow> {
    let bad = |why: String| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, why.into());
    let agent = name(r, 2)?;
    let Booked { held, used } = Booked::of_cells(cells(r, 15)?);
    Ok(BudgetRow {
        id: BudgetId(r.get::<_, i64>(0)?.unsigned_abs()),
        key: BudgetKey {
            tenant: name(r, 1)?,
            agent: (!agent.is_empty()).then_some(agent),
            per: r.get_ref(3)?.as_str()?.parse().map_err(bad)?,
        },
        caps: caps(limits(r, 7)?),
        at: Timestamp(r.get(4)?),
        by: name(r, 5)?,
        start: Timestamp(r.get(6)?),
        held,
        settled: used,
    })
}

fn agent(agent: Option<&Name>) -> &str {
    agent.map_or("", |a| a.as_str())
}

fn find(conn: &Connection, key: &BudgetKey) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM budgets WHERE tenant = ? AND agent = ? AND per = ?")?
        .query_row(params![key.tenant.as_str(), agent(key.agent.as_ref()), key.per.as_str()], |r| r.get(0))
        .optional()
}

/// Makes a budget or gives it other limits; false when there are too many.
pub(super) fn set(conn: &Connection, set: &SetBudget) -> Result<bool> {
    let SetBudget { key, caps, at, by } = set;
    let id = match find(conn, key)? {
        Some(id) => id,
        None => {
            let has = "SELECT count(*) FROM budgets WHERE tenant = ?";
            if conn.query_row(has, [key.tenant.as_str()], |r| r.get::<_, i64>(0))? >= i64::from(MAX_BUDGETS) {
                return Ok(false);
            }
            // Never that of one which was removed, so that slices of it stay worth nothing: the last number is kept.
            let last = "SELECT value FROM meta WHERE key = 'last_budget'";
            let last: i64 = conn.query_row(last, [], |r| r.get(0)).optional()?.unwrap_or(0);
            let known: i64 = conn.query_row("SELECT coalesce(max(id), 0) FROM budgets", [], |r| r.get(0))?;
            let id = at.0.max(last.max(known).saturating_add(1));
            conn.execute("INSERT OR REPLACE INTO meta VALUES ('last_budget', ?)", [id])?;
            id
        }
    };
    let mut put = conn.prepare_cached(&SET)?;
    put.raw_bind_parameter(1, id)?;
    put.raw_bind_parameter(2, key.tenant.as_str())?;
    put.raw_bind_parameter(3, agent(key.agent.as_ref()))?;
    put.raw_bind_parameter(4, key.per.as_str())?;
    put.raw_bind_parameter(5, at.0)?;
    put.raw_bind_parameter(6, by.as_str())?;
    for (n, cap) in (7..).zip(caps.to_array()) {
        put.raw_bind_parameter(n, cap.map(cell))?;
    }
    put.raw_execute()?;
    Ok(true)
}

/// Removes a budget and what is known of its windows.
pub(super) fn remove(conn: &Connection, key: &BudgetKey) -> Result<bool> {
    let Some(id) = find(conn, key)? else { return Ok(false) };
    conn.execute("DELETE FROM budget_use WHERE budget = ?", [id])?;
    conn.execute("DELETE FROM budgets WHERE id = ?", [id])?;
    Ok(true)
}
