//! The file of secrets: set, list and remove under a lock, and read again whenever it has changed.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
};

use parking_lot::Mutex;
use stead_core::{code, time::Timestamp};
use stead_ports::{
    BoxFuture,
    secret::{Secret, SecretError, Secrets},
};

use crate::{
    disk,
    format::{self, Entries, Entry},
    key::Key,
    place::{KeySource, Place},
    rules,
};

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// When it was set last.
    pub set_at: Timestamp,
}

/// See the module.
pub struct SecretsFile {
    place: Place,
    kept: Mutex<Option<Kept>>,
}

impl std::fmt::Debug for SecretsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretsFile").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A file that was read. Its values are still sealed.
struct Kept {
    stamp: Stamp,
    key: Key,
    entries: Entries,
}

/// What tells one file from the next: a writer puts a new one in its place.
#[derive(PartialEq, Eq)]
struct Stamp([u64; 3], [i64; 4]);

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self([meta.dev(), meta.ino(), meta.size()], [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()])
    }
}

impl SecretsFile {
    /// The file at that place. Nothing is read yet, and it need not exist.
    pub fn at(place: Place) -> Self {
        Self { place, kept: Mutex::default() }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its secrets, by name; none when it does not exist.
    ///
    /// # Errors
    /// `ST0190` to `ST0193` when it cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, SecretError> {
        self.with(|kept| Ok(kept.entries.iter().map(|(name, e)| Listed { name: name.clone(), set_at: e.at }).collect()))
            .map(Option::unwrap_or_default)
    }

    /// Sets a secret; the first makes the key as well. Gives whether there was one of that name.
    ///
    /// # Errors
    /// `ST0194` for a name, a value or a number of them that cannot be; `ST0190` to `ST0193` when the file cannot be read or
    /// written: it is as it was then.
    pub fn set(&self, name: &str, value: &Secret, at: Timestamp) -> Result<bool, SecretError> {
        rules::check_name(name)?;
        rules::check_value(value)?;
        let _lock = disk::lock(&self.place.file)?;
        let (key, mut entries) = match self.read()? {
            Some(kept) => (kept.key, kept.entries),
            None => (self.first_key()?, Entries::new()),
        };
        let sealed = Entry::seal(&key, name, at, value)?;
        let replaced = entries.insert(name.to_owned(), sealed).is_some();
        if entries.len() > rules::MAX_COUNT {
            let detail = format!("there are {} secrets already; remove one", rules::MAX_COUNT);
            return Err(SecretError::new(code::SECRET_VALUE, detail));
        }
        self.write(&key, &entries)?;
        Ok(replaced)
    }

    /// Removes a secret. Gives whether there was one of that name.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn remove(&self, name: &str) -> Result<bool, SecretError> {
        rules::check_name(name)?;
        if self.read()?.is_none_or(|kept| !kept.entries.contains_key(name)) {
            return Ok(false);
        }
        let _lock = disk::lock(&self.place.file)?;
        let Some(Kept { key, mut entries, .. }) = self.read()? else { return Ok(false) };
        if entries.remove(name).is_none() {
            return Ok(false);
        }
        self.write(&key, &entries)?;
        Ok(true)
    }

    fn write(&self, key: &Key, entries: &Entries) -> Result<(), SecretError> {
        let bytes = format::encode(key, entries)?;
        if bytes.len() as u64 > rules::MAX_FILE {
            let detail = format!("all secrets together take at most {} bytes", rules::MAX_FILE);
            return Err(SecretError::new(code::SECRET_VALUE, detail));
        }
        disk::write(&self.place.file, &bytes)
    }

    /// The key of a file that is yet to be.
    fn first_key(&self) -> Result<Key, SecretError> {
        match (Key::read(&self.place.key)?, &self.place.key) {
            (Some(key), _) => Ok(key),
            (None, KeySource::File(path)) => Key::create(path),
            (None, KeySource::Variable(_)) => Err(self.no_key()),
        }
    }

    fn no_key(&self) -> SecretError {
        let (file, key) = (self.place.file.display(), &self.place.key);
        SecretError::new(code::SECRETS_KEY, format!("{file} is there, but its key {key} is not: put the key back"))
    }

    /// Reads the file as it is now.
    fn read(&self) -> Result<Option<Kept>, SecretError> {
        let path = &self.place.file;
        let told = |e: io::Error| disk::failed(path, &e);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(told(e)),
        };
        let stamp = Stamp::of(&file.metadata().map_err(told)?);
        let mut bytes = Vec::new();
        file.take(rules::MAX_FILE + 1).read_to_end(&mut bytes).map_err(told)?;
        let key = Key::read(&self.place.key)?.ok_or_else(|| self.no_key())?;
        let entries = if bytes.len() as u64 > rules::MAX_FILE {
            Err(SecretError::new(code::SECRETS_DAMAGED, format!("it is longer than {} bytes", rules::MAX_FILE)))
        } else {
            format::decode(&key, &bytes)
        };
        let entries = entries.map_err(|e| SecretError::new(e.code, format!("{}: {}", path.display(), e.detail)))?;
        Ok(Some(Kept { stamp, key, entries }))
    }

    /// Looks into the file, which is read again if it is another than the last time.
    fn with<T>(&self, look: impl FnOnce(&Kept) -> Result<T, SecretError>) -> Result<Option<T>, SecretError> {
        let mut kept = self.kept.lock();
        let stamp = match std::fs::metadata(&self.place.file) {
            Ok(meta) => Some(Stamp::of(&meta)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(disk::failed(&self.place.file, &e)),
        };
        if kept.as_ref().map(|k| &k.stamp) != stamp.as_ref() {
            // Not what was read before, should it not be readable now.
            *kept = None;
            *kept = self.read()?;
        }
        kept.as_ref().map(look).transpose()
    }

    /// The value of that name now; `None` when there is none.
    ///
    /// # Errors
    /// `ST0190` to `ST0193` when the file cannot be read.
    pub fn value(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.with(|kept| kept.entries.get(name).map(|entry| entry.open(&kept.key, name)).transpose())
            .map(Option::flatten)
    }
}

impl Secrets for SecretsFile {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
        // A look at the file's metadata; the file itself is small, and read when it has changed.
        Box::pin(std::future::ready(self.value(name)))
    }
}
