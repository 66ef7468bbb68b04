//! Proves what a backup holds: that the records of each run have no gap and chain, that no run is without records, and,
//! with the key, that each blob and object has its address. In memory is one hash.

use std::sync::Arc;

use stead_core::{
    id::{BlobId, LeafHash, Name, RunId},
    record::Record,
    run::GENESIS,
};
use stead_ports::journal::{Status, StoreError};

use super::{
    cassettes::Order,
    chunk::Head,
    read::{Chunk, damaged},
    table::{BLOBS, CASSETTES, OBJECTS, RECORDS, RUNS, Value, fixed, number},
};
use crate::{
    blob::{BlobKey, Packed},
    objects,
    pack::unpack,
    seal::{Ring, WrappingKey, is_sealed, open_record},
};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Runs that had not ended.
    pub unfinished: u64,
    /// Records, each in the chain of its run.
    pub records: u64,
    /// Blobs.
    pub blobs: u64,
    /// Cassettes of recorded runs.
    pub cassettes: u64,
    /// Whether the blobs' addresses were proven, for which their key is needed.
    pub addresses: bool,
    /// Records that are encrypted and could not be opened: only the chain of the file's chunks was proven of them.
    pub sealed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Checker {
    key: Option<BlobKey>,
    ring: Option<Arc<Ring>>,
    /// The run whose records are coming, the position of its next one, and the hash of the last.
    run: Option<([u8; 16], u64, LeafHash)>,
    /// Runs whose records have come.
    chained: u64,
    cassettes: Order,
    found: Summary,
}

impl Checker {
    /// Checks blobs too when it has their key.
    pub fn new(key: Option<BlobKey>) -> Self {
        let found = Summary { addresses: key.is_some(), ..Summary::default() };
        Self { key, ring: None, run: None, chained: 0, cassettes: Order::default(), found }
    }

    /// The same, which opens what is sealed with these keys.
    pub(crate) fn opened(self, ring: Option<Arc<Ring>>) -> Self {
        Self { ring, ..self }
    }

    /// The same, which opens what is sealed in a backup with that head.
    ///
    /// # Errors
    /// ST0157 when it is another key's.
    pub fn with_key(self, head: &Head, encrypt: Option<&WrappingKey>) -> Result<Self, StoreError> {
        match encrypt {
            Some(key) => Ok(self.opened(Ring::of("the backup", Some(key), head.data_keys())?)),
            None => Ok(self),
        }
    }

    /// Looks at the next rows.
    ///
    /// # Errors
    /// ST0148.
    pub fn look(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        for row in &chunk.rows {
            match chunk.table.number {
                RUNS => self.run(row)?,
                RECORDS => self.record(row)?,
                BLOBS => {
                    self.content(row)?;
                    self.found.blobs += 1;
                }
                OBJECTS => self.content(row)?,
                number if number == CASSETTES.number => self.found.cassettes += u64::from(self.cassettes.look(row)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// What was found, when all has been looked at.
    ///
    /// # Errors
    /// ST0148.
    pub fn finish(self) -> Result<Summary, StoreError> {
        if self.chained != self.found.runs {
            return Err(damaged("it has a run without records"));
        }
        Ok(self.found)
    }

    fn run(&mut self, row: &[Value]) -> Result<(), StoreError> {
        let Value::Text(word) = &row[11] else { return Err(damaged("a run has no status")) };
        let status = Status::parse(word).ok_or_else(|| damaged("a run has an unknown status"))?;
        self.found.runs += 1;
        self.found.unfinished += u64::from(!status.ended());
        Ok(())
    }

    fn record(&mut self, row: &[Value]) -> Result<(), StoreError> {
        let (Some(run), Some(seq), Some(leaf), Value::Bytes(body)) =
            (fixed::<16>(&row[0]), number(&row[1]), fixed::<32>(&row[2]), &row[3])
        else {
            return Err(damaged("a record has no place"));
        };
        let (next, prev) = match self.run {
            Some((last, next, prev)) if last == run => (next, prev),
            Some((last, ..)) if last > run => return Err(damaged("its records are out of order")),
            _ => {
                self.chained += 1;
                (0, GENESIS)
            }
        };
        let name = || RunId(u128::from_be_bytes(run));
        if u64::try_from(seq) != Ok(next) {
            return Err(damaged(&format!("{}: record {next} is missing", name())));
        }
        if self.ring.is_none() && is_sealed(body) {
            self.run = Some((run, next + 1, LeafHash(leaf)));
            self.found.records += 1;
            self.found.sealed += 1;
            return Ok(());
        }
        let body = match &self.ring {
            Some(ring) => open_record(ring, name(), next, body),
            None => unpack(body.to_vec()),
        };
        let (record, hash) =
            Record::decode(&body, prev).map_err(|e| damaged(&format!("{}: record {next}: {e}", name())))?;
        if hash.0 != leaf || record.header.run != name() {
            return Err(damaged(&format!("{}: record {next} does not match its hash", name())));
        }
        self.run = Some((run, next + 1, hash));
        self.found.records += 1;
        Ok(())
    }

    fn content(&self, row: &[Value]) -> Result<(), StoreError> {
        let (Some(id), Value::Text(tenant), Some(codec), Some(length), Value::Bytes(body)) =
            (fixed::<32>(&row[0]), &row[1], number(&row[2]), number(&row[3]), &row[4])
        else {
            return Err(damaged("a text or a file has no address"));
        };
        if let Some(key) = &self.key {
            let codec = i16::try_from(codec).unwrap_or(-1);
            if codec >= Packed::SEALED && self.ring.is_none() {
                return Ok(());
            }
            let packed = (codec, length, body.to_vec());
            objects::unpack(self.ring.as_deref(), key, &Name::from(tenant.as_str()), BlobId(id), packed)
                .map_err(|_| damaged(&format!("{} does not have the content of its address", BlobId(id))))?;
        }
        Ok(())
    }
}
