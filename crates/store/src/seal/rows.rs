//! Which parts of the port's types are sealed, and of a backup's rows. What cannot be opened stays as it is stored: reading it as
//! a record then fails, and its run alone is set aside, as with any other damage.
//!
//! The functions that open tell whether every key was there.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use stead_core::{
    code,
    id::{BlobId, Name, RunId, VersionId},
};
use stead_ports::{
    journal::{Append, InboxRow, OpenedRun, RunRow, Snapshot, StoreError, StoredRecord, VersionRow},
    policies::{NewPolicy, PolicyRow},
};

use super::{
    key::{DataKey, WrappedKey},
    place::Place,
    ring::{Opened, Ring, is_sealed, is_sealed_text},
};
use crate::{
    backup::table::{BLOBS, INBOX, OBJECTS, POLICIES, RECORDS, RUNS, VERSIONS, Value, fixed, number},
    blob::Packed,
    pack::unpack,
};

/// What a list shows instead of a title that cannot be opened.
const SHUT_TITLE: &str = "(cannot be decrypted)";

/// Whose keys an append needs.
pub(crate) fn tenants(append: &Append) -> BTreeSet<&Name> {
    append.blobs.iter().map(|b| &b.tenant).chain([&append.tenant]).collect()
}

/// Seals an append, whose record and blobs are packed.
pub(crate) fn seal_append(ring: &Ring, append: &mut Append, blobs: &mut [Packed]) -> Result<(), StoreError> {
    let key = ring.expect(&append.tenant)?;
    let place = Place::Record { run: append.run, seq: append.seq };
    append.record = key.seal_for(&place, &append.record)?.into();
    for (blob, packed) in append.blobs.iter().zip(blobs) {
        // All are of one tenant, as good as always.
        let other = if blob.tenant == append.tenant { None } else { Some(ring.expect(&blob.tenant)?) };
        seal_content(other.as_deref().unwrap_or(&key), blob.id, packed)?;
    }
    let Some(index) = append.index.as_deref_mut() else { return Ok(()) };
    if let Some(new) = &mut index.create {
        new.title = key.seal_text(&Place::Title { run: append.run }, &new.title)?;
    }
    for row in &mut index.send {
        let place = Place::Message { to: row.to, from: row.from, effect: row.effect };
        row.body = key.seal_for(&place, &row.body)?.into();
    }
    Ok(())
}

/// Seals a record, packed, that takes the place of another.
pub(crate) fn seal_record(
    ring: &Ring,
    tenant: &Name,
    run: RunId,
    seq: u64,
    packed: &[u8],
) -> Result<Bytes, StoreError> {
    Ok(ring.expect(tenant)?.seal_for(&Place::Record { run, seq }, packed)?.into())
}

/// Seals contents of one tenant, packed.
pub(crate) fn seal_contents(ring: &Ring, tenant: &Name, contents: &mut [(BlobId, Packed)]) -> Result<(), StoreError> {
    let key = ring.expect(tenant)?;
    contents.iter_mut().try_for_each(|(id, packed)| seal_content(&key, *id, packed))
}

fn seal_content(key: &DataKey, id: BlobId, packed: &mut Packed) -> Result<(), StoreError> {
    let place = Place::Content { id, codec: packed.codec, len: packed.len };
    packed.body = key.seal_for(&place, &packed.body)?.into();
    packed.codec += Packed::SEALED;
    Ok(())
}

pub(crate) fn seal_snapshot(ring: &Ring, tenant: &Name, run: RunId, s: &mut Snapshot) -> Result<(), StoreError> {
    s.body = ring.expect(tenant)?.seal_for(&Place::Snapshot { run, seq: s.seq }, &s.body)?.into();
    Ok(())
}

pub(crate) fn seal_version(ring: &Ring, row: &mut VersionRow) -> Result<(), StoreError> {
    let place = Place::Version { agent: &row.agent, version: row.version };
    row.body = ring.expect(&row.tenant)?.seal_for(&place, &row.body)?.into();
    Ok(())
}

pub(crate) fn seal_policy(ring: &Ring, set: &mut NewPolicy) -> Result<(), StoreError> {
    let place = Place::Policy { digest: set.digest };
    set.body = ring.expect(&set.tenant)?.seal_for(&place, &set.body)?.into();
    Ok(())
}

