//! A backup taken apart: chunk by chunk, each proven before it is looked at. Nothing in the file is trusted: lengths are
//! bounded, memory grows only with bytes that are really there.

use std::{
    collections::HashSet,
    io::{self, Read},
    path::Path,
};

use minicbor::Decoder;
use sha2::{Digest as _, Sha256};
use stead_core::code::{self, Code};
use stead_ports::journal::StoreError;

use super::{
    chunk::{CHUNK_MAX, Counts, END, HEAD, Head, MAGIC, PREFIX, digest},
    subject::{KeySet, Opener, Shut},
    table::{Table, Value, table},
};
use crate::blob::BlobKey;

/// Rows of one section.
#[derive(Debug)]
pub struct Chunk {
    /// The section.
    pub(crate) table: &'static Table,
    /// Its rows.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Reads a backup.
pub struct Reader<R> {
    from: R,
    head: Head,
    opener: Opener,
    keys: Option<KeySet>,
    /// It was said what is to become of what is sealed.
    told: bool,
    digest: [u8; 32],
    section: u8,
    counts: Counts,
    ended: bool,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("section", &self.section).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// ST0148 when it is no backup, ST0154 when a newer release wrote it.
    pub fn open(mut from: R) -> Result<Self, StoreError> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(|e| broken(&e))?;
        let (name, version) = magic.split_at(7);
        if name != &MAGIC[..7] {
            return Err(damaged("it does not begin like a backup of Stead"));
        }
        if version != &MAGIC[7..] {
            return Err(newer("its format is another one"));
        }
        let mut reader = Self {
            from,
            head: Head {
                format: 0,
                taken: 0,
                generation: 0,
                epoch: 0,
                store: String::new(),
                release: String::new(),
                key_check: [0; 32],
                key: None,
                unmetered: false,
                data_keys: None,
                seals: None,
            },
            opener: Opener::default(),
            keys: None,
            told: false,
            digest: Sha256::digest(MAGIC).into(),
            section: HEAD,
            counts: Counts::default(),
            ended: false,
        };
        let (section, _, plain) = reader.raw()?;
        if section != HEAD {
            return Err(damaged("it does not begin with its head"));
        }
        reader.head = minicbor::decode(&plain).map_err(|e| damaged(&format!("its head cannot be read: {e}")))?;
        if reader.head.format > crate::FORMAT {
            return Err(newer(&format!(
                "it holds data of format {}, and this release knows {}",
                reader.head.format,
                crate::FORMAT
            )));
        }
        reader.opener = Opener::new(&reader.head, None);
        Ok(reader)
    }

    /// Opens with these keys what is a person's; what has no key comes as an erasure leaves it. With `all` it is refused when a key is
    /// missing that no erasure has destroyed.
    ///
    /// # Errors
    /// ST0368 when the keys are another store's, ST0367 when one is missing.
    pub fn open_with(&mut self, keys: Option<&KeySet>, all: bool) -> Result<(), StoreError> {
        if let Some(keys) = keys.filter(|keys| !keys.is_of(&self.head)) {
            let detail = format!(
                "the file of subject keys, of {} µs since 1970, is not of the store that was backed up: name that one",
                keys.taken.0
            );
            return Err(StoreError { code: code::SUBJECT_KEYS, detail });
        }
        if all && let Some(error) = self.lacking(keys) {
            return Err(error);
        }
        self.opener = Opener::new(&self.head, keys);
        (self.keys, self.told) = (keys.cloned(), true);
        Ok(())
    }

    /// The keys that it was given.
    pub fn keys(&self) -> Option<&KeySet> {
        self.keys.as_ref()
    }

    /// The key of the addresses of its long texts: the one that is given, else the one that it holds or that came with the keys of persons,
    /// else the one at `kept`.
    ///
    /// # Errors
    /// ST0155 when there is none, or it is not the one of the backup's store.
    pub fn blob_key(&self, given: Option<&Path>, kept: Option<&Path>) -> Result<BlobKey, StoreError> {
        match self.brought().filter(|_| given.is_none()) {
            Some(key) if !self.head.has_key() => Ok(key.clone()),
            _ => BlobKey::of_backup(&self.head, given, kept),
        }
    }

    /// Whether that key is in it or came with the keys of persons.
    pub fn has_key(&self) -> bool {
        self.head.has_key() || self.brought().is_some()
    }

