//! The cassettes of recorded runs: files in a folder beside the journal, `RUN.jsonl`, that only ever grow at their end. How long
//! each is, is looked at before the snapshot of the database is taken, and so much of it is in the backup: what a run said
//! after that moment is in neither.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use stead_core::id::RunId;
use stead_ports::journal::StoreError;

use super::{
    read::{Chunk, damaged},
    table::{CASSETTES, Value, fixed, number},
};
use crate::{
    blob::file_error,
    sqlite::files::{private, sync_dir},
};

/// Bytes of a row.
const PIECE: usize = 1 << 20;
/// The folder, below a data directory.
const FOLDER: &str = "cassettes";

/// The cassettes of a folder on their way into a backup.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Those that are not begun, the last first.
    waiting: Vec<(RunId, PathBuf, u64)>,
    /// The one being read, with the place and what is left.
    open: Option<(RunId, File, u64, u64)>,
}

impl Pieces {
    /// Looks at the folder; one that is not there holds nothing.
    pub(crate) fn of(folder: Option<&Path>) -> Result<Self, StoreError> {
        let Some(folder) = folder else { return Ok(Self::default()) };
        let fail = |e: io::Error| file_error(folder, &e);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(fail(e)),
        };
        let mut waiting = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            let run = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<RunId>().ok());
            let Some(run) = run.filter(|_| path.extension().is_some_and(|e| e == "jsonl")) else { continue };
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_file() => waiting.push((run, path, found.len())),
                // Deleted meanwhile, or nothing that a recorder has made.
                _ => {}
            }
        }
        waiting.sort_by_key(|w| std::cmp::Reverse(w.0));
        Ok(Self { waiting, open: None })
    }

    /// The next row, in the order of runs and places. Blocks.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Value>>, StoreError> {
        loop {
            if let Some((run, file, at, left)) = &mut self.open {
                let mut piece = Vec::new();
                let most = (*left).min(PIECE as u64);
                (&mut *file).take(most).read_to_end(&mut piece).map_err(|e| file_error(Path::new(FOLDER), &e))?;
                if piece.is_empty() {
                    self.open = None;
                    continue;
                }
                let (run, from) = (*run, *at);
                *at += piece.len() as u64;
                *left -= piece.len() as u64;
                let from = i64::try_from(from).unwrap_or(i64::MAX);
                return Ok(Some(vec![
                    Value::Bytes(run.0.to_be_bytes().to_vec().into()),
                    Value::Int(from),
                    Value::Bytes(piece.into()),
                ]));
            }
            let Some((run, path, len)) = self.waiting.pop() else { return Ok(None) };
            match File::open(&path) {
                Ok(file) => self.open = Some((run, file, 0, len)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(file_error(&path, &e)),
            }
        }
    }
}

/// Proves the order of the pieces: each run once, without a gap.
#[derive(Debug, Default)]
pub(super) struct Order {
    last: Option<(RunId, u64)>,
}

impl Order {
    /// Looks at a row; tells whether it begins a cassette.
    pub(super) fn look(&mut self, row: &[Value]) -> Result<bool, StoreError> {
        let (run, at, body) = piece(row)?;
        let begins = match self.last {
            Some((last, next)) if last == run && next == at && at > 0 => false,
            Some((last, _)) if last >= run => return Err(damaged("its cassettes are out of order")),
            _ if at == 0 && !body.is_empty() => true,
            _ => return Err(damaged(&format!("the cassette of {run} has a gap"))),
        };
        self.last = Some((run, at + body.len() as u64));
        Ok(begins)
    }
}

fn piece(row: &[Value]) -> Result<(RunId, u64, &[u8]), StoreError> {
    let (Some(run), Some(at), Value::Bytes(body)) = (fixed::<16>(&row[0]), number(&row[1]), &row[2]) else {
        return Err(damaged("a cassette has no run"));
    };
    let at = u64::try_from(at).map_err(|_| damaged("a piece of a cassette has no place"))?;
    Ok((RunId(u128::from_be_bytes(run)), at, body))
}

/// Whether these rows are pieces of cassettes and no rows of a table.
pub(crate) fn are_here(chunk: &Chunk) -> bool {
    chunk.table.number == CASSETTES.number
}

/// Cassettes out of a backup, in a folder of their own until all of the backup is there.
#[derive(Debug)]
pub struct Shelf {
    staging: PathBuf,
}

impl Shelf {
    /// Below this folder, which is the restore's own.
    pub fn new(staging: &Path) -> Self {
        Self { staging: staging.join(FOLDER) }
    }

