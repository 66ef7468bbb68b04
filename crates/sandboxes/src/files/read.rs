//! Reading a file.

use std::{fs::File, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;
use rustix::fs::{FileType, OFlags};

use super::{Files, blocking};
use crate::{PathFault, SandboxesError};

/// Bytes of one piece.
const PIECE: usize = 256 << 10;

/// A file that is being read, from an offset to an end that were asked for.
#[derive(Debug)]
pub struct Reader {
    path: String,
    file: Arc<File>,
    /// Bytes of the file when it was opened.
    pub size: u64,
    at: u64,
    end: u64,
}

impl Files {
    /// Opens a file for reading, from that byte on, for at most so many. A link that stays within the folder is followed.
    ///
    /// # Errors
    /// ST0202 when nothing is there, ST0324 for what is no file, or leads out.
    pub async fn read(&self, path: &str, offset: u64, length: Option<u64>) -> Result<Reader, SandboxesError> {
        let (file, size) = self
            .at(path, |spot| {
                // Without waiting: at the other end of a pipe nobody may be.
                let file = spot.open(OFlags::RDONLY | OFlags::NONBLOCK)?;
                let found = rustix::fs::fstat(&file)?;
                match FileType::from_raw_mode(found.st_mode) {
                    FileType::RegularFile => Ok((File::from(file), u64::try_from(found.st_size).unwrap_or(0))),
                    FileType::Directory => Err(PathFault::Kind("it is a folder")),
                    _ => Err(PathFault::Kind("it is no file")),
                }
            })
            .await?;
        // What it grows by meanwhile is not read: so every reading ends.
        let at = offset.min(size);
        let end = length.map_or(size, |length| at.saturating_add(length).min(size));
        Ok(Reader { path: path.to_owned(), file: Arc::new(file), size, at, end })
    }
}

impl Reader {
    /// The bytes that it was opened for: from the first to before the last.
    pub fn range(&self) -> (u64, u64) {
        (self.at, self.end)
    }

    /// The next piece; `None` at the end, also when the file has become shorter.
    ///
    /// # Errors
    /// ST0324 when the system does not give it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SandboxesError> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(None);
        }
        let (file, at) = (Arc::clone(&self.file), self.at);
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = blocking(&self.path, move || {
            let mut room = vec![0; length];
            let n = file.read_at(&mut room, at)?;
            room.truncate(n);
            Ok(room)
        });
        let piece = piece.await?;
        self.at = if piece.is_empty() { self.end } else { self.at + piece.len() as u64 };
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}
