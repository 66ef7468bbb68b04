//! What of the texts of a run may be shown to tools that are told of it. Nothing unless an operator says so, and then without the values of
//! secrets and without what looks like a person or a key.

use std::sync::LazyLock;

use regex::Regex;

use crate::value::cut;

/// Bytes of a text that are shown.
pub const SHOWN_MAX: usize = 16 << 10;
/// What stands in the place of a secret.
pub const SECRET: &str = "[secret]";
/// What stands in the place of something personal.
pub const PERSONAL: &str = "[personal]";
/// Bytes of the shortest secret that is looked for: a shorter one would be found everywhere.
const SHORTEST: usize = 6;

static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    let bearer = r"(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}";
    let known = r"\b(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abprs]|whsec|st)[-_][A-Za-z0-9_-]{12,}";
    let token = r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*";
    let cloud = r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b";
    let pem = r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)";
    Regex::new(&[bearer, known, token, cloud, pem].join("|")).expect("is a pattern")
});

static PEOPLE: LazyLock<Regex> = LazyLock::new(|| {
    let mail = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+";
    let account = r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b";
    let card = r"\b\d(?:[ -]?\d){12,18}\b";
    let phone = r"\+\d(?:[ ().-]{0,2}\d){7,14}";
    Regex::new(&[mail, account, card, phone].join("|")).expect("is a pattern")
});

/// Masks texts.
#[derive(Clone, Default)]
pub struct Mask {
    /// The longest first, so that none leaves a part of another.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask").field("secrets", &self.secrets.len()).finish()
    }
}

impl Mask {
    /// One that knows the values of these secrets, and each as JSON writes it.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for secret in secrets {
            let secret = secret.trim();
            if secret.len() < SHORTEST {
                continue;
            }
            let json = serde_json::Value::from(secret).to_string();
            all.extend([secret.to_owned(), json[1..json.len() - 1].to_owned()]);
        }
        all.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        all.dedup();
        Self { secrets: all }
    }

    /// A text as it may be shown: masked as a whole, and only then cut.
    pub fn show(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            if out.contains(secret) {
                out = out.replace(secret, SECRET);
            }
        }
        let out = KEYS.replace_all(&out, SECRET);
        let out = PEOPLE.replace_all(&out, PERSONAL);
        let shown = cut(&out, SHOWN_MAX);
        if shown.len() < out.len() { format!("{shown}[… cut]") } else { shown.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_what_looks_like_a_person_or_a_key_are_masked() {
        let mask = Mask::new(["hunter2-hunter2".into(), "a\"quoted\"one".into(), "abc".into()]);
        for (text, shown) in [
            ("pw=hunter2-hunter2;", "pw=[secret];"),
            (r#"{"k":"a\"quoted\"one"}"#, r#"{"k":"[secret]"}"#),
            ("abc stays", "abc stays"),
            ("mail ada.lovelace+x@example.co.uk now", "mail [personal] now"),
            ("DE89 3704 0044 0532 0130 00", "[personal]"),
            ("card 4111 1111 1111 1111.", "card [personal]."),
            ("call +49 (30) 1234567", "call [personal]"),
            ("Authorization: Bearer abcdefgh12345678", "Authorization: [secret]"),
            ("key sk-proj-ABCDEFGHIJKLMNOP", "key [secret]"),
            ("order 1042, 49.90 USD", "order 1042, 49.90 USD"),
        ] {
            assert_eq!(mask.show(text), shown, "{text}");
        }
    }

    #[test]
    fn a_secret_at_the_cut_is_masked_before_it_is_cut() {
        let mask = Mask::new(["hunter2-hunter2".into()]);
        let text = format!("{}hunter2-hunter2", "x".repeat(SHOWN_MAX - 4));
        assert!(!mask.show(&text).contains("hunt"));
        assert_eq!(format!("{mask:?}"), "Mask { secrets: 1 }");
    }
}
