//! Agent versions, the aliases that name them, and the history of those.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params, types::Type};
use stead_core::{
    id::{Name, VersionId},
    time::Timestamp,
};
use stead_ports::journal::{AliasEvent, AliasMove, AliasMoved, AliasRow, MAX_ALIASES, MovedBy, Step, VersionRow};

use super::queries::{ROWS_MAX, limit, name};

/// Columns of a version; `BODY` is its body, or nothing.
const VERSION: &str = "SELECT v.tenant, v.agent, v.version, BODY, v.created, l.version IS NOT NULL
    FROM versions v LEFT JOIN aliases l
        ON l.tenant = v.tenant AND l.agent = v.agent AND l.alias = 'live' AND l.version = v.version";

fn version_row(r: &Row<'_>) -> Result<VersionRow> {
    let body: Vec<u8> = r.get(3)?;
    Ok(VersionRow {
        tenant: name(r, 0)?,
        agent: name(r, 1)?,
        version: VersionId(r.get(2)?),
        body: body.into(),
        created: Timestamp(r.get(4)?),
        live: r.get(5)?,
    })
}

/// Keeps a version.
fn put(conn: &Connection, row: &VersionRow) -> Result<()> {
    let VersionRow { tenant, agent, version, body, created, .. } = row;
    conn.prepare_cached(
        "INSERT OR IGNORE INTO versions (tenant, agent, version, body, created) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![tenant.as_str(), agent.as_str(), version.0, &body[..], created.0])
    .map(drop)
}

/// Keeps a version, when there is one, moves an alias, and writes its line of the history.
pub(super) fn keep(conn: &Connection, version: Option<&VersionRow>, wanted: &AliasMove) -> Result<AliasMoved> {
    let AliasMove { tenant, agent, alias, to, expect, at, by, why, step } = wanted;
    let of = (tenant.as_str(), agent.as_str(), alias.as_str());
    let was = conn
        .prepare_cached("SELECT version FROM aliases WHERE tenant = ? AND agent = ? AND alias = ?")?
        .query_row(of, |r| r.get(0).map(VersionId))
        .optional()?;
    if expect.is_some_and(|expected| expected != was) {
        return Ok(AliasMoved::Elsewhere(was));
    }
    if was.is_none() && to.is_some() {
        let count = "SELECT count(*) FROM aliases WHERE tenant = ? AND agent = ?";
        let has: u32 = conn.prepare_cached(count)?.query_row([tenant.as_str(), agent.as_str()], |r| r.get(0))?;
        if has >= MAX_ALIASES {
            return Ok(AliasMoved::TooMany);
        }
    }
    version.map_or(Ok(()), |row| put(conn, row))?;
    let why = match step {
        Step::Confirmed => match proposed(conn, wanted)? {
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
            let known = conn
                .prepare_cached("SELECT 1 FROM versions WHERE tenant = ? AND agent = ? AND version = ?")?
                .exists(params![tenant.as_str(), agent.as_str(), to.0])?;
            if !known {
                return Ok(AliasMoved::NoVersion);
            }
            if *step != Step::Proposed {
                name_it(conn, of, to)?;
            }
        }
        None if *step == Step::Proposed => {}
        None => {
            conn.prepare_cached("DELETE FROM aliases WHERE tenant = ? AND agent = ? AND alias = ?")?.execute(of)?;
        }
    }
    conn.prepare_cached(
        "INSERT INTO alias_moves (tenant, agent, alias, was, version, at, moved_by, why)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        tenant.as_str(),
        agent.as_str(),
        alias.as_str(),
        was.map(|v| v.0),
        to.map(|v| v.0),
        at.0,
        by.as_str(),
        why.kept(*step),
    ])?;
    Ok(if *step == Step::Proposed { AliasMoved::Proposed } else { AliasMoved::Done })
}

fn name_it(conn: &Connection, (tenant, agent, alias): (&str, &str, &str), to: &VersionId) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO aliases (tenant, agent, alias, version) VALUES (?, ?, ?, ?)
         ON CONFLICT (tenant, agent, alias) DO UPDATE SET version = excluded.version",
    )?
    .execute(params![tenant, agent, alias, to.0])
    .map(drop)
}

