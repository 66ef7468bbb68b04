//! The envelope: what one append writes, how it is encoded, and how it chains.
//!
//! One append of a run is one [`Record`]: a header, the facts, and the payloads the facts point into. The encoding is
//! CBOR (RFC 8949) with numbered fields as `#[n(..)]` says: a number is never reused, a new field is optional, an
//! unknown field is skipped. `docs/journal-format.md` is the normative text, `tests/golden` its vectors.
//!
//! Facts carry only control fields. Text (prompts, replies, tool results) is a [`Payload`], which the fold stores
//! by handle and never reads: erasing the text of a payload leaves every fold and every hash as it was, because the
//! hash covers a salted *commitment* to the payload.

use std::borrow::Cow;

use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    artifact::Artifact,
    fact::Fact,
    id::{ActivationId, BlobId, LeafHash, Name, RunId},
    time::Timestamp,
};

/// The envelope version this release writes; a reader refuses a higher one.
pub const VERSION: u8 = 1;

/// Bytes up to which a payload stays in the record; longer ones become blobs.
pub const INLINE_MAX: usize = 4096;

/// Who caused a record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The runtime itself.
    #[n(0)]
    Runtime,
    /// A person or program with a token: its subject.
    #[n(1)]
    User(#[n(0)] Name),
    /// Another run: the parent, or a sender.
    #[n(2)]
    Run(#[n(0)] RunId),
}

/// Who said a payload's text. A payload without a label is untrusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Source {
    /// The agent's owner: instructions, manifest.
    #[n(0)]
    Operator,
    /// The person or program that started or answers the run.
    #[n(1)]
    User,
    /// A model.
    #[n(2)]
    Model,
    /// A tool's result.
    #[n(3)]
    Tool,
    /// The runtime (errors, notices).
    #[n(4)]
    Runtime,
    /// Another agent's run.
    #[n(5)]
    Agent,
}

/// Text by value or by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// At most [`INLINE_MAX`] bytes, in the record.
    Inline(Bytes),
    /// A blob of `len` bytes; with a preview, the model sees that instead of the whole.
    Blob {
        /// Its address within the tenant.
        id: BlobId,
        /// Its length in bytes, before compression.
        len: u64,
        /// What the model sees instead, when the content is over the tool's cap.
        preview: Option<Bytes>,
    },
    /// Erased; only the commitment remains.
    Erased {
        /// What [`Payload::commitment`] was before.
        commitment: [u8; 32],
    },
}

/// One sealed text of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The text.
    pub body: Body,
    /// Who said it; `None` is untrusted.
    pub source: Option<Source>,
    /// Files that came with it. They are erased with the text.
    pub artifacts: Vec<Artifact>,
    /// Random bytes that blind the commitment beside the record's salt, and are erased with the text: without them no text can be
    /// guessed from a commitment that stays. Only in a record; a folded state has none. Records of before format 9 have none either.
    pub blind: Option<[u8; 16]>,
}

impl Payload {
    /// A payload without files.
    pub const fn new(body: Body, source: Option<Source>) -> Self {
        Self { body, source, artifacts: Vec::new(), blind: None }
    }

