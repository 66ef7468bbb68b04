//! The pipes of a command: read into a bounded memory, byte for byte.

use std::os::fd::OwnedFd;

use bytes::{Bytes, BytesMut};
use rustix::pipe::{PipeFlags, pipe_with};
use stead_ports::sandbox::{BoxError, Captured, Follower, Source};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    sync::watch,
};

/// Most bytes that can be kept of an output.
pub const MAX_KEEP: usize = 64 << 20;
/// Bytes of one read: what a pipe holds.
const PIECE: usize = 64 << 10;

/// A pipe: the end that is read and the end that is written.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), BoxError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|e| BoxError::Lost(format!("no pipe for a sandbox: {e}")))
}

fn lost(e: &std::io::Error) -> BoxError {
    BoxError::Lost(format!("a pipe of a sandbox: {e}"))
}

/// Our end of an output.
pub(crate) fn reader(end: OwnedFd) -> Result<pipe::Receiver, BoxError> {
    nonblocking(&end)?;
    pipe::Receiver::from_owned_fd(end).map_err(|e| lost(&e))
}

/// Our end of an input.
pub(crate) fn writer(end: OwnedFd) -> Result<pipe::Sender, BoxError> {
    nonblocking(&end)?;
    pipe::Sender::from_owned_fd(end).map_err(|e| lost(&e))
}

/// Makes a descriptor one that never waits.
///
/// # Errors
/// [`BoxError::Lost`] with what the system said.
pub fn nonblocking(end: &OwnedFd) -> Result<(), BoxError> {
    rustix::io::ioctl_fionbio(end, true).map_err(|e| lost(&e.into()))
}

/// What an output is read with.
pub(crate) struct Reader<'a> {
    pub(crate) source: Source,
    /// Bytes that are kept.
    pub(crate) keep: usize,
    pub(crate) follower: Option<&'a Follower>,
    /// Told once when there are more.
    pub(crate) over: &'a (dyn Fn() + Sync),
    /// Turns true when all that ran is dead.
    pub(crate) dead: watch::Receiver<bool>,
}

impl Reader<'_> {
    /// Reads an output to its end. That is when nobody has it open any more; and when all that ran is dead, then what it had
    /// written is in the pipe, and whoever was handed the other end meanwhile is not waited for.
    pub(crate) async fn read(mut self, from: Option<pipe::Receiver>) -> Captured {
        let Some(mut from) = from else { return Captured::default() };
        let mut kept = Kept::default();
        let mut piece = vec![0; PIECE];
        loop {
            tokio::select! {
                biased;
                // An error of a pipe is its end.
                read = from.read(&mut piece) => match read {
                    Ok(n @ 1..) => kept.add(&self, &piece[..n]),
                    _ => break,
                },
                () = over(&mut self.dead) => {
                    let mut left = rustix::pipe::fcntl_getpipe_size(&from).unwrap_or(PIECE);
                    // Past the runtime, which may not have heard yet that there is something.
                    while left > 0 && let Ok(n @ 1..) = rustix::io::read(&from, &mut piece) {
                        kept.add(&self, &piece[..n]);
                        left = left.saturating_sub(n);
                    }
                    break;
                }
            }
        }
        Captured { bytes: kept.bytes.freeze(), total: kept.total }
    }
}

/// What was read.
#[derive(Default)]
struct Kept {
    bytes: BytesMut,
    total: u64,
    told: bool,
}

impl Kept {
    fn add(&mut self, reader: &Reader<'_>, piece: &[u8]) {
        self.total += piece.len() as u64;
        let room = reader.keep - self.bytes.len();
        let fits = &piece[..piece.len().min(room)];
        self.bytes.extend_from_slice(fits);
        if let Some(follower) = reader.follower.filter(|_| room > 0) {
            follower(reader.source, fits);
        }
        if piece.len() > room && !std::mem::replace(&mut self.told, true) {
            (reader.over)();
        }
    }
}

/// Waits until all is dead. If nobody will tell, the box is given up, and its streams with it.
async fn over(dead: &mut watch::Receiver<bool>) {
    let _ = dead.wait_for(|dead| *dead).await;
}

/// Writes an input whole, unless nobody reads it any more.
pub(crate) async fn write(to: Option<pipe::Sender>, input: Bytes, mut dead: watch::Receiver<bool>) {
    if let Some(mut to) = to {
        tokio::select! {
            _ = to.write_all(&input) => {}
            () = over(&mut dead) => {}
        }
    }
}
