//! Rows on their way out of a backup: what is sealed is opened with the keys that are there. What has no key comes as an erasure would
//! leave it, or not at all, and it is told of which runs that is.

use std::collections::{BTreeMap, HashMap};

use minicbor::{Decoder, bytes::ByteVec};
use stead_core::id::RunId;
use stead_ports::journal::StoreError;

use super::{
    KeyId, KeySet, SubjectKey,
    envelope::{Opened, open_with},
    sealer::{bytes, content, run_id},
};
use crate::{
    backup::{
        chunk::Head,
        read::damaged,
        table::{BLOBS, CASSETTES, INBOX, OBJECTS, RECORDS, RUNS, SESSIONS, Value, fixed, has_seal, number},
    },
    seal::place::Place,
};

/// What had no key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shut {
    /// Runs of which something was not opened, each with the key that it takes.
    pub(crate) runs: BTreeMap<RunId, KeyId>,
    /// Their records with texts.
    pub records: u64,
    /// Long texts.
    pub blobs: u64,
    /// Pieces of the content of workspaces.
    pub objects: u64,
    /// Cassettes.
    pub cassettes: u64,
}

impl Shut {
    /// The runs.
    pub fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.keys().copied()
    }
}

/// What of a run's row is sealed: title, idempotency key, hash of its request.
type Hidden = (String, Option<String>, Option<ByteVec>);

/// See the module.
#[derive(Default)]
pub(crate) struct Opener {
    /// Whether the backup is sealed.
    sealed: bool,
    keys: HashMap<KeyId, SubjectKey>,
    pub(crate) shut: Shut,
}

impl Opener {
    pub(crate) fn new(head: &Head, keys: Option<&KeySet>) -> Self {
        let keys = keys.map(|set| set.keys.iter().map(|key| (key.id, key.clone())).collect()).unwrap_or_default();
        Self { sealed: head.is_sealed(), keys, shut: Shut::default() }
    }

    /// Opens rows of a section.
    ///
    /// # Errors
    /// ST0148 when something was changed.
    pub(crate) fn open(&mut self, section: u8, rows: &mut Vec<Vec<Value>>) -> Result<(), StoreError> {
        if !self.sealed {
            rows.iter_mut().filter(|_| has_seal(section)).for_each(|row| drop(row.pop()));
            return Ok(());
        }
        let (mut kept, all) = (Vec::with_capacity(rows.len()), std::mem::take(rows));
        for mut row in all {
            if self.row(section, &mut row)? {
                kept.push(row);
            }
        }
        *rows = kept;
        Ok(())
    }

    /// Opens a row; false when nothing of it is left.
    fn row(&mut self, section: u8, row: &mut Vec<Value>) -> Result<bool, StoreError> {
        let sealed = if has_seal(section) { row.pop() } else { None };
        match section {
            SESSIONS => {
                let Some(Value::Bytes(sealed)) = sealed else { return Ok(true) };
                let place = Place::SessionKey { session: fixed(&row[0]).unwrap_or_default() };
                if let Some(key) = self.text(&place, &sealed, |_, _| {})? {
                    row[3] = Value::Text(String::from_utf8(key).map_err(|_| odd())?);
                }
            }
            RUNS => {
                let Some(Value::Bytes(sealed)) = sealed else { return Ok(true) };
                let run = run_id(&row[0]);
                let shut = |shut: &mut Shut, key| {
                    shut.runs.insert(run, key);
                };
                let Some(plain) = self.text(&Place::Row { run }, &sealed, shut)? else { return Ok(true) };
                let (title, idempotency, request): Hidden = Decoder::new(&plain).decode().map_err(|_| odd())?;
                row[6] = Value::Text(title);
                row[7] = idempotency.map_or(Value::Null, Value::Text);
                row[8] = request.map_or(Value::Null, |hash| Value::Bytes(Vec::from(hash).into()));
            }
            RECORDS => {
                let Some(Value::Bytes(sealed)) = sealed else { return Ok(true) };
                let (run, seq) = (run_id(&row[0]), number(&row[1]).unwrap_or(-1).cast_unsigned());
                let shut = |shut: &mut Shut, key| {
                    shut.runs.insert(run, key);
                    shut.records += 1;
                };
                if let Some(body) = self.text(&Place::Record { run, seq }, &sealed, shut)? {
                    row[3] = Value::Bytes(body.into());
                }
            }
            INBOX => {
                let (to, from) = (run_id(&row[0]), run_id(&row[1]));
                let effect = number(&row[2]).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
                let place = Place::Message { to, from, effect };
                let Some(body) = self.text(&place, bytes(&row[3]), |_, _| {})? else { return Ok(false) };
                // Of two persons it is sealed twice; what a run sends begins with no mark of a seal.
                let body = match open_with(|id| self.keys.get(id), &place, &body) {
                    Opened::Text(inner) => inner,
                    Opened::NoKey(_) => return Ok(false),
                    Opened::Shut => body,
                };
                row[3] = Value::Bytes(body.into());
            }
            BLOBS | OBJECTS => {
                let place = content(fixed(&row[0]).unwrap_or_default(), &row[2], &row[3]);
                let shut = |shut: &mut Shut, _| {
                    *(if section == BLOBS { &mut shut.blobs } else { &mut shut.objects }) += 1;
                };
                let Some(body) = self.text(&place, bytes(&row[4]), shut)? else { return Ok(false) };
                row[4] = Value::Bytes(body.into());
            }
            section if section == CASSETTES.number => {
                let (run, at) = (run_id(&row[0]), number(&row[1]).unwrap_or(-1));
                let shut = |shut: &mut Shut, _| shut.cassettes += u64::from(at == 0);
                let Some(body) = self.text(&Place::Piece { run, at }, bytes(&row[2]), shut)? else { return Ok(false) };
                row[2] = Value::Bytes(body.into());
            }
            _ => {}
        }
        Ok(true)
    }

    /// What is sealed there; none without a key, which is told.
    fn text(
        &mut self,
        place: &Place<'_>,
        sealed: &[u8],
        shut: impl FnOnce(&mut Shut, KeyId),
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match open_with(|id| self.keys.get(id), place, sealed) {
            Opened::Text(text) => Ok(Some(text)),
            Opened::NoKey(ids) => {
                shut(&mut self.shut, ids.first().copied().unwrap_or_default());
                Ok(None)
            }
            Opened::Shut => Err(odd()),
        }
    }
}

fn odd() -> StoreError {
    damaged("something that is sealed in it was changed, or stands elsewhere")
}
