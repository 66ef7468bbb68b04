//! An act: what an operator did, as the log of operators says it. The act itself, with who did what to whom, is behind a hash over random
//! bytes.

use sha2::{Digest, Sha256};
use stead_core::time::Timestamp;

use super::{MAX_LEN, VERSION};
use crate::cbor::{Malformed, Reader, Writer};

/// The number of this kind of leaf.
pub(super) const WHAT: u8 = 1;
/// Bytes of a topic.
pub const MAX_TOPIC: usize = 64;

/// What the log says of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act<'a> {
    /// The origin of the log in which it stands.
    pub log: &'a str,
    /// Its own id.
    pub id: u128,
    /// When it was done.
    pub at: Timestamp,
    /// The hash of what was done: see [`Act::hash`].
    pub act: [u8; 32],
    /// What kind of thing it is, in a word.
    pub topic: &'a str,
}

/// An act that is shown and is not the one of its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAct {
    /// It cannot be read.
    #[error("it is no act: {0}")]
    Malformed(#[from] Malformed),
    /// It has another hash.
    #[error("it has another hash")]
    Hash,
}

/// Whether that can be a topic: 1 to [`MAX_TOPIC`] of `a` to `z`, digits, `_` and `.`.
pub fn is_topic(topic: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.');
    (1..=MAX_TOPIC).contains(&topic.len()) && topic.bytes().all(plain)
}

impl<'a> Act<'a> {
    /// `SHA-256("stead/act/v1" || id || at || length of topic || topic || salt || body)`: what stands in the leaf of an act.
    pub fn hash(id: u128, at: Timestamp, topic: &str, salt: &[u8; 16], body: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"stead/act/v1")
            .chain_update(id.to_be_bytes())
            .chain_update(at.0.to_be_bytes())
            .chain_update((topic.len() as u64).to_be_bytes())
            .chain_update(topic)
            .chain_update(salt)
            .chain_update(body)
            .finalize()
            .into()
    }

    /// The bytes that show an act in a bundle: `[salt, body]`.
    pub fn shown(salt: &[u8; 16], body: &[u8]) -> Vec<u8> {
        let mut w = Writer::default();
        w.array(2).bytes(salt).bytes(body);
        w.0
    }

    /// The body of an act that is shown, when it is the one of this leaf.
    ///
    /// # Errors
    /// [`BadAct`] when it is not.
    pub fn check<'b>(&self, shown: &'b [u8]) -> Result<&'b [u8], BadAct> {
        let mut r = Reader::new(shown);
        if r.array()? != 2 {
            return Err(r.bad("not an act").into());
        }
        let (salt, body) = (r.fixed()?, r.bytes()?);
        r.end()?;
        if Self::hash(self.id, self.at, self.topic, &salt, body) == self.act { Ok(body) } else { Err(BadAct::Hash) }
    }

    /// The leaf's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer(Vec::with_capacity(160));
        w.array(7).uint(VERSION).uint(WHAT.into()).text(self.log).bytes(&self.id.to_be_bytes()).int(self.at.0);
        w.bytes(&self.act).text(self.topic);
        w.0
    }

    /// Reads a leaf. Only the bytes that [`Act::encode`] writes are read.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if bytes.len() > MAX_LEN {
            return Err(r.bad("longer than a leaf can be"));
        }
        if r.array()? != 7 || r.uint()? != VERSION || r.uint()? != u64::from(WHAT) {
            return Err(r.bad("not a leaf of version 1 about an act"));
        }
        let act = Self {
            log: r.text()?,
            id: u128::from_be_bytes(r.fixed()?),
            at: Timestamp(r.int()?),
            act: r.fixed()?,
            topic: r.text()?,
        };
        r.end()?;
        if is_topic(act.topic) { Ok(act) } else { Err(r.bad("not a topic")) }
    }
}
