//! A token of somebody verified: a signed JWT (RFC 7519, RFC 8725), be it an access token (RFC 9068) or an ID token of OpenID Connect.
//! What is not checked here is not believed: a signature by a key of the issuer, an algorithm of a list, issuer, audience and time.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, crypto};
use serde_json::{Map, Value};

use crate::{claims::Claims, jwk::Keys};

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 16 << 10;
/// Algorithms that may be allowed: signatures by public keys. No shared secret, and never `none`.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// Types that a token may say it is of (RFC 8725, section 3.11); others are made for something else.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no signed JWT.
    #[error("it is no signed token: {0}")]
    Malformed(&'static str),
    /// It is of another type, or has a header that must be understood and is not.
    #[error("it is a token for something else: `{0}`")]
    Kind(String),
    /// Its algorithm is not allowed.
    #[error("it is signed with `{0}`, which is not allowed here")]
    Algorithm(String),
    /// The issuer publishes no such key, as far as is known.
    #[error("its key is not one of the issuer's")]
    Key,
    /// The signature is not of that key.
    #[error("its signature is not the issuer's")]
    Signature,
    /// Another issuer made it.
    #[error("it is of another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("it is meant for somebody else (`aud`)")]
    Audience,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet: the clocks may differ by more than is allowed")]
    Early,
}

/// What is asked of a token.
#[derive(Clone, Debug)]
pub struct Checks<'a> {
    /// Who must have made it.
    pub issuer: &'a str,
    /// For whom it must be meant: one of these.
    pub audiences: &'a [String],
    /// How it may be signed: of [`ALGORITHMS`].
    pub algorithms: &'a [String],
    /// By how many seconds clocks may differ.
    pub skew: u64,
    /// Seconds since 1970.
    pub now: u64,
}

/// The parts of a token, of which nothing is believed yet.
struct Parts<'a> {
    signed: &'a str,
    signature: &'a str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

/// Whether a text has the form of a signed JWT at all.
pub fn looks_like_one(token: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    token.len() <= MAX_TOKEN && token.matches('.').count() == 2 && token.split('.').take(2).all(part)
}

/// Who says that it made a token; believed by nobody, it only tells which keys to look for.
pub fn says_issuer(token: &str) -> Option<String> {
    let claims = parts(token).ok()?.claims;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned)
}

/// For whom a token says that it is meant, when it names one; believed by nobody.
pub fn says_audience(token: &str) -> Option<String> {
    let claims = parts(token).ok()?.claims;
    claims.get("aud").and_then(Value::as_str).map(str::to_owned)
}

/// When a token says that it was issued, in seconds since 1970; believed by nobody who has not verified it.
pub fn says_issued(token: &str) -> Option<u64> {
    let claims = parts(token).ok()?.claims;
    seconds(&claims, "iat").ok().flatten()
}

/// Verifies a token and tells its claims.
///
/// # Errors
/// [`Refused`]; with [`Refused::Key`] the issuer may have other keys by now.
pub fn verify(token: &str, keys: &Keys, checks: &Checks<'_>) -> Result<Claims, Refused> {
    let parts = parts(token)?;
    let text = |name: &str| parts.header.get(name).and_then(Value::as_str);
    let algorithm = text("alg").ok_or(Refused::Malformed("it names no algorithm"))?;
    let algorithm = allowed(algorithm, checks.algorithms).ok_or_else(|| Refused::Algorithm(short(algorithm)))?;
    if let Some(kind) = parts.header.get("typ") {
        let kind = kind.as_str().unwrap_or_default();
        if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            return Err(Refused::Kind(short(kind)));
        }
    }
    // RFC 7515, section 4.1.11: what is critical and not understood must be refused. A key that comes with the token proves nothing.
    if let Some(unknown) = ["crit", "b64"].into_iter().find(|name| parts.header.contains_key(*name)) {
        return Err(Refused::Kind(unknown.to_owned()));
    }
    let fitting = keys.fitting(text("kid"), algorithm);
    if fitting.is_empty() {
        return Err(Refused::Key);
    }
    let good = |key: &&&crate::jwk::Key| {
        crypto::verify(parts.signature, parts.signed.as_bytes(), &key.key, algorithm).unwrap_or(false)
    };
    if fitting.iter().find(good).is_none() {
        return Err(Refused::Signature);
    }
    believed(parts.claims, checks)
}

/// What the claims must say, once the signature is good.
fn believed(claims: Map<String, Value>, checks: &Checks<'_>) -> Result<Claims, Refused> {
    if claims.get("iss").and_then(Value::as_str) != Some(checks.issuer) {
        return Err(Refused::Issuer);
    }
    let meant = |aud: &Value| aud.as_str().is_some_and(|aud| checks.audiences.iter().any(|known| known == aud));
    let audience = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(meant),
        Some(one) => meant(one),
        None => false,
    };
    if !audience {
        return Err(Refused::Audience);
    }
    let expires = seconds(&claims, "exp")?.ok_or(Refused::Malformed("it never expires"))?;
    if checks.now >= expires.saturating_add(checks.skew) {
        return Err(Refused::Expired);
    }
    for begins in ["nbf", "iat"] {
        if seconds(&claims, begins)?.is_some_and(|at| at > checks.now.saturating_add(checks.skew)) {
            return Err(Refused::Early);
        }
    }
    Ok(Claims(claims))
}

/// A NumericDate (RFC 7519, section 2), without its fraction.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_u64().or_else(|| value.as_f64().filter(|n| (0.0..1e15).contains(n)).map(|n| n as u64));
    number.map(Some).ok_or(Refused::Malformed("a time in it is no number"))
}

/// The algorithm of a name, if it is on both lists.
fn allowed(name: &str, list: &[String]) -> Option<Algorithm> {
    let known = ALGORITHMS.contains(&name) && list.iter().any(|allowed| allowed == name);
    known.then(|| name.parse().ok()).flatten()
}

fn parts(token: &str) -> Result<Parts<'_>, Refused> {
    if token.len() > MAX_TOKEN {
        return Err(Refused::Malformed("it is too long"));
    }
    let mut dots = token.rmatch_indices('.').map(|(at, _)| at);
    let (Some(last), Some(first), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(Refused::Malformed("it has not three parts"));
    };
    let (header, claims) = (object(&token[..first])?, object(&token[first + 1..last])?);
    Ok(Parts { signed: &token[..last], signature: &token[last + 1..], header, claims })
}

fn object(part: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed("a part of it is not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Malformed("a part of it is no JSON object"))
}

/// A word of a stranger, as it may stand in a message.
fn short(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()
}
