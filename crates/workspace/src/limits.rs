//! How large a workspace may be, and the count that is taken while one is read.

use crate::{WorkspaceError, chunk};

/// Levels that any stored tree may have; a reader that meets more takes it as damaged. So every walk ends.
pub(crate) const MAX_DEPTH: usize = 128;

/// Bytes of all names and links' targets that one commit or archive may bring: they are in memory at once.
pub(crate) const MAX_WORDS: u64 = 64 << 20;

/// What a workspace may have. All are checked wherever a tree comes into being: at a commit, an import, a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files, links and directories together.
    pub entries: u64,
    /// Entries of one directory; at most [`crate::tree::MAX_ENTRIES`].
    pub directory: u64,
    /// Bytes of all files. A file counts by its size, whatever it takes on the disk: holes count.
    pub bytes: u64,
    /// Bytes of one file; at most 16 GiB.
    pub file: u64,
    /// Levels of directories, at most 128.
    pub depth: usize,
    /// Bytes of an archive, as it comes and as it expands; besides, what it expands to has the limits above.
    pub archive: u64,
    /// Changes that a diff lists; it counts all.
    pub listed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            directory: 50_000,
            bytes: 2 << 30,
            file: 512 << 20,
            depth: 64,
            archive: 4 << 30,
            listed: 1_000,
        }
    }
}

impl Limits {
    /// With nothing above what a tree can hold at all.
    #[must_use]
    pub(crate) fn within(mut self) -> Self {
        self.directory = self.directory.min(crate::tree::MAX_ENTRIES as u64);
        self.file = self.file.min(chunk::MAX_FILE);
        self.depth = self.depth.min(MAX_DEPTH);
        self
    }
}

/// What was met so far in a workspace that is being read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    words: u64,
}

impl Tally {
    /// A name or a link's target of that length.
    pub(crate) fn words(&mut self, bytes: usize, path: &dyn std::fmt::Display) -> Result<(), WorkspaceError> {
        self.words = self.words.saturating_add(bytes as u64);
        check(path, self.words, MAX_WORDS, "bytes of names and links")
    }

    /// One more entry.
    pub(crate) fn entry(&mut self, limits: &Limits, path: &dyn std::fmt::Display) -> Result<(), WorkspaceError> {
        self.entries = self.entries.saturating_add(1);
        check(path, self.entries, limits.entries, "files")
    }

    /// A file of that size, before a byte of it is read.
    pub(crate) fn file(
        &mut self,
        size: u64,
        limits: &Limits,
        path: &dyn std::fmt::Display,
    ) -> Result<(), WorkspaceError> {
        check(path, size, limits.file, "bytes of one file")?;
        self.bytes = self.bytes.saturating_add(size);
        check(path, self.bytes, limits.bytes, "bytes")
    }
}

pub(crate) fn check(
    path: &dyn std::fmt::Display,
    has: u64,
    most: u64,
    what: &'static str,
) -> Result<(), WorkspaceError> {
    if has <= most {
        return Ok(());
    }
    Err(WorkspaceError::Limit { path: path.to_string(), what: format!("{has} {what}"), most })
}
