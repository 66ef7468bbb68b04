//! The bytes of a leaf: one way to write each, and no other is read.

use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

use super::{Approval, Decision, Kinds, Leaf, MAX_LEN, MAX_LISTED, NONE_BEFORE, VERSION};
use crate::cbor::{Malformed, Reader, Writer};

impl<'a> Leaf<'a> {
    /// What holds for every leaf beyond its encoding.
    pub(super) fn check(&self, r: &Reader<'_>) -> Result<(), Malformed> {
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
