//! Budgets: what a batch must know of them and writes, their list, and the changes that operators make.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::LazyLock,
};

use deadpool_postgres::Object;
use stead_core::{
    budget::{BudgetId, Caps, Move, Per},
    id::Name,
    time::Timestamp,
};
use stead_ports::journal::{AppendError, BudgetKey, BudgetRow, MAX_BUDGETS, SetBudget, StoreError};
use tokio_postgres::{Error, Row, types::ToSql};

use super::{
    connect::Database,
    errors::store_error,
    rows::{Bad, Columns},
    values::{int, text},
};
use crate::book::{Booked, caps, cell, columns};

/// A window of a budget: its number, and where it begins.
pub(crate) type Window = (i64, i64);

/// The window that a move is in.
pub(crate) fn window(m: &Move) -> Window {
    (int(m.level.budget.0), m.level.start.0)
}

static LOOK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT b.id, a.start, u.start, {}, {}, {} FROM unnest($1::int8[], $2::int8[]) AS a (budget, start)
         JOIN budgets b ON b.id = a.budget LEFT JOIN budget_use u ON u.budget = b.id AND u.start = a.start",
        columns("b."),
        columns("u.held_"),
        columns("u.used_")
    )
});
/// What windows that begin make superfluous: those before them that nobody holds anything of, but the last of them, in which the
/// clock may still be found once more.
pub(super) const FORGET: &str = "DELETE FROM budget_use USING unnest($1::int8[], $2::int8[]) AS a (id, begun)
    WHERE budget = a.id AND start < (SELECT max(o.start) FROM budget_use o WHERE o.budget = a.id AND o.start < a.begun)
        AND greatest(held_tokens, held_usd, held_tool_calls, held_active, held_cpu, held_traffic, held_disk, held_children) = 0";
/// Writes windows in which something is moved for the first time. When somebody else was first, the transaction fails.
pub(super) static BEGIN: LazyLock<String> = LazyLock::new(|| {
    let cells = arrays(3..19);
    format!(
        "INSERT INTO budget_use (budget, start, {}, {})
         SELECT * FROM unnest($1::int8[], $2::int8[], {cells})",
        columns("held_"),
        columns("used_")
    )
});
/// Writes what windows are after a batch that found them as they are. One that somebody else has changed since then gets no value where
/// it must have one, and the transaction fails: it is looked up and decided again.
pub(super) static CHANGE: LazyLock<String> = LazyLock::new(|| {
    let names =
        |prefix: &str| format!("{}, {}", columns(&format!("{prefix}held_")), columns(&format!("{prefix}used_")));
    let (own, next, found) = (names("w."), names("next_"), names("found_"));
    let put = |(n, c): (usize, &str)| match n {
        0 => format!("{c} = CASE WHEN ({own}) = ({found}) THEN u.next_{c} END"),
        _ => format!("{c} = u.next_{c}"),
    };
    let sets = names("").split(", ").enumerate().map(put).collect::<Vec<_>>().join(", ");
    format!(
        "UPDATE budget_use w SET {sets}
         FROM unnest($1::int8[], $2::int8[], {}) AS u (budget, start, {next}, {found})
         WHERE w.budget = u.budget AND w.start = u.start",
        arrays(3..35)
    )
});
static LIST: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT b.id, b.tenant, b.agent, b.per, b.at, b.set_by, w.start, {}, {}, {}
         FROM budgets b JOIN (VALUES ('hour', $2::int8), ('day', $3::int8), ('month', $4::int8), ('ever', $5::int8))
             AS w (per, start) ON w.per = b.per
         LEFT JOIN budget_use u ON u.budget = b.id AND u.start = w.start
         WHERE $1::text IS NULL OR b.tenant = $1
         ORDER BY b.tenant COLLATE \"C\", b.agent COLLATE \"C\", b.per",
        columns("b."),
        columns("u.held_"),
        columns("u.used_")
    )
});
static SET: LazyLock<String> = LazyLock::new(|| {
    let sets = columns("").split(", ").map(|c| format!("{c} = excluded.{c}")).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO budgets (id, tenant, agent, per, at, set_by, {})
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (tenant, agent, per) DO UPDATE SET at = excluded.at, set_by = excluded.set_by, {sets}",
        columns("")
    )
});

