//! The key that seals a file of secrets: 32 random bytes, kept as one line of base64.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use stead_core::code;
use stead_ports::secret::SecretError;
use zeroize::Zeroizing;

use crate::{
    disk,
    place::{KEY_VARIABLE, KeySource},
};

/// Bytes of a key.
const LEN: usize = 32;
/// Bytes of a key file that are read.
const MAX_FILE: u64 = 4_096;
/// Bits of a mode that let others than the owner and the group in, or let the group write.
const OPEN: u32 = 0o027;

/// What a file says of the key that seals it: enough to tell a wrong key from damage, nothing about the key.
pub(crate) type KeyId = [u8; 8];

/// A key in use.
pub(crate) struct Key {
    id: KeyId,
    sealing: LessSafeKey,
}

/// The bytes of a key, which are overwritten when they are freed and do not print.
pub struct KeyBytes(Zeroizing<[u8; LEN]>);

impl std::fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}

impl KeyBytes {
    /// The key in a file that only its owner, and at most its group, can read; `None` when there is no such file.
    ///
    /// # Errors
    /// Why it cannot be read or is no key, with the path and without what is in it.
    pub fn of_file(path: &Path) -> Result<Option<Self>, String> {
        let name = path.display();
        let told = |e: io::Error| format!("{name}: {e}");
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(told(e)),
        };
        let mode = file.metadata().map_err(told)?.permissions().mode();
        if mode & OPEN != 0 {
            let mode = mode & 0o777;
            return Err(format!("{name} can be read by others (mode {mode:o}): chmod 600 {name}"));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE).read_to_string(&mut text).map_err(told)?;
        Self::parse(&text, &name.to_string()).map(Some)
    }

    /// The key in a text; `source` names where that is from.
    ///
    /// # Errors
    /// When it is no key.
    pub fn parse(text: &str, source: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        let bytes = bytes.ok().and_then(|b| <[u8; LEN]>::try_from(b.as_slice()).ok()).map(Zeroizing::new);
        bytes.map(Self).ok_or_else(|| format!("{source} holds no key: {LEN} random bytes as base64"))
    }

    /// Makes a key in a file that must not exist, for its owner alone.
    ///
    /// # Errors
    /// When the file is there or cannot be written.
    pub fn create(path: &Path) -> Result<(), String> {
        let bytes = Self::random()?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(bytes.text().as_bytes())?;
            file.sync_all()
        });
        made.map_err(|e| e.to_string())
    }

    /// The bytes, for who makes a key of them.
    pub fn expose(&self) -> &[u8; LEN] {
        &self.0
    }

    fn random() -> Result<Self, String> {
        let mut bytes = Zeroizing::new([0; LEN]);
        getrandom::fill(&mut *bytes).map_err(|e| format!("no random bytes: {e}"))?;
        Ok(Self(bytes))
    }

    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", STANDARD.encode(*self.0)))
    }
}

/// What was sealed.
pub(crate) struct Sealed {
    pub(crate) nonce: [u8; NONCE_LEN],
    /// With the tag at its end.
    pub(crate) bytes: Vec<u8>,
}

/// Bytes that sealing adds.
pub(crate) const TAG: usize = MAX_TAG_LEN;
/// Bytes of a nonce.
pub(crate) const NONCE: usize = NONCE_LEN;

impl Key {
    /// The key of that source; `None` when its file does not exist.
    pub(crate) fn read(source: &KeySource) -> Result<Option<Self>, SecretError> {
        let bytes = match source {
            KeySource::Variable(text) => KeyBytes::parse(text.expose(), KEY_VARIABLE).map(Some),
            KeySource::File(path) => KeyBytes::of_file(path),
        };
        bytes.map_err(wrong)?.map(|bytes| Self::new(&bytes.0)).transpose()
    }

    /// A fresh key in a file of its own.
    pub(crate) fn create(path: &Path) -> Result<Self, SecretError> {
        let bytes = KeyBytes::random().map_err(wrong)?;
        disk::write(path, bytes.text().as_bytes())?;
        Self::new(&bytes.0)
    }

    fn new(bytes: &[u8; LEN]) -> Result<Self, SecretError> {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, bytes).map_err(|_| wrong("the key cannot be used"))?;
        let mut labelled = Zeroizing::new(b"stead/secrets/key-id/v1".to_vec());
        labelled.extend_from_slice(bytes);
        let mut id = KeyId::default();
        id.copy_from_slice(&digest(&SHA256, &labelled).as_ref()[..8]);
        Ok(Self { id, sealing: LessSafeKey::new(unbound) })
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Seals a text under a fresh nonce. Should two nonces ever meet, only that two equal texts are equal shows (RFC 8452).
    pub(crate) fn seal(&self, bound: &[u8], text: &[u8]) -> Result<Sealed, SecretError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| wrong(format!("no random bytes: {e}")))?;
        // With room for the tag, so that no copy of the text is left behind when it grows.
        let mut bytes = Vec::with_capacity(text.len() + TAG);
        bytes.extend_from_slice(text);
        self.sealing
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut bytes)
            .map_err(|_| wrong("the value cannot be sealed"))?;
        Ok(Sealed { nonce, bytes })
    }

    /// Opens what was sealed with the same `bound`; `None` for anything else.
    pub(crate) fn open(&self, bound: &[u8], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let len =
            self.sealing.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut bytes).ok()?.len();
        bytes.truncate(len);
        Some(bytes)
    }
}

fn wrong(why: impl Into<String>) -> SecretError {
    SecretError::new(code::SECRETS_KEY, why)
}
