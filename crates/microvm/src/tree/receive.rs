//! A folder that comes, from whomever: each entry is made in the directory that the walk stands in, new, and never through a link.
//! More than the bounds is refused, and so is a name that is none.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, chownat, mkdirat, mknodat, openat, symlinkat};

use super::{MAX_DEPTH, MAX_NAME, MAX_PIECE, MAX_TARGET, Record, read_record, send::Size, wrong};

/// What a folder that comes may have, and how it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// All of it.
    pub(crate) size: Size,
    /// Bytes of one file, holes too.
    pub(crate) file: u64,
    /// Whether it is an upper layer, with whiteouts and what else a command may make.
    pub(crate) upper: bool,
    /// Who everything belongs to; unchanged if `None`.
    pub(crate) owner: Option<u32>,
}

/// Makes what comes below a directory.
///
/// # Errors
/// When it cannot be made, is beyond the bounds, or ends too early. What was made by then stays.
pub(crate) fn receive(into: OwnedFd, bounds: &Bounds, from: &mut impl Read) -> io::Result<()> {
    let mut receiver =
        Receiver { bounds, stack: vec![into], size: Size::default(), file: None, piece: vec![0; MAX_PIECE] };
    loop {
        match read_record(from)? {
            Record::Done if receiver.stack.len() == 1 => return Ok(()),
            record => receiver.take(record, from)?,
        }
    }
}

struct Receiver<'b> {
    bounds: &'b Bounds,
    /// Directories from the top to where the walk stands; never empty.
    stack: Vec<OwnedFd>,
    size: Size,
    /// The file that pieces belong to, and its size.
    file: Option<(File, u64)>,
    piece: Vec<u8>,
}

impl Receiver<'_> {
    fn take(&mut self, record: Record, from: &mut impl Read) -> io::Result<()> {
        if let Record::Piece { at, length } = record {
            return self.piece(at, length, from);
        }
        self.file = None;
        match record {
            Record::Enter { name, mode } => self.enter(&name, mode),
            Record::Leave if self.stack.len() > 1 => {
                self.stack.pop();
                Ok(())
            }
            Record::File { name, mode, size } => self.new_file(&name, mode, size),
            Record::Link { name, target } => {
                let name = self.entry(&name, 0)?;
                if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
                    return Err(wrong("a link leads to what is no path"));
                }
                symlinkat(&target[..], self.here()?, name)?;
                self.give(name)
            }
            Record::Special { name, socket } if self.bounds.upper => {
                self.node(&name, if socket { FileType::Socket } else { FileType::Fifo }, Mode::from_raw_mode(0o600))
            }
            // The kernel takes this one device from everybody: it is a whiteout, and nothing is behind it.
            Record::Gone { name } if self.bounds.upper => self.node(&name, FileType::CharacterDevice, Mode::empty()),
            _ => Err(wrong("a folder comes in an order that none has")),
        }
    }

    fn here(&self) -> io::Result<&OwnedFd> {
        self.stack.last().ok_or_else(|| wrong("a folder ends above its top"))
    }

    /// Proves that a name is one, and counts it.
    fn entry<'n>(&mut self, name: &'n [u8], bytes: u64) -> io::Result<&'n [u8]> {
        let plain = !name.is_empty() && name.len() <= MAX_NAME && !matches!(name, b"." | b"..");
        if !plain || name.iter().any(|b| matches!(b, 0 | b'/')) {
            return Err(wrong("a name in a folder is none"));
        }
        self.size = self.size.plus(Size { entries: 1, bytes });
        if self.size.entries > self.bounds.size.entries || self.size.bytes > self.bounds.size.bytes {
            return Err(wrong("a folder has more than it may"));
        }
        Ok(name)
    }

    fn give(&self, name: &[u8]) -> io::Result<()> {
        let Some(owner) = self.bounds.owner else { return Ok(()) };
        let (user, group) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
        Ok(chownat(self.here()?, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn enter(&mut self, name: &[u8], mode: u32) -> io::Result<()> {
        if self.stack.len() > MAX_DEPTH + 1 {
            return Err(wrong("a folder has more levels than it may"));
        }
        let name = self.entry(name, 0)?;
        // Its owner gets in, whatever it says.
        mkdirat(self.here()?, name, Mode::from_raw_mode(mode & 0o777 | 0o700))?;
        self.give(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.stack.push(openat(self.here()?, name, flags, Mode::empty())?);
        Ok(())
    }

    fn new_file(&mut self, name: &[u8], mode: u32, size: u64) -> io::Result<()> {
        if size > self.bounds.file {
            return Err(wrong("a file in a folder is larger than it may be"));
        }
        let name = self.entry(name, 0)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(self.here()?, name, flags, Mode::from_raw_mode(mode & 0o777 | 0o600))?;
        self.give(name)?;
        let file = File::from(file);
        file.set_len(size)?;
        self.file = Some((file, size));
        Ok(())
    }

    fn piece(&mut self, at: u64, length: u32, from: &mut impl Read) -> io::Result<()> {
        let (length, bytes) = (length as usize, u64::from(length));
        let Some((file, size)) = &self.file else { return Err(wrong("bytes of a folder belong to no file")) };
        if length > MAX_PIECE || at.checked_add(bytes).is_none_or(|end| end > *size) {
            return Err(wrong("bytes of a file lie beyond its end"));
        }
        self.size.bytes = self.size.bytes.saturating_add(bytes);
        if self.size.bytes > self.bounds.size.bytes {
            return Err(wrong("a folder has more bytes than it may"));
        }
        from.read_exact(&mut self.piece[..length])?;
        file.write_all_at(&self.piece[..length], at)
    }

    fn node(&mut self, name: &[u8], kind: FileType, mode: Mode) -> io::Result<()> {
        let name = self.entry(name, 0)?;
        Ok(mknodat(self.here()?.as_fd(), name, kind, mode, 0)?)
    }
}
