//! Keys of a provider as it publishes them: a JWK set (RFC 7517). Keys that cannot verify a signature here are passed over, so that a
//! provider may have others beside them.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;

/// Most keys of a set that are looked at.
pub const MAX_KEYS: usize = 64;
/// Bytes of an RSA modulus: from 2,048 bits to 8,192.
const RSA: std::ops::RangeInclusive<usize> = 256..=1_024;

/// Why a document is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// It is not what RFC 7517 says.
    #[error("it is no JWK set: {0}")]
    Form(String),
    /// It has none that can be used.
    #[error("it has no key that can verify a signature here")]
    None,
}

/// A key that can verify signatures.
#[derive(Clone)]
pub(crate) struct Key {
    kid: Option<String>,
    algorithms: &'static [Algorithm],
    pub(crate) key: DecodingKey,
}

/// The keys of a provider.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.kid)).finish()
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// [`BadKeys`].
    pub fn read(document: &[u8]) -> Result<Self, BadKeys> {
        let set: Set = serde_json::from_slice(document).map_err(|e| BadKeys::Form(e.to_string()))?;
        let keys: Vec<Key> = set.keys.into_iter().take(MAX_KEYS).filter_map(usable).collect();
        if keys.is_empty() { Err(BadKeys::None) } else { Ok(Self(keys)) }
    }

    /// The keys that may have signed a token of that key id and algorithm. Without a key id only a key that is alone with its algorithm.
    pub(crate) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let fits = |key: &&Key| key.algorithms.contains(&algorithm);
        match kid {
            Some(kid) => self.0.iter().filter(fits).filter(|key| key.kid.as_deref() == Some(kid)).collect(),
            None => {
                let all: Vec<&Key> = self.0.iter().filter(fits).collect();
                if all.len() == 1 { all } else { Vec::new() }
            }
        }
    }
}

/// A key of the set, if it is one for signatures, public, and strong enough.
fn usable(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|u| *u != PublicKeyUse::Signature) {
        return None;
    }
    let algorithms: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            let length = modulus.iter().skip_while(|byte| **byte == 0).count();
            if !RSA.contains(&length) {
                return None;
            }
            const ALL: &[Algorithm] = &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ];
            ALL
        }
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        // A shared secret signs as well as it verifies: whoever can check such a token could have made it.
        _ => return None,
    };
    let algorithms = match jwk.common.key_algorithm {
        None => algorithms,
        Some(only) => {
            let only = only.to_string();
            let at = algorithms.iter().position(|a| format!("{a:?}") == only)?;
            algorithms.get(at..=at)?
        }
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key { kid: jwk.common.key_id, algorithms, key })
}
