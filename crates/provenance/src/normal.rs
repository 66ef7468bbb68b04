//! When two values are the same one, written differently: their keys. A value is found in a source when one of its keys is
//! one of the source's.
//!
//! Every value has a key of its text (NFKC, lower case, white space as one space), and one more when it is a number, a
//! date, a time, an e-mail address, an IBAN or a URL. What can be read in two ways has no key of that kind; what says
//! nothing of where it comes from (null, booleans, empty texts) has none at all. A look-alike has other keys; it is known by its
//! [`skeletons`].

mod address;
mod date;
mod number;

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

/// Bytes of a key that are kept as text; of a longer one its digest is.
const MAX_KEY: usize = 160;

/// A text as a URL of the web in the form that the URL standard gives it; see `address`.
pub(crate) fn url(text: &str) -> Option<String> {
    address::url(text)
}

/// What a value has in common with everything that is the same value. The first character tells the kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Box<str>);

impl Key {
    fn new(kind: char, text: &str) -> Self {
        if text.len() <= MAX_KEY {
            return Self(format!("{kind}{text}").into());
        }
        let mut out = format!("{kind}\u{1}");
        for byte in Sha256::digest(text.as_bytes()) {
            // Writing to a string cannot fail.
            let _ = write!(out, "{byte:02x}");
        }
        Self(out.into())
    }

    /// The value, as far as it is kept.
    pub fn text(&self) -> &str {
        self.0.get(1..).unwrap_or_default()
    }

    /// Whether it is of an e-mail address, an IBAN or a URL: what names somebody by itself.
    pub fn is_address(&self) -> bool {
        self.0.starts_with(['@', 'i', 'u'])
    }

    /// The value, if it is a date (`2024-05-26`), a moment (`2024-05-26 10:00:00`, and a `z` when its place is told) or a time of day
    /// (`10:00:00`).
    pub(crate) fn moment(&self) -> Option<&str> {
        self.0.starts_with(['d', 'h']).then(|| self.text())
    }

    /// Whether it is of a date, a time or an IBAN, which may stand in several words.
    pub(crate) fn is_span(&self) -> bool {
        self.0.starts_with(['d', 'h', 'i'])
    }
}

