//! Attacks on a log of which somebody has kept a checkpoint. Each gives a bundle, which must not verify. A *clumsy* attacker
//! changes a file; a *thief* has the log's key, makes the whole tree anew and signs it.

use stead_audit::{
    bundle::{Bundle, Item, Link, Shown, make, verify},
    checkpoint::Checkpoint,
    leaf::{Leaf, NONE_BEFORE},
    prove,
    tree::Tree,
};
use stead_core::{id::LeafHash, record::Record};

use super::history::{Log, ORIGIN, Seeded, leaves, tree};

/// What an attack is called, for the count of each.
pub const NAMES: [&str; 9] = [
    "flip",
    "delete",
    "swap",
    "truncate",
    "thief deletes",
    "thief swaps",
    "thief truncates",
    "thief forks",
    "thief backdates",
];

/// A log that was honest until now, and the checkpoint that was kept of it.
#[derive(Debug)]
pub struct Target {
    log: Log,
    tree: Tree,
    held_size: u64,
    held: String,
}

impl Target {
    /// A log of `n` leaves, of which a checkpoint somewhere in it was kept.
    pub fn new(n: usize, seeded: &mut Seeded) -> Self {
        let log = Log::new(n, 5, seeded);
        let held_size = 2 + seeded.below(n - 1);
        let held = log.checkpoint(&tree(&log.shown[..held_size])).to_string();
        Self { tree: tree(&log.shown), held_size: held_size as u64, held, log }
    }

    /// The bundle of some leaves as an honest server gives it.
    fn honest(&mut self, some: &[Shown]) -> Vec<u8> {
        let (note, size) = (self.log.cosigned(&self.tree), self.tree.size());
        // A checkpoint of the same size needs no link.
        let link: &[u64] = if self.held_size < size { &[self.held_size] } else { &[] };
        let Ok(file) = make(&mut self.tree, &note, size, some, link);
        file
    }

    fn some(&self, seeded: &mut Seeded) -> Vec<Shown> {
        let some: Vec<_> = self.log.shown.iter().filter(|_| seeded.below(4) == 0).cloned().collect();
        if some.len() < 2 { self.log.shown.clone() } else { some }
    }

    /// Whether what an honest server gives is believed: else attacks that are found would show nothing.
    pub fn honest_is_believed(&mut self, seeded: &mut Seeded) -> bool {
        let some = self.some(seeded);
        let file = self.honest(&some);
        verify(&file, &self.log.trust(1), Some(&self.held)).is_ok()
    }

    /// Makes attack number `kind` of [`NAMES`], and whether it is found.
    pub fn is_found(&mut self, kind: usize, seeded: &mut Seeded) -> bool {
        let (file, quorum) = match kind {
            0..=3 => (self.clumsy(kind, seeded), 1),
            // What a witness would notice is not asked for: the kept checkpoint alone must do.
            _ => (self.thief(kind, seeded), 0),
        };
        verify(&file, &self.log.trust(quorum), Some(&self.held)).is_err()
    }

    fn clumsy(&mut self, kind: usize, seeded: &mut Seeded) -> Vec<u8> {
        let some = self.some(seeded);
        let mut file = self.honest(&some);
        if kind == 0 {
            let bit = seeded.below(file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            return file;
        }
        let mut bundle = Bundle::decode(&file).expect("an honest one");
        let at = seeded.below(bundle.items.len() - 1);
        match kind {
            1 => drop(bundle.items.remove(at)),
            2 => {
                let (left, right) = bundle.items.split_at_mut(at + 1);
                swap(&mut left[at], &mut right[0]);
            }
            _ => bundle.items.truncate(at),
        }
        bundle.encode()
    }

    /// Somebody who has the log's key changes what was before the kept checkpoint, makes everything after fit, and signs.
    fn thief(&mut self, kind: usize, seeded: &mut Seeded) -> Vec<u8> {
        let held = self.held_size as usize;
        let mut forged = self.log.shown.clone();
        let at = seeded.below(held);
        match kind {
            4 => drop(forged.remove(at)),
            5 => {
                let other = (at + 1 + seeded.below(held - 1)) % held;
                forged.swap(at, other);
            }
            // At least one leaf before the kept checkpoint is gone.
            6 => forged.truncate(at),
            7 => rewrite(&mut forged, at, |record| record.header.salt[0] ^= 1),
            _ => rewrite(&mut forged, at, |record| record.header.at.0 -= 1),
        }
        for (index, shown) in forged.iter_mut().enumerate() {
            shown.index = index as u64;
        }
        let mut other = tree(&forged);
        let (size, root) = (other.size(), other.root());
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root, extensions: vec![] };
        let note = checkpoint.sign(&self.log.log).expect("the stolen key").to_string();
        let items = forged
            .iter()
            .map(|shown| Item { index: shown.index, leaf: &shown.leaf, record: shown.record.as_deref() })
            .collect();
        // The best there is: the proof of the true log, or that of the forged one.
        let from = if seeded.below(2) == 0 { &mut self.tree } else { &mut other };
        let (old, new) = (self.held_size.min(size), self.held_size.max(size).min(from.size()));
        let Ok(path) = prove::consistency(from, old, new.max(old));
        let links = if size == self.held_size { vec![] } else { vec![Link { size: self.held_size, path }] };
        Bundle { note: &note, items, proof: vec![], links }.encode()
    }
}

fn swap<'a>(a: &mut Item<'a>, b: &mut Item<'a>) {
    std::mem::swap(&mut a.leaf, &mut b.leaf);
    std::mem::swap(&mut a.record, &mut b.record);
}

/// Changes one record, and all later ones of its run so that they chain.
fn rewrite(shown: &mut Vec<Shown>, at: usize, change: impl Fn(&mut Record)) {
    let prev = |shown: &Shown| -> LeafHash { Leaf::decode(&shown.leaf).map_or(NONE_BEFORE, |leaf| leaf.prev) };
    let mut records: Vec<Record> = shown
        .iter()
        .map(|shown| Record::decode(shown.record.as_deref().unwrap_or_default(), prev(shown)).expect("a record").0)
        .collect();
    change(&mut records[at]);
    *shown = leaves(ORIGIN, &records);
}
