//! Ways to read a stream: as it is, or with one kind of escapes undone. Each gives the bytes that a reader of that kind would
//! see, folded, with the place in the stream where each begins.
//!
//! An escape that is none, or is cut off, counts as what it is made of.

use super::forms::fold;

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Raw,
    /// `%41`; a line end is left out.
    Percent,
    /// `\u0041`, `\x41`, `\/`; a line end is left out, escaped or not.
    Json,
    /// `&#65;`, `&#x41;`, `&amp;`; a line end is left out.
    Html,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Raw, Kind::Percent, Kind::Json, Kind::Html];

/// The longest escape: `&#x000041;`.
const LONGEST: usize = 10;

/// Line ends in a row that are left out; more than these separate.
const LINE_ENDS: u8 = 4;

/// A reader of one kind.
#[derive(Debug)]
pub(super) struct View {
    kind: Kind,
    /// An escape that may go on, as it came.
    open: Vec<u8>,
    line_ends: u8,
}

impl View {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, open: Vec::with_capacity(LONGEST), line_ends: 0 }
    }

    /// Bytes of an escape that may go on.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Reads the byte at `at`; `see` is given each byte that is read, folded, and the place where it begins.
    pub(super) fn read(&mut self, byte: u8, at: u64, see: &mut impl FnMut(u8, u64)) {
        if self.open.is_empty() {
            return if self.begins(byte) { self.open.push(byte) } else { self.give(byte, at, see) };
        }
        let from = at - self.open.len() as u64;
        self.open.push(byte);
        match decode(self.kind, &self.open) {
            Escape::Open => {}
            Escape::Is(decoded) => {
                self.open.clear();
                self.give_char(decoded, from, see);
            }
            Escape::None => {
                // Its first byte stands for itself; what follows may be the beginning of another.
                let rest = std::mem::take(&mut self.open);
                self.give(rest[0], from, see);
                for (i, b) in rest.into_iter().enumerate().skip(1) {
                    self.read(b, from + i as u64, see);
                }
            }
        }
    }

    fn begins(&self, byte: u8) -> bool {
        matches!((self.kind, byte), (Kind::Percent, b'%') | (Kind::Json, b'\\') | (Kind::Html, b'&'))
    }

    fn give_char(&mut self, decoded: char, from: u64, see: &mut impl FnMut(u8, u64)) {
        // Secrets are ASCII; any other character only has to break a run.
        self.give(u8::try_from(decoded).unwrap_or(0), from, see);
    }

    fn give(&mut self, byte: u8, from: u64, see: &mut impl FnMut(u8, u64)) {
        if self.kind != Kind::Raw && matches!(byte, b'\r' | b'\n') && self.line_ends < LINE_ENDS {
            self.line_ends += 1;
            return;
        }
        self.line_ends = 0;
        see(fold(byte), from);
    }
}

enum Escape {
    Open,
    Is(char),
    None,
}

fn decode(kind: Kind, text: &[u8]) -> Escape {
    match (kind, text) {
        (Kind::Percent, [b'%', digits @ ..]) => hex(digits, 2),
        (Kind::Json, [b'\\', b'u', digits @ ..]) => hex(digits, 4),
        (Kind::Json, [b'\\', b'x', digits @ ..]) => hex(digits, 2),
        (Kind::Json, [b'\\', c]) => match c {
            b'"' | b'\\' | b'/' | b'\'' => Escape::Is(char::from(*c)),
            b'n' => Escape::Is('\n'),
            b'r' => Escape::Is('\r'),
            b't' => Escape::Is('\t'),
            b'b' => Escape::Is('\u{8}'),
            b'f' => Escape::Is('\u{c}'),
            _ => Escape::None,
        },
        (Kind::Html, [b'&', body @ .., b';']) => entity(body),
        (Kind::Html, [b'&', body @ ..]) => {
            let fits = text.len() < LONGEST && body.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'#');
            if fits { Escape::Open } else { Escape::None }
        }
        _ => Escape::None,
    }
}

fn hex(digits: &[u8], want: usize) -> Escape {
    let mut value = 0;
    for d in digits {
        let Some(d) = char::from(*d).to_digit(16) else { return Escape::None };
        value = value * 16 + d;
    }
    if digits.len() < want { Escape::Open } else { Escape::Is(char::from_u32(value).unwrap_or('\u{fffd}')) }
}

fn entity(body: &[u8]) -> Escape {
    let code = match body {
        b"amp" => return Escape::Is('&'),
        b"lt" => return Escape::Is('<'),
        b"gt" => return Escape::Is('>'),
        b"quot" => return Escape::Is('"'),
        b"apos" => return Escape::Is('\''),
        [b'#', b'x' | b'X', digits @ ..] => {
            std::str::from_utf8(digits).ok().and_then(|d| u32::from_str_radix(d, 16).ok())
        }
        [b'#', digits @ ..] => std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()),
        _ => None,
    };
    code.and_then(char::from_u32).map_or(Escape::None, Escape::Is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, text: &str) -> (String, Vec<u64>) {
        let (mut view, mut out, mut places) = (View::new(kind), String::new(), Vec::new());
        for (at, b) in text.bytes().enumerate() {
            view.read(b, at as u64, &mut |b, from| {
                out.push(char::from(b));
                places.push(from);
            });
        }
        (out, places)
    }

    #[test]
    fn each_kind_undoes_its_escapes_and_no_others() {
        assert_eq!(read(Kind::Raw, "a%41\n_ B").0, "a%41\n/+b");
        assert_eq!(
            read(Kind::Percent, "%41%2f%2B\r\n%zz%4%41"),
            ("a/+%zz%4a".into(), vec![0, 3, 6, 11, 12, 13, 14, 15, 16])
        );
        assert_eq!(read(Kind::Json, r#"\u0041\/\"\n\x42\q\\n"#).0, "a/\"b\\q\\n");
        assert_eq!(read(Kind::Html, "&#65;&#x42;&amp;&#39;&no;&&lt;").0, "ab&'&no;&<");
        assert_eq!(read(Kind::Html, "&aaaaaaaaaaaa").0, "&aaaaaaaaaaaa");
        assert_eq!(read(Kind::Percent, "a\n\n\n\n\n\nb").0, "a\nb", "many line ends separate");
    }
}
