//! AWS Signature Version 4 (AWS General Reference, "Signing AWS API requests"): the request is signed anew with the real key.
//!
//! Checked against the vectors of AWS's signature test suite.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};
use stead_core::code;
use stead_ports::secret::Secret;
use zeroize::Zeroizing;

use crate::{calendar, error::Refusal, rules::path::Target};

/// What signs.
pub(crate) struct Signer<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) secret_key: &'a Secret,
    pub(crate) session_token: Option<&'a Secret>,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What is signed of the body: its hash, or for S3 over TLS a word that says it is not.
///
/// # Errors
/// `ST0253` when the client signed the pieces of the body with a key of its own.
pub(crate) fn payload_hash(service: &str, headers: &HeaderMap) -> Result<Option<&'static str>, Refusal> {
    let told = headers.get("x-amz-content-sha256").map_or(&b""[..], HeaderValue::as_bytes);
    match told {
        b"STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER")),
        _ if told.starts_with(b"STREAMING-") => Err(Refusal::new(
            code::EGRESS_MALFORMED,
            "the pieces of the body are signed with the client's own key",
            "have the client send the payload unsigned (`payload_signing_enabled = false`)",
        )),
        _ => Ok((service == "s3").then_some("UNSIGNED-PAYLOAD")),
    }
}

impl Signer<'_> {
    /// Sets the fields of the signature. `hash` is the body's, in hexadecimal, or the word that stands for it.
    pub(crate) fn sign(
        &self,
        method: &str,
        target: &Target,
        headers: &mut HeaderMap,
        hash: &str,
    ) -> Result<(), Refusal> {
        if target.query.to_ascii_lowercase().contains("x-amz-signature=") {
            return Err(Refusal::malformed("the URL is signed already, with a key of the client's own"));
        }
        let time = timestamp(self.now);
        let day = &time[..8];
        let set = |headers: &mut HeaderMap, name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).map_err(|_| unusable())?;
            headers.insert(HeaderName::from_static(name), value);
            Ok::<_, Refusal>(())
        };
        headers.remove(header::AUTHORIZATION);
        headers.remove("x-amz-security-token");
        set(headers, "x-amz-date", &time)?;
        if self.service == "s3" {
            set(headers, "x-amz-content-sha256", hash)?;
        }
        if let Some(token) = self.session_token {
            set(headers, "x-amz-security-token", token.expose())?;
        }
        let mut signed: Vec<&str> = headers.keys().map(HeaderName::as_str).filter(|n| is_signed(n)).collect();
        signed.sort_unstable();
        let fields: Zeroizing<String> = Zeroizing::new(signed.iter().map(|n| canonical_field(headers, n)).collect());
        let names = signed.join(";");
        let request = Zeroizing::new(format!(
            "{method}\n{}\n{}\n{}\n{names}\n{hash}",
            canonical_path(&target.path, self.service),
            canonical_query(&target.query),
            *fields
        ));
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request.as_bytes())));
        let first = Zeroizing::new(format!("AWS4{}", self.secret_key.expose()));
        let steps = [day, self.region, self.service, "aws4_request"];
        let key = steps.iter().fold(Zeroizing::new(first.as_bytes().to_vec()), |key, step| mac(&key, step));
        let signature = hex(&mac(&key, &to_sign));
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key_id
        );
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&value).map_err(|_| unusable())?);
        Ok(())
    }
}

fn unusable() -> Refusal {
    Refusal::new(
        code::EGRESS_SECRET,
        "a value for the signature fits into no field",
        "set the secret anew, on one line",
    )
}

fn is_signed(name: &str) -> bool {
    matches!(name, "host" | "content-type" | "content-md5") || name.starts_with("x-amz-")
}

fn canonical_field(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|v| {
            String::from_utf8_lossy(v.as_bytes()).split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    format!("{name}:{}\n", values.join(","))
}

/// S3 takes the path escaped once, as it is; every other service escaped twice, and without empty segments.
fn canonical_path(path: &str, service: &str) -> String {
    let segments = path.split('/').map(|s| encode(&decode(s, false)));
    if service == "s3" {
        return segments.collect::<Vec<_>>().join("/");
    }
    let kept: Vec<_> = segments.filter(|s| !s.is_empty()).map(|s| encode(s.as_bytes())).collect();
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

fn canonical_query(query: &str) -> String {
    let parts = query.trim_start_matches('?').split('&').filter(|p| !p.is_empty());
    let mut pairs: Vec<(String, String)> = parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (encode(&decode(name, true)), encode(&decode(value, true))))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn decode(text: &str, plus: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(b) = bytes.get(at) {
        match (b, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) if plus => out.push(b' '),
            _ => out.push(*b),
        }
        at += 1;
    }
    out
}

fn encode(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    bytes.iter().map(|b| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn mac(key: &[u8], text: &str) -> Zeroizing<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `YYYYMMDDTHHMMSSZ`.
fn timestamp(now: u64) -> String {
    let ((year, month, day), second) = (calendar::date(now), now % 86_400);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// 2015-08-30 12:36:00 UTC, the moment of the suite.
    const NOW: u64 = 1_440_938_160;

    fn signature(method: &str, target: &str, fields: &[(&'static str, &str)], hash: &str) -> String {
        let key = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret_key: &key,
            session_token: None,
            region: "us-east-1",
            service: "service",
            now: NOW,
        };
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.amazonaws.com".parse().unwrap());
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        signer.sign(method, &Target::parse(target).unwrap(), &mut headers, hash).unwrap();
        let value = headers["authorization"].to_str().unwrap();
        assert!(value.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "));
        value.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_vectors_of_the_suite_come_out() {
        // get-vanilla, post-vanilla, get-vanilla-query-order-key-case
        assert_eq!(
            signature("GET", "/", &[], EMPTY),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert_eq!(
            signature("POST", "/", &[], EMPTY),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        assert_eq!(
            signature("GET", "/?Param2=value2&Param1=value1", &[], EMPTY),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }

    #[test]
    fn a_signed_url_and_signed_pieces_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(payload_hash("s3", &headers), Ok(Some("UNSIGNED-PAYLOAD")));
        assert_eq!(payload_hash("sts", &headers), Ok(None));
        headers.insert("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".parse().unwrap());
        assert!(payload_hash("s3", &headers).is_err());
        let key = Secret::new("0123456789");
        let signer =
            Signer { access_key_id: "A", secret_key: &key, session_token: None, region: "r", service: "s3", now: NOW };
        let target = Target::parse("/?X-Amz-Signature=1").unwrap();
        assert!(signer.sign("GET", &target, &mut HeaderMap::new(), EMPTY).is_err());
    }

    #[test]
    fn paths_and_times_are_written_as_aws_does() {
        assert_eq!(canonical_path("/a%2Fb/c:d//e/", "s3"), "/a%2Fb/c%3Ad//e/");
        assert_eq!(canonical_path("/a%20b//c:d", "sts"), "/a%2520b/c%253Ad");
        assert_eq!(canonical_path("/", "sts"), "/");
        assert_eq!(canonical_query("?b=2&a=x+y&a=%2b&c"), "a=%2B&a=x%20y&b=2&c=");
        assert_eq!(timestamp(NOW), "20150830T123600Z");
        assert_eq!(timestamp(951_782_400), "20000229T000000Z");
    }
}
