//! The walk of a folder, sent: a plain one, or the upper layer of an overlay.
//!
//! An upper layer is told without marks. Whiteouts are named, and where a directory hides all of the lower layer's, every name that is
//! below and not above is named as gone: so what comes out needs no extended attribute, and cannot bring a forged one.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, fstat, openat, readlinkat, seek, statat},
    io::Errno,
};

use super::{MAX_DEPTH, MAX_PIECE, Record, write_record, wrong};

/// What a folder comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Files, links and directories.
    pub(crate) entries: u64,
    /// Bytes of all files, each rounded up to whole pages.
    pub(crate) bytes: u64,
}

impl Size {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { entries: self.entries.saturating_add(other.entries), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

/// What the walk makes of what it meets.
enum Way<'w, W> {
    /// Counts.
    Measure,
    /// Sends.
    Send(&'w mut W),
}

struct Walk<'w, W> {
    way: Way<'w, W>,
    upper: bool,
    /// Beyond it the walk fails.
    most: Size,
    size: Size,
    depth: usize,
    /// Names on the way to where the walk stands, for a message.
    path: Vec<Vec<u8>>,
}

/// Counts a folder.
///
/// # Errors
/// When it cannot be read, or has more than `most`.
pub(crate) fn measure(folder: BorrowedFd<'_>, most: Size) -> io::Result<Size> {
    let mut walk: Walk<'_, io::Sink> = Walk::new(Way::Measure, false, most);
    walk.directory(folder, None)?;
    Ok(walk.size)
}

/// Sends a folder. What is not a file, link or directory is left out.
///
/// # Errors
/// When it cannot be read, has more than `most`, or nobody takes it.
pub(crate) fn send(folder: BorrowedFd<'_>, most: Size, to: &mut impl Write) -> io::Result<()> {
    Walk::new(Way::Send(to), false, most).whole(folder, None)
}

/// Sends the upper layer of an overlay whose lower one is told.
///
/// # Errors
/// When it cannot be read, or nobody takes it.
pub(crate) fn send_upper(upper: BorrowedFd<'_>, lower: BorrowedFd<'_>, to: &mut impl Write) -> io::Result<()> {
    let most = Size { entries: u64::MAX, bytes: u64::MAX };
    Walk::new(Way::Send(to), true, most)
        .whole(upper, Some(Lower { folder: lower.try_clone_to_owned()?, hidden: false }))
}

/// What the lower layer has where the walk stands.
struct Lower {
    folder: OwnedFd,
    /// A directory further up hides it.
    hidden: bool,
}

impl<'w, W: Write> Walk<'w, W> {
    fn new(way: Way<'w, W>, upper: bool, most: Size) -> Self {
        Self { way, upper, most, size: Size::default(), depth: 0, path: Vec::new() }
    }

    fn whole(&mut self, folder: BorrowedFd<'_>, lower: Option<Lower>) -> io::Result<()> {
        self.directory(folder, lower.as_ref())?;
        self.tell(&Record::Done)?;
        match &mut self.way {
            Way::Measure => Ok(()),
            Way::Send(to) => to.flush(),
        }
    }

    fn tell(&mut self, record: &Record) -> io::Result<()> {
        match &mut self.way {
            Way::Measure => Ok(()),
            Way::Send(to) => write_record(*to, record),
        }
    }

    /// Names the place of an error.
    fn at<T>(&self, result: Result<T, Errno>) -> io::Result<T> {
        result.map_err(|e| {
            let e = io::Error::from(e);
            io::Error::new(e.kind(), format!("{}: {e}", String::from_utf8_lossy(&self.path.join(&b'/'))))
        })
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.size = self.size.plus(Size { entries: 1, bytes: bytes.div_ceil(4096).saturating_mul(4096) });
        if self.size.entries > self.most.entries {
            return Err(wrong(format!("it has more than {} files", self.most.entries)));
        }
        if self.size.bytes > self.most.bytes {
            return Err(wrong(format!("it has more than {} bytes", self.most.bytes)));
        }
        Ok(())
    }

