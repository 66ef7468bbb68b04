//! Reading what a box has written, as a layer: the upper directory of an overlay, or a whole directory.

use std::{collections::HashMap, fs::File, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, Dir, FileType, Stat, fstat, readlinkat, statat},
    io::Errno,
};
use stead_ports::workspace::{Marks, Written};

use super::{
    beneath,
    marks::{self, Bad, Reader, Seen},
};
use crate::{
    WorkspaceError,
    intake::Intake,
    layer::{Folder, Node},
    limits::check,
    name::{EntryName, MAX_PATH, TreePath},
    tree::Leaf,
};

/// What stays out of every tree, though a program may well make it: it has no content to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// `.stead` at the top: whoever unpacks the workspace where Stead keeps its own state would have it replaced.
    Reserved,
}

/// Paths of what was left out that are told.
const TOLD: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) layer: Folder,
    pub(crate) left_out: Vec<(TreePath, LeftOut)>,
    pub(crate) stripped: Stripped,
}

/// What files had that no workspace keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stripped {
    /// Files with a setuid or setgid bit.
    pub setuid: u64,
    /// Extended attributes: of users, capabilities, access lists.
    pub attributes: u64,
    /// Pipes and sockets.
    pub special: u64,
}

/// Reads all that was written. Files go through the intake.
pub(crate) fn scan(written: Written, intake: &mut Intake) -> Result<Found, WorkspaceError> {
    let (dir, marks) = match written {
        Written::Upper { dir, marks } => (dir, Some(marks)),
        Written::Whole { dir } => (dir, None),
    };
    if let Some(marks) = marks {
        marks::visible(marks, &dir)
            .map_err(|e| WorkspaceError::disk("the marks of an overlay that root mounted", e))?;
    }
    let mut scan = Scan::new(intake, marks);
    scan.found.layer = scan.directory(dir, marks.is_none())?;
    scan.links_are_all_here()?;
    Ok(scan.found)
}

struct Scan<'i> {
    intake: &'i mut Intake,
    /// Whether whiteouts mean something.
    upper: bool,
    reader: Reader,
    path: TreePath,
    found: Found,
    /// Files with several names: how many, how many were met, and the first of them, without the way to it, which could be long.
    links: HashMap<(u64, u64), (u64, u64, EntryName)>,
}

impl<'i> Scan<'i> {
    fn new(intake: &'i mut Intake, marks: Option<Marks>) -> Self {
        Self {
            intake,
            upper: marks.is_some(),
            reader: Reader::new(marks),
            path: TreePath::TOP,
            found: Found::default(),
            links: HashMap::new(),
        }
    }