/// The keys of a JSON value; none for null, booleans, empty texts, lists and objects.
pub fn of_value(value: &Value) -> Vec<Key> {
    match value {
        Value::Number(n) => number::of_json(n).map(|n| vec![Key::new('n', &n)]).unwrap_or_default(),
        Value::String(s) => of_text(s),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

/// The keys of a text. None when it is empty, or when folding makes digits of what is none (`²`, `½`).
pub fn of_text(text: &str) -> Vec<Key> {
    let folded = fold(text);
    if folded.is_empty() || makes_digits(text) {
        return Vec::new();
    }
    let mut keys = vec![Key::new('t', &folded)];
    if folded.is_ascii() || folded.starts_with(number::is_currency) || folded.ends_with(number::is_currency) {
        keys.extend(number::of_text(&folded).map(|n| Key::new('n', &n)));
    }
    if folded.is_ascii() && folded.len() <= 2048 {
        keys.extend(date::of_text(&folded).map(|d| Key::new('d', &d)));
        keys.extend(date::time_of_text(&folded).map(|t| Key::new('h', &t)));
        keys.extend(address::email(&folded).map(|a| Key::new('@', &a)));
        keys.extend(address::iban(&folded).map(|i| Key::new('i', &i)));
        keys.extend(address::url(text.trim()).map(|u| Key::new('u', &u)));
    }
    keys
}

/// A text folded: NFKC, lower case, runs of white space as one space, none at its ends. Folding a folded text changes nothing.
pub fn fold(text: &str) -> String {
    let mut folded = fold_once(text);
    // Lower case can make sequences that compose anew. Each round is a fixed point of one more step; real texts need one.
    for _ in 0..8 {
        let again = fold_once(&folded);
        if again == folded {
            break;
        }
        folded = again;
    }
    folded
}

fn fold_once(text: &str) -> String {
    if text.is_ascii() {
        return spaced(&text.to_ascii_lowercase());
    }
    let lower = text.nfkc().collect::<String>().to_lowercase();
    spaced(&lower.replace('\u{2212}', "-").nfkc().collect::<String>())
}

fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Whether folding would make digits of what is no digit: `10²` is not 102. Full-width digits are digits.
fn makes_digits(text: &str) -> bool {
    let odd = |c: char| {
        !c.is_ascii()
            && !('\u{ff10}'..='\u{ff19}').contains(&c)
            && std::iter::once(c).nfkc().any(|d| d.is_ascii_digit())
    };
    !text.is_ascii() && text.chars().any(odd)
}

/// What a text looks like (UTS 39, section 4): as written, and in lower case. Two texts that share one look alike.
pub fn skeletons(text: &str) -> [String; 2] {
    let of = |text: &str| spaced(&unicode_security::skeleton(text).collect::<String>().to_lowercase());
    let written: String = text.nfkc().collect();
    [of(&written), of(&fold(text))]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let b = of_text(b);
        of_text(a).iter().any(|k| b.contains(k))
    }

    #[test]
    fn the_same_value_written_differently_is_the_same() {
        for (a, b) in [
            ("Ada@Example.COM", "ada@example.com"),
            ("1,000.00", "1000"),
            ("1.000,00", "1000.0"),
            ("1'000'000", "1000000"),
            ("12,5", "12.50"),
            ("€12.50", "12.5"),
            ("12.50 €", "12.5"),
            ("\u{2212}5", "-5"),
            ("GB29 NWBK 6016 1331 9268 19", "gb29nwbk60161331926819"),
            ("HTTPS://Example.com:443/a/../b", "https://example.com/b"),
            ("https://example.com", "https://example.com/"),
            ("May 26th, 2024", "2024-05-26"),
            ("26 May 2024", "2024-05-26"),
            ("26.05.2024", "2024/05/26"),
            ("2024-05-26 10:00", "2024-05-26T10:00:00"),
            ("2024-05-26T10:00:00+02:00", "2024-05-26T08:00:00Z"),
            ("9:30", "09:30:00"),
            ("3 pm", "15:00"),
            ("\u{ff41}\u{ff44}\u{ff41}", "ada"),
            ("  two\n words ", "Two words"),
        ] {
            assert!(same(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn what_could_be_another_value_is_not_the_same() {
        for (a, b) in [
            ("1,000", "1000"),
            ("1.000", "1000"),
            ("007", "7"),
            ("+4930123", "4930123"),
            ("10\u{b2}", "102"),
            ("\u{bd}", "1/2"),
            ("10%", "10"),
            ("05/06/2024", "2024-05-06"),
            ("2024-02-30", "2024-03-01"),
            ("2024-05-26T10:00:00Z", "2024-05-26T10:00:00"),
            ("https://example.com@evil.net/", "https://example.com/"),
            ("https://example.com\\.evil.net", "https://example.com/.evil.net"),
            ("ada@example.com.", "ada@example.com"),
            ("ada@ex\u{200b}ample.com", "ada@example.com"),
            ("аda@example.com", "ada@example.com"),
            ("", ""),
        ] {
            assert!(!same(a, b), "{a} and {b}");
        }
        assert!(of_value(&json!(true)).is_empty() && of_value(&json!(null)).is_empty());
    }

    #[test]
    fn numbers_of_json_are_those_of_texts_unless_they_were_rounded() {
        for (json, text) in
            [(json!(1000), "1,000.00"), (json!(49.9), "49.90"), (json!(-0.5), "-0.5"), (json!(1e3), "1000")]
        {
            assert!(of_value(&json).iter().any(|k| of_text(text).contains(k)), "{json} and {text}");
        }
        assert!(of_value(&json!(12_345_678_901_234_567_890_123.0)).is_empty());
        assert!(!same("12345678901234567890123", "12345678901234567890124"));
    }

    #[test]
    fn look_alikes_look_alike_and_are_not_the_same() {
        for (a, b) in
            [("pаypal.com", "paypal.com"), ("paypaI.com", "paypal.com"), ("ada@ex\u{200b}ample.com", "ada@example.com")]
        {
            assert!(skeletons(a).iter().any(|s| skeletons(b).contains(s)), "{a} and {b}");
            assert!(!same(a, b));
        }
        assert!(!skeletons("eve").iter().any(|s| skeletons("ada").contains(s)));
    }
}
