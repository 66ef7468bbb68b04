//! What names somebody or something by itself: e-mail addresses, IBANs, URLs.

use iban::IbanLike as _;
use url::{Host, Url};

/// A folded text as an e-mail address (RFC 5322 `addr-spec` without quotes and comments), its host in canonical form.
pub(super) fn email(folded: &str) -> Option<String> {
    let (local, host) = folded.split_once('@')?;
    let atom = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b);
    if local.is_empty() || local.len() > 64 || !local.bytes().all(atom) {
        return None;
    }
    match Host::parse(host).ok()? {
        Host::Domain(host) if !host.is_empty() => Some(format!("{local}@{host}")),
        _ => None,
    }
}

/// A folded text as an IBAN (ISO 13616) without spaces, if country, length and check digits are right.
pub(super) fn iban(folded: &str) -> Option<String> {
    let bytes = folded.as_bytes();
    let begins = bytes.len() >= 15
        && bytes[..2].iter().all(u8::is_ascii_lowercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit)
        && bytes.len() <= 42;
    if !begins {
        return None;
    }
    let bare = folded.replace(' ', "").to_ascii_uppercase();
    bare.parse::<iban::Iban>().ok().map(|iban| iban.electronic_str().to_owned())
}

/// A text as a URL of the web in the form that the URL standard gives it. One that readers could take apart differently
/// (white space, a backslash, a name before the host) is none.
pub(super) fn url(text: &str) -> Option<String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    let web = |s: &str| text.get(..s.len()).is_some_and(|head| head.eq_ignore_ascii_case(s));
    if text.contains(odd) || !(web("http://") || web("https://") || web("ws://") || web("wss://") || web("ftp://")) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    (url.username().is_empty() && url.password().is_none()).then(|| url.into())
}