    fn brought(&self) -> Option<&BlobKey> {
        self.keys.as_ref()?.addresses.as_ref().filter(|key| key.check() == self.head.key_check)
    }

    /// Whether somebody has said what is to become of what is sealed: nothing is restored without it.
    pub(crate) fn told(&self) -> Result<(), StoreError> {
        if self.told || !self.head.is_sealed() {
            return Ok(());
        }
        Err(self.lacking(None).unwrap_or_else(|| damaged("it is sealed without a key")))
    }

    /// What cannot be opened with these keys and was not destroyed.
    fn lacking(&self, keys: Option<&KeySet>) -> Option<StoreError> {
        let known: HashSet<[u8; 16]> = keys.map(KeySet::known).unwrap_or_default();
        let (mut runs, mut persons, mut others) = (0, 0_u64, 0_u64);
        for one in self.head.seals.iter().flatten().filter(|one| !known.contains(&one.id)) {
            runs += one.runs;
            *(if one.person { &mut persons } else { &mut others }) += 1;
        }
        if persons + others == 0 {
            return None;
        }
        let counted = |n: u64, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let and = if others > 0 { ", and what belongs to no person," } else { "" };
        let detail = format!(
            "the texts of {} of {}{and} cannot be opened: the keys are not there; name the file of subject keys that was written \
             with the backup or after it with --subject-keys, or restore without these texts with --without-keys",
            counted(runs, "run"),
            counted(persons, "person"),
        );
        Some(StoreError { code: code::BACKUP_SEALED, detail })
    }

    /// What could not be opened so far.
    pub fn shut(&self) -> &Shut {
        &self.opener.shut
    }

    /// What the backup says about itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Rows so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The digest of everything so far; after the end, of the whole backup.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The next rows; `None` at the end, which is there exactly once.
    ///
    /// # Errors
    /// ST0148 when something is missing or changed, ST0154 when a newer release wrote it, ST0367 when it is sealed and nobody has said with
    /// [`Reader::open_with`] what is to become of that.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        self.told()?;
        let before = self.section;
        let (section, rows, plain) = self.raw()?;
        if section == END {
            return self.end(&plain).map(|()| None);
        }
        // Sections come in order, each once.
        if section < before {
            return Err(damaged("its sections are out of order"));
        }
        let table = table(section).ok_or_else(|| newer(&format!("it has a section {section}")))?;
        let mut d = Decoder::new(&plain);
        let bad = |e: minicbor::decode::Error| damaged(&format!("a row of {} cannot be read: {e}", table.name));
        let mut out = Vec::new();
        for _ in 0..rows {
            out.push(table.decode(&mut d).map_err(bad)?);
        }
        if d.position() != plain.len() {
            return Err(damaged("a chunk has more than its rows"));
        }
        self.counts.add(section, out.len() as u64);
        self.opener.open(section, &mut out)?;
        Ok(Some(Chunk { table, rows: out }))
    }

    fn end(&mut self, plain: &[u8]) -> Result<(), StoreError> {
        let counts: Counts = minicbor::decode(plain).map_err(|e| damaged(&format!("its end cannot be read: {e}")))?;
        if counts != self.counts {
            return Err(damaged("it does not have the rows that it says it has"));
        }
        if self.from.read(&mut [0]).map_err(|e| broken(&e))? != 0 {
            return Err(damaged("something follows its end"));
        }
        self.ended = true;
        Ok(())
    }

    /// A chunk with its digest proven.
    fn raw(&mut self) -> Result<(u8, u32, Vec<u8>), StoreError> {
        let mut prefix = [0; PREFIX];
        self.from.read_exact(&mut prefix).map_err(|e| broken(&e))?;
        let number = |at: usize| u32::from_be_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        let (rows, plain, stored) = (number(1), number(5) as usize, number(9) as usize);
        if plain > CHUNK_MAX || stored > plain || rows as usize > plain {
            return Err(damaged("a chunk has an impossible length"));
        }
        let mut body = Vec::new();
        (&mut self.from).take(stored as u64).read_to_end(&mut body).map_err(|e| broken(&e))?;
        if body.len() < stored {
            return Err(damaged("it is cut off"));
        }
        let mut claimed = [0; 32];
        self.from.read_exact(&mut claimed).map_err(|e| broken(&e))?;
        if digest(&self.digest, &prefix, &body) != claimed {
            return Err(damaged("a chunk does not match its digest"));
        }
        if stored < plain {
            body = zstd::bulk::decompress(&body, plain).map_err(|_| damaged("a chunk cannot be unpacked"))?;
        }
        if body.len() != plain {
            return Err(damaged("a chunk does not have its length"));
        }
        self.digest = claimed;
        self.section = prefix[0];
        Ok((prefix[0], rows, body))
    }
}

