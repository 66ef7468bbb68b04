//! The pipes of a command: read into a bounded memory, byte for byte.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::pipe::{PipeFlags, pipe_with};
use stead_ports::sandbox::{BoxError, Captured, Source};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    sync::watch,
};

use crate::kept::{Keeping, Kept};

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
    pub(crate) keeping: &'a Keeping,
    /// Told once when the command is to be killed for what it wrote.
    pub(crate) over: &'a (dyn Fn() + Sync),
    /// Turns true when all that ran is dead.
    pub(crate) dead: watch::Receiver<bool>,
}

impl Reader<'_> {
    /// Reads an output to its end. That is when nobody has it open any more; and when all that ran is dead, then what it had
    /// written is in the pipe, and whoever was handed the other end meanwhile is not waited for.
    pub(crate) async fn read(self, from: Option<pipe::Receiver>) -> Captured {
        let Self { source, keeping, over, mut dead } = self;
        let Some(mut from) = from else { return Captured::default() };
        let mut kept = Kept::default();
        let mut add = |piece: &[u8]| {
            if kept.add(keeping, source, piece) {
                over();
            }
        };
        let mut piece = vec![0; PIECE];
        loop {
            tokio::select! {
                biased;
                // An error of a pipe is its end.
                read = from.read(&mut piece) => match read {
                    Ok(n @ 1..) => add(&piece[..n]),
                    _ => break,
                },
                () = all_dead(&mut dead) => {
                    let mut left = rustix::pipe::fcntl_getpipe_size(&from).unwrap_or(PIECE);
                    // Past the runtime, which may not have heard yet that there is something.
                    while left > 0 && let Ok(n @ 1..) = rustix::io::read(&from, &mut piece) {
                        add(&piece[..n]);
                        left = left.saturating_sub(n);
                    }
                    break;
                }
            }
        }
        kept.captured()
    }
}

/// Waits until all is dead. If nobody will tell, the box is given up, and its streams with it.
async fn all_dead(dead: &mut watch::Receiver<bool>) {
    let _ = dead.wait_for(|dead| *dead).await;
}

/// Writes an input whole, unless nobody reads it any more.
pub(crate) async fn write(to: Option<pipe::Sender>, input: Bytes, mut dead: watch::Receiver<bool>) {
    if let Some(mut to) = to {
        tokio::select! {
            _ = to.write_all(&input) => {}
            () = all_dead(&mut dead) => {}
        }
    }
}