/// Parameters that are arrays.
fn arrays(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| format!("${n}::int8[]")).collect::<Vec<_>>().join(", ")
}

/// A window that a batch changes: as it was found, and as it is afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    found: Booked,
    next: Booked,
}

/// Windows as a batch finds them and leaves them.
#[derive(Debug, Default)]
pub(crate) struct Book {
    found: HashMap<Window, (Caps, Booked)>,
    /// Those that change, in the order of their rows.
    pub(crate) after: BTreeMap<Window, Change>,
    /// Those in which something was moved for the first time.
    pub(crate) begun: BTreeSet<Window>,
}

impl Book {
    /// Looks up the windows that a batch moves something in.
    pub(crate) async fn ask(client: &Object, windows: &BTreeSet<Window>) -> Result<Self, Error> {
        let mut book = Self::default();
        if windows.is_empty() {
            return Ok(book);
        }
        let (budgets, starts): (Vec<i64>, Vec<i64>) = windows.iter().copied().unzip();
        let look = client.prepare_cached(&LOOK).await?;
        for row in client.query(&look, &[&budgets, &starts]).await? {
            let window = (row.try_get(0)?, row.try_get(1)?);
            if row.try_get::<_, Option<i64>>(2)?.is_none() {
                book.begun.insert(window);
            }
            book.found.insert(window, (caps(limits(&row, 3)?), Booked::of_cells(cells(&row, 11)?)));
        }
        Ok(book)
    }

    /// Takes what an append moves, or refuses it and takes nothing.
    pub(crate) fn take(&mut self, moves: &[Move]) -> Result<(), AppendError> {
        let mut after = Vec::with_capacity(moves.len());
        for m in moves {
            // One that was removed pays for nothing and blocks nobody.
            let Some((caps, booked)) = self.found.get(&window(m)) else { continue };
            after.push((window(m), *caps, booked.after(*caps, m)?));
        }
        for (window, caps, next) in after {
            let (_, found) = self.found.insert(window, (caps, next)).unwrap_or_default();
            self.after.entry(window).and_modify(|change| change.next = next).or_insert(Change { found, next });
        }
        Ok(())
    }
}

/// Columns of statements.
type Params = Vec<Box<dyn ToSql + Sync + Send>>;

/// What is written of windows, with the columns for it: of those that begin, for [`BEGIN`], and of the others, for [`CHANGE`].
pub(super) fn steps(after: &BTreeMap<Window, Change>, begun: &BTreeSet<Window>) -> Vec<(&'static str, Params)> {
    let (new, known): (Vec<_>, Vec<_>) = after.iter().partition(|(window, _)| begun.contains(*window));
    let next = |(_, change): &(&Window, &Change)| change.next.cells();
    let found = |(_, change): &(&Window, &Change)| change.found.cells();
    let mut steps = Vec::new();
    if !new.is_empty() {
        steps.push((BEGIN.as_str(), [windows(&new), cells_of(new.iter().map(next))].into_iter().flatten().collect()));
    }
    if !known.is_empty() {
        let params = [windows(&known), cells_of(known.iter().map(next)), cells_of(known.iter().map(found))];
        steps.push((CHANGE.as_str(), params.into_iter().flatten().collect()));
    }
    steps
}

fn windows(of: &[(&Window, &Change)]) -> Params {
    vec![
        Box::new(of.iter().map(|((budget, _), _)| *budget).collect::<Vec<_>>()),
        Box::new(of.iter().map(|((_, start), _)| *start).collect::<Vec<_>>()),
    ]
}

