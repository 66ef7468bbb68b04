//! The files that a zygote has loaded, as they were then.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

/// Which file it is, and when it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Identity {
    /// Of what a path leads to; `None` if that is no file.
    pub(super) fn of(path: &str) -> Option<Self> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let changed = (found.ctime(), found.ctime_nsec());
        Some(Self { device: found.dev(), inode: found.ino(), size: found.len(), changed })
    }
}

/// What was loaded.
#[derive(Debug)]
pub(super) struct Stamp {
    files: Vec<(String, Option<Identity>)>,
    looked: Instant,
}

/// How long a look is good for.
const FRESH: Duration = Duration::from_secs(1);

impl Stamp {
    pub(super) fn of(paths: impl Iterator<Item = String>, now: Instant) -> Self {
        let files = paths.map(|path| (Identity::of(&path), path)).map(|(identity, path)| (path, identity)).collect();
        Self { files, looked: now }
    }

    /// Whether all is as it was; looked at again if the last look is older than a second.
    pub(super) fn holds(&mut self, now: Instant) -> bool {
        if now.duration_since(self.looked) < FRESH {
            return true;
        }
        self.looked = now;
        self.files.iter().all(|(path, identity)| Identity::of(path) == *identity)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_that_changes_or_goes_is_noticed_at_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<String> =
            ["a", "b"].iter().map(|n| folder.path().join(n).to_str().unwrap().to_owned()).collect();
        for path in &paths {
            fs::write(path, "1").unwrap();
        }
        let now = Instant::now();
        let stamp = || Stamp::of(paths.iter().cloned(), now);
        let (mut changed, mut gone) = (stamp(), stamp());
        assert!(changed.holds(now + FRESH));
        fs::write(&paths[1], "12").unwrap();
        assert!(changed.holds(now + FRESH), "the last look is good for a second");
        assert!(!changed.holds(now + 2 * FRESH));
        fs::remove_file(&paths[0]).unwrap();
        assert!(!gone.holds(now + FRESH));
    }
}