    /// The same without what blinds it, as a state keeps it.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.blind = None;
        self
    }

    /// Erases the text, with its files and what blinded it; its commitment stays. False when it was erased before.
    pub fn erase(&mut self, salt: &[u8; 16], index: u16) -> bool {
        if matches!(self.body, Body::Erased { .. }) {
            return false;
        }
        self.body = Body::Erased { commitment: self.commitment(salt, index) };
        self.artifacts = Vec::new();
        self.blind = None;
        true
    }

    /// A payload kept in the record.
    pub fn inline(text: impl Into<Bytes>, source: Source) -> Self {
        Self::new(Body::Inline(text.into()), Some(source))
    }

    /// Bytes the model would read of it.
    pub fn shown_len(&self) -> u64 {
        match &self.body {
            Body::Inline(b) => b.len() as u64,
            Body::Blob { preview: Some(p), .. } => p.len() as u64,
            Body::Blob { len, .. } => *len,
            Body::Erased { .. } => 0,
        }
    }

    /// `SHA-256("stead/payload/v1" || salt || index || kind || content or address)`: what the leaf hash covers. With random bytes of
    /// its own it is `SHA-256("stead/payload/v2" || salt || those || index || …)`.
    /// For a blob that is its address, its length, and its preview with one byte before it that says whether
    /// there is one: what the model was shown is as binding as the whole. Files that came with the text are bound by
    /// a hash over that one.
    pub fn commitment(&self, salt: &[u8; 16], index: u16) -> [u8; 32] {
        let text = self.text_commitment(salt, index);
        if self.artifacts.is_empty() || matches!(self.body, Body::Erased { .. }) {
            return text;
        }
        let mut h = Sha256::new().chain_update(b"stead/artifacts/v1").chain_update(text);
        for artifact in &self.artifacts {
            for word in [&artifact.name, &artifact.media] {
                h.update((word.len() as u64).to_be_bytes());
                h.update(word.as_bytes());
            }
            h.update(artifact.len.to_be_bytes());
            h.update(artifact.digest);
            h.update(artifact.blob.0);
        }
        h.finalize().into()
    }

    fn text_commitment(&self, salt: &[u8; 16], index: u16) -> [u8; 32] {
        let h = match &self.blind {
            None => Sha256::new().chain_update(b"stead/payload/v1").chain_update(salt),
            Some(blind) => Sha256::new().chain_update(b"stead/payload/v2").chain_update(salt).chain_update(blind),
        };
        let h = h.chain_update(index.to_be_bytes());
        match &self.body {
            Body::Inline(b) => h.chain_update([0]).chain_update(b).finalize().into(),
            Body::Blob { id, len, preview } => {
                let h = h.chain_update([1]).chain_update(id.0).chain_update(len.to_be_bytes());
                match preview {
                    Some(p) => h.chain_update([1]).chain_update(p).finalize().into(),
                    None => h.chain_update([0]).finalize().into(),
                }
            }
            Body::Erased { commitment } => *commitment,
        }
    }
}

