//! A file of lines in the data folder, for records that are read with the tools of the system: only its owner can read it, what is
//! written is whole, and two files are the most.
//!
//! Lines are handed to the kernel and not synced: they outlive this process however it ends, and may be lost with the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

/// Bytes of a file. Then it becomes the one before, and that is gone.
const MOST: u64 = 64 << 20;

/// See the module.
pub(crate) struct Lines(Mutex<Kept>);

struct Kept {
    now: PathBuf,
    before: PathBuf,
    file: File,
    len: u64,
    most: u64,
}

impl Lines {
    /// Goes on where an earlier process ended.
    ///
    /// # Errors
    /// When there can be no such file in the folder.
    pub(crate) fn open(folder: &Path, name: &str, before: &str) -> io::Result<Self> {
        Self::with(folder, name, before, MOST)
    }

    fn with(folder: &Path, name: &str, before: &str, most: u64) -> io::Result<Self> {
        let now = folder.join(name);
        let mut file = open(&now)?;
        let mut len = file.metadata()?.len();
        let mut last = [b'\n'];
        if len > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            // The machine went down in the middle of a line.
            file.write_all(b"\n")?;
            len += 1;
        }
        Ok(Self(Mutex::new(Kept { now, before: folder.join(before), file, len, most })))
    }

    /// Writes a line, which ends with its end of line.
    ///
    /// # Errors
    /// When it is not written; nothing of it is there then.
    pub(crate) fn write(&self, line: &[u8]) -> io::Result<()> {
        self.0.lock().write(line)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

impl Kept {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.len > 0 && self.len.saturating_add(line.len() as u64) > self.most {
            fs::rename(&self.now, &self.before)?;
            (self.file, self.len) = (open(&self.now)?, 0);
        }
        let written = self.file.write_all(line);
        match written {
            Ok(()) => self.len += line.len() as u64,
            // Half a line would spoil the next one.
            Err(_) => drop(self.file.set_len(self.len)),
        }
        written
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn two_files_are_the_most_and_the_newest_lines_are_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let lines = Lines::with(dir.path(), "now", "before", 1_000).unwrap();
        for n in 0..1_000 {
            lines.write(format!("{n}\n").as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let (before, now) = (read("before"), read("now"));
        assert!(now.len() <= 1_000 && !before.is_empty());
        let numbers: Vec<u64> = before.lines().chain(now.lines()).map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (numbers[0]..1_000).collect::<Vec<_>>());
    }
}
