//! Cutting text to a bound without breaking it.

use serde::Serialize;

/// `text` cut to at most `max` bytes at a character boundary.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// `text` in at most `max` bytes and three more, which say that something is missing.
pub(crate) fn ellipsis(text: &str, max: usize) -> String {
    if text.len() <= max { text.to_owned() } else { format!("{}…", clip(text, max)) }
}

/// A value as compact JSON. Only for values that always can be written.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| format!("\"unprintable: {e}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(clip("añb", 2), "a");
        assert_eq!(clip("añb", 99), "añb");
        assert_eq!(ellipsis("añb", 3), "añ…");
    }
}