impl<C> Encode<C> for Payload {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        // [kind, source, ...]; the length of the array tells which optional parts follow.
        let more = if self.blind.is_some() { 2 } else { u64::from(!self.artifacts.is_empty()) };
        match &self.body {
            Body::Inline(b) => e.array(3 + more)?.u8(0)?.encode_with(self.source, ctx)?.bytes(b)?,
            Body::Blob { id, len, preview } => {
                let e = e.array(5 + more)?.u8(1)?.encode_with(self.source, ctx)?.encode_with(id, ctx)?.u64(*len)?;
                match preview {
                    Some(p) => e.bytes(p)?,
                    None => e.null()?,
                }
            }
            Body::Erased { commitment } => {
                e.array(3)?.u8(2)?.encode_with(self.source, ctx)?.bytes(commitment)?;
                return Ok(());
            }
        };
        if !self.artifacts.is_empty() {
            e.encode_with(&self.artifacts, ctx)?;
        } else if more > 0 {
            e.null()?;
        }
        if let Some(blind) = &self.blind {
            e.bytes(blind)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Payload {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let bad = |m| decode::Error::message(m).at(at);
        let len = d.array()?.ok_or_else(|| bad("payload of indefinite length"))?;
        let kind = d.u8()?;
        let source = d.decode_with(ctx)?;
        let (body, used) = match kind {
            0 => (Body::Inline(Bytes::copy_from_slice(d.bytes()?)), 3),
            1 => {
                let (id, n) = (d.decode_with(ctx)?, d.u64()?);
                let preview = d.decode_with::<C, Option<&minicbor::bytes::ByteSlice>>(ctx)?;
                (Body::Blob { id, len: n, preview: preview.map(|p| Bytes::copy_from_slice(p)) }, 5)
            }
            2 => {
                let c = d.bytes()?.try_into().map_err(|_| bad("commitment is not 32 bytes"))?;
                (Body::Erased { commitment: c }, 3)
            }
            _ => return Err(bad("unknown payload kind")),
        };
        if len < used {
            return Err(bad("payload with too few parts"));
        }
        let mut rest = used..len;
        let (mut artifacts, mut blind) = (Vec::new(), None);
        if kind != 2 && rest.next().is_some() {
            let listed = d.decode_with::<C, Option<Vec<Artifact>>>(ctx)?;
            if listed.as_ref().is_some_and(Vec::is_empty) {
                return Err(bad("an empty list of files"));
            }
            artifacts = listed.unwrap_or_default();
        }
        if kind != 2 && rest.next().is_some() {
            let bytes = d.decode_with::<C, Option<&minicbor::bytes::ByteSlice>>(ctx)?;
            let sixteen = |b: &minicbor::bytes::ByteSlice| {
                b[..].try_into().map_err(|_| bad("what blinds a text is not 16 bytes"))
            };
            blind = bytes.map(sixteen).transpose()?;
        }
        for _ in rest {
            d.skip()?;
        }
        Ok(Self { body, source, artifacts, blind })
    }
}

/// Everything about a record but its facts and texts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Header {
    /// Envelope version, [`VERSION`].
    #[n(0)]
    pub v: u8,
    /// The run.
    #[n(1)]
    pub run: RunId,
    /// Position in the run, from 0 without gaps.
    #[n(2)]
    pub seq: u64,
    /// When it was decided; never decreases within a run.
    #[n(3)]
    pub at: Timestamp,
    /// The activation that decided it.
    #[n(4)]
    pub activation: ActivationId,
    /// The owner's epoch; a store refuses a record of an old one.
    #[n(5)]
    pub epoch: u64,
    /// The tenant.
    #[n(6)]
    pub tenant: Name,
    /// Who caused it.
    #[n(7)]
    pub actor: Actor,
    /// Random bytes that blind the commitments.
    #[n(8)]
    #[cbor(with = "minicbor::bytes")]
    pub salt: [u8; 16],
    /// The key under which payloads are encrypted, when the subject has one.
    #[n(9)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_key: Option<u64>,
}

/// One append of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The envelope.
    pub header: Header,
    /// What happened, in order.
    pub facts: Vec<Fact>,
    /// The texts the facts point into by index.
    pub payloads: Vec<Payload>,
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// Written by a newer release.
    #[error("record has envelope version {found}, this release reads up to {VERSION}")]
    Newer {
        /// The version found.
        found: u8,
    },
    /// Not a record.
    #[error("record is damaged: {0}")]
    Damaged(#[from] decode::Error),
    /// Something follows the record.
    #[error("trailing bytes after the record")]
    Trailing,
}

/// A record as bytes, with the hash that the next one chains to.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// CBOR, as stored.
    pub bytes: Bytes,
    /// The leaf hash.
    pub leaf: LeafHash,
}

impl Record {
    /// Encodes the record and computes its leaf hash over the one before it.
    pub fn encode(&self, prev: LeafHash) -> Encoded {
        let mut buf = Vec::with_capacity(320);
        let mut e = Encoder::new(&mut buf);
        // Writing to a Vec cannot fail; a failure would be a bug in this file.
        e.array(3).and_then(|e| e.encode(&self.header)).and_then(|e| e.encode(&self.facts)).expect("encodes to memory");
        let control = buf.len();
        Encoder::new(&mut buf).encode(&self.payloads).expect("encodes to memory");
        let leaf = leaf_hash(prev, &buf[..control], &self.payloads, &self.header.salt);
        Encoded { bytes: buf.into(), leaf }
    }

