//! The index of what runs have used: the statement that an append adds with, its sums, and the one filling that data of
//! format 1 needs.

use std::{collections::BTreeMap, sync::LazyLock};

use stead_core::id::{Name, RunId, SessionId};
use stead_ports::journal::{Lease, PastRun, StoreError, UsageFilter, UsageRow, Used};
use tokio_postgres::{Row, types::ToSql};

use super::{
    connect::Database,
    leases::fenced,
    queries::limit,
    rows::{Bad, Columns},
    values::{Raw, id, int, text},
};
use crate::usage::{CELL_MAX, COLUMNS, cells, group_by, groups};

/// The key in `meta` that is there as long as the usage of format 1 is not entered.
pub(crate) const UNMETERED: &str = "usage_unmetered";

/// Runs that format 1 left.
pub(crate) const UNMETERED_RUNS: &str = "SELECT id FROM runs
    WHERE id > $1 AND EXISTS (SELECT 1 FROM meta WHERE key = 'usage_unmetered') ORDER BY id LIMIT $2";

/// Usage by run, hour and model, in the order of its rows.
pub(super) type Sums = BTreeMap<(RunId, i64, Name), Used>;

static ENTER: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.join(", ");
    let types = (4..16).map(|n| format!("${n}::int8[]")).collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO usage (tenant, hour, run, model, {columns})
         SELECT r.tenant, u.hour, u.run, u.model, {} FROM unnest($1::bytea[], $2::int8[], $3::text[], {types})
             AS u (run, hour, model, {columns}) JOIN runs r ON r.id = u.run
         ON CONFLICT (tenant, hour, run, model) DO UPDATE SET ",
        COLUMNS.map(|c| format!("u.{c}")).join(", ")
    )
});
/// Adds to what is there.
pub(super) static ADD: LazyLock<String> = LazyLock::new(|| {
    format!("{}{}", *ENTER, COLUMNS.map(|c| format!("{c} = least(usage.{c} + excluded.{c}, {CELL_MAX})")).join(", "))
});
static REPLACE: LazyLock<String> =
    LazyLock::new(|| format!("{}{}", *ENTER, COLUMNS.map(|c| format!("{c} = excluded.{c}")).join(", ")));

/// The columns of rows, for [`ADD`].
pub(super) fn params(sums: &Sums) -> Vec<Box<dyn ToSql + Sync + Send>> {
    let mut cell_columns: [Vec<i64>; 12] = Default::default();
    for used in sums.values() {
        for (column, cell) in cell_columns.iter_mut().zip(cells(used)) {
            column.push(cell);
        }
    }
    let mut params: Vec<Box<dyn ToSql + Sync + Send>> = vec![
        Box::new(sums.keys().map(|(run, _, _)| id(run.0)).collect::<Vec<_>>()),
        Box::new(sums.keys().map(|(_, hour, _)| *hour).collect::<Vec<_>>()),
        Box::new(sums.keys().map(|(_, _, model)| text(model).into_owned()).collect::<Vec<_>>()),
    ];
    params.extend(cell_columns.map(|c| Box::new(c) as Box<dyn ToSql + Sync + Send>));
    params
}

/// The question for sums.
pub(super) fn sums(filter: &UsageFilter) -> (String, [Box<dyn ToSql + Sync + Send>; 4]) {
    let groups = groups(filter.by, "r.session");
    let [agent, model, user, session] = groups.map(|g| g.unwrap_or("NULL"));
    let session = if session == "NULL" { "NULL::bytea" } else { session };
    let joined = groups[0].or(groups[2]).or(groups[3]).map_or("", |_| "JOIN runs r ON r.id = u.run");
    let sums = COLUMNS.map(|c| format!("least(coalesce(sum(u.{c}), 0), 9223372036854775807)::int8")).join(", ");
    let sql = format!(
        "SELECT {agent}::text, {model}::text, {user}::text, {session}, count(DISTINCT u.run), {sums}
         FROM usage u {joined} WHERE u.tenant = $1 AND u.hour >= $2 AND u.hour < $3 {}
         ORDER BY sum(u.input) + sum(u.output) + sum(u.estimated_tokens) DESC, 1, 2, 3, 4 LIMIT $4",
        group_by(groups)
    );
    let (since, until) = (filter.since_hour.unwrap_or(i64::MIN), filter.until_hour.unwrap_or(i64::MAX));
    (
        sql,
        [Box::new(text(&filter.tenant).into_owned()), Box::new(since), Box::new(until), Box::new(limit(filter.limit))],
    )
}

/// A row of sums.
pub(super) fn row(row: &Row) -> Result<UsageRow, Bad> {
    let mut c = Columns::of(row);
    let mut name = || Ok::<_, Bad>(c.get::<Option<&str>>()?.map(Name::from));
    let (agent, model, user) = (name()?, name()?, name()?);
    let session = c.get::<Option<Raw<16>>>()?.map(|s| SessionId(u128::from_be_bytes(s.0)));
    let runs = c.unsigned()?;
    let mut cells = [0; 12];
    for cell in &mut cells {
        *cell = c.unsigned()?;
    }
    Ok(UsageRow { agent, model, user, session, runs, used: Used::from_columns(cells) })
}

/// Enters the usage of runs anew in one transaction that proves its epoch, as an append does.
pub(super) async fn fill(db: &Database, lease: Lease, past: &[PastRun], all: bool) -> Result<(), StoreError> {
    let fail = |e: tokio_postgres::Error| fenced(db, lease.epoch, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    t.execute("SELECT fence(ARRAY[0]::smallint[], ARRAY[$1]::bigint[])", &[&int(lease.epoch)]).await.map_err(fail)?;
    let named = past.iter().filter_map(|p| Some((id(p.run.0), text(p.user.as_ref()?).into_owned())));
    let (runs, users): (Vec<_>, Vec<_>) = named.unzip();
    t.execute(
        "UPDATE runs SET started_by = u.b FROM unnest($1::bytea[], $2::text[]) AS u (a, b) WHERE runs.id = u.a",
        &[&runs, &users],
    )
    .await
    .map_err(fail)?;
    let sums: Sums =
        past.iter().flat_map(|p| p.usage.iter().map(|u| ((p.run, u.hour, u.model.clone()), u.used))).collect();
    let columns = params(&sums);
    let columns: Vec<_> = columns.iter().map(|c| &**c as &(dyn ToSql + Sync)).collect();
    t.execute(&**REPLACE, &columns).await.map_err(fail)?;
    if all {
        t.execute("DELETE FROM meta WHERE key = $1", &[&UNMETERED]).await.map_err(fail)?;
    }
    t.commit().await.map_err(fail)
}
