//! Makes leaves and tiles of what was written, in the order in which it was. Nothing is read or written here.

use std::collections::{BTreeMap, HashMap, HashSet};

use stead_audit::{
    checkpoint::Checkpoint,
    hash::{self, TreeHash},
    leaf::{Act, Leaf},
    tile::{self, Holds, WIDTH},
};
use stead_core::{
    code,
    id::{Name, RunId},
    time::Timestamp,
};
use stead_ports::{
    audit::{ENTRIES, Integration, LogChange, LogRow, OPERATORS, Span, Unsequenced},
    journal::StoreError,
};

use super::head::Head;

/// Logs that are in memory, by tenant.
pub(super) type Heads = HashMap<Name, Head>;

/// What a log gets.
#[derive(Default)]
struct Gets {
    hashes: Vec<TreeHash>,
    bundles: Vec<(u64, Vec<u8>)>,
    spans: HashMap<RunId, Span>,
    unread: u64,
}

/// The log of something.
pub(super) fn tenant_of(one: &Unsequenced) -> Name {
    match one {
        Unsequenced::Record { tenant, .. } => tenant.clone(),
        Unsequenced::Act { .. } => OPERATORS.into(),
    }
}

/// Appends everything to its log, all of which are in `heads`, and tells what becomes of them. After an error they are not what
/// they were.
pub(super) fn prepare(found: Vec<Unsequenced>, heads: &mut Heads, now: Timestamp) -> Result<Integration, StoreError> {
    let (mut out, mut gets) = (Integration::default(), BTreeMap::<Name, Gets>::new());
    for one in found {
        let tenant = tenant_of(&one);
        let head = heads.get_mut(&tenant).expect("it was loaded");
        let gets = gets.entry(tenant).or_default();
        match one {
            Unsequenced::Record { place, run, seq, prev, leaf, bytes, .. } => {
                out.records.push(place);
                let origin = head.signer.verifier().name().to_owned();
                // One that cannot be read has no leaf, and so has none that follows it: its run is set aside by whoever reads it.
                let made = Leaf::of(&origin, &bytes, leaf, prev).ok().filter(|of| (of.run, of.seq) == (run, seq));
                match made.filter(|_| !head.unread.contains(&run)) {
                    Some(made) => {
                        let index = head.edge.size() + gets.hashes.len() as u64;
                        let span = gets.spans.entry(run).or_insert_with(|| Span { run, seq, indexes: Vec::new() });
                        span.indexes.push(index);
                        put(head, gets, &made.encode())?;
                    }
                    None => {
                        tracing::error!(%run, seq, "a record cannot be read, and is not in the audit log");
                        gets.unread += 1;
                        head.unread.insert(run);
                    }
                }
            }
            Unsequenced::Act { place, act } => {
                out.acts.push(place);
                let hash = Act::hash(act.id, act.at, &act.topic, &act.salt, &act.body);
                let log = head.signer.verifier().name().to_owned();
                let leaf = Act { log: &log, id: act.id, at: act.at, act: hash, topic: &act.topic }.encode();
                put(head, gets, &leaf)?;
            }
        }
    }
    out.records.sort_unstable();
    out.acts.sort_unstable();
    for (tenant, gets) in gets {
        let head = heads.get_mut(&tenant).expect("it was loaded");
        out.logs.push(change(tenant, head, gets, now)?);
    }
    Ok(out)
}

/// Puts a leaf behind the others.
fn put(head: &mut Head, gets: &mut Gets, leaf: &[u8]) -> Result<(), StoreError> {
    let index = head.edge.size() + gets.hashes.len() as u64;
    let entry = tile::bundle([leaf]).map_err(|e| full(&e.to_string()))?;
    head.bundle.extend_from_slice(&entry);
    gets.hashes.push(hash::leaf(leaf));
    if (index + 1).is_multiple_of(WIDTH.into()) {
        gets.bundles.push((index / u64::from(WIDTH), std::mem::take(&mut head.bundle)));
    }
    Ok(())
}

fn full(why: &str) -> StoreError {
    StoreError { code: code::INTERNAL, detail: format!("the audit log cannot go on: {why}") }
}

fn change(tenant: Name, head: &mut Head, gets: Gets, now: Timestamp) -> Result<LogChange, StoreError> {
    let written = head.edge.append(&gets.hashes).map_err(|e| full(&e.to_string()))?;
    let mut tiles = Vec::with_capacity(written.len() + gets.bundles.len() + 1);
    for (tile, body) in written {
        let Holds::Hashes(level) = tile.holds() else { continue };
        tiles.push((level, tile.index(), body.into()));
    }
    tiles.extend(gets.bundles.into_iter().map(|(index, body)| (ENTRIES, index, body.into())));
    let (size, root) = (head.edge.size(), head.edge.root());
    if !head.bundle.is_empty() && !gets.hashes.is_empty() {
        tiles.push((ENTRIES, size / u64::from(WIDTH), head.bundle.clone().into()));
    }
    let origin = head.signer.verifier().name().to_owned();
    let note = Checkpoint { origin, size, root, extensions: Vec::new() }.sign(&head.signer);
    let note = note.map_err(|e| full(&e.to_string()))?.to_string();
    let before = head.row.take();
    let unread = before.as_ref().map_or(0, |row| row.unread) + gets.unread;
    let now = LogRow { tenant, size, root: root.0, note, at: now, unread, cosigned: None };
    head.row = Some(now.clone());
    let was = before.map(|row| (row.size, row.root));
    Ok(LogChange { was, now, tiles, spans: gets.spans.into_values().collect() })
}

/// Runs of which records come that do not begin them, where some of the log could not be read before: whether it was one of theirs must be
/// looked up.
pub(super) fn doubtful(found: &[Unsequenced], heads: &Heads) -> Vec<(Name, RunId, u64)> {
    let mut first = HashSet::new();
    found
        .iter()
        .filter_map(|one| {
            let Unsequenced::Record { tenant, run, seq, .. } = one else { return None };
            let unread = heads.get(tenant)?.row.as_ref()?.unread > 0;
            (first.insert(*run) && unread && *seq > 0).then(|| (tenant.clone(), *run, *seq))
        })
        .collect()
}