/// Rows of cells as columns.
fn cells_of(rows: impl Iterator<Item = [i64; 16]>) -> Params {
    let mut columns: [Vec<i64>; 16] = Default::default();
    for row in rows {
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    columns.into_iter().map(|column| Box::new(column) as Box<dyn ToSql + Sync + Send>).collect()
}

/// Cells from a column on; those of a row that is not there are zero.
fn cells<const N: usize>(r: &Row, from: usize) -> Result<[i64; N], Error> {
    let mut cells = [0; N];
    for (n, cell) in cells.iter_mut().enumerate() {
        *cell = r.try_get::<_, Option<i64>>(from + n)?.unwrap_or(0);
    }
    Ok(cells)
}

fn limits(r: &Row, from: usize) -> Result<[Option<i64>; 8], Error> {
    let mut limits = [None; 8];
    for (n, limit) in limits.iter_mut().enumerate() {
        *limit = r.try_get(from + n)?;
    }
    Ok(limits)
}

/// The question for the list of budgets, with the windows that an instant is in.
pub(super) fn list(tenant: Option<&Name>, now: Timestamp) -> (&'static str, [Box<dyn ToSql + Sync + Send>; 5]) {
    let [hour, day, month, ever] = Per::ALL.map(|p| Box::new(p.start(now).0) as Box<dyn ToSql + Sync + Send>);
    (&LIST, [Box::new(tenant.map(|t| text(t).into_owned())), hour, day, month, ever])
}

/// A row of the list.
pub(super) fn row(row: &Row) -> Result<BudgetRow, Bad> {
    let mut c = Columns::of(row);
    let (id, tenant, agent) = (BudgetId(c.unsigned()?), c.name()?, c.name()?);
    let per = c.get::<&str>()?.parse()?;
    let (at, by, start) = (Timestamp(c.get()?), c.name()?, Timestamp(c.get()?));
    let caps = caps(limits(row, 7).map_err(|e| e.to_string())?);
    let Booked { held, used } = Booked::of_cells(cells(row, 15).map_err(|e| e.to_string())?);
    let key = BudgetKey { tenant, agent: (!agent.is_empty()).then_some(agent), per };
    Ok(BudgetRow { id, key, caps, at, by, start, held, settled: used })
}

fn agent(agent: Option<&Name>) -> std::borrow::Cow<'_, str> {
    agent.map_or("".into(), |a| text(a))
}

/// Those who change budgets take turns.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtext('stead/budgets'), hashtext(current_schema()))";

/// Makes a budget or gives it other limits; false when there are too many.
pub(super) async fn set(db: &Database, set: &SetBudget) -> Result<bool, StoreError> {
    let SetBudget { key, caps, at, by } = set;
    let fail = |e: Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute(TURN, &[]).await.map_err(fail)?;
    let (tenant, agent, per) = (text(&key.tenant), agent(key.agent.as_ref()), key.per.as_str());
    let counted = t
        .query_one(
            "SELECT count(*) FILTER (WHERE tenant = $1),
                 greatest(coalesce(max(id), 0), coalesce((SELECT value::bigint FROM meta WHERE key = 'last_budget'), 0)),
                 bool_or(tenant = $1 AND agent = $2 AND per = $3) FROM budgets",
            &[&tenant, &agent, &per],
        )
        .await
        .map_err(fail)?;
    let (has, last, known): (i64, i64, Option<bool>) = (counted.get(0), counted.get(1), counted.get(2));
    if has >= i64::from(MAX_BUDGETS) && known != Some(true) {
        return Ok(false);
    }
    // Never that of one which was removed, so that slices of it stay worth nothing: the last number is kept.
    let id = at.0.max(last.saturating_add(1));
    let by = text(by);
    let caps = caps.to_array().map(|c| c.map(cell));
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&id, &tenant, &agent, &per, &at.0, &by];
    params.extend(caps.iter().map(|c| c as &(dyn ToSql + Sync)));
    t.execute(&**SET, &params).await.map_err(fail)?;
    let keep = "INSERT INTO meta VALUES ('last_budget', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    t.execute(keep, &[&id.to_string()]).await.map_err(fail)?;
    t.commit().await.map_err(fail)?;
    Ok(true)
}

/// Removes a budget and what is known of its windows.
pub(super) async fn remove(db: &Database, key: &BudgetKey) -> Result<bool, StoreError> {
    let fail = |e: Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute(TURN, &[]).await.map_err(fail)?;
    let (tenant, agent) = (text(&key.tenant), agent(key.agent.as_ref()));
    let removed = t
        .query_opt(
            "DELETE FROM budgets WHERE tenant = $1 AND agent = $2 AND per = $3 RETURNING id",
            &[&tenant, &agent, &key.per.as_str()],
        )
        .await
        .map_err(fail)?;
    let Some(id) = removed.map(|r| r.get::<_, i64>(0)) else { return Ok(false) };
    t.execute("DELETE FROM budget_use WHERE budget = $1", &[&id]).await.map_err(fail)?;
    t.commit().await.map_err(fail)?;
    Ok(true)
}
