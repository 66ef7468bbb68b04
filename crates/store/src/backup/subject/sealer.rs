//! Rows on their way into a backup: what is a person's is sealed. A record goes twice: without its texts, in the clear, as an erasure
//! would leave it; and whole, sealed. So who has the key gets the record, and who has not gets what proves the chain all the same.

use std::sync::Arc;

use bytes::Bytes;
use minicbor::{Encoder, bytes::ByteSlice};
use stead_core::{
    id::{BlobId, LeafHash, Name, RunId},
    record,
    run::GENESIS,
};
use stead_ports::{
    erasure::ERASED_TITLE,
    journal::StoreError,
    objects::{Lead, Leads},
};

use super::{Owners, envelope::seal_for};
use crate::{
    backup::table::{BLOBS, CASSETTES, INBOX, OBJECTS, RECORDS, RUNS, SESSIONS, Value, fixed, number},
    blob::BlobKey,
    objects,
    pack::{pack, unpack},
    seal::{Ring, is_sealed, open_record, place::Place, seal_record},
};

/// See the module.
pub(crate) struct Sealer {
    owners: Owners,
    /// The keys of an encrypted store: a record must be read to be parted from its texts.
    ring: Option<Arc<Ring>>,
    leads: Leads,
    /// The run whose records are coming, and the hash of its last.
    last: Option<([u8; 16], LeafHash)>,
}

impl Sealer {
    pub(crate) fn new(owners: Owners, ring: Option<Arc<Ring>>, leads: Leads) -> Self {
        Self { owners, ring, leads, last: None }
    }

    /// Objects of a tenant that must be read before the content of workspaces is sealed: what they are says whose the others are. Asked
    /// until there are none.
    pub(crate) fn wanted(&self) -> Option<(String, Vec<[u8; 32]>)> {
        self.owners.wanted().map(|(tenant, ids)| (tenant.to_owned(), ids))
    }

    /// Rows of these, as they are kept: id, codec, length, body. What cannot be read leads to nothing.
    pub(crate) fn found(&mut self, key: &BlobKey, tenant: &str, rows: Vec<([u8; 32], i16, i64, Vec<u8>)>) {
        let tenant = Name::from(tenant);
        let open = |(id, codec, length, body)| {
            let plain = objects::unpack(self.ring.as_deref(), key, &tenant, BlobId(id), (codec, length, body));
            Some((id, plain.ok()?))
        };
        let contents = rows.into_iter().filter_map(open).collect();
        self.owners.found(&self.leads, &contents);
    }

    /// Seals a row of a section.
    pub(crate) fn seal(&mut self, section: u8, row: &mut Vec<Value>) -> Result<(), StoreError> {
        match section {
            SESSIONS => {
                let sealed = match (fixed(&row[0]), &row[1], &row[3]) {
                    (Some(session), Value::Text(tenant), Value::Text(key)) => {
                        let owners = self.owners.session(&session, tenant);
                        Value::Bytes(seal_for(&owners, &Place::SessionKey { session }, key.as_bytes())?.into())
                    }
                    _ => Value::Null,
                };
                row[3] = Value::Null;
                row.push(sealed);
            }
            RUNS => {
                let sealed = self.run(row)?;
                row.push(sealed);
            }
            RECORDS => {
                let sealed = self.record(row)?;
                row.push(sealed);
            }
            INBOX => {
                let effect = number(&row[2]).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
                let (to, from) = (run_id(&row[0]), run_id(&row[1]));
                let place = Place::Message { to, from, effect };
                let (receiver, sender) = (self.owners.run(to), self.owners.run(from));
                // It goes with the texts of either, so both keys are needed.
                let sealed = seal_for(&[sender], &place, bytes(&row[3]))?;
                let sealed = if receiver.id == sender.id { sealed } else { seal_for(&[receiver], &place, &sealed)? };
                row[3] = Value::Bytes(sealed.into());
            }
            BLOBS | OBJECTS => {
                let id: [u8; 32] = fixed(&row[0]).unwrap_or_default();
                let Value::Text(tenant) = &row[1] else { return Ok(()) };
                let owners =
                    if section == BLOBS { self.owners.blob(&id, tenant) } else { self.owners.object(&id, tenant) };
                let place = content(id, &row[2], &row[3]);
                row[4] = Value::Bytes(seal_for(&owners, &place, bytes(&row[4]))?.into());
            }
            section if section == CASSETTES.number => {
                let run = run_id(&row[0]);
                let place = Place::Piece { run, at: number(&row[1]).unwrap_or(-1) };
                row[2] = Value::Bytes(seal_for(&[self.owners.run(run)], &place, bytes(&row[2]))?.into());
            }
            _ => {}
        }
        Ok(())
    }