    fn directory(&mut self, folder: BorrowedFd<'_>, lower: Option<&Lower>) -> io::Result<()> {
        if self.depth > MAX_DEPTH {
            return Err(wrong(format!("it has more than {MAX_DEPTH} levels")));
        }
        let mut names = HashSet::new();
        let entries = self.at(Dir::read_from(folder))?;
        for entry in entries {
            let entry = self.at(entry)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.path.push(name.to_vec());
            if lower.is_some() {
                names.insert(name.to_vec());
            }
            self.entry(folder, name, lower)?;
            self.path.pop();
        }
        match lower.filter(|lower| lower.hidden) {
            Some(lower) => self.gone(lower, &names),
            None => Ok(()),
        }
    }

    /// Names what a directory hides.
    fn gone(&mut self, lower: &Lower, above: &HashSet<Vec<u8>>) -> io::Result<()> {
        let entries = self.at(Dir::read_from(&lower.folder))?;
        for entry in entries {
            let entry = self.at(entry)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && !above.contains(name) {
                self.tell(&Record::Gone { name: name.to_vec().into() })?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &[u8], lower: Option<&Lower>) -> io::Result<()> {
        let stat = self.at(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.below(folder, name, &stat, lower),
            FileType::RegularFile => self.file(folder, name, &stat),
            FileType::Symlink => {
                self.count(0)?;
                let target = self.at(readlinkat(folder, name, Vec::new()))?.into_bytes();
                self.tell(&Record::Link { name: name.to_vec().into(), target: target.into() })
            }
            FileType::CharacterDevice if self.upper && stat.st_rdev == 0 => {
                self.tell(&Record::Gone { name: name.to_vec().into() })
            }
            kind @ (FileType::Fifo | FileType::Socket) if self.upper => {
                self.tell(&Record::Special { name: name.to_vec().into(), socket: kind == FileType::Socket })
            }
            _ => Ok(()),
        }
    }

    fn below(&mut self, folder: BorrowedFd<'_>, name: &[u8], stat: &Stat, lower: Option<&Lower>) -> io::Result<()> {
        self.count(0)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = self.at(openat(folder, name, flags, Mode::empty()))?;
        let lower = match lower {
            Some(lower) => match openat(&lower.folder, name, flags, Mode::empty()) {
                Ok(below) => Some(Lower { folder: below, hidden: lower.hidden || self.at(opaque(&open))? }),
                // There is no directory below that could be hidden.
                Err(_) => None,
            },
            None => None,
        };
        self.tell(&Record::Enter { name: name.to_vec().into(), mode: stat.st_mode & 0o777 })?;
        self.depth += 1;
        self.directory(open.as_fd(), lower.as_ref())?;
        self.depth -= 1;
        self.tell(&Record::Leave)
    }

    fn file(&mut self, folder: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> io::Result<()> {
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        self.count(size)?;
        if matches!(self.way, Way::Measure) {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(self.at(openat(folder, name, flags, Mode::empty()))?);
        let now = self.at(fstat(&file))?;
        if FileType::from_raw_mode(now.st_mode) != FileType::RegularFile {
            return Err(wrong("a file became something else while it was read"));
        }
        self.tell(&Record::File { name: name.to_vec().into(), mode: stat.st_mode & 0o777, size })?;
        let mut buffer = vec![0; MAX_PIECE];
        let mut at = 0;
        while at < size {
            // Holes are left out; a file system that knows of none has data everywhere.
            at = match seek(&file, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => break,
                Err(_) => at,
            };
            let room = usize::try_from(size.saturating_sub(at)).unwrap_or(MAX_PIECE).min(MAX_PIECE);
            let read = file.read_at(&mut buffer[..room], at)?;
            if read == 0 {
                break;
            }
            self.tell(&Record::Piece { at, length: u32::try_from(read).unwrap_or(0) })?;
            if let Way::Send(to) = &mut self.way {
                to.write_all(&buffer[..read])?;
            }
            at += read as u64;
        }
        Ok(())
    }
}

/// Whether overlayfs says that a directory hides what is below it (`trusted.overlay.opaque`, mounted by root).
fn opaque(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(directory, "trusted.overlay.opaque", &mut value[..]) {
        Ok(1) => Ok(value == *b"y"),
        Ok(_) | Err(Errno::NODATA | Errno::RANGE | Errno::NOTSUP) => Ok(false),
        Err(e) => Err(e),
    }
}
