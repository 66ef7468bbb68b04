//! The pipes of a command: read into a bounded memory, byte for byte.

use std::os::fd::OwnedFd;

use bytes::{Bytes, BytesMut};
use rustix::pipe::{PipeFlags, pipe_with};
use stead_ports::sandbox::{BoxError, Captured, Follower, Source};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
};

/// Most bytes that can be kept of an output.
pub(crate) const MAX_KEEP: usize = 64 << 20;
/// Bytes of one read: what a pipe holds.
const PIECE: usize = 64 << 10;

/// A pipe: the end that is read and the end that is written.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), BoxError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|e| BoxError::Lost(format!("no pipe for a sandbox: {e}")))
}

fn lost(e: &std::io::Error) -> BoxError {
    BoxError::Lost(format!("a pipe of a sandbox: {e}"))
}

/// Our end of an output.
pub(super) fn reader(end: OwnedFd) -> Result<pipe::Receiver, BoxError> {
    nonblocking(&end)?;
    pipe::Receiver::from_owned_fd(end).map_err(|e| lost(&e))
}

/// Our end of an input.
pub(super) fn writer(end: OwnedFd) -> Result<pipe::Sender, BoxError> {
    nonblocking(&end)?;
    pipe::Sender::from_owned_fd(end).map_err(|e| lost(&e))
}

pub(super) fn nonblocking(end: &OwnedFd) -> Result<(), BoxError> {
    rustix::io::ioctl_fionbio(end, true).map_err(|e| lost(&e.into()))
}

/// Reads an output to its end. The first `keep` bytes are kept; `over` is called once when there are more.
pub(super) async fn read(
    source: Source,
    from: Option<pipe::Receiver>,
    keep: usize,
    follower: Option<&Follower>,
    over: impl Fn(),
) -> Captured {
    let Some(mut from) = from else { return Captured::default() };
    let (mut kept, mut total, mut told) = (BytesMut::new(), 0_u64, false);
    let mut piece = vec![0; PIECE];
    // An error of a pipe is its end.
    while let Ok(n @ 1..) = from.read(&mut piece).await {
        total += n as u64;
        let room = keep - kept.len();
        kept.extend_from_slice(&piece[..n.min(room)]);
        if let Some(follower) = follower.filter(|_| room > 0) {
            follower(source, &piece[..n.min(room)]);
        }
        if n > room && !std::mem::replace(&mut told, true) {
            over();
        }
    }
    Captured { bytes: kept.freeze(), total }
}

/// Writes an input whole, unless nobody reads it any more.
pub(super) async fn write(to: Option<pipe::Sender>, input: Bytes) {
    if let Some(mut to) = to {
        let _ = to.write_all(&input).await;
    }
}
