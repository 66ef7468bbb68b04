//! What the terminal can do, colours, and making foreign text safe to show.

use std::io::{self, IsTerminal as _};

/// Whether stdout goes to a person's screen.
pub(crate) fn out_is_tty() -> bool {
    io::stdout().is_terminal()
}

/// Whether stderr goes to a person's screen.
pub(crate) fn err_is_tty() -> bool {
    io::stderr().is_terminal()
}

/// Whether a person can be asked: questions go to stderr, answers come from stdin.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && err_is_tty()
}

/// Colours, or none. <https://no-color.org> is honoured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For stderr.
    pub(crate) fn stderr() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|v: std::ffi::OsString| !v.is_empty());
        Self(err_is_tty() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb"))
    }

    /// Whether there are colours.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Less important.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// A word that stands out.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Something is wrong.
    pub(crate) fn error(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// What to do.
    pub(crate) fn hint(self, text: &str) -> String {
        self.with("36", text)
    }

    /// A human is needed.
    pub(crate) fn ask(self, text: &str) -> String {
        self.with("1;33", text)
    }
}

/// Text from a model, a tool or a server, without what could drive a terminal or turn the order of letters around:
/// control characters other than line breaks and tabs, and the marks of bidirectional text.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The beginning of a text on one line, of at most `max` characters.
pub(crate) fn short(text: &str, max: usize) -> String {
    let mut out = String::new();
    for (n, c) in clean(text).trim().chars().enumerate() {
        if n >= max {
            out.push('…');
            break;
        }
        out.push(if c.is_whitespace() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\tc\nd\u{9b}e\u{202e}f"), "a\u{fffd}[2Jb\tc\nd\u{fffd}e\u{fffd}f");
        assert_eq!(short("a\nb  c", 3), "a b…");
        assert_eq!(short("abc", 3), "abc");
    }
}
