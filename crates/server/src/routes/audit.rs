//! `/v1/audit`: logs, leaves, proofs, tiles and bundles; and whether a run is what the log says. Whoever may read sees the log of their tenant;
//! that of the operators takes the right `admin`.

use std::{collections::BTreeMap, time::Duration};

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
        AuditAct, AuditApproval, AuditDecision, AuditEntries, AuditEntry, AuditLog, AuditLogs, AuditRecord, BUNDLE,
        ConsistencyProof, InclusionProof, MAX_BUNDLE, OPERATORS as OPERATORS_LOG, RunVerification, TENANT,
    },
    right::Right,
};
use stead_audit::{
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    leaf::{Act, Entry},
    note::Trust,
    tile::{Tile, WIDTH},
};
use stead_core::{
    code,
    fact::kind_name,
    id::{EffectId, Name, RunId},
    record::Record,
};
use stead_engine::{Log, LogError, Picked};
use stead_ports::audit::{LogRow, OPERATORS};

use super::views;
use crate::{
    audit::verify,
    auth::Principal,
    http::{
        app::{App, Shared},
        failure::{Answer, Failure},
        guard,
        input::{At, Params, limit},
    },
};

/// How long a reader waits until what was written before is in the log.
const PATIENCE: Duration = Duration::from_secs(2);
/// Records read at once.
const PAGE: u32 = 500;
/// Bytes of records that a bundle shows.
const MAX_SHOWN: usize = 256 << 20;
/// Sizes of checkpoints that a bundle links to.
const MAX_LINKS: usize = 64;

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

/// Which leaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    from: Option<i64>,
    limit: Option<u32>,
    run: Option<RunId>,
}

pub(super) async fn entries(
    State(app): State<Shared>,
    who: Principal,
    At(log): At<String>,
    Params(ask): Params<Listed>,
) -> Answer<Body<AuditEntries>> {
    let limit = limit(ask.limit)?;
    let tenant = named(&who, &log)?;
    if let Some(run) = ask.run {
        views::own_run(&app, &who, run).await?;
    }
    let keeper = app.runtime.log();
    keeper.caught_up(PATIENCE).await;
    let Some(row) = keeper.head(&tenant).await? else {
        return Ok(Body(AuditEntries { items: Vec::new(), next: None, size: 0 }));
    };
    let from = match ask.from.unwrap_or(0) {
        from @ 0.. => from.unsigned_abs(),
        back => row.size.saturating_sub(back.unsigned_abs()),
    };
    let (found, next) = match ask.run {
        None => {
            let found = keeper.entries(&row, from, limit).await?;
            let next = from.saturating_add(limit.into());
            (found, (next < row.size).then_some(next))
        }
        Some(run) => {
            let places = keeper.places(run).await?.into_iter().map(|(_, index)| index);
            let places: Vec<u64> = places.filter(|index| (from..row.size).contains(index)).collect();
            let mut found = Vec::new();
            for index in places.iter().take(limit as usize) {
                found.extend(keeper.entries(&row, *index, 1).await?);
            }
            (found, places.get(limit as usize).copied())
        }
    };
    let mut items = Vec::with_capacity(found.len());
    for (index, leaf) in found {
        items.push(told(keeper, index, &leaf).await?);
    }
    Ok(Body(AuditEntries { items, next, size: row.size }))
}

