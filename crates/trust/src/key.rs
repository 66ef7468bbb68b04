//! Public keys, all in the form of OpenSSH: one text, one fingerprint, whatever made the key. A passkey is a P-256 or
//! Ed25519 key with where it may be used beside it.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, VerificationAlgorithm};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::wire::{Reader, put_string};

/// Longest text of a public key.
pub const MAX_KEY: usize = 1_024;

/// What a public key is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Ed25519([u8; 32]),
    /// An uncompressed point.
    P256([u8; 65]),
    /// A key of a security key, for an application.
    SkEd25519([u8; 32], String),
    SkP256([u8; 65], String),
}

/// A public key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(Kind);

/// The fingerprint of a key, as OpenSSH shows it: `SHA256:…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It has another form.
    #[error("it is no public key in the form of OpenSSH (`ssh-ed25519 AAAA…`)")]
    Form,
    /// Its kind is not taken.
    #[error("keys of this kind are not taken; ssh-ed25519, ecdsa-sha2-nistp256 and their sk- forms are")]
    Kind,
}

const ED25519_NAME: &str = "ssh-ed25519";
const P256_NAME: &str = "ecdsa-sha2-nistp256";
const SK_ED25519_NAME: &str = "sk-ssh-ed25519@openssh.com";
const SK_P256_NAME: &str = "sk-ecdsa-sha2-nistp256@openssh.com";

impl PublicKey {
    /// An Ed25519 key.
    pub const fn ed25519(key: [u8; 32]) -> Self {
        Self(Kind::Ed25519(key))
    }

    /// A P-256 key: an uncompressed point.
    ///
    /// # Errors
    /// It does not begin as one.
    pub fn p256(point: &[u8]) -> Result<Self, BadKey> {
        Ok(Self(Kind::P256(self::point(point).ok_or(BadKey::Form)?)))
    }

    /// The key in the form of SSH's wire.
    pub fn blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, self.kind().as_bytes());
        match &self.0 {
            Kind::Ed25519(key) => put_string(&mut out, key),
            Kind::P256(point) | Kind::SkP256(point, _) => {
                put_string(&mut out, b"nistp256");
                put_string(&mut out, point);
            }
            Kind::SkEd25519(key, _) => put_string(&mut out, key),
        }
        if let Kind::SkEd25519(_, application) | Kind::SkP256(_, application) = &self.0 {
            put_string(&mut out, application.as_bytes());
        }
        out
    }

    /// The key of SSH's wire.
    ///
    /// # Errors
    /// It is none, or of a kind that is not taken.
    pub fn from_blob(blob: &[u8]) -> Result<Self, BadKey> {
        let mut reader = Reader(blob);
        let kind = reader.string().ok_or(BadKey::Form)?;
        let kind = std::str::from_utf8(kind).map_err(|_| BadKey::Form)?;
        let key = read(kind, &mut reader)?;
        if reader.is_empty() { Ok(Self(key)) } else { Err(BadKey::Form) }
    }

    /// The name of its kind.
    pub const fn kind(&self) -> &'static str {
        match self.0 {
            Kind::Ed25519(_) => ED25519_NAME,
            Kind::P256(_) => P256_NAME,
            Kind::SkEd25519(..) => SK_ED25519_NAME,
            Kind::SkP256(..) => SK_P256_NAME,
        }
    }

    /// Its fingerprint.
    pub fn id(&self) -> KeyId {
        KeyId(Sha256::digest(self.blob()).into())
    }

    /// The application of a key that a security key holds.
    pub(crate) fn application(&self) -> Option<&str> {
        match &self.0 {
            Kind::SkEd25519(_, application) | Kind::SkP256(_, application) => Some(application),
            _ => None,
        }
    }

    pub(crate) const fn is_ed25519(&self) -> bool {
        matches!(self.0, Kind::Ed25519(_) | Kind::SkEd25519(..))
    }

    /// Whether it signed that message. A P-256 signature is `r ‖ s`, or DER when `asn1` says so.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8], asn1: bool) -> bool {
        let (algorithm, key): (&dyn VerificationAlgorithm, &[u8]) = match &self.0 {
            Kind::Ed25519(key) | Kind::SkEd25519(key, _) => (&ED25519, key),
            Kind::P256(point) | Kind::SkP256(point, _) if asn1 => (&ECDSA_P256_SHA256_ASN1, point),
            Kind::P256(point) | Kind::SkP256(point, _) => (&ECDSA_P256_SHA256_FIXED, point),
        };
        algorithm.verify_sig(key, message, signature).is_ok()
    }
}

fn read(kind: &str, reader: &mut Reader<'_>) -> Result<Kind, BadKey> {
    let ed25519 = |r: &mut Reader<'_>| r.string().and_then(|k| k.try_into().ok()).ok_or(BadKey::Form);
    let p256 = |r: &mut Reader<'_>| {
        let curve = r.string().ok_or(BadKey::Form)?;
        let point = r.string().and_then(point).ok_or(BadKey::Form)?;
        if curve == b"nistp256" { Ok(point) } else { Err(BadKey::Form) }
    };
    let application = |r: &mut Reader<'_>| {
        let text = r.string().and_then(|a| std::str::from_utf8(a).ok()).filter(|a| a.len() <= 256);
        text.map(str::to_owned).ok_or(BadKey::Form)
    };
    Ok(match kind {
        ED25519_NAME => Kind::Ed25519(ed25519(reader)?),
        P256_NAME => Kind::P256(p256(reader)?),
        SK_ED25519_NAME => Kind::SkEd25519(ed25519(reader)?, application(reader)?),
        SK_P256_NAME => Kind::SkP256(p256(reader)?, application(reader)?),
        _ => return Err(BadKey::Kind),
    })
}

fn point(bytes: &[u8]) -> Option<[u8; 65]> {
    bytes.try_into().ok().filter(|p: &[u8; 65]| p[0] == 4)
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), BASE64_STANDARD.encode(self.blob()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.id())
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    /// Reads `KIND BASE64`, with a comment after it or none.
    fn from_str(text: &str) -> Result<Self, BadKey> {
        let text = Some(text.trim()).filter(|t| t.len() <= MAX_KEY).ok_or(BadKey::Form)?;
        let mut words = text.split_ascii_whitespace();
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else { return Err(BadKey::Form) };
        let blob = BASE64_STANDARD.decode(blob).map_err(|_| BadKey::Form)?;
        let key = Self::from_blob(&blob)?;
        if key.kind() == kind { Ok(key) } else { Err(BadKey::Form) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", BASE64_STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for KeyId {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let digits = text.strip_prefix("SHA256:").ok_or(BadKey::Form)?;
        let bytes = BASE64_STANDARD_NO_PAD.decode(digits).map_err(|_| BadKey::Form)?;
        bytes.try_into().map(Self).map_err(|_| BadKey::Form)
    }
}
