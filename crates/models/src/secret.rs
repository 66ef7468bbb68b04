//! A provider's key: usable, but not printable.

use std::fmt;

use zeroize::Zeroizing;

/// Shortest key that is searched for in texts; anything shorter would blank out ordinary words.
const MIN_REDACTED: usize = 4;
/// So many leading characters in common make a word a masked copy of the key (`sk-abc***xyz`).
const MASKED_PREFIX: usize = 6;

/// A secret text. It has no `Display`, its `Debug` says nothing, and its bytes are overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret; surrounding white space, as left by files and shells, is dropped.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Zeroizing::new(text.as_ref().trim().to_owned()))
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The text without this secret: neither the whole, nor words that begin like it (providers echo keys half masked).
    pub fn redact(&self, text: &str) -> String {
        if self.0.len() < MIN_REDACTED {
            return text.to_owned();
        }
        let clean = text.replace(self.0.as_str(), "[key]");
        let Some(prefix) = self.0.get(..MASKED_PREFIX) else { return clean };
        let mut out = String::with_capacity(clean.len());
        let mut rest = clean.as_str();
        while let Some(at) = rest.find(prefix) {
            out.push_str(&rest[..at]);
            out.push_str("[key]");
            let tail = &rest[at..];
            rest =
                &tail[tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',')).unwrap_or(tail.len())..];
        }
        out.push_str(rest);
        out
    }
}

impl Secret {
    /// The bytes without this secret, and how many at their end may be the beginning of it.
    pub(crate) fn cut_from(&self, bytes: &[u8]) -> (Vec<u8>, usize) {
        let key = self.0.as_bytes();
        if key.len() < MIN_REDACTED {
            return (bytes.to_vec(), 0);
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.windows(key.len()).position(|w| w == key) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"[key]");
            rest = &rest[at + key.len()..];
        }
        out.extend_from_slice(rest);
        let open = (1..key.len().min(rest.len() + 1)).rev().find(|n| rest.ends_with(&key[..*n])).unwrap_or(0);
        (out, open)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed_nor_left_in_a_text() {
        let key = Secret::new(" sk-proj-12345678abcd\n");
        assert_eq!(format!("{key:?}"), "Secret(…)");
        assert_eq!(key.redact("Bearer sk-proj-12345678abcd!"), "Bearer [key]!");
        assert_eq!(
            key.redact("wrong key: sk-proj-1***abcd, try \"sk-proj\" again"),
            "wrong key: [key], try \"[key]\" again"
        );
        assert_eq!(Secret::new("é1234567").redact("é1234***7 and é"), "[key] and é");
        assert_eq!(Secret::new("abc").redact("abc"), "abc");
    }
}
