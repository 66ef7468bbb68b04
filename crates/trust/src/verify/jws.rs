//! Ed25519 signatures as JWS (RFC 7515, RFC 8037): the payload is the text, and the header says so and nothing else.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{BadSignature, Verified};
use crate::{
    json::{Value, parse_canonical},
    key::PublicKey,
};

const TYPE: &str = "stead-approval-v1";

/// The one protected header that is taken of a key, encoded.
pub(crate) fn header(key: &PublicKey) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(header_value(key).to_string())
}

fn header_value(key: &PublicKey) -> Value {
    Value::object([
        ("alg", Value::text("EdDSA")),
        ("kid", Value::text(key.id().to_string())),
        ("typ", Value::text(TYPE)),
    ])
}

/// What is signed.
pub(crate) fn input(protected: &str, text: &str) -> Vec<u8> {
    format!("{protected}.{}", BASE64_URL_SAFE_NO_PAD.encode(text)).into_bytes()
}

/// The JWS in its compact form, for other programs.
pub fn compact(protected: &str, text: &str, signature: &[u8]) -> String {
    let payload = BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{protected}.{payload}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

pub(super) fn verify(text: &str, key: &PublicKey, protected: &str, signature: &[u8]) -> Result<Verified, BadSignature> {
    if !key.is_ed25519() || key.application().is_some() {
        return Err(BadSignature::Kind);
    }
    let header = BASE64_URL_SAFE_NO_PAD.decode(protected).ok().filter(|h| h.len() <= 512);
    let header = header.ok_or(BadSignature::Form("its header"))?;
    let header = parse_canonical(&header).map_err(|_| BadSignature::Form("its header"))?;
    if header != header_value(key) {
        return Err(BadSignature::Purpose("its header is another one"));
    }
    let right = key.verifies(&input(protected, text), signature, false);
    if right { Ok(Verified { person: false }) } else { Err(BadSignature::Wrong) }
}
