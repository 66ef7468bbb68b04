//! Folders on their way: those that a box is given, in; layers, out. Both are walked by threads, for a walk waits for disks.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use tokio::sync::mpsc;

use super::ends::{Reader, Writer};
use crate::{
    tree::{
        receive::{Bounds, receive},
        send::{Size, measure, send},
    },
    wire::MAX_DATA,
};

/// What all folders of a box may have together: they stand in the machine's memory.
pub(super) const MOST: Size = Size { entries: 200_000, bytes: 1 << 30 };
/// Bytes that the guest takes for a file or directory beyond its content.
const EACH: u64 = 1024;

/// A folder that will be sent.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    open: OwnedFd,
    size: Size,
}

impl Folder {
    /// Opens and counts one.
    pub(super) fn look(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(path, flags, Mode::empty())?;
        let size = measure(open.as_fd(), MOST)?;
        Ok(Self { path: path.to_owned(), open, size })
    }

    /// Bytes of memory that the guest needs for it.
    pub(super) fn memory(&self) -> u64 {
        self.size.bytes.saturating_add(self.size.entries.saturating_mul(EACH))
    }

    /// What it comes to.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Sends it. An error is one of reading; a machine that does not take it says so itself.
    pub(super) async fn send(self, to: Writer) -> io::Result<()> {
        let (pieces, mut taken) = mpsc::channel(4);
        let walk = tokio::task::spawn_blocking(move || {
            let mut outbox = io::BufWriter::with_capacity(MAX_DATA, Outbox(pieces));
            // It may have grown a little since it was counted, and the machine has room for that.
            let most = Size { entries: self.size.entries + 64, bytes: self.size.bytes.saturating_add(1 << 20) };
            let sent = send(self.open.as_fd(), most, &mut outbox).and_then(|()| outbox.flush());
            // A machine that is gone tells more than that nobody took the rest.
            sent.or_else(|e| if e.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))
        });
        while let Some(piece) = taken.recv().await {
            if to.send(piece).await.is_err() {
                break;
            }
        }
        drop(taken);
        walk.await.map_err(io::Error::other)??;
        to.end().await;
        Ok(())
    }
}

/// Pieces that a task sends on.
struct Outbox(mpsc::Sender<Bytes>);

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes a layer out of a machine, into a folder that nobody else has, and gives the folder back.
pub(super) async fn take(mut from: Reader, into: OwnedFd, bounds: Bounds) -> io::Result<OwnedFd> {
    let (pieces, taken) = mpsc::channel(4);
    let make = tokio::task::spawn_blocking(move || {
        let folder = into.try_clone()?;
        receive(into, &bounds, &mut Inbox { taken, piece: Bytes::new() })?;
        Ok(folder)
    });
    while let Ok(Some(piece)) = from.next().await {
        if pieces.send(piece).await.is_err() {
            break;
        }
    }
    drop(pieces);
    make.await.map_err(io::Error::other)?
}

/// Pieces that a task has read.
struct Inbox {
    taken: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Inbox {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let Some(piece) = self.taken.blocking_recv() else { return Ok(0) };
            self.piece = piece;
        }
        let length = self.piece.len().min(into.len());
        into[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
