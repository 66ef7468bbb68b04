//! `/v1/audit`: logs, leaves, proofs, tiles and bundles; and whether a run is what the log says. Whoever may read sees the log of their tenant;
//! that of the operators takes the right `admin`.
//!
//! * `entries` lists leaves with what they commit to;
//! * `bundle` puts leaves, records and proofs into one file.

mod bundle;
mod entries;

use std::time::Duration;

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderValue, header},
    response::IntoResponse,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use stead_api::{
    audit::{
        AuditLog, AuditLogs, ConsistencyProof, InclusionProof, OPERATORS as OPERATORS_LOG, RunVerification, TENANT,
    },
    right::Right,
};
use stead_audit::{
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    note::Trust,
    tile::Tile,
};
use stead_core::{
    code,
    id::{Name, RunId},
};
use stead_engine::{Log, LogError};
use stead_ports::audit::{LogRow, OPERATORS};

pub(super) use bundle::bundle;
pub(super) use entries::entries;
pub(crate) use entries::told;

use super::views;
use crate::{
    audit::verify,
    auth::Principal,
    http::{
        app::{App, Shared},
        failure::{Answer, Failure},
        guard,
        input::{At, Params},
    },
};

/// How long a reader waits until what was written before is in the log.
const PATIENCE: Duration = Duration::from_secs(2);

impl From<LogError> for Failure {
    fn from(e: LogError) -> Self {
        match e {
            LogError::Store(e) => e.into(),
            LogError::Outside => Self::not_found("that part of the log"),
            LogError::Forged(_) => Self::new(code::AUDIT_BROKEN, e.to_string())
                .hint("keep a copy of the data as it is: it shows what was changed"),
        }
    }
}

/// The log that a path names, when the caller may see it.
fn named(who: &Principal, log: &str) -> Answer<Name> {
    match log {
        TENANT => Ok(who.tenant.clone()),
        OPERATORS_LOG if who.may(Right::Admin) => Ok(OPERATORS.into()),
        OPERATORS_LOG => Err(Failure::forbidden(Right::Admin)),
        other => Err(Failure::not_found(format_args!("a log `{}`", other.chars().take(80).collect::<String>()))),
    }
}

/// Where it stands, with what was written before.
async fn head(app: &App, who: &Principal, log: &str) -> Answer<LogRow> {
    let tenant = named(who, log)?;
    app.runtime.log().caught_up(PATIENCE).await;
    app.runtime.log().head(&tenant).await?.ok_or_else(|| Failure::not_found("a leaf of this log"))
}

/// The same as witnesses have signed it last.
fn cosigned(log: &Log, row: LogRow) -> Answer<LogRow> {
    let missing = || Failure::not_found("a checkpoint that witnesses have signed");
    let note = row.cosigned.clone().ok_or_else(missing)?;
    let (signed, _) = Checkpoint::verify(&note, &Trust::in_log(log.verifier(&row.tenant)))
        .map_err(|e| Failure::from(LogError::Forged(e.to_string())))?;
    Ok(LogRow { size: signed.size, root: signed.root.0, note, ..row })
}

pub(super) async fn logs(State(app): State<Shared>, who: Principal) -> Answer<Body<AuditLogs>> {
    let log = app.runtime.log();
    log.caught_up(PATIENCE).await;
    let mut items = Vec::new();
    for name in [TENANT, OPERATORS_LOG] {
        let Ok(tenant) = named(&who, name) else { continue };
        let (row, key) = (log.head(&tenant).await?, log.verifier(&tenant));
        let cosigned = row.clone().and_then(|row| cosigned(log, row).ok()).map(|row| row.size);
        items.push(AuditLog {
            log: name.to_owned(),
            origin: key.name().to_owned(),
            key: key.to_string(),
            size: row.as_ref().map_or(0, |row| row.size),
            root: row.as_ref().map_or_else(hash::empty, |row| TreeHash(row.root)).to_string(),
            at: row.as_ref().map(|row| row.at),
            cosigned,
            unread: row.as_ref().map_or(0, |row| row.unread),
        });
    }
    Ok(Body(AuditLogs { items, failing: log.health().failing.map(|e| e.to_string()) }))
}

/// Which checkpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    cosigned: bool,
}

pub(super) async fn checkpoint(
    State(app): State<Shared>,
    who: Principal,
    At(log): At<String>,
    Params(which): Params<Which>,
) -> Answer<impl IntoResponse> {
    let mut row = head(&app, &who, &log).await?;
    if which.cosigned {
        row = cosigned(app.runtime.log(), row)?;
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], row.note))
}

pub(super) async fn tile(
    State(app): State<Shared>,
    who: Principal,
    At((log, path)): At<(String, String)>,
) -> Answer<impl IntoResponse> {
    let tenant = named(&who, &log)?;
    let missing = || Failure::not_found("that tile");
    let tile: Tile = format!("tile/{path}").parse().map_err(|_| missing())?;
    let row = app.runtime.log().head(&tenant).await?.ok_or_else(missing)?;
    let body = app.runtime.log().tile(&row, tile).await?.ok_or_else(missing)?;
    // A tile is what it is for ever; one that is not full is asked for by its width.
    let kept = HeaderValue::from_static("private, max-age=604800, immutable");
    let media = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, kept)], body))
}

/// Which leaf, in which tree.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Included {
    index: u64,
    size: Option<u64>,
}

pub(super) async fn inclusion(
    State(app): State<Shared>,
    who: Principal,
    At(log): At<String>,
    Params(ask): Params<Included>,
) -> Answer<Body<InclusionProof>> {
    let row = head(&app, &who, &log).await?;
    let size = ask.size.unwrap_or(row.size);
    let (leaf, path) = app.runtime.log().inclusion(&row, ask.index, size).await?;
    let checkpoint = (size == row.size).then(|| row.note.clone());
    Ok(Body(InclusionProof {
        index: ask.index,
        size,
        leaf: BASE64_STANDARD.encode(leaf),
        path: texts(&path),
        checkpoint,
    }))
}

/// Between which sizes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consistent {
    old: u64,
    new: Option<u64>,
}

pub(super) async fn consistency(
    State(app): State<Shared>,
    who: Principal,
    At(log): At<String>,
    Params(ask): Params<Consistent>,
) -> Answer<Body<ConsistencyProof>> {
    let row = head(&app, &who, &log).await?;
    let (old, new) = (ask.old, ask.new.unwrap_or(row.size));
    let (old_root, new_root, path) = app.runtime.log().consistency(&row, old, new).await?;
    let (old_root, new_root) = (old_root.to_string(), new_root.to_string());
    Ok(Body(ConsistencyProof { old, old_root, new, new_root, path: texts(&path) }))
}

fn texts(path: &[TreeHash]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

pub(super) async fn verify_run(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
) -> Answer<Body<RunVerification>> {
    let _place = guard::place(&app)?;
    let row = views::own_run(&app, &who, run).await?;
    verify(&app.runtime, &row).await.map(Body)
}
