//! The keys with which an installation signs tokens: ECDSA on P-256 (ES256). They rotate by themselves: a key is published [`AHEAD`]
//! before it signs and stays published until the last token that it signed has expired, so that whoever keeps a copy of the published
//! keys never meets one that it cannot know.
//!
//! They are kept in a file that its owner alone can read. Servers of one fleet are given the same folder of keys.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::mint::TTL;

/// For how long a key signs, in seconds: thirty days.
pub const SIGNS: u64 = 30 * 86_400;
/// How long before that it is published, in seconds: a day.
pub const AHEAD: u64 = 86_400;
/// How long after its last token it is still published, in seconds.
const AFTER: u64 = 86_400;
/// Most bytes of a file of keys.
const MAX_FILE: u64 = 64 << 10;
/// Most keys of a file.
const MAX_KEYS: usize = 64;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{0}")]
    File(#[from] io::Error),
    /// What the file holds is no key.
    #[error("the file of signing keys is damaged: {0}")]
    Damaged(String),
    /// The system gives no randomness, or a key does not sign.
    #[error("the system gives no randomness")]
    Random,
}

/// A key as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// When it begins to sign, in seconds since 1970.
    from: u64,
    /// When it ends.
    until: u64,
    /// PKCS #8, base64url.
    key: String,
}

/// A key that signs.
pub struct Signer {
    kid: String,
    from: u64,
    until: u64,
    pair: EcdsaKeyPair,
    kept: Zeroizing<String>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).field("from", &self.from).finish_non_exhaustive()
    }
}

impl Signer {
    fn fresh(from: u64) -> Result<Self, KeyError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let pkcs8 = pkcs8.map_err(|_| KeyError::Random)?;
        let key = BASE64_URL_SAFE_NO_PAD.encode(pkcs8.as_ref());
        Self::of(Kept { from, until: from.saturating_add(SIGNS), key })
    }

    fn of(kept: Kept) -> Result<Self, KeyError> {
        let Kept { from, until, key } = kept;
        let kept = Zeroizing::new(key);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&*kept).map(Zeroizing::new);
        let bytes = bytes.map_err(|e| KeyError::Damaged(e.to_string()))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes);
        let pair = pair.map_err(|e| KeyError::Damaged(e.to_string()))?;
        let (x, y) = coordinates(&pair);
        // RFC 7638: the digest of its required members, in their order.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()));
        Ok(Self { kid, from, until, pair, kept })
    }

    /// The key's id: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs a message: r and s as a JWS has them.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Random)?;
        Ok(signature.as_ref().to_vec())
    }

    /// A signed token in the compact form (RFC 7515, section 7.1), whose header says that it is a `typ`.
    pub(crate) fn token(&self, typ: &str, claims: Map<String, Value>) -> Result<String, KeyError> {
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "ES256", "typ": typ, "kid": self.kid() });
        let signed = format!("{}.{}", part(header), part(Value::Object(claims)));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }

    fn public(&self) -> Value {
        let (x, y) = coordinates(&self.pair);
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256", "kid": self.kid })
    }
}

/// The public point, each coordinate as base64url.
fn coordinates(pair: &EcdsaKeyPair) -> (String, String) {
    // Uncompressed: 4, x, y (SEC 1, section 2.3.3).
    let point = pair.public_key().as_ref();
    (BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]), BASE64_URL_SAFE_NO_PAD.encode(&point[33..65]))
}

/// All keys of an installation: at least one that signs now.
#[derive(Debug)]
pub struct SigningKeys(Vec<Signer>);

