//! A leaf: what the log says of one record of a run. It follows from the record alone, so nobody can write one that says another
//! thing. The record itself, its texts and names, are behind hashes.

use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

use crate::cbor::{Malformed, Reader, Writer};

/// The version that is written and read.
pub const VERSION: u64 = 1;

/// Bytes of a leaf: what an entry bundle can hold.
pub const MAX_LEN: usize = u16::MAX as usize;

/// Decisions of one leaf, and approvals. A reply of a model has at most 128 calls.
pub const MAX_LISTED: u64 = 1024;

/// The hash to which the first record of a run chains.
pub const NONE_BEFORE: LeafHash = LeafHash([0; 32]);

const EFFECT_DECIDED: u8 = 7;
const APPROVAL_GIVEN: u8 = 9;
/// `RunCompleted`, `RunFailed`, `RunCancelled`.
const ENDS: [u8; 3] = [23, 24, 25];

/// What the log says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The origin of the log in which it stands.
    pub log: &'a str,
    /// The run.
    pub run: RunId,
    /// The record's position in the run.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The hash of the run's record before; [`NONE_BEFORE`] for the first.
    pub prev: LeafHash,
    /// The hash of the record.
    pub record: LeafHash,
    /// Kinds of its facts.
    pub kinds: Kinds,
    /// What was decided about effects, in order.
    pub decisions: Vec<Decision>,
    /// What people answered about effects, in order.
    pub approvals: Vec<Approval>,
}

/// What a policy decision point said of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The effect's ordinal in its run.
    pub effect: u32,
    /// 0 allowed, 1 denied, 2 a human is asked.
    pub verdict: u8,
    /// The epoch of the policy set; `None` where none was asked.
    pub epoch: Option<u64>,
}

/// What a person said of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The effect's ordinal in its run.
    pub effect: u32,
    /// Approved, or denied.
    pub approved: bool,
}

/// A set of kinds of facts, by their numbers in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([u64; 4]);

impl Kinds {
    /// Adds one.
    pub fn insert(&mut self, kind: u8) {
        self.0[usize::from(kind >> 6)] |= 1 << (kind & 63);
    }

    /// Whether it is there.
    pub const fn contains(&self, kind: u8) -> bool {
        self.0[(kind >> 6) as usize] & 1 << (kind & 63) != 0
    }

