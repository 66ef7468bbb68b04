//! The file in which the keys of persons leave a store: apart from all backups. It has what was destroyed, too, with the certificates of
//! the erasures that did it, so that a restore tells what is gone for good from what somebody has not brought along. And it has the key of the
//! addresses of long texts: whoever has that and a backup can tell whether a text that they guess was in the store, and whom a digest is of.
//!
//! ```text
//! file   = "STEADKS1" || body || SHA-256 of all before
//! body   = CBOR [store:32, taken, [* key], [* [id:16, erasure:16]], [* certificate], key of addresses?:32]
//! key    = [id:16, tenant, person:32, made, until?, key:32]
//! ```

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use stead_core::{
    code::{self, Code},
    time::Timestamp,
};
use stead_ports::journal::StoreError;
use zeroize::Zeroizing;

use super::{KeyId, SubjectKey, key::Written};
use crate::{blob::BlobKey, seal::key::random};

const MAGIC: [u8; 8] = *b"STEADKS1";
const DIGEST: usize = 32;
/// Bytes of a file of keys.
const MAX_FILE: u64 = 1 << 30;

/// A key that was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Gone {
    /// The key's id.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) id: KeyId,
    /// The erasure that did it.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) erasure: [u8; 16],
}

/// All keys of a store, and what became of others.
#[derive(Clone, Debug)]
pub struct KeySet {
    /// By which the store is recognised: the check of its key of addresses.
    pub(crate) store: [u8; 32],
    /// When it was written.
    pub(crate) taken: Timestamp,
    pub(crate) keys: Vec<SubjectKey>,
    pub(crate) gone: Vec<Gone>,
    /// The certificates of finished erasures, as signed notes.
    pub(crate) certificates: Vec<String>,
    /// The key of the addresses of long texts, which a sealed backup has not.
    pub(crate) addresses: Option<BlobKey>,
}

#[derive(Encode, Decode)]
struct Body {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    store: [u8; 32],
    #[n(1)]
    taken: i64,
    #[n(2)]
    keys: Vec<Written>,
    #[n(3)]
    gone: Vec<Gone>,
    #[n(4)]
    certificates: Vec<String>,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    addresses: Option<[u8; 32]>,
}

impl KeySet {
    /// Keys in use.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The certificates of the erasures that destroyed keys, and of others.
    pub fn certificates(&self) -> &[String] {
        &self.certificates
    }

    /// Whether it is of the store that a backup was taken from.
    pub fn is_of(&self, head: &crate::Head) -> bool {
        self.store == head.key_check
    }

    /// The ids of its keys, and of those that were destroyed.
    pub(crate) fn known(&self) -> HashSet<KeyId> {
        self.keys.iter().map(|key| key.id).chain(self.gone.iter().map(|gone| gone.id)).collect()
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { store, taken, keys, gone, certificates, addresses } = self.clone();
        let keys = keys.iter().map(SubjectKey::written).collect();
        let mut out = Zeroizing::new(MAGIC.to_vec());
        let addresses = addresses.map(|key| key.bytes());
        let body = Body { store, taken: taken.0, keys, gone, certificates, addresses };
        minicbor::encode(&body, &mut *out).expect("encodes to memory");
        let digest = Sha256::digest(&*out);
        out.extend_from_slice(&digest);
        out
    }

