//! The copy of the tree in which mutants live. Only files that differ are written, so that cargo, which looks at the
//! time of a file, rebuilds no more than it must.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use crate::{Fail, repo::Repo};

/// A copy that this process holds alone.
pub(super) struct Copy {
    root: PathBuf,
    _lock: File,
}

fn said<T>(path: &Path, result: std::io::Result<T>) -> Result<T, Fail> {
    result.map_err(|e| format!("{}: {e}", path.display()))
}

impl Copy {
    /// Brings the copy under `cache` in line with the working tree, whatever an interrupted run left there.
    pub(super) fn of(repo: &Repo, cache: &Path) -> Result<Self, Fail> {
        let root = cache.join("tree");
        said(&root, fs::create_dir_all(&root))?;
        let lock = cache.join("lock");
        let file = said(&lock, File::create(&lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another run of the mutants holds {}", lock.display()));
            }
            Err(TryLockError::Error(e)) => return Err(format!("{}: {e}", lock.display())),
        }
        let copy = Self { root, _lock: file };
        let files = repo.files()?;
        let wanted: BTreeSet<PathBuf> = files.iter().map(|f| copy.root.join(f)).collect();
        remove_others(&copy.root, &wanted)?;
        for file in &files {
            let from = repo.root().join(file);
            copy.write(file, &said(&from, fs::read(&from))?)?;
            let mode = said(&from, fs::metadata(&from))?.permissions();
            said(&from, fs::set_permissions(copy.root.join(file), mode))?;
        }
        Ok(copy)
    }

    /// Where the copy stands.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file of the copy, unless it says that already.
    pub(super) fn write(&self, file: &str, content: &[u8]) -> Result<(), Fail> {
        let path = self.root.join(file);
        if fs::read(&path).is_ok_and(|old| old == content) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            said(folder, fs::create_dir_all(folder))?;
        }
        said(&path, fs::write(&path, content))
    }
}

/// Removes files of the copy that the tree does not have.
fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<(), Fail> {
    for entry in said(folder, fs::read_dir(folder))? {
        let path = said(folder, entry)?.path();
        if path.is_dir() && !path.is_symlink() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            said(&path, fs::remove_file(&path))?;
        }
    }
    Ok(())
}
