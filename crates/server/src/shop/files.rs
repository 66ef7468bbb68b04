//! What boxes find in `/opt/agent`: the files that `include` names, as they are in the version; or, for an MCP server without that, the
//! manifest's folder as it is on this host.
//!
//! It is a folder of the runtime's own that mirrors them, by hard links where the filesystem lets it: what is hidden stays out (`.env`,
//! `.git`, the data folder with its keys), and what a box reads has the rights that a box's user needs.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use stead_core::code;
use stead_manifest::Bundle;
use stead_ports::agent::AgentError;

/// Most files and folders of a mirrored folder.
const ENTRIES: usize = 50_000;
/// Most bytes of files that cannot be linked and are copied.
const COPIED: u64 = 256 << 20;
/// Most levels of folders.
const DEPTH: usize = 32;
/// Names that no box finds, on whatever level.
const HIDDEN: [&str; 5] = [".stead", ".git", ".env", ".ssh", ".netrc"];

/// Tells the folders of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder that is removed when dropped.
#[derive(Debug)]
pub(crate) struct AgentFiles(PathBuf);

impl AgentFiles {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The files that the manifest includes; `None` when it includes none.
    ///
    /// # Errors
    /// ST0142 when they cannot be written.
    pub(crate) fn included(bundle: &Bundle, below: &Path) -> Result<Option<Self>, AgentError> {
        if bundle.manifest.include.is_empty() {
            return Ok(None);
        }
        let made = Self::fresh(below).and_then(|made| {
            for name in &bundle.manifest.include {
                let file = made.0.join(name.trim_start_matches("./"));
                if let Some(folder) = file.parent() {
                    folders(&made.0, folder)?;
                }
                fs::write(&file, bundle.file(name).unwrap_or_default())?;
                // A script may be run by its name.
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
            }
            Ok(made)
        });
        made.map(Some).map_err(|e| unkept(&e))
    }

    /// The manifest's folder, without what is hidden and without `data_dir`.
    ///
    /// # Errors
    /// ST0104 when it is too large, ST0142 when it cannot be mirrored.
    pub(crate) fn mirrored(folder: &Path, data_dir: &Path, below: &Path) -> Result<Self, AgentError> {
        let made = Self::fresh(below).map_err(|e| unkept(&e))?;
        let mut mirror = Mirror { data_dir: data_dir.to_owned(), entries: 0, copied: 0 };
        mirror.folder(folder, &made.0, 0)?;
        Ok(made)
    }

    fn fresh(below: &Path) -> io::Result<Self> {
        fs::create_dir_all(below)?;
        let path = below.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }
}

impl Drop for AgentFiles {
    fn drop(&mut self) {
        // What is left is removed at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unkept(e: &io::Error) -> AgentError {
    AgentError { code: code::DATA_READONLY, detail: format!("the agent's files for its sandboxes: {e}") }
}

/// Makes the folders from `root` down to `folder`, readable for a box's user.
fn folders(root: &Path, folder: &Path) -> io::Result<()> {
    let Ok(relative) = folder.strip_prefix(root) else { return Ok(()) };
    let mut at = root.to_owned();
    for part in relative.components() {
        at.push(part);
        if !at.is_dir() {
            fs::create_dir(&at)?;
            fs::set_permissions(&at, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

struct Mirror {
    data_dir: PathBuf,
    entries: usize,
    copied: u64,
}

impl Mirror {
    fn folder(&mut self, from: &Path, to: &Path, depth: usize) -> Result<(), AgentError> {
        let broken = |e: io::Error| unkept(&io::Error::new(e.kind(), format!("{}: {e}", from.display())));
        for entry in fs::read_dir(from).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let (name, path) = (entry.file_name(), entry.path());
            let word = name.to_string_lossy();
            let hidden =
                HIDDEN.contains(&word.as_ref()) || word.starts_with(".env.") || (depth == 0 && word.starts_with('.'));
            if hidden || path == self.data_dir {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES || depth > DEPTH {
                return Err(too_large(from));
            }
            let kind = entry.file_type().map_err(broken)?;
            let at = to.join(&name);
            if kind.is_dir() {
                fs::create_dir(&at).map_err(broken)?;
                fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).map_err(broken)?;
                self.folder(&path, &at, depth + 1)?;
            } else if kind.is_symlink() {
                // It leads to where it says inside of the box, and to nothing of the host.
                let target = fs::read_link(&path).map_err(broken)?;
                std::os::unix::fs::symlink(target, &at).map_err(broken)?;
            } else if kind.is_file() {
                self.file(&path, &at)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path) -> Result<(), AgentError> {
        let broken = |e: io::Error| unkept(&io::Error::new(e.kind(), format!("{}: {e}", from.display())));
        let found = fs::symlink_metadata(from).map_err(broken)?;
        // A link has the file's own rights: only what others may read already is linked.
        let open = found.permissions().mode() & 0o004 != 0;
        if open && fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        self.copied += found.len();
        if self.copied > COPIED {
            return Err(too_large(from));
        }
        fs::copy(from, to).map_err(broken)?;
        let mode = if found.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
        fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(broken)
    }
}

fn too_large(at: &Path) -> AgentError {
    AgentError {
        code: code::MANIFEST_FILE,
        detail: format!(
            "the manifest's folder has more than {ENTRIES} files, {DEPTH} levels or {COPIED} bytes to copy ({}); name what its MCP servers need \
             under `include`, or let the operator show a folder to all sandboxes: [sandbox] mounts in stead.toml",
            at.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_mirrored_folder_has_all_but_what_is_hidden_and_goes_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join("agent").join(name);
        for folder in ["lib/.bin", "lib/deep", ".stead/keys", "data", "lib/.git"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in [
            "server.py",
            "lib/deep/a.js",
            ".stead/keys/key",
            ".env",
            "lib/.env.local",
            "data/journal",
            "lib/.git/config",
        ] {
            fs::write(at(file), file).unwrap();
        }
        fs::write(at("private"), "p").unwrap();
        fs::set_permissions(at("private"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("../deep/a.js", at("lib/.bin/a")).unwrap();
        let below = dir.path().join("boxes");
        let made = AgentFiles::mirrored(&dir.path().join("agent"), &at("data"), &below).unwrap();
        let has = |name: &str| fs::symlink_metadata(made.path().join(name)).is_ok();
        for there in ["server.py", "lib/deep/a.js", "lib/.bin/a", "private"] {
            assert!(has(there), "{there}");
        }
        for hidden in [".stead", ".env", "lib/.env.local", "data", "lib/.git"] {
            assert!(!has(hidden), "{hidden}");
        }
        let mode = fs::metadata(made.path().join("private")).unwrap().permissions().mode() & 0o777;
        let own = fs::metadata(at("private")).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode, own), (0o644, 0o600), "the box's user reads a copy, the file keeps its rights");
        let path = made.path().to_owned();
        drop(made);
        assert!(!path.exists());
    }
}
