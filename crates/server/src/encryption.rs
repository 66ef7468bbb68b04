//! The key under which a store's texts are encrypted, from where the operator keeps it; and its rotation.

use std::path::{Path, PathBuf};

use stead_core::code;
use stead_ports::journal::StoreError;
use stead_secrets::KeyBytes;
use stead_store::{BlobKey, PgOptions, PgStore, SqliteStore, WrappingKey};
pub use stead_store::{LineKey, Rotated};

use crate::{
    backup::key_path,
    config::{DatabaseUrl, Encrypt},
};

/// The environment variable that replaces `encrypt` of stead.toml.
pub const VARIABLE: &str = "STEAD_ENCRYPT";

/// Where the key is: as the environment says, else as it is told.
///
/// # Errors
/// ST0110 when the variable is no such place.
pub fn source(told: Option<&Encrypt>) -> Result<Option<Encrypt>, StoreError> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => {
            let wrong =
                || StoreError { code: code::CONFIG, detail: format!("{VARIABLE} must be `file:PATH` or `env:NAME`") };
            Encrypt::parse(&text).ok_or_else(wrong).map(Some)
        }
        _ => Ok(told.cloned()),
    }
}

/// The key of the environment's place, else of the one that is told; none when texts are not to be encrypted.
///
/// # Errors
/// ST0157 when it cannot be read, or is no key; ST0110 as [`source`].
pub fn key(told: Option<&Encrypt>) -> Result<Option<WrappingKey>, StoreError> {
    source(told)?.as_ref().map(read).transpose()
}

/// The key at that place.
///
/// # Errors
/// ST0157 when it cannot be read, or is no key.
pub fn read(place: &Encrypt) -> Result<WrappingKey, StoreError> {
    let missing = || {
        let cure = "`stead data new-key FILE` makes one";
        format!("{place} is not there; put the key back, or, for data that is not encrypted yet, {cure}")
    };
    let bytes = match place {
        Encrypt::File(path) => KeyBytes::of_file(path).and_then(|found| found.ok_or_else(missing)),
        Encrypt::Variable(name) => {
            std::env::var(name).map_err(|_| missing()).and_then(|text| KeyBytes::parse(&text, name))
        }
    };
    let wrong =
        |why: String| StoreError { code: code::DATA_KEY, detail: format!("the key of the encrypted data: {why}") };
    bytes.map(|bytes| WrappingKey::from_bytes(bytes.expose())).map_err(wrong)
}

/// Makes a key, in a file that must not exist and that only its owner can read.
///
/// # Errors
/// ST0157 when it cannot be made.
pub fn new_key(path: &Path) -> Result<(), StoreError> {
    let failed = |why: String| StoreError { code: code::DATA_KEY, detail: format!("{}: {why}", path.display()) };
    KeyBytes::create(path).map_err(failed)
}

/// The data that is meant.
#[derive(Clone, Debug)]
pub struct Data {
    /// The data directory: of the journal, or with a database of its keys.
    pub data_dir: PathBuf,
    /// A PostgreSQL database instead of the SQLite file in `data_dir`.
    pub database: Option<DatabaseUrl>,
    /// Where its key is.
    pub encrypt: Option<Encrypt>,
}

impl Data {
    /// Gives every tenant a new data key for what is written from now on, and wraps all with the key at `to`, or with the same as
    /// before. No server may work on the data meanwhile.
    ///
    /// # Errors
    /// ST0157 when the data is not encrypted or its key is another, ST0140 while a server works on it, and those of the store.
    pub async fn rotate(&self, to: Option<&Encrypt>) -> Result<Rotated, StoreError> {
        let Some(wrapping) = key(self.encrypt.as_ref())? else {
            let detail = format!("no key is named: set `encrypt` in stead.toml, or {VARIABLE}");
            return Err(StoreError { code: code::DATA_KEY, detail });
        };
        let to = to.map(read).transpose()?.unwrap_or_else(|| wrapping.clone());
        match &self.database {
            None => {
                let dir = self.data_dir.clone();
                let done = tokio::task::spawn_blocking(move || SqliteStore::rotate(&dir, &wrapping, &to)).await;
                done.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })?
            }
            Some(url) => {
                let blob_key = BlobKey::read(&key_path(&self.data_dir))?;
                let options = PgOptions { encrypt: Some(wrapping), ..PgOptions::new(blob_key) };
                PgStore::rotate(url.expose(), options, &to).await
            }
        }
    }
}
