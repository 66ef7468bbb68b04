//! A secret on its way to a destination: it can be used, not shown. Where it comes from (`env://NAME`, `secret://NAME`) is
//! the wiring's.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

/// The shortest secret that is searched for in answers; a shorter one would blot out ordinary text.
const SHORTEST_SEARCHED: usize = 6;

/// A secret value. Its `Debug` form hides it, it has no other text form, and its bytes are overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value. White space around it is removed: a file usually ends with a line feed.
    pub fn new(value: &str) -> Self {
        Self(Zeroizing::new(value.trim().to_owned()))
    }

    /// The value, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether bytes hold the secret.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        secret.len() >= SHORTEST_SEARCHED && bytes.windows(secret.len()).any(|w| w == secret)
    }

    /// Bytes without the secret, as they were written.
    pub fn blot(&self, bytes: Bytes) -> Bytes {
        let secret = self.0.as_bytes();
        if !self.is_in(&bytes) {
            return bytes;
        }
        let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), &bytes[..]);
        while let Some(at) = rest.windows(secret.len()).position(|w| w == secret) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"[secret]");
            rest = &rest[at + secret.len()..];
        }
        out.extend_from_slice(rest);
        out.into()
    }

    /// `text` without the secret, should a destination have echoed it.
    pub(crate) fn redact(&self, text: String) -> String {
        if self.0.len() >= SHORTEST_SEARCHED && text.contains(self.0.as_str()) {
            text.replace(self.0.as_str(), "[secret]")
        } else {
            text
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2-hunter2\n");
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
        assert_eq!(secret.redact("you sent hunter2-hunter2!".into()), "you sent [secret]!");
        assert_eq!(Secret::new("a").redact("banana".into()), "banana");
        let blotted = secret.blot(Bytes::from_static(b"\xffhunter2-hunter2hunter2-hunter2\0"));
        assert_eq!(blotted, &b"\xff[secret][secret]\0"[..]);
    }
}
