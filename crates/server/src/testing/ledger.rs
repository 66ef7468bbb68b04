//! What doubles were asked to do, on disk before they answer: it outlives the process, as the world would.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use stead_core::id::Name;

/// One request to a double.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The tool.
    pub tool: Name,
    /// The idempotency key that came with it.
    pub key: Name,
    /// The effect that it was made for.
    pub effect: String,
    /// Which of the double's answers it got, from 0.
    pub nth: usize,
    /// Whether it took effect.
    pub happened: bool,
}

/// The open list.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    pub(super) entries: Vec<Entry>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let entries = read(path)?;
        Ok(Self { file: OpenOptions::new().append(true).create(true).open(path)?, entries })
    }

    /// Adds an entry; it is on disk when this returns.
    pub(super) fn add(&mut self, entry: Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.entries.push(entry);
        Ok(())
    }
}

/// The entries of a list; none when it does not exist. A last line that was cut off by a crash never counted.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}
