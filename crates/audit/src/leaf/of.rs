//! The leaf that follows from a record, by the numbers of the journal's format: nothing is looked up, and kinds of facts that this release
//! does not know are no error.

use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

use super::{Approval, Decision, Kinds, Leaf};
use crate::cbor::{Malformed, Reader};

const EFFECT_DECIDED: u8 = 7;
const APPROVAL_GIVEN: u8 = 9;

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
