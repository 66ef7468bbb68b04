//! Whether a key signed a text: three ways to sign, one answer.

pub mod jws;
pub mod sshsig;
pub mod webauthn;

use crate::{key::PublicKey, receipt::Signature};

/// Where a passkey may be used. Every other key has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The relying party's id: a domain.
    pub rp_id: String,
    /// The origin of the page that signs.
    pub origin: String,
    /// The credential's id as base64url, by which a page asks an authenticator for this very key; absent where whoever enrolled it did
    /// not say it. A signature does not depend on it.
    pub credential: Option<String>,
}

/// What a signature shows beside who signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Their authenticator has verified the person, by a PIN or a finger.
    pub person: bool,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// Its form cannot be read.
    #[error("the signature cannot be read: {0}")]
    Form(&'static str),
    /// It was made for something else.
    #[error("the signature was made for another purpose: {0}")]
    Purpose(&'static str),
    /// It is not that key's over that text.
    #[error("the signature is not that key's over that text")]
    Wrong,
    /// The key signs in another way.
    #[error("a key of this kind does not sign like that")]
    Kind,
    /// Nobody was there when it was made.
    #[error("the authenticator did not see that anybody was there")]
    Absent,
}

/// Verifies a signature over a text.
///
/// # Errors
/// It is not that key's over that text, made for this purpose.
pub fn verify(
    text: &str,
    key: &PublicKey,
    passkey: Option<&Passkey>,
    signature: &Signature,
) -> Result<Verified, BadSignature> {
    match (signature, passkey) {
        (Signature::Jws { protected, signature }, None) => jws::verify(text, key, protected, signature),
        (Signature::Ssh { armored }, None) => sshsig::verify(text.as_bytes(), key, armored),
        (Signature::Webauthn { authenticator, client, signature }, Some(passkey)) => {
            webauthn::verify(text, key, passkey, authenticator, client, signature)
        }
        // A passkey signs on its page alone, and nothing else signs there.
        _ => Err(BadSignature::Kind),
    }
}