/// Why somebody else proposed a move since the alias moved last, or why it is not confirmed.
fn proposed(conn: &Connection, wanted: &AliasMove) -> Result<Result<MovedBy, AliasMoved>> {
    let AliasMove { tenant, agent, alias, to, by, .. } = wanted;
    let mut since = conn.prepare_cached(
        "SELECT moved_by, why FROM alias_moves WHERE tenant = ?1 AND agent = ?2 AND alias = ?3 AND version IS ?4
             AND why LIKE 'propose %' AND mid > coalesce((SELECT max(mid) FROM alias_moves
                 WHERE tenant = ?1 AND agent = ?2 AND alias = ?3 AND why NOT LIKE 'propose %'), 0)
         ORDER BY mid DESC",
    )?;
    let mut rows = since.query(params![tenant.as_str(), agent.as_str(), alias.as_str(), to.map(|v| v.0)])?;
    let mut own = false;
    while let Some(row) = rows.next()? {
        match row.get_ref(0)?.as_str()? == by.as_str() {
            true => own = true,
            false => {
                let why = MovedBy::parse(row.get_ref(1)?.as_str()?).map_or(MovedBy::Set, |(why, _)| why);
                return Ok(Ok(why));
            }
        }
    }
    Ok(Err(if own { AliasMoved::Own } else { AliasMoved::NotProposed }))
}

/// An agent's aliases, by name.
pub(super) fn aliases(conn: &Connection, tenant: &str, agent: &str) -> Result<Vec<AliasRow>> {
    conn.prepare_cached("SELECT alias, version FROM aliases WHERE tenant = ? AND agent = ? ORDER BY alias LIMIT ?")?
        .query_map(params![tenant, agent, ROWS_MAX], |r| {
            Ok(AliasRow { alias: name(r, 0)?, version: VersionId(r.get(1)?) })
        })?
        .collect()
}

/// How they moved, the last move first.
pub(super) fn history(conn: &Connection, tenant: &str, agent: &str, most: u32) -> Result<Vec<AliasEvent>> {
    conn.prepare_cached(
        "SELECT alias, was, version, at, moved_by, why FROM alias_moves WHERE tenant = ? AND agent = ?
         ORDER BY mid DESC LIMIT ?",
    )?
    .query_map(params![tenant, agent, limit(most)], |r| {
        let (why, step) = MovedBy::parse(r.get_ref(5)?.as_str()?).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(5, Type::Text, "an alias moved for an unknown reason".into())
        })?;
        Ok(AliasEvent {
            alias: name(r, 0)?,
            was: r.get::<_, Option<[u8; 32]>>(1)?.map(VersionId),
            version: r.get::<_, Option<[u8; 32]>>(2)?.map(VersionId),
            at: Timestamp(r.get(3)?),
            by: name(r, 4)?,
            why,
            step,
        })
    })?
    .collect()
}

pub(super) fn version(conn: &Connection, tenant: &str, version: VersionId) -> Result<Option<VersionRow>> {
    let sql = VERSION.replace("BODY", "v.body");
    conn.prepare_cached(&format!("{sql} WHERE v.tenant = ? AND v.version = ? LIMIT 1"))?
        .query_row(params![tenant, version.0], version_row)
        .optional()
}

/// The version that an alias names.
pub(super) fn aliased(conn: &Connection, tenant: &str, agent: &Name, alias: &str) -> Result<Option<VersionRow>> {
    let sql = VERSION.replace("BODY", "v.body");
    conn.prepare_cached(&format!(
        "{sql} WHERE v.tenant = ?1 AND v.agent = ?2
         AND v.version = (SELECT version FROM aliases WHERE tenant = ?1 AND agent = ?2 AND alias = ?3)"
    ))?
    .query_row(params![tenant, agent.as_str(), alias], version_row)
    .optional()
}

/// Versions of an agent; without one, of each agent the live one, or the newest when none is.
pub(super) fn versions(conn: &Connection, tenant: &str, agent: Option<&str>) -> Result<Vec<VersionRow>> {
    let sql = VERSION.replace("BODY", "x''");
    conn.prepare_cached(&format!(
        "{sql} WHERE v.tenant = ?1 AND iif(?2 IS NULL, v.vid = coalesce(
             (SELECT x.vid FROM aliases a JOIN versions x
              ON x.tenant = a.tenant AND x.version = a.version AND x.agent = a.agent
              WHERE a.tenant = v.tenant AND a.agent = v.agent AND a.alias = 'live'),
             (SELECT max(vid) FROM versions y WHERE y.tenant = v.tenant AND y.agent = v.agent)), v.agent = ?2)
         ORDER BY v.created DESC, v.vid DESC LIMIT ?3"
    ))?
    .query_map(params![tenant, agent, ROWS_MAX], version_row)?
    .collect()
}