    /// Writes the pieces of a chunk; of any other chunk nothing. Blocks.
    ///
    /// # Errors
    /// ST0148 when they are damaged, ST0142 or ST0143 when the disk does not take them.
    pub fn fill(&self, chunk: &Chunk) -> Result<(), StoreError> {
        if !are_here(chunk) {
            return Ok(());
        }
        private(&self.staging)?;
        for row in &chunk.rows {
            let (run, at, body) = piece(row)?;
            // The name is made of a number: nothing of the backup's decides where a file stands.
            let path = self.staging.join(format!("{run}.jsonl"));
            let mut options = OpenOptions::new();
            if at == 0 {
                options.create_new(true).write(true).mode(0o600)
            } else {
                options.append(true)
            };
            let written = options.open(&path).and_then(|mut file| {
                file.write_all(body)?;
                file.sync_all()
            });
            written.map_err(|e| file_error(&path, &e))?;
        }
        Ok(())
    }

    /// Moves them to their place in the data directory, where a cassette of the same run makes room. Blocks.
    ///
    /// # Errors
    /// ST0142 or ST0143.
    pub fn finish(&self, data_dir: &Path) -> Result<(), StoreError> {
        let entries = match fs::read_dir(&self.staging) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(file_error(&self.staging, &e)),
        };
        let folder = data_dir.join(FOLDER);
        private(&folder)?;
        for entry in entries {
            let from = entry.map_err(|e| file_error(&self.staging, &e))?;
            let to = folder.join(from.file_name());
            fs::rename(from.path(), &to).map_err(|e| file_error(&to, &e))?;
        }
        sync_dir(&folder).map_err(|e| file_error(&folder, &e))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rows(pieces: &mut Pieces) -> Vec<Vec<Value>> {
        std::iter::from_fn(|| pieces.next().unwrap()).collect()
    }

    #[test]
    fn a_folder_goes_through_a_backup_as_it_was_when_it_was_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cassettes");
        assert!(rows(&mut Pieces::of(Some(&folder)).unwrap()).is_empty());
        fs::create_dir(&folder).unwrap();
        let name = |n: u128| folder.join(format!("{}.jsonl", RunId(n)));
        let long: Vec<u8> = (0..PIECE * 2 + 7).map(|n| n as u8).collect();
        fs::write(name(2), &long).unwrap();
        fs::write(name(1), b"one").unwrap();
        fs::write(name(3), b"").unwrap();
        fs::write(name(4), b"gone").unwrap();
        fs::write(folder.join("notes.txt"), b"mine").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", name(5)).unwrap();
        let mut pieces = Pieces::of(Some(&folder)).unwrap();
        // What comes later is of no part.
        fs::OpenOptions::new().append(true).open(name(1)).unwrap().write_all(b" more").unwrap();
        fs::remove_file(name(4)).unwrap();
        let rows = rows(&mut pieces);
        let mut order = Order::default();
        let begun: Vec<_> = rows.iter().map(|row| order.look(row).unwrap()).collect();
        assert_eq!(begun, [true, true, false, false]);

        let to = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(&to.path().join("restoring"));
        shelf.fill(&Chunk { table: &CASSETTES, rows }).unwrap();
        assert!(!to.path().join("cassettes").exists());
        shelf.finish(to.path()).unwrap();
        let read = |n: u128| fs::read(to.path().join(format!("cassettes/{}.jsonl", RunId(n)))).unwrap();
        assert_eq!((read(1), read(2)), (b"one".to_vec(), long));
        assert_eq!(fs::read_dir(to.path().join("cassettes")).unwrap().count(), 2);
    }

    #[test]
    fn pieces_that_do_not_follow_each_other_are_damage() {
        let row = |run: u128, at: i64, body: &'static [u8]| {
            vec![Value::Bytes(run.to_be_bytes().to_vec().into()), Value::Int(at), Value::Bytes(body.into())]
        };
        let wrong = [
            vec![row(1, 5, b"x")],
            vec![row(1, -1, b"x")],
            vec![row(1, 0, b"abc"), row(1, 2, b"x")],
            vec![row(1, 0, b"abc"), row(1, 0, b"abc")],
            vec![row(2, 0, b"abc"), row(1, 0, b"abc")],
            vec![row(1, 0, b"")],
        ];
        for rows in wrong {
            let mut order = Order::default();
            assert!(rows.iter().any(|row| order.look(row).is_err()), "{rows:?}");
        }
    }
}
