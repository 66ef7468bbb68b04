//! Agent versions, the aliases that name them, and the history of those.

use stead_core::{id::VersionId, time::Timestamp};
use stead_ports::journal::{
    AliasEvent, AliasMove, AliasMoved, AliasRow, MAX_ALIASES, MovedBy, Step, StoreError, VersionRow,
};
use tokio_postgres::{Row, Transaction};

use super::{
    connect::Database,
    errors::store_error,
    rows::{Bad, Columns},
    values::{Raw, text},
};

pub(super) const VERSION: &str = "SELECT v.tenant, v.agent, v.version, v.body, v.created, l.version IS NOT NULL
    FROM versions v LEFT JOIN aliases l
        ON l.tenant = v.tenant AND l.agent = v.agent AND l.alias = 'live' AND l.version = v.version
    WHERE v.tenant = $1 AND v.version = $2 LIMIT 1";
pub(super) const ALIASED: &str = "SELECT v.tenant, v.agent, v.version, v.body, v.created, l.version IS NOT NULL
    FROM aliases a
    JOIN versions v ON v.tenant = a.tenant AND v.agent = a.agent AND v.version = a.version
    LEFT JOIN aliases l ON l.tenant = a.tenant AND l.agent = a.agent AND l.alias = 'live' AND l.version = v.version
    WHERE a.tenant = $1 AND a.agent = $2 AND a.alias = $3";
pub(super) const VERSIONS: &str = "SELECT v.tenant, v.agent, v.version, ''::bytea, v.created, l.version IS NOT NULL
    FROM versions v LEFT JOIN aliases l
        ON l.tenant = v.tenant AND l.agent = v.agent AND l.alias = 'live' AND l.version = v.version
    WHERE v.tenant = $1 AND CASE WHEN $2::text IS NULL THEN v.vid = coalesce(
        (SELECT x.vid FROM aliases a JOIN versions x
         ON x.tenant = a.tenant AND x.version = a.version AND x.agent = a.agent
         WHERE a.tenant = v.tenant AND a.agent = v.agent AND a.alias = 'live'),
        (SELECT max(vid) FROM versions y WHERE y.tenant = v.tenant AND y.agent = v.agent)) ELSE v.agent = $2 END
    ORDER BY v.created DESC, v.vid DESC LIMIT $3";
pub(super) const ALIASES: &str =
    "SELECT alias, version FROM aliases WHERE tenant = $1 AND agent = $2 ORDER BY alias COLLATE \"C\" LIMIT $3";
pub(super) const HISTORY: &str = "SELECT alias, was, version, at, moved_by, why FROM alias_moves
    WHERE tenant = $1 AND agent = $2 ORDER BY mid DESC LIMIT $3";

pub(super) fn alias(row: &Row) -> Result<AliasRow, Bad> {
    let mut c = Columns::of(row);
    Ok(AliasRow { alias: c.name()?, version: VersionId(c.digest()?) })
}

pub(super) fn event(row: &Row) -> Result<AliasEvent, Bad> {
    let mut c = Columns::of(row);
    let alias = c.name()?;
    let mut version = || Ok::<_, Bad>(c.get::<Option<Raw<32>>>()?.map(|r| VersionId(r.0)));
    let (was, version) = (version()?, version()?);
    let (at, by) = (Timestamp(c.get()?), c.name()?);
    let (why, step) = MovedBy::parse(c.get()?).ok_or("an alias moved for an unknown reason")?;
    Ok(AliasEvent { alias, was, version, at, by, why, step })
}

/// Keeps a version, when there is one, and moves an alias, in one transaction.
pub(super) async fn keep(
    db: &Database,
    version: Option<&VersionRow>,
    wanted: &AliasMove,
) -> Result<AliasMoved, StoreError> {
    let fail = |e: tokio_postgres::Error| store_error(&db.place, &e);
    let mut client = db.client().await?;
    let t = client.transaction().await.map_err(fail)?;
    let moved = set_alias(&t, version, wanted).await.map_err(fail)?;
    t.commit().await.map_err(fail)?;
    Ok(moved)
}

async fn put(t: &Transaction<'_>, row: &VersionRow) -> Result<(), tokio_postgres::Error> {
    let VersionRow { tenant, agent, version, body, created, .. } = row;
    t.execute(
        "INSERT INTO versions (tenant, agent, version, body, created) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        &[&text(tenant), &text(agent), &Raw(version.0), &&body[..], &created.0],
    )
    .await
    .map(drop)
}

