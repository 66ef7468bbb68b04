//! Where output of a sandbox goes. To a file or another program it goes as it is; on a person's screen nothing in it may drive the
//! terminal, unless a terminal of the sandbox is what was asked for.

use std::io::{self, Write};

use crate::ui::term::clean;

/// A stream of this process that foreign bytes are written to.
pub(super) struct Screen<W> {
    to: W,
    escaped: bool,
    /// The beginning of a character whose rest has not come yet.
    rest: Vec<u8>,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(to: W, escaped: bool) -> Self {
        Self { to, escaped, rest: Vec::new() }
    }

    /// Writes a piece, as much of it as is whole.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.escaped {
            self.rest.extend_from_slice(piece);
            let whole = whole(&self.rest);
            let text: Vec<u8> = self.rest.drain(..whole).collect();
            self.to.write_all(shown(&text).as_bytes())?;
        } else {
            self.to.write_all(piece)?;
        }
        self.to.flush()
    }

    /// Writes what is left.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        self.to.write_all(shown(&rest).as_bytes())?;
        self.to.flush()
    }
}

/// Line ends of Windows are line ends; everything else that is no text is not shown as it is.
fn shown(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes).replace("\r\n", "\n"))
}

/// How many bytes end with a whole character, or with something that is none.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        // Only the end of the input is missing.
        Err(e) if e.error_len().is_none() => e.valid_up_to(),
        Err(_) => {
            let tail = bytes.len().saturating_sub(3);
            let begun = |i: &usize| {
                std::str::from_utf8(&bytes[*i..]).is_err_and(|e| e.error_len().is_none() && e.valid_up_to() == 0)
            };
            let start = (tail..bytes.len()).find(begun);
            start.unwrap_or(bytes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn written(escaped: bool, pieces: &[&[u8]]) -> Vec<u8> {
        let mut screen = Screen::new(Vec::new(), escaped);
        pieces.iter().for_each(|p| screen.write(p).unwrap());
        screen.finish().unwrap();
        screen.to
    }

    #[test]
    fn what_could_drive_a_terminal_is_not_shown_and_characters_may_be_cut() {
        assert_eq!(written(false, &[b"\x1b[2J\xff"]), b"\x1b[2J\xff");
        assert_eq!(written(true, &[b"a\x1b[2Jb\r\n"]), "a\u{fffd}[2Jb\n".as_bytes());
        let text = "grün €𝄞".as_bytes();
        for at in 0..text.len() {
            assert_eq!(written(true, &[&text[..at], &text[at..]]), text, "cut at {at}");
        }
        assert_eq!(written(true, &[b"\xff\xe2\x82", b"\xac!"]), "\u{fffd}€!".as_bytes());
        assert_eq!(written(true, &[b"\xe2\x82"]), "\u{fffd}".as_bytes());
    }
}
