//! A secret on its way to a destination: it can be used, not shown. Where it comes from (`env://NAME`, `secret://NAME`) is
//! the wiring's.

mod forms;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use zeroize::Zeroizing;

use forms::Forms;

/// The shortest secret that is searched for in answers; a shorter one would blot out ordinary text.
pub const SHORTEST_SEARCHED: usize = 6;
/// What stands for a secret.
const INSTEAD: &[u8] = b"[secret]";

/// A secret value. Its `Debug` form hides it, it has no other text form, and its bytes are overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret {
    value: Zeroizing<String>,
    /// What an echo of it is recognised by; nothing for one that is too short.
    forms: Option<Arc<Forms>>,
}

impl Secret {
    /// Takes the value. White space around it is removed: a file usually ends with a line feed.
    pub fn new(value: &str) -> Self {
        let value = Zeroizing::new(value.trim().to_owned());
        let forms = (value.len() >= SHORTEST_SEARCHED).then(|| Arc::new(Forms::of(value.as_bytes())));
        Self { value, forms }
    }

    /// The value, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.value
    }

    /// Bytes of the longest echo that is looked for.
    pub(crate) fn longest(&self) -> usize {
        self.forms.as_ref().map_or(self.value.len(), |forms| forms.longest())
    }

    /// Whether bytes hold the secret, as it is or encoded.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.as_ref().is_some_and(|forms| forms.find(bytes).is_some())
    }

    /// Bytes without the secret, neither as it is nor encoded.
    pub fn blot(&self, bytes: Bytes) -> Bytes {
        self.without(&bytes).map_or(bytes, Bytes::from)
    }

    /// `text` without the secret, should a destination have echoed it.
    pub(crate) fn redact(&self, text: String) -> String {
        match self.without(text.as_bytes()) {
            // Every form is whole characters.
            Some(clean) => {
                String::from_utf8(clean).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
            }
            None => text,
        }
    }

    /// A JSON value without the secret in any of its texts, names of fields included.
    pub(crate) fn redact_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(text)),
            Value::Array(items) => items.into_iter().map(|item| self.redact_json(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (self.redact(name), self.redact_json(value))).collect()
            }
            plain => plain,
        }
    }

    /// Nothing when it is not in there.
    fn without(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let forms = self.forms.as_ref()?;
        let mut next = forms.find(bytes)?;
        let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
        loop {
            out.extend_from_slice(&rest[..next.start]);
            out.extend_from_slice(INSTEAD);
            rest = &rest[next.end..];
            match forms.find(rest) {
                Some(found) => next = found,
                None => break,
            }
        }
        out.extend_from_slice(rest);
        Some(out)
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
        let told = secret.redact_json(serde_json::json!({"hunter2-hunter2": [1, {"a": "is hunter2-hunter2"}]}));
        assert_eq!(told, serde_json::json!({"[secret]": [1, {"a": "is [secret]"}]}));
        let blotted = secret.blot(Bytes::from_static(b"\xffhunter2-hunter2hunter2-hunter2\0"));
        assert_eq!(blotted, &b"\xff[secret][secret]\0"[..]);
    }
}
