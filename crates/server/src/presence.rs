//! `server.json` in the data directory: where the process that owns it can be talked to. The command line reads it;
//! it is a hint, the lock of the data directory is what counts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Where it answers, such as `http://127.0.0.1:7411`.
    pub url: String,
    /// Its process.
    pub pid: u32,
    /// Its release.
    pub version: String,
}

/// Removes the file again when it is dropped.
#[derive(Debug)]
pub struct Announced {
    path: PathBuf,
    presence: Presence,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("server.json")
}

impl Presence {
    /// The server that says it owns this data directory. It may have died since.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let bytes = fs::read(path(data_dir)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Says that this process serves the data directory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn announce(url: &str, data_dir: &Path) -> io::Result<Announced> {
        let presence = Self { url: url.into(), pid: std::process::id(), version: env!("CARGO_PKG_VERSION").into() };
        let draft = data_dir.join(format!(".server.json.{}", presence.pid));
        fs::write(&draft, serde_json::to_vec(&presence)?)?;
        fs::rename(&draft, path(data_dir))?;
        Ok(Announced { path: path(data_dir), presence })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let ours = fs::read(&self.path).ok().and_then(|b| serde_json::from_slice::<Presence>(&b).ok());
        if ours.as_ref() == Some(&self.presence) {
            // A file that stays is harmless: its process does not answer.
            let _gone = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_server_is_found_while_it_runs_and_only_its_own_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let announced = Presence::announce("http://127.0.0.1:1", dir.path()).unwrap();
        assert_eq!(Presence::read(dir.path()).unwrap().url, "http://127.0.0.1:1");
        drop(announced);
        assert_eq!(Presence::read(dir.path()), None);

        let first = Presence::announce("http://127.0.0.1:1", dir.path()).unwrap();
        let _second = Presence::announce("http://127.0.0.1:2", dir.path()).unwrap();
        drop(first);
        assert_eq!(Presence::read(dir.path()).unwrap().url, "http://127.0.0.1:2");
    }
}
