//! Histories of made-up runs, and logs of them: the same seed gives the same bytes. For tests, vectors and figures.

use stead_audit::{
    bundle::Shown,
    checkpoint::Checkpoint,
    hash,
    key::{Role, SignerKey},
    leaf::{Leaf, NONE_BEFORE},
    note::{Note, Trust},
    tree::Tree,
};
use stead_core::{
    fact::{ApprovalGiven, EffectDecided, EffectIntended, Fact, PlanDrawn, RunCompleted, Verdict},
    id::{ActivationId, LeafHash, RunId},
    record::{Actor, Body, Header, Payload, Record, Source, VERSION},
    ruling::Ruled,
    time::Timestamp,
};

/// The log of the tests.
pub const ORIGIN: &str = "stead.example/audit/acme";
/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000_000;
/// The same in seconds.
pub const NEW_YEAR_S: u64 = 1_767_225_600;

/// A sequence that looks random (splitmix64), and is the same everywhere.
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }
}

/// A key out of a sequence.
pub fn key(name: &str, role: Role, seeded: &mut Seeded) -> SignerKey {
    SignerKey::from_seed(name, role, seeded.bytes::<32>().into()).expect("a name")
}

/// Records of `runs` runs, `n` in all, in an order in which a journal could have taken them.
pub fn records(n: usize, runs: usize, seeded: &mut Seeded) -> Vec<Record> {
    let mut next: Vec<(RunId, u64)> =
        (0..runs).map(|_| (RunId(0x019b_76da_a800 << 80 | u128::from(seeded.next())), 0)).collect();
    (0..n)
        .map(|i| {
            let which = seeded.below(next.len());
            let (run, seq) = &mut next[which];
            let mut record = record(*run, *seq, NEW_YEAR + i as i64 * 1_000, seeded);
            // Some end, and another begins in its place.
            if *seq > 2 && seeded.below(8) == 0 {
                record.facts.push(Fact::RunCompleted(RunCompleted { turns: 1 }));
                next[which] = (RunId(0x019b_76da_a801 << 80 | u128::from(seeded.next())), 0);
            } else {
                *seq += 1;
            }
            record
        })
        .collect()
}

fn record(run: RunId, seq: u64, at: i64, seeded: &mut Seeded) -> Record {
    let effect = seeded.below(9) as u32 + 1;
    let mut facts = vec![Fact::PlanDrawn(PlanDrawn { turn: seq as u32, payload: 0 })];
    if seeded.below(2) == 0 {
        let verdict = [Verdict::Allow, Verdict::Deny, Verdict::Ask][seeded.below(3)];
        let ruled = (seeded.below(2) == 0)
            .then(|| Box::new(Ruled { epoch: seeded.below(400) as u64, by: vec!["refunds".into()], why: None }));
        let (code, payload, rewritten, plan) = (None, None, None, None);
        facts.push(Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled, rewritten, plan }));
    }
    if seeded.below(4) == 0 {
        let (note, roles) = ((seeded.below(2) == 0).then_some(1), vec![]);
        facts.push(Fact::ApprovalGiven(ApprovalGiven {
            effect,
            approved: true,
            by: "user:ada".into(),
            note,
            roles,
            later: None,
            signed: None,
        }));
        facts.push(Fact::EffectIntended(EffectIntended { effect, activation: ActivationId(7), attempt: 1 }));
    }
    let text =
        |what: &str, seeded: &mut Seeded| format!("{what} {}: refund order {}", seeded.below(99), seeded.below(9999));
    Record {
        header: Header {
            v: VERSION,
            run,
            seq,
            at: Timestamp(at),
            activation: ActivationId(7),
            epoch: 3,
            tenant: "acme".into(),
            actor: Actor::Runtime,
            salt: seeded.bytes(),
            subject_key: None,
        },
        facts,
        payloads: vec![
            Payload::inline(text("step", seeded), Source::Model),
            Payload::inline(text("note", seeded), Source::User),
        ],
    }
}

/// The leaves of records, with the records: what an integrator would write.
pub fn leaves(log: &str, records: &[Record]) -> Vec<Shown> {
    let mut before = std::collections::BTreeMap::new();
    records
        .iter()
        .enumerate()
        .map(|(index, record)| {
            let prev = before.get(&record.header.run).copied().unwrap_or(NONE_BEFORE);
            let encoded = record.encode(prev);
            before.insert(record.header.run, encoded.leaf);
            let leaf = Leaf::of(log, &encoded.bytes, encoded.leaf, prev).expect("a record has a leaf").encode();
            Shown { index: index as u64, leaf, record: Some(encoded.bytes.to_vec()) }
        })
        .collect()
}

/// The record with one of its texts withheld.
pub fn withhold(record: &[u8], prev: LeafHash, text: usize) -> Vec<u8> {
    let (mut record, _) = Record::decode(record, prev).expect("a record");
    let commitment = record.payloads[text].commitment(&record.header.salt, text as u16);
    record.payloads[text].body = Body::Erased { commitment };
    record.encode(prev).bytes.to_vec()
}

/// A log, its keys, and what it has.
#[derive(Debug)]
pub struct Log {
    pub log: SignerKey,
    pub witness: SignerKey,
    pub shown: Vec<Shown>,
}

impl Log {
    pub fn new(n: usize, runs: usize, seeded: &mut Seeded) -> Self {
        Self {
            log: key(ORIGIN, Role::Log, seeded),
            witness: key("witness.example/w1", Role::Witness, seeded),
            shown: leaves(ORIGIN, &records(n, runs, seeded)),
        }
    }

    /// The log's key alone, or with a witness.
    pub fn trust(&self, quorum: usize) -> Trust {
        Trust { log: self.log.verifier().clone(), witnesses: vec![self.witness.verifier().clone()], quorum }
    }

    /// The checkpoint of such leaves, signed by the log.
    pub fn checkpoint(&self, tree: &Tree) -> Note {
        let (size, root) = (tree.size(), tree.root());
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root, extensions: vec![] };
        checkpoint.sign(&self.log).expect("the log's own")
    }

    /// The same, signed by the witness too.
    pub fn cosigned(&self, tree: &Tree) -> Note {
        let mut note = self.checkpoint(tree);
        note.cosign(&self.witness, NEW_YEAR_S);
        note
    }
}

/// The tree of such leaves.
pub fn tree(shown: &[Shown]) -> Tree {
    let mut tree = Tree::default();
    tree.extend(shown.iter().map(|shown| hash::leaf(&shown.leaf)));
    tree
}
