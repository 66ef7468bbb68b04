//! What hostile programs write, made fit to be shown: to a model, and in a terminal by whoever reads along.

/// Bytes by which it is judged whether all of them are text.
const SAMPLE: usize = 8 << 10;

/// Bytes as text. What is no UTF-8, and what would move a cursor, turn the direction or not be seen, is escaped; lines stay lines.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if matches!(c, '\n' | '\t') || !hides(c) { out.push(c) } else { out.extend(c.escape_default()) }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out
}

fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether bytes are text: UTF-8 without NUL. The end may be cut in the middle of a character.
pub(crate) fn is_text(bytes: &[u8], cut: bool) -> bool {
    !bytes.contains(&0)
        && match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(e) => cut && e.error_len().is_none(),
        }
}

/// Whether bytes have so much in them that is no text that nobody would read them.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    let odd = |chunk: std::str::Utf8Chunk<'_>| {
        chunk.invalid().len() + chunk.valid().chars().filter(|c| c.is_control() && !c.is_whitespace()).count()
    };
    sample.utf8_chunks().map(odd).sum::<usize>() > sample.len() / 10
}

/// `text` in about `most` bytes: its beginning and its end, with a word between on how much is missing.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(most / 3 * 2);
    let tail = text.ceil_char_boundary(text.len().saturating_sub(most / 3));
    format!("{}\n[… {} bytes are left out here …]\n{}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_shown_and_lines_stay() {
        assert_eq!(printable(b"a\x1b[31mred\r\n\tb\0\xff\xc3\xa9"), "a\\u{1b}[31mred\\r\n\tb\\u{0}\\xff\u{e9}");
        assert_eq!(printable("x\u{202e}y".as_bytes()), "x\\u{202e}y");
    }

    #[test]
    fn text_is_told_from_bytes() {
        assert!(is_text("añ".as_bytes(), false) && is_text(&"añ".as_bytes()[..2], true));
        assert!(!is_text(&"añ".as_bytes()[..2], false) && !is_text(b"a\0b", true));
    }

    #[test]
    fn text_with_a_little_else_in_it_is_still_read() {
        assert!(!is_binary(b"PATH=/bin\0HOME=/home/box\0") && !is_binary(b"") && !is_binary("añb\n".as_bytes()));
        assert!(is_binary(b"\x7fELF\x02\x01\x01\0\0\0\0\0") && is_binary(&[0xff; 100]));
    }

    #[test]
    fn what_is_too_long_keeps_both_ends() {
        let text = format!("begin{}end", "é".repeat(500));
        let short = shortened(&text, 90);
        assert!(
            short.starts_with("begin") && short.ends_with("end") && short.len() < 150 && short.contains("left out")
        );
        assert_eq!(shortened("abc", 3), "abc");
    }
}
