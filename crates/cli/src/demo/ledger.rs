//! A list on disk: one JSON value a line, synced before it counts. A last line that was cut off by a crash never counted.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger(File);

impl Ledger {
    /// Opens the list and reads it; what is no complete line at its end is cut off.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> io::Result<(Self, Vec<T>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut entries = Vec::new();
        let (mut good, mut line) = (0_u64, String::new());
        let mut reader = BufReader::new(&file);
        loop {
            line.clear();
            let read = reader.read_line(&mut line)?;
            if read == 0 || !line.ends_with('\n') {
                break;
            }
            entries.push(serde_json::from_str(&line)?);
            good += read as u64;
        }
        file.set_len(good)?;
        file.seek(SeekFrom::Start(good))?;
        Ok((Self(file), entries))
    }

    /// Adds an entry; it is on disk when this returns.
    pub(crate) fn add(&mut self, entry: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_added_is_read_back_and_a_torn_line_never_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let (mut ledger, none) = Ledger::open::<u32>(&path).unwrap();
        assert!(none.is_empty());
        ledger.add(&1).unwrap();
        ledger.add(&2).unwrap();
        drop(ledger);
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"3").unwrap();
        let (mut ledger, two) = Ledger::open::<u32>(&path).unwrap();
        assert_eq!(two, [1, 2]);
        ledger.add(&4).unwrap();
        assert_eq!(Ledger::open::<u32>(&path).unwrap().1, [1, 2, 4]);
    }
}