impl SigningKeys {
    /// Keys in memory alone, for now.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn fresh(now: u64) -> Result<Self, KeyError> {
        Ok(Self(vec![Signer::fresh(now)?]))
    }

    /// Reads the keys of a file, makes those that are due, forgets those that nobody needs, and writes the file if anything changed.
    ///
    /// # Errors
    /// [`KeyError`]; a damaged file is left as it is.
    pub fn open(path: &Path, now: u64) -> Result<Self, KeyError> {
        let mut keys = match read(path) {
            Ok(kept) => Self(kept.into_iter().map(Signer::of).collect::<Result<_, _>>()?),
            Err(KeyError::File(e)) if e.kind() == io::ErrorKind::NotFound => Self(Vec::new()),
            Err(other) => return Err(other),
        };
        if keys.turn(now, false)? {
            keys.write(path)?;
        }
        Ok(keys)
    }

    /// Makes the next key now, as after a key may have become known to somebody: it signs at once, and those before it are published
    /// no more.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn replace(path: &Path, now: u64) -> Result<Self, KeyError> {
        let mut keys = Self(Vec::new());
        keys.turn(now, false)?;
        keys.write(path)?;
        Ok(keys)
    }

    /// Begins the next key's time now; the one before stays published until its tokens have expired.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn rotate(path: &Path, now: u64) -> Result<Self, KeyError> {
        let mut keys = Self::open(path, now)?;
        keys.turn(now, true)?;
        keys.write(path)?;
        Ok(keys)
    }

    /// Makes what is due and forgets what is over; whether anything changed.
    fn turn(&mut self, now: u64, early: bool) -> Result<bool, KeyError> {
        let before = self.0.len();
        self.0.retain(|key| key.until.saturating_add(TTL).saturating_add(AFTER) > now);
        let mut changed = self.0.len() != before;
        if early {
            // A key that waits takes its turn now; else a fresh one does.
            for key in self.0.iter_mut().filter(|key| key.from <= now) {
                key.until = key.until.min(now);
            }
            if let Some(next) = self.0.iter_mut().filter(|key| key.from > now).min_by_key(|key| key.from) {
                (next.from, next.until) = (now, now.saturating_add(SIGNS));
            }
            changed = true;
        }
        if !self.0.iter().any(|key| key.signs(now)) {
            self.0.push(Signer::fresh(now)?);
            changed = true;
        }
        let last = self.0.iter().map(|key| key.until).max().unwrap_or(now);
        if last <= now.saturating_add(AHEAD) {
            self.0.push(Signer::fresh(last)?);
            changed = true;
        }
        Ok(changed)
    }

    /// The key that signs now.
    pub fn current(&self, now: u64) -> &Signer {
        let signing = self.0.iter().filter(|key| key.signs(now)).max_by_key(|key| key.from);
        // Keys are made before they are due; should the clock have jumped, the last one signs.
        signing.or_else(|| self.0.iter().max_by_key(|key| key.from)).expect("there is always a key")
    }

    /// Whether a key is due to be made or forgotten.
    pub fn is_due(&self, now: u64) -> bool {
        let last = self.0.iter().map(|key| key.until).max().unwrap_or(now);
        last <= now.saturating_add(AHEAD) || !self.0.iter().any(|key| key.signs(now))
    }

    /// The JWK set to publish: keys that sign, that will, and that have until their tokens have expired.
    pub fn published(&self, now: u64) -> Value {
        let shown = self.0.iter().filter(|key| key.until.saturating_add(TTL).saturating_add(AFTER) > now);
        json!({ "keys": shown.map(Signer::public).collect::<Vec<_>>() })
    }

    fn write(&self, path: &Path) -> Result<(), KeyError> {
        let kept: Vec<Kept> =
            self.0.iter().map(|key| Kept { from: key.from, until: key.until, key: key.kept.to_string() }).collect();
        let text = Zeroizing::new(serde_json::to_string(&kept).map_err(|e| KeyError::Damaged(e.to_string()))?);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(fs::rename(&draft, path)?)
    }
}

impl Signer {
    fn signs(&self, now: u64) -> bool {
        self.from <= now && now < self.until
    }
}

fn read(path: &Path) -> Result<Vec<Kept>, KeyError> {
    let file = fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    let kept: Vec<Kept> = serde_json::from_str(&text).map_err(|e| KeyError::Damaged(e.to_string()))?;
    if kept.len() > MAX_KEYS || text.len() as u64 > MAX_FILE {
        return Err(KeyError::Damaged("it is too long".to_owned()));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const DAY: u64 = 86_400;

    fn kids(keys: &SigningKeys, now: u64) -> Vec<String> {
        let published = keys.published(now);
        let of = |key: &Value| key["kid"].as_str().unwrap().to_owned();
        published["keys"].as_array().unwrap().iter().map(of).collect()
    }

    /// A verifier that looked at the published keys at any time within a day before knows the key of every token.
    #[test]
    fn a_key_is_published_a_day_before_it_signs_and_until_its_last_token_has_expired() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys").join("identity.json");
        let start = 1_800_000_000;
        let mut seen: Vec<(u64, Vec<String>)> = Vec::new();
        let mut signers = std::collections::BTreeSet::new();
        for hour in 0..90 * 24 {
            let now = start + hour * 3_600;
            let keys = SigningKeys::open(&path, now).unwrap();
            let (signer, published) = (keys.current(now).kid().to_owned(), kids(&keys, now));
            assert!(published.contains(&signer));
            if let Some((_, past)) = seen.iter().find(|(at, _)| now - at == DAY - 3_600) {
                assert!(past.contains(&signer), "at hour {hour} it signs with what was not published a day ago");
            }
            seen.push((now, published));
            signers.insert(signer);
        }
        assert_eq!(signers.len(), 3, "one each thirty days");
        assert!(seen.iter().all(|(_, published)| published.len() <= 3));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_rotation_keeps_the_key_before_published_and_a_replacement_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.json");
        let now = 1_800_000_000;
        let first = SigningKeys::open(&path, now).unwrap().current(now).kid().to_owned();
        let keys = SigningKeys::rotate(&path, now + 10).unwrap();
        let second = keys.current(now + 10).kid().to_owned();
        assert_ne!(first, second);
        assert!(kids(&keys, now + 10).contains(&first));
        let again = SigningKeys::open(&path, now + 20).unwrap();
        assert_eq!(again.current(now + 20).kid(), second);
        let keys = SigningKeys::replace(&path, now + 30).unwrap();
        let published = kids(&keys, now + 30);
        assert!(!published.contains(&first) && !published.contains(&second), "{published:?}");
    }

    #[test]
    fn a_damaged_file_is_told_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.json");
        for text in ["", "[]x", r#"[{"from":0,"until":1,"key":"AAAA"}]"#, "{}"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(SigningKeys::open(&path, 5), Err(KeyError::Damaged(_))), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