    /// Reads the bytes of a file. `place` is told in errors.
    ///
    /// # Errors
    /// ST0368 when it is none, or not whole.
    pub fn from_bytes(place: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let bad = |why: &str| unusable(place, why);
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| bad("it does not begin like a file of subject keys"))?;
        let (body, digest) = rest
            .len()
            .checked_sub(DIGEST)
            .and_then(|at| rest.split_at_checked(at))
            .ok_or_else(|| bad("it is cut off"))?;
        if Sha256::digest(&bytes[..MAGIC.len() + body.len()])[..] != *digest {
            return Err(bad("it is damaged or cut off; take another copy of it"));
        }
        let body: Body = minicbor::decode(body).map_err(|e| bad(&format!("it cannot be read: {e}")))?;
        let Body { store, taken, keys, gone, certificates, addresses } = body;
        let keys = keys.iter().map(Written::key).collect();
        let addresses = addresses.map(BlobKey::from_bytes);
        Ok(Self { store, taken: Timestamp(taken), keys, gone, certificates, addresses })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// ST0368 when it cannot be read, is none, or is not whole.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let failed = |e: io::Error| unusable(path, &e.to_string());
        let file = File::open(path).map_err(failed)?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(unusable(path, &format!("it has more than {MAX_FILE} bytes")));
        }
        Self::from_bytes(path, &bytes)
    }

    /// Proves that a file may be written there: nothing is, or a file of keys that this one may take the place of.
    ///
    /// # Errors
    /// ST0369 when something else is there, or keys would be lost.
    pub fn may_replace(&self, path: &Path) -> Result<(), StoreError> {
        let Some(old) = Self::replaceable(path)? else { return Ok(()) };
        if old.store != self.store {
            return Err(kept(path, "it has the keys of another store: choose another name"));
        }
        let known = self.known();
        match old.keys.iter().filter(|key| !known.contains(&key.id)).count() {
            0 => Ok(()),
            n => Err(kept(
                path,
                &format!(
                    "{n} of its keys are not known to this store, and older backups may need them: choose another name, or try again when erasures are finished"
                ),
            )),
        }
    }

    /// What is there to be replaced: nothing, or a file of keys.
    ///
    /// # Errors
    /// ST0369 when it is something else.
    pub fn replaceable(path: &Path) -> Result<Option<Self>, StoreError> {
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(found) if found.is_file() => {
                Self::read(path).map(Some).map_err(|_| kept(path, "it is no file of subject keys: choose another name"))
            }
            _ => Err(kept(path, "it is no file of subject keys: choose another name")),
        }
    }

    /// Writes the file, which only its owner can read, whole or not at all; a file of keys of the same store makes room.
    ///
    /// # Errors
    /// ST0369 as [`KeySet::may_replace`], ST0368 when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        self.may_replace(path)?;
        let mut own = [0; 8];
        random(&mut own)?;
        // A name that nobody else's file has.
        let part = PathBuf::from(format!("{}.{:016x}.part", path.display(), u64::from_be_bytes(own)));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)
            .map_err(|e| unusable(path, &format!("it cannot be written: {e}")))?;
        let mut written = || -> io::Result<()> {
            file.write_all(&self.to_bytes())?;
            file.sync_all()?;
            fs::rename(&part, path)?;
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        written().map_err(|e| {
            // Half a file of keys is none; what failed is told.
            let _ = fs::remove_file(&part);
            unusable(path, &format!("it cannot be written: {e}"))
        })
    }
}

fn unusable(place: &Path, why: &str) -> StoreError {
    told(code::SUBJECT_KEYS, place, why)
}

fn kept(place: &Path, why: &str) -> StoreError {
    told(code::SUBJECT_KEYS_KEPT, place, why)
}

fn told(code: Code, place: &Path, why: &str) -> StoreError {
    StoreError { code, detail: format!("{}: {why}", place.display()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set(store: u8, keys: Vec<SubjectKey>, gone: Vec<Gone>) -> KeySet {
        let addresses = Some(BlobKey::from_bytes([9; 32]));
        KeySet { store: [store; 32], taken: Timestamp(7), keys, gone, certificates: vec!["a note".into()], addresses }
    }

    #[test]
    fn a_file_of_keys_is_its_owners_alone_and_every_changed_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let key = SubjectKey::fresh("acme", [1; 32], 3, Some(9)).unwrap();
        set(1, vec![key.clone()], vec![Gone { id: [2; 16], erasure: [3; 16] }]).write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let read = KeySet::read(&path).unwrap();
        assert_eq!((read.keys[0].id, read.keys[0].made, read.keys[0].until), (key.id, 3, Some(9)));
        assert_eq!((read.gone.len(), read.certificates()), (1, &["a note".to_owned()][..]));
        assert_eq!(read.addresses.unwrap().bytes(), [9; 32]);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(KeySet::from_bytes(&path, &changed).unwrap_err().code, code::SUBJECT_KEYS, "{at}");
            assert_eq!(KeySet::from_bytes(&path, &whole[..at]).unwrap_err().code, code::SUBJECT_KEYS, "cut at {at}");
        }
    }

    #[test]
    fn a_file_makes_room_only_for_one_of_its_store_that_knows_what_became_of_each_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let (old, new) = (
            SubjectKey::fresh("acme", [1; 32], 3, None).unwrap(),
            SubjectKey::fresh("acme", [2; 32], 4, None).unwrap(),
        );
        set(1, vec![old.clone()], Vec::new()).write(&path).unwrap();
        let refused = |set: KeySet| set.write(&path).unwrap_err().code;
        assert_eq!(refused(set(2, vec![old.clone()], Vec::new())), code::SUBJECT_KEYS_KEPT, "another store's");
        assert_eq!(refused(set(1, vec![new.clone()], Vec::new())), code::SUBJECT_KEYS_KEPT, "a key would be lost");
        assert_eq!(KeySet::read(&path).unwrap().keys[0].id, old.id, "what was there is there");
        set(1, vec![new.clone()], vec![Gone { id: old.id, erasure: [0; 16] }]).write(&path).unwrap();
        assert_eq!(KeySet::read(&path).unwrap().keys[0].id, new.id);
        // Files of others beside it are left alone.
        let beside = dir.path().join("keys.part");
        fs::write(&beside, b"somebody's").unwrap();
        set(1, vec![new.clone()], vec![Gone { id: old.id, erasure: [0; 16] }]).write(&path).unwrap();
        assert_eq!(fs::read(&beside).unwrap(), b"somebody's");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        fs::write(&path, b"something else").unwrap();
        assert_eq!(refused(set(1, vec![new], Vec::new())), code::SUBJECT_KEYS_KEPT, "no file of keys");
    }
}
