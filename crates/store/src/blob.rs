//! Addresses and packing of blobs: an HMAC under the tenant's key, and zstd when it helps. No database here.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use stead_core::{
    code::{self, Code},
    id::{BlobId, Name},
};
use stead_ports::journal::StoreError;

/// Content shorter than this is not worth a compression header.
const PACK_MIN: usize = 256;

/// SQLite keeps no larger value, so a longer blob can't be one of ours.
const UNPACKED_MAX: usize = 1_000_000_000;

/// The master key from which each tenant's addressing key is derived. Two tenants have two addresses for equal
/// content, so nobody learns from an address what another tenant stores.
#[derive(Clone)]
pub struct BlobKey([u8; 32]);

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobKey(..)")
    }
}

impl BlobKey {
    /// A key from its 32 bytes, which must be random and secret.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Reads `path`, or makes it (mode 0600, its directory 0700) with a fresh random key.
    ///
    /// # Errors
    /// ST0144 when the file is not 32 bytes long, ST0142 or ST0143 when it can't be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match File::open(path) {
            Ok(file) => {
                let mut key = Vec::with_capacity(33);
                file.take(33).read_to_end(&mut key).map_err(|e| file_error(path, &e))?;
                let key = key.try_into().map_err(|_| StoreError {
                    code: code::DATA_DAMAGED,
                    detail: format!("{} is not a key of 32 bytes: restore it from a backup", path.display()),
                })?;
                Ok(Self(key))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(path).map_err(|e| file_error(path, &e)),
            Err(e) => Err(file_error(path, &e)),
        }
    }

    /// A fresh random key.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn fresh() -> Result<Self, StoreError> {
        let mut key = [0; 32];
        crate::seal::key::random(&mut key)?;
        Ok(Self(key))
    }

    fn create(path: &Path) -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let key = Self(key);
        key.write_to(path)?;
        Ok(key)
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// ST0155 when it can't be read or is not a key of 32 bytes.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let key = fs::read(path).map_err(|e| e.to_string());
        let key = key.and_then(|k| <[u8; 32]>::try_from(k).map_err(|_| "it is not a key of 32 bytes".to_owned()));
        key.map(Self).map_err(|why| StoreError {
            code: code::BACKUP_KEY,
            detail: format!("{}: {why}; name the file keys/blob.key of the store that was backed up", path.display()),
        })
    }

    /// Writes the key to `path` (mode 0600, its directory 0700).
    ///
    /// # Errors
    /// ST0142 or ST0143 when it can't be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        self.write_to(path).map_err(|e| file_error(path, &e))
    }

    /// Written whole and synced under another name first: half a key would make every address wrong.
    fn write_to(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&self.0)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(dir)?.sync_all()
    }

    /// The key itself, for a backup that holds it.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The key of a backup: the one that is given, else the one that the backup holds, else the one at `kept`.
    ///
    /// # Errors
    /// ST0155 when there is none, or it is not the one of the backup's store.
    pub fn of_backup(head: &crate::Head, given: Option<&Path>, kept: Option<&Path>) -> Result<Self, StoreError> {
        let key = match (given, head.key, kept) {
            (Some(path), ..) => Self::read(path)?,
            (None, Some(key), _) => Self(key),
            (None, None, Some(path)) if path.exists() => Self::read(path)?,
            (None, None, _) => {
                return Err(StoreError {
                    code: code::BACKUP_KEY,
                    detail: "the backup was made without its key: name the key's file with --key-file".into(),
                });
            }
        };
        if key.check() == head.key_check {
            return Ok(key);
        }
        Err(StoreError {
            code: code::BACKUP_KEY,
            detail: "the key is not the one of the store that was backed up; name that with --key-file".into(),
        })
    }

    /// A value by which a store notices that it is opened with another key than before. Not secret.
    pub(crate) fn check(&self) -> [u8; 32] {
        hmac(&self.0, &[b"stead/blob/check/v1"])
    }

    /// What stands for a person where their name must not stand. Whoever has the key can tell whether it is that of a name.
    pub(crate) fn pseudonym(&self, tenant: &Name, subject: &Name) -> [u8; 32] {
        let key = hmac(&self.0, &[b"stead/erasure/tenant/v1", tenant.as_bytes()]);
        hmac(&key, &[subject.as_bytes()])
    }

    /// The address of `content` within `tenant`.
    pub(crate) fn address(&self, tenant: &Name, content: &[u8]) -> BlobId {
        let key = hmac(&self.0, &[b"stead/blob/tenant/v1", tenant.as_bytes()]);
        BlobId(hmac(&key, &[content]))
    }

    /// Unpacks a stored blob and proves that it is the one asked for.
    pub(crate) fn unpack(
        &self,
        tenant: &Name,
        id: BlobId,
        codec: i16,
        len: i64,
        body: Vec<u8>,
    ) -> Result<Bytes, StoreError> {
        let content = match codec {
            Packed::RAW => Some(body),
            Packed::ZSTD => usize::try_from(len)
                .ok()
                .filter(|len| *len <= UNPACKED_MAX)
                .and_then(|len| zstd::bulk::decompress(&body, len).ok()),
            _ => None,
        };
        match content {
            Some(content) if self.address(tenant, &content) == id => Ok(content.into()),
            _ => Err(StoreError {
                code: code::DATA_DAMAGED,
                detail: format!("{id} does not have the content it had: restore it from a backup"),
            }),
        }
    }
}

