//! Ids and names as providers take them back. A model can invent a name that its own provider refuses in a request,
//! and a chain hands the ids of one provider to the next; sent as they were, they would make every later turn fail.

use std::collections::BTreeSet;

/// Longest id that is kept, and longest name of a tool or model, in bytes.
pub(crate) const MAX_NAME: usize = 200;
/// Longest name or id that is sent.
const MAX_SENT: usize = 64;
/// Letters of a short id.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A name or id of `[a-zA-Z0-9_-]{1,64}`.
pub(crate) fn known(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = name.chars().map(plain).take(MAX_SENT).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// An id of exactly nine letters and digits, which is what Mistral takes: its own ids are that already, others get one
/// that is always the same.
pub(crate) fn nine(id: &str) -> String {
    if id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    // FNV-1a, 64 bits: nine letters hold 53 of them.
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut letter = || {
        let at = (hash % 62) as usize;
        hash /= 62;
        char::from(LETTERS[at])
    };
    (0..9).map(|_| letter()).collect()
}

/// A text that is none, which most providers refuse, said in words.
pub(crate) fn said(text: &str) -> &str {
    if text.trim().is_empty() { "(nothing)" } else { text }
}

/// An id that is not taken yet: the one given, or with a number after it.
pub(crate) fn unique(id: String, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = id.clone();
    let mut n = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{id}-{n}");
        n += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_become_what_providers_take() {
        assert_eq!(known("bad name!"), "bad_name_");
        assert_eq!(known(""), "_");
        assert_eq!(known(&"ä".repeat(100)).len(), 64);
        assert_eq!(nine("D681PevKs"), "D681PevKs");
        let (a, b) = (nine("call_2_0"), nine("call_2_1"));
        assert!(a != b && a.len() == 9 && a.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(a, nine("call_2_0"));
    }
}
