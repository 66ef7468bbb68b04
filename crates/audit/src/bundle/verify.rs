//! Checks a bundle: the checks of `docs/audit-log.md`, in its order.

use stead_core::{
    id::LeafHash,
    record::{Body, Record},
};

use super::{
    Broken,
    file::{Bundle, Item},
    order::Order,
};
use crate::{
    checkpoint::Checkpoint,
    hash,
    leaf::{Entry, Leaf},
    note::{Cosigned, Trust},
    proof::{self, BadProof},
};

/// What a bundle proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the log has signed.
    pub checkpoint: Checkpoint,
    /// Witnesses that have signed it too.
    pub cosigned: Vec<Cosigned>,
    /// Leaves that are proven.
    pub leaves: u64,
    /// Records and acts that are shown.
    pub records: u64,
    /// Texts of those that are there.
    pub texts: u64,
    /// Texts of those that were erased or withheld.
    pub erased: u64,
    /// Leaves that are acts of operators.
    pub acts: u64,
    /// The runs, and how much of each was there.
    pub runs: Order,
    /// The size of the checkpoint that was kept, when one was given: nothing before it was changed.
    pub held: Option<u64>,
}

/// Verifies a bundle with keys alone, and with a checkpoint that was kept, if there is one: its note.
///
/// # Errors
/// [`Broken`]: the first check that failed.
pub fn verify(file: &[u8], trust: &Trust, held: Option<&str>) -> Result<Report, Broken> {
    let bundle = Bundle::decode(file)?;
    let (checkpoint, cosigned) = Checkpoint::verify(bundle.note, trust)?;
    prove(&bundle, &checkpoint)?;
    let mut report = Report {
        cosigned,
        leaves: bundle.items.len() as u64,
        records: 0,
        texts: 0,
        erased: 0,
        acts: 0,
        runs: Order::default(),
        held: None,
        checkpoint,
    };
    for item in &bundle.items {
        look(item, &mut report)?;
    }
    if let Some(held) = held {
        let (held, _) = Checkpoint::verify(held, &Trust::in_log(trust.log.clone())).map_err(Broken::HeldUntrusted)?;
        link(&bundle, &report.checkpoint, &held)?;
        report.held = Some(held.size);
    }
    Ok(report)
}

fn prove(bundle: &Bundle<'_>, checkpoint: &Checkpoint) -> Result<(), Broken> {
    let size = checkpoint.size;
    if bundle.items.last().is_some_and(|last| last.index >= size) {
        return Err(Broken::Root(BadProof::Outside));
    }
    let leaves: Vec<_> = bundle.items.iter().map(|item| (item.index, hash::leaf(item.leaf))).collect();
    proof::selection(&leaves, size, &bundle.proof, checkpoint.root).map_err(Broken::Root)
}

fn look(item: &Item<'_>, report: &mut Report) -> Result<(), Broken> {
    let index = item.index;
    let entry = Entry::decode(item.leaf).map_err(|why| Broken::Leaf { index, why })?;
    if entry.log() != report.checkpoint.origin {
        return Err(Broken::ForeignLeaf { index, found: entry.log().to_owned() });
    }
    let leaf = match entry {
        Entry::Record(leaf) => leaf,
        Entry::Act(act) => {
            report.runs.pass(index);
            report.acts += 1;
            let shown = item.record.map(|record| act.check(record)).transpose();
            report.records += u64::from(item.record.is_some());
            return shown.map(drop).map_err(|why| Broken::Record { index, why: why.to_string() });
        }
    };
    report.runs.take(index, &leaf).map_err(|why| Broken::Run { index, run: leaf.run, why })?;
    let Some(bytes) = item.record else { return Ok(()) };
    let record = shown(&leaf, bytes).map_err(|why| Broken::Record { index, why })?;
    report.records += 1;
    for payload in &record.payloads {
        let erased = matches!(payload.body, Body::Erased { .. });
        *(if erased { &mut report.erased } else { &mut report.texts }) += 1;
    }
    Ok(())
}

/// The record, when it is that of the leaf.
fn shown(leaf: &Leaf<'_>, bytes: &[u8]) -> Result<Record, String> {
    let (record, hash): (Record, LeafHash) = Record::decode(bytes, leaf.prev).map_err(|bad| bad.to_string())?;
    if hash != leaf.record {
        return Err("it has another hash".to_owned());
    }
    match Leaf::of(leaf.log, bytes, hash, leaf.prev) {
        Ok(of) if of == *leaf => Ok(record),
        Ok(_) => Err("the leaf says other than it".to_owned()),
        Err(bad) => Err(bad.to_string()),
    }
}

fn link(bundle: &Bundle<'_>, own: &Checkpoint, held: &Checkpoint) -> Result<(), Broken> {
    let (size, held_size) = (own.size, held.size);
    if size == held_size {
        return if own.root == held.root { Ok(()) } else { Err(Broken::Forked { size }) };
    }
    if held_size > size {
        return Err(Broken::CutBack { held: held_size, size });
    }
    let link = bundle.links.iter().find(|link| link.size == held_size);
    let link = link.ok_or(Broken::NotLinked { held: held_size, size })?;
    proof::consistency((held_size, held.root), (size, own.root), &link.path).map_err(|why| Broken::BadLink {
        held: held_size,
        size,
        why,
    })
}
