//! Making room: bases that were used longest ago go first, then files that no base has.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use super::{Cache, files::weight, hex};

/// The most bases; each costs an inode for each of its directories.
const BASES: usize = 256;

impl Cache {
    /// Bytes that the files take, about.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Removes what was used longest ago until the cache is within its bounds, or all that is left is in use. It blocks.
    pub(crate) fn make_room(&self) {
        let over = self.0.bases.lock().len().saturating_sub(BASES);
        self.retire(over);
        while self.bytes() > self.0.most {
            let idle = self.retire(self.idle().div_ceil(2));
            match self.drop_unused_files() {
                // Nothing went, so all that is left is in use.
                Ok(0) if idle == 0 => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "no room can be made in the workspaces' cache");
                    break;
                }
            }
        }
    }

    fn idle(&self) -> usize {
        self.0.bases.lock().values().filter(|s| Arc::strong_count(&s.used) == 1).count()
    }

    /// Removes up to `count` bases that nobody uses, and tells how many.
    fn retire(&self, count: usize) -> usize {
        let gone: Vec<PathBuf> = {
            let mut bases = self.0.bases.lock();
            let mut idle: Vec<_> = bases
                .iter()
                .filter(|(_, s)| Arc::strong_count(&s.used) == 1)
                .map(|(k, s)| (s.last, k.clone()))
                .collect();
            idle.sort_by_key(|(last, _)| *last);
            idle.truncate(count);
            idle.into_iter()
                .filter_map(|(_, key)| {
                    let (from, to) = (self.0.root.join("bases").join(&key.0).join(hex(&key.1.0)), self.fresh("old"));
                    // Under the lock, so that nobody makes it anew in between. What stays where it is stays known.
                    fs::rename(from, &to).ok()?;
                    bases.remove(&key);
                    Some(to)
                })
                .collect()
        };
        gone.iter().for_each(|dir| self.discard(dir));
        gone.len()
    }

    /// Removes files that no base has, and tells what they took.
    fn drop_unused_files(&self) -> io::Result<u64> {
        let freed = drop_unused(&self.0.root.join("files"))?;
        // Nobody else takes away, so this stays above nothing.
        self.0.bytes.fetch_sub(freed.min(self.bytes()), Ordering::Relaxed);
        Ok(freed)
    }
}

fn drop_unused(dir: &Path) -> io::Result<u64> {
    let mut freed = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            freed += drop_unused(&entry.path())?;
        } else if meta.nlink() == 1 {
            // Whoever links it just now finds it gone, and asks the store.
            fs::remove_file(entry.path())?;
            freed += weight(meta.size());
        }
    }
    Ok(freed)
}
