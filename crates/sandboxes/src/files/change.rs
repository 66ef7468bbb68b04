//! Making folders, moving and removing.

use std::{ffi::CString, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::{Files, blocking, give, place};
use crate::{
    PathFault, SandboxesError,
    limits::{DEPTH, REMOVED},
};

impl Files {
    /// Makes a folder. With `parents` those above it too, and one that is there already is no error.
    ///
    /// # Errors
    /// ST0202 when the folder above is not there, ST0324 for a path that does not do, ST0327 when there is no room.
    pub async fn make_folder(&self, path: &str, parents: bool) -> Result<(), SandboxesError> {
        let _writes = self.writes().await;
        self.at(path, move |spot| {
            let mut way = String::new();
            let mut parts = spot.below.split('/').peekable();
            while let Some(part) = parts.next() {
                if way.is_empty() {
                    part.clone_into(&mut way);
                } else {
                    way = format!("{way}/{part}");
                }
                if part.is_empty() || (parts.peek().is_some() && !parents) {
                    continue;
                }
                let (above, name) = way.rsplit_once('/').unwrap_or((".", way.as_str()));
                let above = place::beneath(&spot.folder, above, OFlags::PATH | OFlags::DIRECTORY)?;
                match rustix::fs::mkdirat(&above, name, Mode::from(0o755)) {
                    Ok(()) => {
                        // Whatever is there by now, if it is a folder at all: it is in the box, and is given to who is there.
                        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                        give(&rustix::fs::openat(&above, name, flags, Mode::empty())?, spot.owner)?;
                    }
                    Err(Errno::EXIST) if parents => {
                        let is = place::beneath(&above, name, OFlags::PATH | OFlags::DIRECTORY);
                        is.map_err(|_| PathFault::Kind("something on the way, or at its end, is no folder"))?;
                    }
                    Err(e) => return Err(e.into()),
                }
            }
            Ok(())
        })
        .await
    }

    /// Moves a file or folder to another name in the same folder of the sandbox; what is there is replaced, unless it is a folder.
    ///
    /// # Errors
    /// ST0202 when it is not there, ST0324 between two folders, or when something cannot be replaced.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), SandboxesError> {
        let _writes = self.writes().await;
        let wrong = |path: &str| {
            let path = path.to_owned();
            move |why| SandboxesError::path(&path, why)
        };
        let source = place::find(&*self.session, from).map_err(wrong(from))?;
        let target = place::find(&*self.session, to).map_err(wrong(to))?;
        blocking(from, move || {
            let (old, new) = (source.parent()?, target.parent()?);
            match rustix::fs::renameat_with(&old.0, old.1, &new.0, new.1, RenameFlags::empty()) {
                Err(Errno::XDEV) => Err(PathFault::Kind("it can be moved within its own folder only")),
                moved => Ok(moved?),
            }
        })
        .await
    }

    /// Removes a file, a link, or a folder that is empty; with `recursive` also one that is not.
    ///
    /// # Errors
    /// ST0202 when nothing is there, ST0324 for a folder that is not empty, or that is filled as fast as it is emptied.
    pub async fn remove(&self, path: &str, recursive: bool) -> Result<(), SandboxesError> {
        let _writes = self.writes().await;
        self.at(path, move |spot| {
            let (parent, name) = spot.parent()?;
            let name = CString::new(name).map_err(|_| PathFault::Absent)?;
            match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
                Err(Errno::ISDIR) => {}
                done => return Ok(done?),
            }
            match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) if recursive => empty(&parent, &name),
                done => Ok(done?),
            }
        })
        .await
    }
}

/// Removes a folder with all that is in it. No link is followed, and it gives up on one that grows without end.
fn empty(parent: &OwnedFd, name: &CString) -> Result<(), PathFault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |parent: &OwnedFd, name: &CString| rustix::fs::openat(parent, name, flags, Mode::empty());
    let mut left = REMOVED;
    // From the top down to where it is being emptied: each folder, opened, with its name in the one before.
    let mut way = vec![(open(parent, name)?, name.clone())];
    while let Some((folder, _)) = way.last() {
        let mut below = None;
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            left = left.checked_sub(1).ok_or(PathFault::Kind("it has too many entries, or is filled meanwhile"))?;
            match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(Errno::NOTEMPTY | Errno::EXIST) => {
                        below = Some(name.to_owned());
                        break;
                    }
                    Err(e) => return Err(e.into()),
                },
                Err(e) => return Err(e.into()),
            }
        }
        if let Some(name) = below {
            if way.len() >= DEPTH {
                return Err(PathFault::Kind("it has too many levels"));
            }
            let next = open(folder, &name)?;
            way.push((next, name));
            continue;
        }
        let Some((_, done)) = way.pop() else { break };
        let above = way.last().map_or(parent, |(folder, _)| folder);
        match rustix::fs::unlinkat(above, &done, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            // Filled meanwhile: once more, as long as the number lasts.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                left = left.checked_sub(1).ok_or(PathFault::Kind("it is filled as fast as it is emptied"))?;
                let again = open(above, &done)?;
                way.push((again, done));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_goes_with_all_that_is_in_it_and_nothing_that_a_link_leads_to() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("gone/a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("file"), "x").unwrap();
        std::fs::create_dir(dir.path().join("gone/empty")).unwrap();
        symlink(outside.path(), deep.join("link")).unwrap();
        symlink(outside.path(), dir.path().join("gone/link")).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let parent = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        empty(&parent, &CString::new("gone").unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn one_that_is_deeper_than_any_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut deep = dir.path().join("d");
        for _ in 0..DEPTH + 2 {
            deep = deep.join("d");
        }
        std::fs::create_dir_all(&deep).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let parent = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        assert!(matches!(empty(&parent, &CString::new("d").unwrap()), Err(PathFault::Kind(_))));
    }
}
