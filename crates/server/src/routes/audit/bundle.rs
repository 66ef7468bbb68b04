//! `/v1/audit/{log}/bundle`: a file with leaves, records and proofs, which is verified without the server.

use std::collections::BTreeMap;

use axum::{extract::State, http::header, response::IntoResponse};
use serde::Deserialize;
use stead_api::audit::{BUNDLE, MAX_BUNDLE};
use stead_audit::{
    leaf::{Act, Entry},
    tile::WIDTH,
};
use stead_core::{code, id::RunId, record::Record};
use stead_engine::{LogError, Picked};
use stead_ports::audit::LogRow;

use super::{cosigned, head};
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        failure::{Answer, Failure},
        guard,
        input::{At, Params},
    },
    routes::views,
};

/// Records read at once.
const PAGE: u32 = 500;
/// Bytes of records that a bundle shows.
const MAX_SHOWN: usize = 256 << 20;
/// Sizes of checkpoints that a bundle links to.
const MAX_LINKS: usize = 64;

/// Which leaves, and how much of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::routes) struct Bundled {
    run: Option<RunId>,
    from: Option<u64>,
    to: Option<u64>,
    links: Option<String>,
    records: Option<bool>,
    texts: Option<bool>,
    cosigned: bool,
}

pub(in crate::routes) async fn bundle(
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