/// A blob as stored.
pub(crate) struct Packed {
    pub(crate) codec: i16,
    pub(crate) len: i64,
    pub(crate) body: Bytes,
}

impl Packed {
    const RAW: i16 = 0;
    const ZSTD: i16 = 1;
    /// Added to the codec of what is sealed.
    pub(crate) const SEALED: i16 = 2;

    /// Compresses what gets at least a sixteenth smaller by it.
    pub(crate) fn new(content: &Bytes) -> Self {
        let len = i64::try_from(content.len()).unwrap_or(i64::MAX);
        if content.len() >= PACK_MIN
            && let Ok(packed) = zstd::bulk::compress(content, 1)
            && packed.len() < content.len() - content.len() / 16
        {
            return Self { codec: Self::ZSTD, len, body: packed.into() };
        }
        Self { codec: Self::RAW, len, body: content.clone() }
    }
}

/// What an error of the file system means, with the path and what to do.
pub(crate) fn file_error(path: &Path, error: &io::Error) -> StoreError {
    let (code, cure): (Code, &str) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (code::DATA_FULL, "free some space"),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            (code::DATA_READONLY, "make it writable for this user, or choose another data directory")
        }
        _ => (code::DATA_UNREACHABLE, "check the path and the disk"),
    };
    StoreError { code, detail: format!("{}: {error}; {cure}", path.display()) }
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|p| mac.update(p));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/blob.key");
        let (a, b) = (BlobKey::open(&path).unwrap(), BlobKey::open(&path).unwrap());
        assert_eq!(a.0, b.0);
        assert_ne!(a.0, [0; 32]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!format!("{a:?}").contains(&format!("{}", a.0[0])));
    }

    #[test]
    fn half_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob.key");
        for bad in [&[7; 31][..], &[7; 33], &[]] {
            fs::write(&path, bad).unwrap();
            assert_eq!(BlobKey::open(&path).unwrap_err().code, code::DATA_DAMAGED);
        }
    }

    #[test]
    fn content_comes_back_packed_or_not_and_another_content_is_noticed() {
        let (key, t) = (BlobKey::from_bytes([7; 32]), Name::from("acme"));
        for content in [Bytes::new(), Bytes::from_static(b"short"), Bytes::from(vec![b'a'; 100_000])] {
            let (id, p) = (key.address(&t, &content), Packed::new(&content));
            assert!(p.body.len() <= content.len());
            assert_eq!(key.unpack(&t, id, p.codec, p.len, p.body.to_vec()).unwrap(), content);
        }
        let other = Packed::new(&Bytes::from_static(b"other"));
        let id = key.address(&t, b"short");
        let e = key.unpack(&t, id, other.codec, other.len, other.body.to_vec()).unwrap_err();
        assert_eq!(e.code, code::DATA_DAMAGED);
        // A length that lies neither panics nor allocates without bound.
        assert!(key.unpack(&t, id, Packed::ZSTD, i64::MAX, vec![1, 2, 3]).is_err());
    }
}
