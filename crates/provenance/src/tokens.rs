//! The complete tokens of a text: what a trusted source says, and an argument may repeat.
//!
//! A token is the whole text, a line, what stands in quotes, a word without the punctuation around it, or a date, a time or an IBAN
//! that takes several words. A part of a word or of what stands in quotes is none, and neither is any other run of words. Nothing is
//! decoded.

use std::ops::Range;

use crate::{
    json,
    normal::{self, Key},
};

/// Words that a date with a time may take: `May 26th, 2024 at 10:00 am`.
const DATE_WORDS: usize = 6;

/// Words that an IBAN in groups of four may take.
const IBAN_WORDS: usize = 9;

/// Bytes of what stands in quotes.
const MAX_QUOTE: usize = 512;

/// Quotes and what closes them.
const QUOTES: &[(char, char)] =
    &[('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('„', '“'), ('‘', '’'), ('«', '»'), ('»', '«')];

/// Calls `each` with every token of a text, some more than once.
///
/// ```
/// let mut seen = Vec::new();
/// stead_provenance::tokens::each("Pay 'Acme Ltd' on May 3, 2024.", |t| seen.push(t.to_owned()));
/// assert!(["Pay", "Acme Ltd", "May 3, 2024"].iter().all(|t| seen.iter().any(|s| s == t)));
/// assert!(!seen.iter().any(|s| s == "Acm" || s == "on May"));
/// ```
pub fn each(text: &str, mut each: impl FnMut(&str)) {
    if is_json(text) {
        // Whoever wants its values to count hands them over as JSON, each with what it counts.
        return each(text.trim());
    }
    walk(text, true, each);
}

/// The same, and the words inside quotes as well: for what lowers.
pub(crate) fn every(text: &str, each: impl FnMut(&str)) {
    walk(text, false, each);
}

/// Whether a text is a JSON list or object by itself.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && json::parse(text).is_ok()
}

fn walk(text: &str, strict: bool, mut each: impl FnMut(&str)) {
    each(text.trim());
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        if line.len() < text.trim().len() {
            each(line.trim());
        }
        let mut quotes = quoted(line, &mut each);
        if !strict {
            quotes.clear();
        }
        words(line, &quotes, &mut each);
    }
}

/// What stands in quotes, opened at the beginning of a word and closed at the end of one; where it stands, in order.
fn quoted(line: &str, each: &mut impl FnMut(&str)) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    for &(open, close) in QUOTES {
        let mut rest = line;
        let mut before = None;
        while let Some(at) = rest.find(open) {
            let begins = rest[..at].chars().next_back().or(before).is_none_or(|c| !c.is_alphanumeric());
            let inner = &rest[at + open.len_utf8()..];
            let near = &inner[..inner.floor_char_boundary(MAX_QUOTE)];
            let ends = |i: &usize| {
                let after = inner[i + close.len_utf8()..].chars().next();
                after.is_none_or(|c| !c.is_alphanumeric())
            };
            let end = near.match_indices(close).map(|(i, _)| i).take(8).find(ends);
            match end.filter(|_| begins) {
                Some(end) => {
                    each(&inner[..end]);
                    let start = line.len() - inner.len();
                    out.push(start..start + end);
                    before = Some(close);
                    rest = &inner[end + close.len_utf8()..];
                }
                None => {
                    before = Some(open);
                    rest = inner;
                }
            }
        }
    }
    out.sort_by_key(|r| r.start);
    out
}

/// The words of a line outside quotes, and the spans that take several.
fn words(line: &str, quotes: &[Range<usize>], each: &mut impl FnMut(&str)) {
    let mut words: Vec<(usize, &str)> =
        line.split_whitespace().map(|w| (w.as_ptr() as usize - line.as_ptr() as usize, w)).collect();
    let (mut next, mut until) = (quotes.iter().peekable(), 0);
    words.retain(|(at, word)| {
        while let Some(quote) = next.next_if(|q| q.start < at + word.len()) {
            until = until.max(quote.end);
        }
        *at >= until
    });
    for (i, (at, word)) in words.iter().enumerate() {
        let bare = trimmed(word);
        each(bare);
        if bare.len() < word.len() {
            each(word);
        }
        if let Some(unmarked) = bare.strip_prefix('#').filter(|w| !w.is_empty()) {
            each(unmarked);
        }
        let most = if is_group(bare) { IBAN_WORDS } else { DATE_WORDS };
        let begins = *at + (word.len() - word.trim_start_matches(is_before).len());
        let next = words.iter().skip(i).take(most).map(|(_, w)| trimmed(w));
        if !may_begin_span(bare) || !(is_group(bare) || next.into_iter().any(makes_span)) {
            continue;
        }
        for (to, last) in words.iter().skip(i + 1).take(most - 1) {
            let end = to + last.trim_end_matches(is_behind).len();
            let span = line.get(begins..end).unwrap_or_default();
            if normal::of_text(span).iter().any(Key::is_span) {
                each(span);
            }
        }
    }
}

fn trimmed(word: &str) -> &str {
    word.trim_start_matches(is_before).trim_end_matches(is_behind)
}

fn is_before(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '”' | '„' | '‘' | '’' | '«' | '»' | '(' | '[' | '{' | '<' | '*' | '`')
}

fn is_behind(c: char) -> bool {
    is_before(c) || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '>' | '…')
}

/// The first group of an IBAN: `GB29`.
fn is_group(word: &str) -> bool {
    let b = word.as_bytes();
    b.len() == 4 && b[..2].iter().all(u8::is_ascii_alphabetic) && b[2..].iter().all(u8::is_ascii_digit)
}

/// Whether a date, a time or an IBAN of several words may begin with it.
fn may_begin_span(word: &str) -> bool {
    word.len() <= 10 && (word.starts_with(|c: char| c.is_ascii_digit()) || is_group(word) || is_month(word))
}

/// Whether a date or a time of several words has it.
fn makes_span(word: &str) -> bool {
    is_month(word) || word.contains(':') || word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm")
}

fn is_month(word: &str) -> bool {
    const HEADS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    word.get(..3).is_some_and(|head| HEADS.iter().any(|h| head.eq_ignore_ascii_case(h)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        each(text, |t| out.push(t.to_owned()));
        out
    }

    #[test]
    fn tokens_are_whole() {
        let text = "Send 'The Bill' (GB29 NWBK 6016 1331 9268 19) on 26 May 2024 at 10:00, to <ada@example.com>; see #1042.\nBye!";
        let found = all(text);
        for token in [
            "The Bill",
            "GB29 NWBK 6016 1331 9268 19",
            "26 May 2024",
            "26 May 2024 at 10:00",
            "10:00",
            "ada@example.com",
            "1042",
            "#1042",
            "Bye!",
            "Bye",
        ] {
            assert!(found.iter().any(|t| t == token), "{token} in {found:?}");
        }
        for part in ["Bill 26", "example.com", "May", "ada", "The Bill (GB29", "Send The"] {
            assert!(!found.iter().any(|t| t == part && part != "May"), "{part} in {found:?}");
        }
    }

    #[test]
    fn an_apostrophe_is_no_quote() {
        let found = all("It's Ada's idea, isn't it");
        assert!(!found.iter().any(|t| t == "s Ada"), "{found:?}");
    }

    #[test]
    fn json_in_a_text_is_a_text() {
        for text in [r#"{"to":"ada@example.com"}"#, r#"[ "x", { "to": "ada@example.com" } ]"#] {
            assert_eq!(all(text), [text]);
        }
    }
}
