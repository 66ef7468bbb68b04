//! The forms in which an echo of a secret is looked for: as it is, percent-encoded, as JSON escapes it, in hexadecimal, and in
//! base64 at each of its three alignments and in both alphabets. A destination that splits it, or encrypts it, is trusted not to:
//! it has the secret.

use std::{collections::BTreeSet, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

/// See the module.
pub(super) struct Forms {
    /// The longest first, so that of two that begin alike the whole is taken.
    texts: Vec<Zeroizing<Vec<u8>>>,
}

impl Forms {
    pub(super) fn of(value: &[u8]) -> Self {
        let mut all = BTreeSet::from([value.to_vec()]);
        for upper in [false, true] {
            all.insert(hex(value, upper));
            for kept in [unreserved as fn(u8) -> bool, form, |_| false] {
                for plus in [false, true] {
                    all.insert(percent(value, upper, kept, plus));
                }
            }
        }
        if let Ok(text) = std::str::from_utf8(value)
            && let Ok(quoted) = serde_json::to_string(text)
        {
            let bare = &quoted[1..quoted.len() - 1];
            all.insert(bare.into());
            all.insert(bare.replace('/', "\\/").into());
        }
        for before in 0..3 {
            let standard = aligned(value, before);
            all.insert(
                standard
                    .iter()
                    .map(|b| {
                        if *b == b'+' {
                            b'-'
                        } else if *b == b'/' {
                            b'_'
                        } else {
                            *b
                        }
                    })
                    .collect(),
            );
            all.insert(standard);
        }
        let mut texts: Vec<_> = all.into_iter().map(Zeroizing::new).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self { texts }
    }

    /// Bytes of the longest.
    pub(super) fn longest(&self) -> usize {
        self.texts.first().map_or(0, |text| text.len())
    }

    /// The first echo.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let at = |text: &Zeroizing<Vec<u8>>| Some((position(bytes, text)?, text.len()));
        let (start, len) = self.texts.iter().filter_map(at).min_by_key(|(start, len)| (*start, usize::MAX - len))?;
        Some(start..start + len)
    }
}

/// Where `text`, which is not empty, begins in `bytes`.
fn position(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let last = bytes.len().checked_sub(text.len())?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..=last)?.iter().position(|b| *b == first) {
        let start = from + at;
        if bytes[start..].starts_with(text) {
            return Some(start);
        }
        from = start + 1;
        if from > last {
            break;
        }
    }
    None
}

fn hex(value: &[u8], upper: bool) -> Vec<u8> {
    value.iter().flat_map(|b| digits(*b, upper)).collect()
}

fn digits(byte: u8, upper: bool) -> [u8; 2] {
    let alphabet = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    [byte >> 4, byte & 15].map(|d| alphabet[usize::from(d)])
}

/// Percent-encoded but for what is kept; a space as `+` where forms write it so.
fn percent(value: &[u8], upper: bool, kept: fn(u8) -> bool, plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * value.len());
    for byte in value {
        match byte {
            b' ' if plus => out.push(b'+'),
            b if kept(*b) => out.push(*b),
            b => {
                out.push(b'%');
                out.extend(digits(*b, upper));
            }
        }
    }
    out
}

/// RFC 3986, 2.3.
fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What forms leave as it is (WHATWG URL, application/x-www-form-urlencoded).
fn form(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"*-._".contains(&byte)
}

/// The characters of base64 that depend on the value alone when `before` bytes (0, 1, 2) stand before it.
fn aligned(value: &[u8], before: usize) -> Vec<u8> {
    let mut bytes = Zeroizing::new(vec![0; before]);
    bytes.extend_from_slice(value);
    let text = Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes));
    // The first characters hold bits of what stands before, the last one may hold some of what follows.
    let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    text.as_bytes()[from..to].to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    #[test]
    fn an_echo_is_found_in_every_form() {
        let value = "s3cr3t/with+odd \"length\"~";
        let secret = Secret::new(value);
        let (lower, upper) = (hex(value.as_bytes(), false), hex(value.as_bytes(), true));
        let url = "s3cr3t%2Fwith%2Bodd%20%22length%22~";
        let mut echoes = vec![
            value.to_owned(),
            url.to_owned(),
            url.to_lowercase(),
            "s3cr3t%2Fwith%2Bodd+%22length%22%7E".to_owned(),
            r#"s3cr3t/with+odd \"length\"~"#.to_owned(),
            r#"s3cr3t\/with+odd \"length\"~"#.to_owned(),
            String::from_utf8_lossy(&lower).into_owned(),
            String::from_utf8_lossy(&upper).into_owned(),
            value.bytes().map(|b| format!("%{b:02x}")).collect(),
        ];
        for (before, after) in [("", ""), ("a", "b"), ("ab", "cd"), ("abc", "d"), ("user:", ":x")] {
            let encoded = STANDARD_NO_PAD.encode(format!("{before}{value}{after}"));
            echoes.push(encoded.replace('+', "-").replace('/', "_"));
            echoes.push(encoded);
        }
        for echo in echoes {
            let told = secret.redact(format!("you sent {echo}, twice {echo}"));
            assert!(secret.is_in(echo.as_bytes()) && told.matches("[secret]").count() == 2, "{echo}: {told}");
            assert!(!told.contains("cr3t") && !told.contains(&echo), "{echo}: {told}");
        }
        assert_eq!(secret.redact("nothing of it".into()), "nothing of it");
    }

    #[test]
    fn the_end_of_what_is_looked_through_is_no_echo() {
        assert_eq!(position(b"aaab", b"ab"), Some(2));
        assert_eq!(position(b"aaa", b"ab"), None);
        assert_eq!(position(b"a", b"ab"), None);
        assert_eq!(position(b"", b"ab"), None);
        assert_eq!(position(b"ab", b"ab"), Some(0));
    }
}
