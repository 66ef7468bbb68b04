//! Names and paths within a workspace: bytes, as the kernel has them, and never a way out.

use std::{borrow::Borrow, fmt};

/// Bytes of a name (`NAME_MAX`).
pub const MAX_NAME: usize = 255;
/// Bytes of a path, and of a link's target (`PATH_MAX` without its NUL).
pub const MAX_PATH: usize = 4095;

/// A name or path that no workspace can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be a path of a workspace: {what}")]
pub struct BadName {
    text: String,
    what: &'static str,
}

impl BadName {
    fn new(text: &[u8], what: &'static str) -> Self {
        Self { text: shown(&text[..text.len().min(200)]), what }
    }
}

/// The name of an entry of a directory: 1 to 255 bytes without `/` and NUL, and neither `.` nor `..`. Sorted by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<[u8]>);

impl EntryName {
    /// Takes a name.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn new(name: &[u8]) -> Result<Self, BadName> {
        let bad = |what| Err(BadName::new(name, what));
        match name {
            [] => bad("it is empty"),
            b"." | b".." => bad("it leads elsewhere"),
            _ if name.len() > MAX_NAME => bad("a name has at most 255 bytes"),
            _ if name.contains(&b'/') || name.contains(&0) => bad("a name has neither `/` nor NUL"),
            _ => Ok(Self(name.into())),
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether no workspace has it at its top: `.stead`, in which Stead keeps its own state, in any case of its letters.
    pub(crate) fn is_reserved(&self) -> bool {
        self.0.eq_ignore_ascii_case(b".stead")
    }
}

impl Borrow<[u8]> for EntryName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}
impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// A path from the top of a workspace; empty for the top itself.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<EntryName>);

impl TreePath {
    /// The top.
    pub const TOP: Self = Self(Vec::new());

    /// Reads `a/b/c`. Parts that say nothing (`./a//b/`) are left out; `.` and nothing at all are the top.
    ///
    /// # Errors
    /// When it is absolute, has `..`, or a part that cannot be a name, or is longer than [`MAX_PATH`].
    pub fn parse(path: &[u8]) -> Result<Self, BadName> {
        if path.first() == Some(&b'/') {
            return Err(BadName::new(path, "it is absolute, and paths count from the top of the workspace"));
        }
        if path.len() > MAX_PATH {
            return Err(BadName::new(path, "a path has at most 4,095 bytes"));
        }
        let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
        parts.map(EntryName::new).collect::<Result<_, _>>().map(Self).map_err(|e| BadName::new(path, e.what))
    }

    /// Its names, from the top.
    pub fn names(&self) -> &[EntryName] {
        &self.0
    }

    /// Whether it is `.stead` at the top, or below it, which no workspace has.
    pub(crate) fn is_reserved(&self) -> bool {
        self.0.first().is_some_and(EntryName::is_reserved)
    }

    /// The path of an entry of the directory at this one.
    #[must_use]
    pub fn join(&self, name: &EntryName) -> Self {
        let mut names = Vec::with_capacity(self.0.len() + 1);
        names.extend_from_slice(&self.0);
        names.push(name.clone());
        Self(names)
    }

    /// The way to it and its name; none for the top.
    pub fn split_last(&self) -> Option<(&[EntryName], &EntryName)> {
        self.0.split_last().map(|(name, dirs)| (dirs, name))
    }

    /// Its bytes, joined by `/`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().map(EntryName::as_bytes).collect::<Vec<_>>().join(&b'/')
    }

    /// Bytes of it, joined.
    #[cfg(target_os = "linux")]
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|n| n.0.len() + 1).sum::<usize>().saturating_sub(1)
    }

    pub(crate) fn push(&mut self, name: EntryName) {
        self.0.push(name);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        self.0.iter().enumerate().try_for_each(|(i, n)| write!(f, "{}{n}", if i == 0 { "" } else { "/" }))
    }
}
impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Bytes as text for people: what is no UTF-8 or would move a terminal's cursor is escaped.
pub fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if unsafe_to_show(c) => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out
}

/// Control characters, and those that turn the direction of a text or are not seen.
fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_path_never_leads_out() {
        for bad in [&b"/etc/passwd"[..], b"..", b"a/../b", b"a/..", b"../x", b"a\0b", b"a/\0"] {
            TreePath::parse(bad).unwrap_err();
        }
        let long = vec![b'a'; 256];
        TreePath::parse(&long).unwrap_err();
        TreePath::parse(&b"a/".repeat(2100)).unwrap_err();
        assert_eq!(TreePath::parse(&long[..255]).unwrap().names().len(), 1);
    }

    #[test]
    fn parts_that_say_nothing_are_left_out() {
        for (path, is) in [("./a//b/", "a/b"), ("", "."), (".", "."), ("./", "."), ("a/./b", "a/b"), ("...", "...")] {
            assert_eq!(TreePath::parse(path.as_bytes()).unwrap().to_string(), is, "{path:?}");
        }
    }

    #[test]
    fn a_name_is_shown_without_moving_the_cursor() {
        assert_eq!(shown("Grüße \u{1b}[2J\n\u{202e}".as_bytes()), "Grüße \\u{1b}[2J\\n\\u{202e}");
        assert_eq!(shown(b"a\xff\\b"), "a\\xff\\\\b");
    }
}
