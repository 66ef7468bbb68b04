//! Signatures of `ssh-keygen -Y sign` (OpenSSH, PROTOCOL.sshsig), of key files and of security keys (PROTOCOL.u2f).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256, Sha512};

use super::{BadSignature, Verified};
use crate::{
    NAMESPACE,
    key::PublicKey,
    wire::{Reader, put_string},
};

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
/// Longest armored signature, in bytes.
const MAX: usize = 4_096;

/// Somebody touched the security key.
const PRESENT: u8 = 0x01;
/// It knows that it was its owner.
const VERIFIED: u8 = 0x04;

/// What is signed of a text.
pub fn signed_data(text: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for part in [NAMESPACE.as_bytes(), b"", b"sha512", &Sha512::digest(text)[..]] {
        put_string(&mut out, part);
    }
    out
}

pub(super) fn verify(text: &[u8], key: &PublicKey, armored: &str) -> Result<Verified, BadSignature> {
    let blob = unarmored(armored).ok_or(BadSignature::Form("its armor"))?;
    let mut r = Reader(&blob);
    let form = BadSignature::Form("its fields");
    if r.take(MAGIC.len()) != Some(MAGIC) || r.uint32() != Some(1) {
        return Err(form);
    }
    let (Some(signer), Some(namespace), Some(reserved), Some(hash), Some(signature)) =
        (r.string(), r.string(), r.string(), r.string(), r.string())
    else {
        return Err(form);
    };
    if !r.is_empty() || !reserved.is_empty() {
        return Err(form);
    }
    if namespace != NAMESPACE.as_bytes() {
        return Err(BadSignature::Purpose("its namespace is not `stead-approval-v1`"));
    }
    if hash != b"sha512" {
        return Err(BadSignature::Form("its hash is not SHA-512"));
    }
    if signer != key.blob() {
        return Err(BadSignature::Wrong);
    }
    signature_of(key, signature, &signed_data(text))
}

fn signature_of(key: &PublicKey, signature: &[u8], data: &[u8]) -> Result<Verified, BadSignature> {
    let form = BadSignature::Form("its signature");
    let mut r = Reader(signature);
    let (Some(kind), Some(raw)) = (r.string(), r.string()) else { return Err(form) };
    if kind != key.kind().as_bytes() {
        return Err(BadSignature::Kind);
    }
    let (message, person) = match key.application() {
        None => (data.to_vec(), false),
        Some(application) => {
            let flags = r.byte().ok_or(form)?;
            let counter = r.take(4).ok_or(form)?;
            if flags & PRESENT == 0 {
                return Err(BadSignature::Absent);
            }
            let mut message = Sha256::digest(application).to_vec();
            message.push(flags);
            message.extend(counter);
            message.extend(Sha256::digest(data));
            (message, flags & VERIFIED != 0)
        }
    };
    if !r.is_empty() {
        return Err(form);
    }
    let raw = if key.is_ed25519() { raw.to_vec() } else { fixed(raw).ok_or(form)? };
    if key.verifies(&message, &raw, false) { Ok(Verified { person }) } else { Err(BadSignature::Wrong) }
}

/// `r ‖ s` of SSH's two numbers.
fn fixed(raw: &[u8]) -> Option<Vec<u8>> {
    let mut r = Reader(raw);
    let both = [r.number()?, r.number()?].concat();
    r.is_empty().then_some(both)
}

fn unarmored(text: &str) -> Option<Vec<u8>> {
    let body = Some(text).filter(|t| t.len() <= MAX)?.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64: String = body.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    BASE64_STANDARD.decode(base64).ok()
}

/// The armored form of a signature blob.
pub fn armor(blob: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(blob);
    let mut out = format!("{BEGIN}\n");
    let mut rest = &text[..];
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(70));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out + END + "\n"
}
