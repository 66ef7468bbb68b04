//! The key that seals a file of secrets: 32 random bytes, kept as one line of base64.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
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
        match source {
            KeySource::Variable(text) => Self::parse(text.expose(), KEY_VARIABLE).map(Some),
            KeySource::File(path) => match File::open(path) {
                Ok(file) => Self::read_file(file, path).map(Some),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(wrong(format!("{}: {e}", path.display()))),
            },
        }
    }

    /// A fresh key in a file of its own.
    pub(crate) fn create(path: &Path) -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0; LEN]);
        getrandom::fill(&mut *bytes).map_err(|e| wrong(format!("no random bytes: {e}")))?;
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(*bytes)));
        disk::write(path, text.as_bytes())?;
        Self::new(&bytes)
    }

    fn read_file(file: File, path: &Path) -> Result<Self, SecretError> {
        let name = path.display();
        let told = |e: io::Error| wrong(format!("{name}: {e}"));
        let mode = file.metadata().map_err(told)?.permissions().mode();
        if mode & OPEN != 0 {
            let mode = mode & 0o777;
            return Err(wrong(format!("{name} can be read by others (mode {mode:o}): chmod 600 {name}")));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE).read_to_string(&mut text).map_err(told)?;
        Self::parse(&text, &name.to_string())
    }

    fn parse(text: &str, source: &str) -> Result<Self, SecretError> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        let bytes = bytes.ok().and_then(|b| <[u8; LEN]>::try_from(b.as_slice()).ok()).map(Zeroizing::new);
        let bytes = bytes.ok_or_else(|| wrong(format!("{source} holds no key: {LEN} random bytes as base64")))?;
        Self::new(&bytes)
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