/// Something is not as it was written.
pub(crate) fn damaged(what: &str) -> StoreError {
    told(code::BACKUP_DAMAGED, format!("{what}; take another copy of the backup, or an older backup"))
}

fn newer(what: &str) -> StoreError {
    told(code::BACKUP_NEWER, format!("{what}: use the release that wrote it, or a later one"))
}

fn broken(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut off"),
        _ => told(code::BACKUP_DAMAGED, format!("it cannot be read: {error}")),
    }
}

fn told(code: Code, what: String) -> StoreError {
    StoreError { code, detail: format!("the backup: {what}") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{
        super::{
            chunk::Packer,
            table::{TABLES, Value},
        },
        *,
    };

    /// So many aliases.
    fn backup(format: u32, rows: u64) -> Vec<u8> {
        let head = Head {
            format,
            taken: 1,
            generation: 1,
            epoch: 1,
            store: "sqlite".into(),
            release: "0".into(),
            key_check: [0; 32],
            key: None,
            unmetered: false,
            data_keys: None,
            seals: None,
        };
        let (mut packer, begin) = Packer::begin(&head).unwrap();
        let mut out = begin.to_vec();
        let text = |t: &str| Value::Text(t.into());
        let row = [text("t"), text(&"a".repeat(2_000)), text("live"), Value::Bytes(vec![7; 32].into())];
        for _ in 0..rows {
            out.extend(packer.push(&TABLES[1], &row).unwrap().into_iter().flatten());
        }
        out.extend(packer.finish().unwrap());
        out
    }

    fn read(bytes: &[u8]) -> Result<u64, StoreError> {
        let mut reader = Reader::open(bytes)?;
        while reader.next_chunk()?.is_some() {}
        Ok(reader.counts().of(2))
    }

    #[test]
    fn a_backup_is_read_as_it_was_written() {
        assert_eq!(read(&backup(1, 1_200)).unwrap(), 1_200);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let whole = backup(1, 20);
        for len in 0..whole.len() {
            assert_eq!(read(&whole[..len]).unwrap_err().code, code::BACKUP_DAMAGED, "cut at {len}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "changed at {at}");
        }
        assert!(read(&[&whole[..], &[0]].concat()).is_err(), "something follows");
    }

    #[test]
    fn a_chunk_left_out_or_put_elsewhere_is_noticed() {
        let whole = backup(1, 1_200);
        let mut starts = vec![MAGIC.len()];
        while let Some(at) = starts.last().copied().filter(|at| *at < whole.len()) {
            let stored = u32::from_be_bytes(whole[at + 9..at + 13].try_into().unwrap()) as usize;
            starts.push(at + PREFIX + stored + 32);
        }
        assert!(starts.len() > 5, "there are several chunks");
        let chunk = |n: usize| &whole[starts[n]..starts[n + 1]];
        let without = [&whole[..starts[1]], &whole[starts[2]..]].concat();
        let swapped = [&whole[..starts[1]], chunk(2), chunk(1), &whole[starts[3]..]].concat();
        let twice = [&whole[..starts[2]], chunk(1), &whole[starts[2]..]].concat();
        for wrong in [without, swapped, twice] {
            assert_eq!(read(&wrong).unwrap_err().code, code::BACKUP_DAMAGED);
        }
    }

    #[test]
    fn a_later_release_is_told_from_damage() {
        assert_eq!(read(&backup(crate::FORMAT + 1, 1)).unwrap_err().code, code::BACKUP_NEWER);
        let mut later = backup(1, 1);
        later[7] = b'2';
        assert_eq!(read(&later).unwrap_err().code, code::BACKUP_NEWER);
    }

    #[test]
    fn lengths_that_lie_take_no_memory() {
        let mut lies = backup(1, 1)[..MAGIC.len()].to_vec();
        lies.extend([0, 0, 0, 0, 1]);
        lies.extend((CHUNK_MAX as u32).to_be_bytes());
        lies.extend((CHUNK_MAX as u32).to_be_bytes());
        lies.extend([0; 100]);
        assert_eq!(read(&lies).unwrap_err().code, code::BACKUP_DAMAGED);
    }
}