/// A leaf as the API has it.
pub(crate) async fn told(log: &Log, index: u64, leaf: &[u8]) -> Result<AuditEntry, LogError> {
    let entry = Entry::decode(leaf).map_err(|e| LogError::Forged(e.to_string()))?;
    let mut out = AuditEntry { index, at: entry.at(), hash: hash::leaf(leaf).to_string(), record: None, act: None };
    match entry {
        Entry::Record(leaf) => {
            let effect = |n| EffectId { run: leaf.run, n };
            let verdict = |n: u8| ["allow", "deny", "ask"].get(usize::from(n)).copied().unwrap_or("unknown").to_owned();
            let name = |kind| kind_name(kind).map_or_else(|| format!("kind_{kind}"), str::to_owned);
            out.record = Some(AuditRecord {
                run: leaf.run,
                seq: leaf.seq,
                kinds: leaf.kinds.iter().map(name).collect(),
                decisions: leaf
                    .decisions
                    .iter()
                    .map(|d| AuditDecision { effect: effect(d.effect), verdict: verdict(d.verdict), epoch: d.epoch })
                    .collect(),
                approvals: leaf
                    .approvals
                    .iter()
                    .map(|a| AuditApproval { effect: effect(a.effect), approved: a.approved })
                    .collect(),
                leaf: leaf.record,
            });
        }
        Entry::Act(act) => {
            let body = log.store().find_act(act.id).await?.and_then(|kept| serde_json::from_slice(&kept.body).ok());
            out.act = Some(AuditAct { id: format!("act_{:032x}", act.id), topic: act.topic.to_owned(), body });
        }
    }
    Ok(out)
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

/// Which leaves, and how much of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Bundled {
    run: Option<RunId>,
    from: Option<u64>,
    to: Option<u64>,
    links: Option<String>,
    records: Option<bool>,
    texts: Option<bool>,
    cosigned: bool,
}

pub(super) async fn bundle(
    State(app): State<Shared>,
    who: Principal,
    At(log): At<String>,
    Params(ask): Params<Bundled>,
) -> Answer<impl IntoResponse> {
    let _place = guard::place(&app)?;
    let mut row = head(&app, &who, &log).await?;
    let keeper = app.runtime.log();
    if ask.cosigned {
        row = cosigned(keeper, row)?;
    }
    let (with, texts) = (ask.records.unwrap_or(true), ask.texts.unwrap_or(true));
    let leaves = match ask.run {
        Some(_) if ask.from.is_some() || ask.to.is_some() => {
            return Err(Failure::bad_request("`run` stands alone: `from` and `to` are about the whole log"));
        }
        Some(run) => {
            views::own_run(&app, &who, run).await?;
            of_run(&app, &row, run, with.then_some(texts)).await?
        }
        None => {
            let (from, to) = (ask.from.unwrap_or(0), ask.to.unwrap_or(row.size).min(row.size));
            bounded(to.saturating_sub(from))?;
            of_range(&app, &row, from..to, with.then_some(texts)).await?
        }
    };
    let links = links(ask.links.as_deref().unwrap_or_default(), row.size)?;
    let file = keeper.bundle(Picked { row, leaves, links }).await?;
    let name =
        format!("attachment; filename=\"{}.bundle\"", ask.run.map_or_else(|| log.clone(), |run| run.to_string()));
    Ok(([(header::CONTENT_TYPE, BUNDLE.to_owned()), (header::CONTENT_DISPOSITION, name)], file))
}

fn bounded(leaves: u64) -> Answer<()> {
    if leaves <= MAX_BUNDLE {
        return Ok(());
    }
    Err(Failure::new(code::TOO_LARGE, format!("a bundle has at most {MAX_BUNDLE} leaves, and these are {leaves}"))
        .hint("ask for them in parts: `from` and `to`"))
}

/// The sizes that a bundle links to.
fn links(text: &str, size: u64) -> Answer<Vec<u64>> {
    let mut links = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let link: u64 = word.parse().map_err(|_| Failure::bad_request("`links` is sizes, separated by commas"))?;
        if link < size {
            links.push(link);
        }
    }
    links.sort_unstable();
    links.dedup();
    if links.len() > MAX_LINKS {
        return Err(Failure::bad_request(format!("a bundle links to at most {MAX_LINKS} checkpoints")));
    }
    Ok(links)
}

type Leaves = Vec<(u64, Option<Vec<u8>>)>;