    /// Whether a record with these ends its run.
    pub fn end_run(&self) -> bool {
        ENDS.iter().any(|kind| self.contains(*kind))
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let all = *self;
        (0..=u8::MAX).filter(move |kind| all.contains(*kind))
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

impl<'a> Leaf<'a> {
    /// The leaf of a record: its bytes as the journal has them, its hash, and that of the run's record before. The hash is
    /// believed; [`stead_core::record::Record::decode`] computes it.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are no record of version 1, or say more than a leaf can hold.
    pub fn of(log: &'a str, record: &[u8], hash: LeafHash, prev: LeafHash) -> Result<Self, Malformed> {
        let mut r = Reader::new(record);
        if r.array()? != 3 {
            return Err(r.bad("not a record"));
        }
        let fields = r.array()?;
        if fields < 4 || r.uint()? != 1 {
            return Err(r.bad("not a header of version 1"));
        }
        let (run, seq, at) = (RunId(u128::from_be_bytes(r.fixed()?)), r.uint()?, Timestamp(r.int()?));
        (4..fields).try_for_each(|_| r.skip())?;
        let mut leaf = Self {
            log,
            run,
            seq,
            at,
            prev,
            record: hash,
            kinds: Kinds::default(),
            decisions: Vec::new(),
            approvals: Vec::new(),
        };
        for _ in 0..r.array()? {
            leaf.hear(&mut r)?;
        }
        leaf.check(&r)?;
        Ok(leaf)
    }

    /// Reads one fact: `[kind, [struct]]`.
    fn hear(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        if r.array()? != 2 {
            return Err(r.bad("not a fact"));
        }
        let kind: u8 = r.small()?;
        self.kinds.insert(kind);
        if !matches!(kind, EFFECT_DECIDED | APPROVAL_GIVEN) {
            return r.skip();
        }
        let more = r.array()?;
        let fields = if more == 0 { 0 } else { r.array()? };
        if fields < 2 {
            return Err(r.bad("a fact with too few fields"));
        }
        let effect = r.small()?;
        let mut read = 2;
        if kind == APPROVAL_GIVEN {
            self.approvals.push(Approval { effect, approved: r.bool()? });
        } else {
            let verdict = r.small()?;
            (2..fields.min(4)).try_for_each(|_| r.skip())?;
            // Field 4 is `ruled`, whose first is the epoch.
            let epoch = if fields < 5 || r.null() { None } else { Some(first_of(r)?) };
            read = fields.min(5).max(read);
            self.decisions.push(Decision { effect, verdict, epoch });
        }
        (read..fields).try_for_each(|_| r.skip())?;
        (1..more).try_for_each(|_| r.skip())
    }

    /// What holds for every leaf beyond its encoding.
    fn check(&self, r: &Reader<'_>) -> Result<(), Malformed> {
        if self.kinds == Kinds::default() {
            return Err(r.bad("a leaf without a fact"));
        }
        if self.decisions.len().max(self.approvals.len()) as u64 > MAX_LISTED {
            return Err(r.bad("more decisions or approvals than a leaf can hold"));
        }
        if (self.seq == 0) != (self.prev == NONE_BEFORE) {
            return Err(r.bad("the hash before is not that of this position"));
        }
        if self.decisions.iter().any(|decision| decision.verdict > 2) {
            return Err(r.bad("no such verdict"));
        }
        Ok(())
    }

    /// The leaf's bytes: what is hashed, and what an entry bundle has.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer(Vec::with_capacity(192));
        let fields = if !self.approvals.is_empty() { 11 } else { 9 + u64::from(!self.decisions.is_empty()) };
        w.array(fields).uint(VERSION).uint(0).text(self.log).bytes(&self.run.0.to_be_bytes());
        w.uint(self.seq).int(self.at.0).bytes(&self.prev.0).bytes(&self.record.0).array(self.kinds.len());
        for kind in self.kinds.iter() {
            w.uint(kind.into());
        }
        if self.decisions.is_empty() && !self.approvals.is_empty() {
            w.null();
        } else if !self.decisions.is_empty() {
            w.array(self.decisions.len() as u64);
        }
        for Decision { effect, verdict, epoch } in &self.decisions {
            w.array(2 + u64::from(epoch.is_some())).uint((*effect).into()).uint((*verdict).into());
            if let Some(epoch) = epoch {
                w.uint(*epoch);
            }
        }
        if !self.approvals.is_empty() {
            w.array(self.approvals.len() as u64);
        }
        for Approval { effect, approved } in &self.approvals {
            w.array(2).uint((*effect).into()).bool(*approved);
        }
        w.0
    }

    /// Reads a leaf. Only the bytes that [`Leaf::encode`] writes are read.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if bytes.len() > MAX_LEN {
            return Err(r.bad("longer than a leaf can be"));
        }
        let fields = r.array()?;
        if !(9..=11).contains(&fields) || r.uint()? != VERSION || r.uint()? != 0 {
            return Err(r.bad("not a leaf of version 1 about a record"));
        }
        let mut leaf = Self {
            log: r.text()?,
            run: RunId(u128::from_be_bytes(r.fixed()?)),
            seq: r.uint()?,
            at: Timestamp(r.int()?),
            prev: LeafHash(r.fixed()?),
            record: LeafHash(r.fixed()?),
            kinds: kinds(&mut r)?,
            decisions: Vec::new(),
            approvals: Vec::new(),
        };
        if fields > 9 && !(fields == 11 && r.null()) {
            leaf.decisions = listed(&mut r, |r, fields| {
                let (effect, verdict) = (r.small()?, r.small()?);
                let epoch = if fields == 3 { Some(r.uint()?) } else { None };
                Ok(Decision { effect, verdict, epoch })
            })?;
        }
        if fields > 10 {
            leaf.approvals = listed(&mut r, |r, fields| {
                if fields != 2 {
                    return Err(r.bad("not an approval"));
                }
                Ok(Approval { effect: r.small()?, approved: r.bool()? })
            })?;
        }
        r.end()?;
        leaf.check(&r)?;
        Ok(leaf)
    }
}

/// The first field of a struct, an unsigned integer.
fn first_of(r: &mut Reader<'_>) -> Result<u64, Malformed> {
    let fields = r.array()?;
    if fields == 0 {
        return Err(r.bad("a struct without its first field"));
    }
    let first = r.uint()?;
    (1..fields).try_for_each(|_| r.skip())?;
    Ok(first)
}

fn kinds(r: &mut Reader<'_>) -> Result<Kinds, Malformed> {
    let (mut kinds, mut next) = (Kinds::default(), 0_u16);
    for _ in 0..r.array()? {
        let kind: u8 = r.small()?;
        if u16::from(kind) < next {
            return Err(r.bad("kinds are not ascending"));
        }
        next = u16::from(kind) + 1;
        kinds.insert(kind);
    }
    Ok(kinds)
}

/// A list that is there: not empty, each member an array of 2 or 3.
fn listed<'a, T>(
    r: &mut Reader<'a>,
    one: impl Fn(&mut Reader<'a>, u64) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let n = r.array()?;
    if !(1..=MAX_LISTED).contains(&n) {
        return Err(r.bad("an empty list, or one that is too long"));
    }
    (0..n)
        .map(|_| {
            let fields = r.array()?;
            if matches!(fields, 2 | 3) { one(r, fields) } else { Err(r.bad("not a member of this list")) }
        })
        .collect()
}