pub(crate) fn open_records(ring: &Ring, run: RunId, records: &mut [StoredRecord]) -> bool {
    records.iter_mut().fold(true, |known, record| {
        let place = Place::Record { run, seq: record.seq };
        known & open(ring, None, &place, &mut record.bytes, unpack)
    })
}

/// Opens one record.
pub(crate) fn open_one(ring: &Ring, run: RunId, seq: u64, bytes: &mut Bytes) -> bool {
    open(ring, None, &Place::Record { run, seq }, bytes, unpack)
}

/// A record as it was encoded.
pub(crate) fn open_record(ring: &Ring, run: RunId, seq: u64, stored: &Bytes) -> Bytes {
    match ring.open(None, &Place::Record { run, seq }, stored) {
        Opened::Text(packed) => unpack(packed),
        Opened::Plain | Opened::NoKey | Opened::Shut => unpack(stored.to_vec()),
    }
}

pub(crate) fn open_run(ring: &Ring, row: &mut RunRow) -> bool {
    match ring.open_text(Some(&row.tenant), &Place::Title { run: row.id }, &row.title) {
        Opened::Plain => true,
        Opened::NoKey => false,
        Opened::Text(text) => {
            row.title = String::from_utf8_lossy(&text).into_owned();
            true
        }
        // One row must not make a whole list unreadable.
        Opened::Shut => {
            row.title = SHUT_TITLE.into();
            true
        }
    }
}

/// Opens all of a loaded run.
pub(crate) fn open_all(ring: &Ring, run: RunId, opened: &mut OpenedRun) -> bool {
    let snapshot = opened.snapshot.as_mut().is_none_or(|s| open_snapshot(ring, run, s));
    let records = open_records(ring, run, &mut opened.records);
    open_run(ring, &mut opened.row) & snapshot & records
}

pub(crate) fn open_snapshot(ring: &Ring, run: RunId, snapshot: &mut Snapshot) -> bool {
    open(ring, None, &Place::Snapshot { run, seq: snapshot.seq }, &mut snapshot.body, Bytes::from)
}

pub(crate) fn open_message(ring: &Ring, row: &mut InboxRow) -> bool {
    let place = Place::Message { to: row.to, from: row.from, effect: row.effect };
    open(ring, None, &place, &mut row.body, Bytes::from)
}

pub(crate) fn open_version(ring: &Ring, row: &mut VersionRow) -> bool {
    let (tenant, agent) = (row.tenant.clone(), row.agent.clone());
    let place = Place::Version { agent: &agent, version: row.version };
    open(ring, Some(&tenant), &place, &mut row.body, Bytes::from)
}

pub(crate) fn open_policy(ring: &Ring, row: &mut PolicyRow) -> bool {
    let (tenant, place) = (row.tenant.clone(), Place::Policy { digest: row.digest });
    open(ring, Some(&tenant), &place, &mut row.body, Bytes::from)
}

fn open(ring: &Ring, tenant: Option<&str>, place: &Place<'_>, body: &mut Bytes, then: fn(Vec<u8>) -> Bytes) -> bool {
    match ring.open(tenant, place, body) {
        Opened::Text(text) => {
            *body = then(text);
            true
        }
        Opened::NoKey => false,
        Opened::Plain | Opened::Shut => true,
    }
}

/// Opens a content's packed body, so that it can be unpacked. None when its key is not here.
pub(crate) fn open_content(
    ring: &Ring,
    tenant: &Name,
    id: BlobId,
    (codec, len, body): (i16, i64, Vec<u8>),
) -> Option<(i16, i64, Vec<u8>)> {
    if codec < Packed::SEALED {
        return Some((codec, len, body));
    }
    let place = Place::Content { id, codec: codec - Packed::SEALED, len };
    match ring.open(Some(tenant), &place, &body) {
        Opened::Text(plain) => Some((codec - Packed::SEALED, len, plain)),
        Opened::NoKey => None,
        // With this codec it is no content of anything.
        Opened::Plain | Opened::Shut => Some((codec, len, body)),
    }
}

/// Rows of a backup on their way into a store that is encrypted: what was not sealed before is sealed now.
#[derive(Debug)]
pub(crate) struct WayIn {
    ring: std::sync::Arc<Ring>,
    /// Whose each run is: records and messages do not say it.
    tenants: HashMap<[u8; 16], Name>,
    /// Keys that were made on the way.
    fresh: Vec<WrappedKey>,
}