async fn set_alias(
    t: &Transaction<'_>,
    version: Option<&VersionRow>,
    wanted: &AliasMove,
) -> Result<AliasMoved, tokio_postgres::Error> {
    let AliasMove { tenant, agent, alias, to, expect, at, by, why, step } = wanted;
    let (tenant, agent, alias) = (text(tenant), text(agent), text(alias));
    // Those who move aliases of one agent take turns: an alias that does not exist yet has no row to lock.
    t.execute("SELECT pg_advisory_xact_lock(hashtext('stead/alias'), hashtext($1 || '/' || $2))", &[&tenant, &agent])
        .await?;
    let was = t
        .query_opt(
            "SELECT version FROM aliases WHERE tenant = $1 AND agent = $2 AND alias = $3",
            &[&tenant, &agent, &alias],
        )
        .await?;
    let was = was.map(|r| r.try_get::<_, Raw<32>>(0)).transpose()?.map(|r| VersionId(r.0));
    if expect.is_some_and(|expected| expected != was) {
        return Ok(AliasMoved::Elsewhere(was));
    }
    if was.is_none() && to.is_some() {
        let count = "SELECT count(*) FROM aliases WHERE tenant = $1 AND agent = $2";
        let has: i64 = t.query_one(count, &[&tenant, &agent]).await?.try_get(0)?;
        if has >= i64::from(MAX_ALIASES) {
            return Ok(AliasMoved::TooMany);
        }
    }
    if let Some(row) = version {
        put(t, row).await?;
    }
    let why = match step {
        Step::Confirmed => match proposed(t, wanted).await? {
            Ok(why) => why,
            Err(not) => return Ok(not),
        },
        Step::Moved | Step::Proposed => *why,
    };
    if *to == was {
        return Ok(AliasMoved::Same);
    }
    match to {
        Some(to) => {
            let known = "SELECT 1 FROM versions WHERE tenant = $1 AND agent = $2 AND version = $3";
            if t.query_opt(known, &[&tenant, &agent, &Raw(to.0)]).await?.is_none() {
                return Ok(AliasMoved::NoVersion);
            }
            if *step != Step::Proposed {
                let sql = "INSERT INTO aliases (tenant, agent, alias, version) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (tenant, agent, alias) DO UPDATE SET version = excluded.version";
                t.execute(sql, &[&tenant, &agent, &alias, &Raw(to.0)]).await?;
            }
        }
        None if *step == Step::Proposed => {}
        None => {
            t.execute(
                "DELETE FROM aliases WHERE tenant = $1 AND agent = $2 AND alias = $3",
                &[&tenant, &agent, &alias],
            )
            .await?;
        }
    }
    let (was, to) = (was.map(|v| Raw(v.0)), to.map(|v| Raw(v.0)));
    t.execute(
        "INSERT INTO alias_moves (tenant, agent, alias, was, version, at, moved_by, why)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &[&tenant, &agent, &alias, &was, &to, &at.0, &text(by), &why.kept(*step)],
    )
    .await?;
    Ok(if *step == Step::Proposed { AliasMoved::Proposed } else { AliasMoved::Done })
}

/// Why somebody else proposed a move since the alias moved last, or why it is not confirmed.
async fn proposed(
    t: &Transaction<'_>,
    wanted: &AliasMove,
) -> Result<Result<MovedBy, AliasMoved>, tokio_postgres::Error> {
    let AliasMove { tenant, agent, alias, to, by, .. } = wanted;
    let since = "SELECT moved_by, why FROM alias_moves WHERE tenant = $1 AND agent = $2 AND alias = $3
            AND version IS NOT DISTINCT FROM $4 AND why LIKE 'propose %' AND mid > coalesce((SELECT max(mid) FROM alias_moves
                WHERE tenant = $1 AND agent = $2 AND alias = $3 AND why NOT LIKE 'propose %'), 0)
        ORDER BY mid DESC";
    let to = to.map(|v| Raw(v.0));
    let rows = t.query(since, &[&text(tenant), &text(agent), &text(alias), &to]).await?;
    let mut own = false;
    for row in rows {
        if row.try_get::<_, &str>(0)? == by.as_str() {
            own = true;
            continue;
        }
        return Ok(Ok(MovedBy::parse(row.try_get(1)?).map_or(MovedBy::Set, |(why, _)| why)));
    }
    Ok(Err(if own { AliasMoved::Own } else { AliasMoved::NotProposed }))
}