/// The leaves of a run, with its records when they are shown.
async fn of_run(app: &App, row: &LogRow, run: RunId, shown: Option<bool>) -> Answer<Leaves> {
    let places = app.runtime.log().places(run).await?;
    let places: BTreeMap<u64, u64> = places.into_iter().filter(|(_, index)| *index < row.size).collect();
    bounded(places.len() as u64)?;
    let to = places.keys().next_back().map_or(0, |last| last + 1);
    let mut records = records(app, run, shown, to, &mut 0).await?;
    let mut leaves: Leaves = places.into_iter().map(|(seq, index)| (index, records.remove(&seq))).collect();
    leaves.sort_by_key(|(index, _)| *index);
    Ok(leaves)
}

/// Records of a run below a position, by theirs; none when they are not shown. `bytes` counts what is shown in all.
async fn records(
    app: &App,
    run: RunId,
    shown: Option<bool>,
    to: u64,
    bytes: &mut usize,
) -> Answer<BTreeMap<u64, Vec<u8>>> {
    let mut out = BTreeMap::new();
    let Some(texts) = shown else { return Ok(out) };
    let (mut from, mut prev) = (0, stead_core::run::GENESIS);
    while from < to {
        let page = app.runtime.journal().read(run, from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.seq + 1;
        for stored in page {
            let record = if texts { stored.bytes.to_vec() } else { withheld(&stored.bytes, prev)? };
            *bytes += record.len();
            if *bytes > MAX_SHOWN {
                return Err(Failure::new(
                    code::TOO_LARGE,
                    format!("a bundle shows at most {MAX_SHOWN} bytes of records"),
                )
                .hint("ask for fewer leaves, or without records: `records=false`"));
            }
            prev = stored.leaf;
            out.insert(stored.seq, record);
        }
    }
    Ok(out)
}

/// The record with its texts made into erased ones.
fn withheld(bytes: &[u8], prev: stead_core::id::LeafHash) -> Answer<Vec<u8>> {
    let bad = |e: stead_core::record::BadRecord| Failure::new(code::QUARANTINED, e.to_string());
    let (mut record, leaf) = Record::decode(bytes, prev).map_err(bad)?;
    record.erase_texts();
    let encoded = record.encode(prev);
    // A record of a later release has what this one does not know, and would be another.
    if encoded.leaf == leaf {
        return Ok(encoded.bytes.to_vec());
    }
    Err(Failure::new(code::INTERNAL, "the texts of a record cannot be withheld by this release"))
}

/// Leaves from an index to another, with records and acts when they are shown.
async fn of_range(app: &App, row: &LogRow, range: std::ops::Range<u64>, shown: Option<bool>) -> Answer<Leaves> {
    let log = app.runtime.log();
    let (mut leaves, mut from) = (Leaves::new(), range.start);
    let mut runs: BTreeMap<RunId, Vec<(u64, usize)>> = BTreeMap::new();
    while from < range.end {
        let page = log.entries(row, from, u32::from(WIDTH)).await?;
        for (index, leaf) in page.into_iter().filter(|(index, _)| range.contains(index)) {
            let entry = Entry::decode(&leaf).map_err(|e| Failure::from(LogError::Forged(e.to_string())))?;
            let mut record = None;
            match entry {
                Entry::Record(leaf) => runs.entry(leaf.run).or_default().push((leaf.seq, leaves.len())),
                Entry::Act(act) if shown.is_some() => {
                    record = log.store().find_act(act.id).await?.map(|kept| Act::shown(&kept.salt, &kept.body));
                }
                Entry::Act(_) => {}
            }
            leaves.push((index, record));
        }
        from = from.saturating_add(WIDTH.into());
    }
    if shown.is_some() {
        let mut bytes = 0;
        for (run, places) in runs {
            let to = places.iter().map(|(seq, _)| seq + 1).max().unwrap_or(0);
            let mut records = records(app, run, shown, to, &mut bytes).await?;
            for (seq, at) in places {
                leaves[at].1 = records.remove(&seq);
            }
        }
    }
    Ok(leaves)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_sizes_below_the_checkpoint_in_order() {
        let ok = |text: &str| links(text, 10).ok();
        assert_eq!(ok(""), Some(vec![]));
        assert_eq!(ok("7,3,3,12"), Some(vec![3, 7]));
        assert_eq!(ok("x"), None);
    }
}