    /// One directory. It goes as deep as the limit lets it.
    fn directory(&mut self, dir: OwnedFd, fresh: bool) -> Result<Folder, WorkspaceError> {
        let depth = self.intake.limits.depth as u64;
        check(&self.path, self.path.names().len() as u64, depth, "levels")?;
        let seen = self.marks(&dir)?;
        self.found.stripped.attributes += seen.others;
        let mut folder = Folder { fresh: fresh || seen.opaque, ..Folder::default() };
        // Opened anew: a descriptor that was handed out shares its position with whoever read it before.
        let mut entries = Dir::read_from(&dir).map_err(|e| self.disk(e))?;
        let mut count = 0;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| self.disk(e))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            count += 1;
            check(&self.path, count, self.intake.limits.directory, "files in one directory")?;
            let name = EntryName::new(name)?;
            let reserved = self.path.names().is_empty() && name.is_reserved();
            self.path.push(name.clone());
            check(&self.path, self.path.len() as u64, MAX_PATH as u64, "bytes of a path")?;
            self.intake.tally.entry(&self.intake.limits, &self.path)?;
            self.intake.tally.words(name.as_bytes().len(), &self.path)?;
            if reserved {
                self.tell(LeftOut::Reserved);
                self.path.pop();
                continue;
            }
            let dir = entries.fd().map_err(|e| self.disk(e))?;
            if let Some(node) = self.node(dir, &name, seen.holds_whiteouts, folder.fresh)? {
                folder.children.insert(name, node);
            }
            self.path.pop();
        }
        Ok(folder)
    }

    fn node(
        &mut self,
        dir: std::os::fd::BorrowedFd<'_>,
        name: &EntryName,
        whiteouts: bool,
        fresh: bool,
    ) -> Result<Option<Node>, WorkspaceError> {
        let stat = statat(dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.went(e))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let below = beneath::directory(dir, name.as_bytes()).map_err(|e| self.went(e))?;
                self.same(&stat, &below)?;
                Ok(Some(Node::Folder(self.directory(below, fresh)?)))
            }
            FileType::RegularFile => self.file(dir, name, &stat, whiteouts).map(Some),
            FileType::Symlink => {
                let target = readlinkat(dir, name.as_bytes(), Vec::new()).map_err(|e| self.went(e))?.into_bytes();
                check(&self.path, target.len() as u64, MAX_PATH as u64, "bytes of a link's target")?;
                self.intake.tally.words(target.len(), &self.path)?;
                Ok(Some(Node::Leaf(Leaf::Symlink(target.into()))))
            }
            FileType::CharacterDevice if self.upper && stat.st_rdev == 0 => Ok(Some(Node::Gone)),
            FileType::CharacterDevice | FileType::BlockDevice => Err(self.forged("a device")),
            FileType::Fifo => Ok(self.leave(LeftOut::Pipe)),
            FileType::Socket => Ok(self.leave(LeftOut::Socket)),
            _ => Err(self.forged("a file of an unknown kind")),
        }
    }

    fn file(
        &mut self,
        dir: std::os::fd::BorrowedFd<'_>,
        name: &EntryName,
        stat: &Stat,
        whiteouts: bool,
    ) -> Result<Node, WorkspaceError> {
        let file = beneath::file(dir, name.as_bytes()).map_err(|e| self.went(e))?;
        let now = self.same(stat, &file)?;
        let seen = self.marks(&file)?;
        self.found.stripped.attributes += seen.others;
        if seen.whiteout {
            // The mark means something on an empty file in a directory that says so, and is made nowhere else.
            let real = self.upper && whiteouts && now.st_size == 0;
            return if real { Ok(Node::Gone) } else { Err(self.forged("a whiteout that overlayfs did not make")) };
        }
        if now.st_nlink > 1 {
            #[cfg_attr(
                target_arch = "x86_64",
                expect(clippy::useless_conversion, reason = "narrower on other machines")
            )]
            let names = u64::from(now.st_nlink);
            let met = self.links.entry((now.st_dev, now.st_ino)).or_insert_with(|| (names, 0, name.clone()));
            met.1 += 1;
        }
        self.found.stripped.setuid += u64::from(now.st_mode & 0o6000 != 0);
        let size = u64::try_from(now.st_size).unwrap_or(u64::MAX);
        let mut file = File::from(file);
        let entry = self.intake.file(&self.path, now.st_mode & 0o100 != 0, Some(size), &mut file)?;
        let after = fstat(&file).map_err(|e| self.disk(e))?;
        let times = |s: &Stat| (s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec, s.st_size);
        if entry.size != size || times(&now) != times(&after) {
            return Err(WorkspaceError::Moved(self.path.to_string()));
        }
        Ok(Node::Leaf(Leaf::File(entry)))
    }

    /// Proves that what was opened is what was seen under the name, and tells how it is now.
    fn same(&self, seen: &Stat, opened: &OwnedFd) -> Result<Stat, WorkspaceError> {
        let now = fstat(opened).map_err(|e| self.disk(e))?;
        let what = |s: &Stat| (s.st_dev, s.st_ino, FileType::from_raw_mode(s.st_mode));
        if what(seen) == what(&now) { Ok(now) } else { Err(WorkspaceError::Moved(self.path.to_string())) }
    }

    /// A file with a name outside of what was read may be a file of somebody else.
    fn links_are_all_here(&self) -> Result<(), WorkspaceError> {
        match self.links.values().find(|(has, met, _)| met < has) {
            None => Ok(()),
            Some((_, _, name)) => Err(WorkspaceError::forged(name, "a hard link to a file outside of it")),
        }
    }

    fn leave(&mut self, what: LeftOut) -> Option<Node> {
        self.found.stripped.special += 1;
        self.tell(what);
        // What the base has under this name is hidden by it, so it is gone.
        self.upper.then_some(Node::Gone)
    }

    fn tell(&mut self, what: LeftOut) {
        if self.found.left_out.len() < TOLD {
            self.found.left_out.push((self.path.clone(), what));
        }
    }

    fn marks(&mut self, file: &OwnedFd) -> Result<Seen, WorkspaceError> {
        self.reader.read(file).map_err(|e| match e {
            Bad::Forged(what) => self.forged(what),
            Bad::Disk(e) => self.disk(e),
        })
    }

    fn forged(&self, what: &'static str) -> WorkspaceError {
        WorkspaceError::forged(&self.path, what)
    }

    fn disk(&self, error: Errno) -> WorkspaceError {
        WorkspaceError::disk(&self.path, error)
    }

    /// What was listed a moment ago is not there, or leads elsewhere now.
    fn went(&self, error: Errno) -> WorkspaceError {
        match error {
            // The last is what is said of a link that is none any more.
            Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::AGAIN | Errno::INVAL => {
                WorkspaceError::Moved(self.path.to_string())
            }
            Errno::XDEV => self.forged("another file system"),
            e => self.disk(e),
        }
    }
}
