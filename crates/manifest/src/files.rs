//! Reads the files of a manifest's folder: only regular ones, only inside of it, only so many bytes.

use std::{
    fs::File,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use crate::policy;

/// Most bytes of one file.
pub(crate) const MAX_FILE: usize = 1 << 20;
/// Most bytes of a bundle's files together.
pub(crate) const MAX_TOTAL: usize = 8 << 20;
/// Most files of a bundle.
const MAX_FILES: usize = 256;

/// What a bundle may still take in.
pub(crate) struct Allowance {
    bytes: usize,
    files: usize,
}

impl Allowance {
    pub(crate) const fn new() -> Self {
        Self { bytes: MAX_TOTAL, files: MAX_FILES }
    }

    /// Takes in a file of that size.
    pub(crate) fn take(&mut self, name: &str, bytes: usize) -> Result<(), String> {
        if bytes > MAX_FILE {
            return Err(format!("`{name}` is larger than 1 MiB"));
        }
        match (self.bytes.checked_sub(bytes), self.files.checked_sub(1)) {
            (Some(b), Some(f)) => {
                (self.bytes, self.files) = (b, f);
                Ok(())
            }
            _ => Err(format!("with `{name}` the agent is larger than 8 MiB or {MAX_FILES} files")),
        }
    }
}

/// A manifest's folder.
pub(crate) struct Folder {
    /// The outermost folder, canonical: nothing above it is ever read.
    root: PathBuf,
    /// The folder itself, canonical.
    dir: PathBuf,
}

impl Folder {
    /// The folder at `dir`.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.canonicalize()?;
        Ok(Self { root: dir.clone(), dir })
    }

    /// The folder's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// A folder inside of this one.
    pub(crate) fn folder(&self, name: &str) -> Result<Self, String> {
        let dir = self.resolve(name)?;
        if dir == self.dir || !dir.is_dir() {
            return Err(format!("`{name}` is no folder inside of this one"));
        }
        Ok(Self { root: self.root.clone(), dir })
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str, allowance: &mut Allowance) -> Result<String, String> {
        let path = self.resolve(name)?;
        let bytes = read_bounded(&path).map_err(|e| format!("`{name}` cannot be read: {e}"))?;
        allowance.take(name, bytes.len())?;
        String::from_utf8(bytes)
            .map_err(|e| format!("`{name}` is not UTF-8 text (byte {} is invalid)", e.utf8_error().valid_up_to() + 1))
    }

    /// The files of a folder of policies inside of this one, by the names that a bundle has them under, sorted. Whether each can
    /// be read shows when it is.
    pub(crate) fn policies(&self, name: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for part in policy::parts(name) {
            let dir = match self.resolve(&part) {
                Ok(dir) if dir.is_dir() => dir,
                _ if part != policy::trimmed(name) => continue,
                Ok(_) => return Err(format!("`{name}` is no folder")),
                Err(message) => return Err(message),
            };
            let entries = dir.read_dir().map_err(|e| format!("`{part}` cannot be read: {e}"))?;
            for entry in entries {
                let entry = entry.map_err(|e| format!("`{part}` cannot be read: {e}"))?;
                // A name that is no text is no name of a policy.
                let Ok(file) = entry.file_name().into_string() else { continue };
                let file = format!("{part}/{file}");
                if policy::is_file(name, &file) {
                    found.push(file);
                }
            }
        }
        found.sort();
        policy::enough(name, found.iter().map(String::as_str)).map(|()| found)
    }

    /// Where a name leads, if that is inside of the folder. Links are followed before that is decided.
    fn resolve(&self, name: &str) -> Result<PathBuf, String> {
        let relative = Path::new(name);
        let inside = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || name.contains('\0') {
            return Err(format!("`{name}` leads out of the agent's folder"));
        }
        let path = self.dir.join(relative).canonicalize().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => format!("there is no `{name}` in the agent's folder"),
            _ => format!("`{name}` cannot be read: {e}"),
        })?;
        if path.starts_with(&self.root) { Ok(path) } else { Err(format!("`{name}` leads out of the agent's folder")) }
    }
}

/// The bytes of a regular file, one more than allowed at most.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
