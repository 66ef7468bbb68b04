//! Assertions of passkeys (WebAuthn Level 2, section 7.2), as far as they matter to whoever keeps them: what was signed, on which
//! page, for which domain, and whether a person was there and was verified.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{BadSignature, Passkey, Verified};
use crate::{
    json::{Value, parse},
    key::PublicKey,
    statement::Statement,
};

/// Longest `clientDataJSON` and `authenticatorData`, in bytes.
const MAX: usize = 4_096;
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;

pub(super) fn verify(
    text: &str,
    key: &PublicKey,
    passkey: &Passkey,
    authenticator: &[u8],
    client: &[u8],
    signature: &[u8],
) -> Result<Verified, BadSignature> {
    if client.len() > MAX || authenticator.len() > MAX || key.application().is_some() {
        return Err(BadSignature::Form("its length"));
    }
    let data = parse(client).map_err(|_| BadSignature::Form("its client data"))?;
    let is = |name: &str, wanted: &str| data.get(name).and_then(Value::as_text) == Some(wanted);
    if !is("type", "webauthn.get") {
        return Err(BadSignature::Purpose("it is no assertion"));
    }
    if !is("challenge", &BASE64_URL_SAFE_NO_PAD.encode(Statement::challenge(text))) {
        return Err(BadSignature::Wrong);
    }
    if !is("origin", &passkey.origin) {
        return Err(BadSignature::Purpose("its origin is another one"));
    }
    if !matches!(data.get("crossOrigin"), None | Some(Value::Bool(false))) {
        return Err(BadSignature::Purpose("it was made inside another page"));
    }
    let (rp, rest) = authenticator.split_at_checked(32).ok_or(BadSignature::Form("its authenticator data"))?;
    // One byte of flags and a counter of four; extensions may follow.
    let flags = rest.get(..5).map(|r| r[0]).ok_or(BadSignature::Form("its authenticator data"))?;
    if rp != &Sha256::digest(&passkey.rp_id)[..] {
        return Err(BadSignature::Purpose("its relying party is another one"));
    }
    if flags & PRESENT == 0 {
        return Err(BadSignature::Absent);
    }
    let mut message = authenticator.to_vec();
    message.extend(Sha256::digest(client));
    let right = key.verifies(&message, signature, !key.is_ed25519());
    if right { Ok(Verified { person: flags & VERIFIED != 0 }) } else { Err(BadSignature::Wrong) }
}
