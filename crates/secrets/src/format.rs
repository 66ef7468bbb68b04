//! The bytes of a file of secrets, version 1.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `STSECRET` |
//! | 1 | the version |
//! | 8 | which key: the first bytes of a hash of it |
//! | 4 | how many secrets |
//! | each | length (1) and text of the name, date (8, microseconds since 1970), nonce (12), length (4) and sealed value |
//! | 28 | nonce and tag of the last seal, which covers all bytes before it |
//!
//! Numbers are big-endian. Nothing is believed before the last seal is verified.

use std::collections::BTreeMap;

use stead_core::{code, time::Timestamp};
use stead_ports::secret::{Secret, SecretError};

use crate::{
    key::{Key, NONCE, Sealed, TAG},
    rules::{MAX_COUNT, is_name},
};

const MAGIC: &[u8; 8] = b"STSECRET";
const VERSION: u8 = 1;
/// Where the version stands, and where what follows the head begins.
const VERSION_AT: usize = 8;
const HEAD: usize = VERSION_AT + 1 + 8;
const SEAL: usize = NONCE + TAG;

/// A secret as it is kept.
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    sealed: Sealed,
}

/// All secrets of a file, by name; the values are sealed.
pub(crate) type Entries = BTreeMap<String, Entry>;

impl Entry {
    pub(crate) fn seal(key: &Key, name: &str, at: Timestamp, value: &Secret) -> Result<Self, SecretError> {
        Ok(Self { at, sealed: key.seal(&bound(name, at), value.expose().as_bytes())? })
    }

    pub(crate) fn open(&self, key: &Key, name: &str) -> Result<Secret, SecretError> {
        let text = key.open(&bound(name, self.at), self.sealed.nonce, &self.sealed.bytes);
        let text = text.and_then(|bytes| std::str::from_utf8(&bytes).map(Secret::new).ok());
        text.ok_or_else(|| damaged("an entry cannot be opened"))
    }
}

/// What a value is bound to: an entry of another name or date does not open.
fn bound(name: &str, at: Timestamp) -> Vec<u8> {
    [b"stead/secrets/entry/v1\0", name.as_bytes(), b"\0", &at.0.to_be_bytes()].concat()
}

/// What the last seal is bound to.
fn covered(before: &[u8]) -> Vec<u8> {
    [b"stead/secrets/file/v1\0", before].concat()
}

pub(crate) fn encode(key: &Key, entries: &Entries) -> Result<Vec<u8>, SecretError> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&key.id());
    out.extend_from_slice(&length(entries.len())?);
    for (name, entry) in entries {
        out.push(u8::try_from(name.len()).map_err(|_| damaged("a name is too long"))?);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&entry.at.0.to_be_bytes());
        out.extend_from_slice(&entry.sealed.nonce);
        out.extend_from_slice(&length(entry.sealed.bytes.len())?);
        out.extend_from_slice(&entry.sealed.bytes);
    }
    let seal = key.seal(&covered(&out), b"")?;
    out.extend_from_slice(&seal.nonce);
    out.extend_from_slice(&seal.bytes);
    Ok(out)
}

fn length(n: usize) -> Result<[u8; 4], SecretError> {
    u32::try_from(n).map(u32::to_be_bytes).map_err(|_| damaged("too much for one file"))
}

/// Reads a file that this key sealed.
pub(crate) fn decode(key: &Key, bytes: &[u8]) -> Result<Entries, SecretError> {
    let head = bytes.get(..HEAD).ok_or_else(|| damaged("it is cut off"))?;
    if !head.starts_with(MAGIC) {
        return Err(damaged("it is no file of secrets"));
    }
    match head[VERSION_AT] {
        VERSION => {}
        newer if newer > VERSION => {
            let detail = format!("it has format {newer}, and this release reads format {VERSION}");
            return Err(SecretError::new(code::SECRETS_NEWER, detail));
        }
        _ => return Err(damaged("its version is none")),
    }
    if head[VERSION_AT + 1..] != key.id() {
        return Err(SecretError::new(code::SECRETS_KEY, "another key sealed it"));
    }
    let (before, seal) = bytes
        .len()
        .checked_sub(SEAL)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(|| damaged("it is cut off"))?;
    let (nonce, tag) = seal.split_at(NONCE);
    let nonce = nonce.try_into().map_err(|_| damaged("it is cut off"))?;
    key.open(&covered(before), nonce, tag).ok_or_else(|| damaged("it was changed, or cut off"))?;
    let body = before.get(HEAD..).ok_or_else(|| damaged("it is cut off"))?;
    entries(body).ok_or_else(|| damaged("its entries cannot be read"))
}

fn entries(mut bytes: &[u8]) -> Option<Entries> {
    let count = usize::try_from(u32::from_be_bytes(take(&mut bytes)?)).ok().filter(|n| *n <= MAX_COUNT)?;
    let mut out = Entries::new();
    for _ in 0..count {
        let [len] = take(&mut bytes)?;
        let name = std::str::from_utf8(bytes.split_off(..usize::from(len))?).ok().filter(|n| is_name(n))?.to_owned();
        let at = Timestamp(i64::from_be_bytes(take(&mut bytes)?));
        let nonce = take(&mut bytes)?;
        let len = usize::try_from(u32::from_be_bytes(take(&mut bytes)?)).ok()?;
        let sealed = Sealed { nonce, bytes: bytes.split_off(..len)?.to_vec() };
        out.insert(name, Entry { at, sealed });
    }
    (bytes.is_empty() && out.len() == count).then_some(out)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

fn damaged(why: &str) -> SecretError {
    SecretError::new(code::SECRETS_DAMAGED, why)
}