    /// Title, idempotency key and the hash of its request.
    fn run(&self, row: &mut [Value]) -> Result<Value, StoreError> {
        let Value::Text(title) = &row[6] else { return Ok(Value::Null) };
        let idempotency = if let Value::Text(key) = &row[7] { Some(key.as_str()) } else { None };
        if title == ERASED_TITLE && idempotency.is_none() {
            return Ok(Value::Null);
        }
        let request = if let Value::Bytes(hash) = &row[8] { Some(<&ByteSlice>::from(&hash[..])) } else { None };
        let mut plain = Vec::new();
        Encoder::new(&mut plain).encode((title, idempotency, request)).expect("encodes to memory");
        let run = run_id(&row[0]);
        let sealed = seal_for(&[self.owners.run(run)], &Place::Row { run }, &plain)?;
        row[6] = Value::Text(ERASED_TITLE.into());
        (row[7], row[8]) = (Value::Null, Value::Null);
        Ok(Value::Bytes(sealed.into()))
    }

    /// The record without its texts takes its own place; itself it is sealed.
    fn record(&mut self, row: &mut [Value]) -> Result<Value, StoreError> {
        let (id, stored) = (fixed::<16>(&row[0]).unwrap_or_default(), owned(&row[3]));
        let (run, seq) = (RunId(u128::from_be_bytes(id)), number(&row[1]).unwrap_or(-1).cast_unsigned());
        let prev = match self.last {
            Some((last, leaf)) if last == id => leaf,
            _ => GENESIS,
        };
        self.last = Some((id, LeafHash(fixed(&row[2]).unwrap_or_default())));
        let plain = match &self.ring {
            Some(ring) => open_record(ring, run, seq, &stored),
            None => unpack(stored.to_vec()),
        };
        self.owners.leads(run, (self.leads.0)(Lead::Record, &plain));
        let body = match record::erased(&plain, prev) {
            Ok(bare) if !bare.changed => return Ok(Value::Null),
            Ok(bare) => {
                bare.blobs.iter().for_each(|blob| self.owners.names(run, blob.0));
                self.kept(run, seq, &stored, pack(bare.bytes))?
            }
            // What cannot be read cannot be parted: all of it may be a text.
            Err(_) => Bytes::new(),
        };
        row[3] = Value::Bytes(body);
        let place = Place::Record { run, seq };
        Ok(Value::Bytes(seal_for(&[self.owners.run(run)], &place, &stored)?.into()))
    }

    /// The same as the store would keep it: sealed, where the record was.
    fn kept(&self, run: RunId, seq: u64, stored: &Bytes, bare: Bytes) -> Result<Bytes, StoreError> {
        match &self.ring {
            Some(ring) if is_sealed(stored) => {
                let tenant = Name::from(self.owners.run(run).tenant.as_str());
                seal_record(ring, &tenant, run, seq, &bare)
            }
            _ => Ok(bare),
        }
    }
}

/// The place of a long text or of content of a workspace.
pub(super) fn content(id: [u8; 32], codec: &Value, len: &Value) -> Place<'static> {
    let codec = number(codec).and_then(|n| i16::try_from(n).ok()).unwrap_or(-1);
    Place::Content { id: BlobId(id), codec, len: number(len).unwrap_or(-1) }
}

pub(super) fn run_id(value: &Value) -> RunId {
    RunId(fixed::<16>(value).map_or(0, u128::from_be_bytes))
}

pub(super) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn owned(value: &Value) -> Bytes {
    match value {
        Value::Bytes(bytes) => bytes.clone(),
        _ => Bytes::new(),
    }
}