impl WayIn {
    pub(crate) fn new(ring: std::sync::Arc<Ring>) -> Self {
        Self { ring, tenants: HashMap::new(), fresh: Vec::new() }
    }

    /// Keys that the store must keep besides the backup's.
    pub(crate) fn into_fresh(self) -> Vec<WrappedKey> {
        self.fresh
    }

    /// Seals rows of a section.
    pub(crate) fn seal(&mut self, section: u8, rows: &mut [Vec<Value>]) -> Result<(), StoreError> {
        rows.iter_mut().try_for_each(|row| self.row(section, row))
    }

    fn row(&mut self, section: u8, row: &mut [Value]) -> Result<(), StoreError> {
        let ulid = |value: &Value| fixed::<16>(value).map(|id| RunId(u128::from_be_bytes(id))).ok_or_else(odd);
        match section {
            VERSIONS => {
                let (key, agent) = (self.key(&row[0])?, text(&row[1])?.to_owned());
                let version = VersionId(fixed(&row[2]).ok_or_else(odd)?);
                seal_value(&key, &Place::Version { agent: &agent, version }, &mut row[3])
            }
            RUNS => {
                let run = ulid(&row[0])?;
                self.tenants.insert(run.0.to_be_bytes(), Name::from(text(&row[2])?));
                let key = self.key(&row[2])?;
                let title = text(&row[6])?;
                if !is_sealed_text(title) {
                    row[6] = Value::Text(key.seal_text(&Place::Title { run }, title)?);
                }
                Ok(())
            }
            RECORDS => {
                let (run, seq) = (ulid(&row[0])?, number(&row[1]).ok_or_else(odd)?.unsigned_abs());
                let key = self.key_of_run(run)?;
                seal_value(&key, &Place::Record { run, seq }, &mut row[3])
            }
            INBOX => {
                let (to, from) = (ulid(&row[0])?, ulid(&row[1])?);
                let effect = number(&row[2]).and_then(|n| u32::try_from(n).ok()).ok_or_else(odd)?;
                let key = self.key_of_run(from)?;
                seal_value(&key, &Place::Message { to, from, effect }, &mut row[3])
            }
            BLOBS | OBJECTS => {
                let id = BlobId(fixed(&row[0]).ok_or_else(odd)?);
                let codec = number(&row[2]).and_then(|n| i16::try_from(n).ok()).ok_or_else(odd)?;
                let len = number(&row[3]).ok_or_else(odd)?;
                if codec < Packed::SEALED {
                    let key = self.key(&row[1])?;
                    let Value::Bytes(body) = &row[4] else { return Err(odd()) };
                    row[4] = Value::Bytes(key.seal_for(&Place::Content { id, codec, len }, body)?.into());
                    row[2] = Value::Int((codec + Packed::SEALED).into());
                }
                Ok(())
            }
            POLICIES => {
                let (key, digest) = (self.key(&row[0])?, fixed(&row[2]).ok_or_else(odd)?);
                seal_value(&key, &Place::Policy { digest }, &mut row[3])
            }
            _ => Ok(()),
        }
    }

    fn key(&mut self, tenant: &Value) -> Result<std::sync::Arc<DataKey>, StoreError> {
        let tenant = Name::from(text(tenant)?);
        self.key_of(&tenant)
    }

    fn key_of_run(&mut self, run: RunId) -> Result<std::sync::Arc<DataKey>, StoreError> {
        let tenant = self.tenants.get(&run.0.to_be_bytes()).cloned().ok_or_else(odd)?;
        self.key_of(&tenant)
    }

    fn key_of(&mut self, tenant: &Name) -> Result<std::sync::Arc<DataKey>, StoreError> {
        if let Some(key) = self.ring.current(tenant) {
            return Ok(key);
        }
        let row = self.ring.fresh(tenant)?;
        self.ring.learn("the restore", std::slice::from_ref(&row))?;
        self.fresh.push(row);
        self.ring.expect(tenant)
    }
}

fn seal_value(key: &DataKey, place: &Place<'_>, value: &mut Value) -> Result<(), StoreError> {
    let Value::Bytes(body) = value else { return Err(odd()) };
    if !is_sealed(body) {
        *body = key.seal_for(place, body)?.into();
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str, StoreError> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(odd()),
    }
}

/// A checker has looked at the row before.
fn odd() -> StoreError {
    StoreError { code: code::BACKUP_DAMAGED, detail: "the backup: a row belongs to no run or tenant".into() }
}