    /// Reads a record and computes its leaf hash over `prev`.
    ///
    /// # Errors
    /// [`BadRecord`] when the bytes are damaged or written by a newer release.
    pub fn decode(bytes: &[u8], prev: LeafHash) -> Result<(Self, LeafHash), BadRecord> {
        let mut d = Decoder::new(bytes);
        if d.array()? != Some(3) {
            return Err(decode::Error::message("not an array of three").into());
        }
        // The version stands first in the header, so that a newer record is told from a damaged one.
        let mut probe = d.clone();
        probe.array()?;
        let found = probe.u8()?;
        if found > VERSION {
            return Err(BadRecord::Newer { found });
        }
        let header: Header = d.decode()?;
        let facts = d.decode()?;
        let control = d.position();
        let payloads: Vec<Payload> = d.decode()?;
        if d.position() != bytes.len() {
            return Err(BadRecord::Trailing);
        }
        let leaf = leaf_hash(prev, &bytes[..control], &payloads, &header.salt);
        Ok((Self { header, facts, payloads }, leaf))
    }

    /// Erases all texts; facts, hashes and what follows from them stay. How many were there.
    pub fn erase_texts(&mut self) -> usize {
        let salt = self.header.salt;
        self.payloads.iter_mut().enumerate().filter_map(|(i, p)| p.erase(&salt, i as u16).then_some(())).count()
    }

    /// Blobs that its texts and files stand in.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        self.payloads.iter().filter(|p| !matches!(p.body, Body::Erased { .. })).flat_map(|payload| {
            let own = match &payload.body {
                Body::Blob { id, .. } => Some(*id),
                _ => None,
            };
            own.into_iter().chain(payload.artifacts.iter().map(|artifact| artifact.blob))
        })
    }

    /// The text of payload `index`, when it is inline.
    pub fn inline_text(&self, index: u16) -> Option<Cow<'_, str>> {
        match &self.payloads.get(usize::from(index))?.body {
            Body::Inline(b) => Some(String::from_utf8_lossy(b)),
            _ => None,
        }
    }
}

/// A record whose texts are erased.
#[derive(Clone, Debug)]
pub struct Bare {
    /// Its bytes: header and facts exactly as they were.
    pub bytes: Bytes,
    /// Its leaf hash, which is as before.
    pub leaf: LeafHash,
    /// Blobs that the texts stood in.
    pub blobs: Vec<BlobId>,
    /// Texts that it has not any more, those that were erased before included.
    pub texts: usize,
    /// Whether there was any left to erase.
    pub changed: bool,
}

/// Erases all texts of a record, whatever of its header and facts this release knows: those bytes stay as they are.
///
/// # Errors
/// [`BadRecord`] as [`Record::decode`].
pub fn erased(bytes: &[u8], prev: LeafHash) -> Result<Bare, BadRecord> {
    let (mut record, leaf) = Record::decode(bytes, prev)?;
    let blobs = record.blobs().collect();
    let changed = record.erase_texts() > 0;
    let mut d = Decoder::new(bytes);
    d.array()?;
    d.skip()?;
    d.skip()?;
    let mut out = bytes[..d.position()].to_vec();
    Encoder::new(&mut out).encode(&record.payloads).expect("encodes to memory");
    Ok(Bare { bytes: out.into(), leaf, blobs, texts: record.payloads.len(), changed })
}

/// `SHA-256(0x00 || prev || length of control || control || (label || commitment)*)`: control is the record's bytes
/// before its payloads, 0x00 is RFC 6962's leaf prefix. The label stands outside the commitment, so that it still
/// counts when the text is erased.
fn leaf_hash(prev: LeafHash, control: &[u8], payloads: &[Payload], salt: &[u8; 16]) -> LeafHash {
    let mut h = Sha256::new()
        .chain_update([0])
        .chain_update(prev.0)
        .chain_update((control.len() as u64).to_be_bytes())
        .chain_update(control);
    for (i, p) in payloads.iter().enumerate() {
        h.update([p.source.map_or(0xff, |s| s as u8)]);
        h.update(p.commitment(salt, i as u16));
    }
    LeafHash(h.finalize().into())
}
