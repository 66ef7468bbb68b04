//! From a path to a folder and a name in it, and opening names below a folder.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
};
use stead_ports::sandbox::Session;

use crate::{PathFault, limits::PATH};

/// A place that was asked for.
pub(super) struct Spot {
    /// The writable folder that it is in, from outside.
    pub(super) folder: OwnedFd,
    /// The way from there; empty for the folder itself.
    pub(super) below: String,
    /// Who is to own what is made.
    pub(super) owner: (u32, u32),
}

/// How names are resolved: nothing leads out, by whatever kind of link.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// The kernel gives up on names that change while it looks; then it is tried again.
const TRIES: usize = 16;

impl From<Errno> for PathFault {
    fn from(e: Errno) -> Self {
        match e {
            Errno::NOENT => Self::Absent,
            Errno::XDEV | Errno::LOOP => Self::Outside,
            Errno::NOTDIR => Self::Kind("something on the way, or at its end, is no folder"),
            Errno::ISDIR => Self::Kind("it is a folder"),
            Errno::EXIST => Self::Kind("something is there already"),
            Errno::NOTEMPTY => Self::Kind("the folder is not empty"),
            Errno::NOSPC | Errno::DQUOT => Self::Full("the sandbox's disk or its number of files is used up"),
            Errno::FBIG => Self::Full("a file may not be that long"),
            other => Self::System(std::io::Error::from(other).to_string()),
        }
    }
}

impl From<std::io::Error> for PathFault {
    fn from(e: std::io::Error) -> Self {
        Errno::from_io_error(&e).map_or_else(|| Self::System(e.to_string()), Self::from)
    }
}

/// Finds the folder of a path. Only plain paths are taken: absolute, without `.` and `..`.
pub(super) fn find(session: &dyn Session, path: &str) -> Result<Spot, PathFault> {
    let folders = session.folders();
    let plain = path.starts_with('/')
        && path.len() <= PATH
        && !path.contains('\0')
        && path.split('/').skip(1).all(|part| !matches!(part, "." | ".."));
    if !plain {
        return Err(PathFault::Place("it is no plain absolute path".to_owned()));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let clean = format!("/{}", parts.join("/"));
    let found =
        folders.iter().filter(|at| std::path::Path::new(&clean).starts_with(at)).max_by_key(|at| at.as_os_str().len());
    let Some(at) = found else {
        let all: Vec<_> = folders.iter().map(|at| at.display().to_string()).collect();
        return Err(PathFault::Place(format!("only {} can be reached from outside", all.join(", "))));
    };
    let folder = session.folder(at).ok_or(PathFault::Absent)?.try_clone_to_owned()?;
    let below = clean.get(at.as_os_str().len()..).unwrap_or_default().trim_start_matches('/').to_owned();
    Ok(Spot { folder, below, owner: session.owner() })
}

impl Spot {
    /// Opens what is there, following links that stay within the folder.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, PathFault> {
        beneath(&self.folder, if self.below.is_empty() { "." } else { &self.below }, flags)
    }

    /// The folder that it is in, opened, and its name there.
    pub(super) fn parent(&self) -> Result<(OwnedFd, &str), PathFault> {
        let (way, name) = self.below.rsplit_once('/').unwrap_or((".", self.below.as_str()));
        if name.is_empty() {
            return Err(PathFault::Kind("it is the folder itself"));
        }
        Ok((beneath(&self.folder, way, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }
}

/// Opens a name below a folder.
pub(super) fn beneath(folder: &OwnedFd, way: &str, flags: OFlags) -> Result<OwnedFd, PathFault> {
    // What is only to be found is not opened, and takes no other flags.
    let opened = if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NOCTTY };
    let flags = flags | opened | OFlags::CLOEXEC;
    for _ in 1..TRIES {
        match rustix::fs::openat2(folder, way, flags, Mode::empty(), BENEATH) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return Ok(opened?),
        }
    }
    Ok(rustix::fs::openat2(folder, way, flags, Mode::empty(), BENEATH)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{os::unix::fs::symlink, time::Duration, time::Instant};

    use super::*;

    fn spot(folder: &std::path::Path, below: &str) -> Spot {
        let folder = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        Spot { folder, below: below.to_owned(), owner: (0, 0) }
    }

    #[test]
    fn no_link_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/file"), "y").unwrap();
        symlink(outside.path(), dir.path().join("abs")).unwrap();
        symlink("../..", dir.path().join("sub/up")).unwrap();
        symlink("/proc/self/root", dir.path().join("magic")).unwrap();
        symlink("sub/file", dir.path().join("within")).unwrap();
        let open = |below: &str| spot(dir.path(), below).open(OFlags::RDONLY).map(drop);
        assert_eq!((open("sub/file"), open("within"), open("")), (Ok(()), Ok(()), Ok(())));
        for out in ["abs", "abs/secret", "sub/up", "sub/up/etc/passwd", "magic", "magic/etc/passwd"] {
            assert_eq!(open(out), Err(PathFault::Outside), "{out}");
            assert!(spot(dir.path(), &format!("{out}/x")).parent().is_err(), "{out}");
        }
        assert_eq!(open("nothing"), Err(PathFault::Absent));
    }

    /// 28: a folder and a link take turns.
    #[test]
    fn what_changes_while_it_is_opened_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("file"), "out").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/file"), "in").unwrap();
        symlink(outside.path(), dir.path().join("b")).unwrap();
        let until = Instant::now() + Duration::from_millis(300);
        let swapped = dir.path().to_owned();
        let swap = std::thread::spawn(move || {
            let folder = rustix::fs::open(&swapped, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
            while Instant::now() < until {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&folder, "a", &folder, "b", exchange).unwrap();
            }
        });
        let (mut found, spot) = (0, spot(dir.path(), "a/file"));
        while Instant::now() < until {
            if let Ok(file) = spot.open(OFlags::RDONLY) {
                let mut room = [0; 8];
                let n = rustix::io::read(file, &mut room).unwrap();
                assert_eq!(&room[..n], b"in");
                found += 1;
            }
        }
        swap.join().unwrap();
        assert!(found > 0);
    }
}
