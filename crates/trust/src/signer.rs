//! A signing key in a file: an Ed25519 seed. What holds no such file (an SSH agent, a security key, a passkey) signs elsewhere.

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use crate::{
    key::{BadKey, PublicKey},
    receipt::Signature,
    verify::jws,
};

const PREFIX: &str = "stead-approver-key-v1 ";

/// A signing key.
pub struct Signer {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Signer {
    /// The key of a seed: 32 random bytes.
    ///
    /// # Errors
    /// The library takes it for no seed.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).map_err(|_| BadKey::Form)?;
        let raw = pair.public_key().as_ref().try_into().map_err(|_| BadKey::Form)?;
        Ok(Self { seed, pair, public: PublicKey::ed25519(raw) })
    }

    /// Its public key.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs bytes as they are.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// Signs a text as a JWS.
    pub fn sign_text(&self, text: &str) -> Signature {
        let protected = jws::header(&self.public);
        let signature = self.sign(&jws::input(&protected, text));
        Signature::Jws { protected, signature }
    }

    /// The key as text, to be kept secret.
    pub fn secret_text(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(BASE64_STANDARD.encode(&self.seed[..]));
        Zeroizing::new(format!("{PREFIX}{}\n", *seed))
    }
}

impl FromStr for Signer {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let seed = text.trim_end().strip_prefix(PREFIX).filter(|s| s.len() == 44).ok_or(BadKey::Form)?;
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(seed).map_err(|_| BadKey::Form)?);
        let mut seed = Zeroizing::new([0; 32]);
        if bytes.len() != 32 {
            return Err(BadKey::Form);
        }
        seed.copy_from_slice(&bytes);
        Self::from_seed(seed)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).finish_non_exhaustive()
    }
}
