//! The streams of a command that are pipes: both ends made, input written, output read into a bounded memory, byte for byte.

use std::os::fd::OwnedFd;

use bytes::{Bytes, BytesMut};
use rustix::pipe::{PipeFlags, pipe_with};
use stead_ports::sandbox::{BoxError, Captured, Follower, KEEP, Pipes, Source, Stdio, WhenFull};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
};

/// Most bytes that can be kept of an output.
pub const MAX_KEEP: usize = 64 << 20;
/// Bytes of one read: what a pipe holds.
const PIECE: usize = 64 << 10;

/// A pipe: the end that is read and the end that is written.
fn pipe() -> Result<(OwnedFd, OwnedFd), BoxError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|e| BoxError::Lost(format!("no pipe for a sandbox: {e}")))
}

fn lost(e: &std::io::Error) -> BoxError {
    BoxError::Lost(format!("a pipe of a sandbox: {e}"))
}

fn reader(end: OwnedFd) -> Result<pipe::Receiver, BoxError> {
    nonblocking(&end)?;
    pipe::Receiver::from_owned_fd(end).map_err(|e| lost(&e))
}

fn writer(end: OwnedFd) -> Result<pipe::Sender, BoxError> {
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

/// Both ends of a command's streams; empty for a terminal.
#[derive(Default)]
pub struct Ends {
    /// Standard input, output, error as the command gets them. To be dropped here as soon as it has them.
    pub inside: Vec<OwnedFd>,
    input: Option<pipe::Sender>,
    output: Option<pipe::Receiver>,
    error: Option<pipe::Receiver>,
}

impl Ends {
    /// `user` is who the command is outside: its ends are given to it, so that it may open `/dev/stdout` again.
    ///
    /// # Errors
    /// [`BoxError::Lost`] if there are no descriptors.
    pub fn new(stdio: &Stdio, user: u32) -> Result<Self, BoxError> {
        if let Stdio::Terminal { .. } = stdio {
            return Ok(Self::default());
        }
        let (read_input, write_input) = pipe()?;
        let (read_output, write_output) = pipe()?;
        let (read_error, write_error) = pipe()?;
        let input = match stdio {
            // Dropped, so that there is nothing to read.
            Stdio::Quiet => None,
            Stdio::Capture { input, .. } if input.is_empty() => None,
            _ => Some(writer(write_input)?),
        };
        for end in [&read_input, &write_output, &write_error] {
            // Without the right to do so they are the command's already, for then it is the same user.
            let _ = std::os::unix::fs::fchown(end, Some(user), Some(user));
        }
        Ok(Self {
            inside: vec![read_input, write_output, write_error],
            input,
            output: Some(reader(read_output)?),
            error: Some(reader(read_error)?),
        })
    }

    /// What the caller reads and writes itself, of [`Stdio::Pipes`].
    pub fn pipes(&mut self, stdio: &Stdio) -> Option<Pipes> {
        if !matches!(stdio, Stdio::Pipes { .. }) {
            return None;
        }
        let (input, output) = (self.input.take()?, self.output.take()?);
        Some(Pipes { stdin: Box::new(input), stdout: Box::new(output) })
    }
}

/// What is done with the streams that nobody else reads and writes.
pub struct Reading {
    ends: Ends,
    input: Bytes,
    keep: usize,
    full: WhenFull,
    follower: Option<Follower>,
}

impl Reading {
    /// As `stdio` asks, with the ends that are left.
    pub fn new(stdio: Stdio, ends: Ends) -> Self {
        let plain = |keep, full| Self { ends: Ends::default(), input: Bytes::new(), keep, full, follower: None };
        let mut reading = match stdio {
            Stdio::Quiet => plain(KEEP, WhenFull::Kill),
            Stdio::Capture { input, keep, full, follower } => Self { input, follower, ..plain(keep, full) },
            Stdio::Pipes { keep } => plain(keep, WhenFull::Drop),
            Stdio::Terminal { .. } => plain(0, WhenFull::Drop),
        };
        reading.keep = reading.keep.min(MAX_KEEP);
        Self { ends, ..reading }
    }

    /// Reads both outputs to their ends, writing the input meanwhile. `over` is called when there is more than is kept.
    pub async fn run(self, over: impl Fn(WhenFull)) -> (Captured, Captured) {
        let Self { ends, input, keep, full, follower } = self;
        let over = || over(full);
        let (output, error, ()) = tokio::join!(
            read(Source::Stdout, ends.output, keep, follower.as_ref(), over),
            read(Source::Stderr, ends.error, keep, follower.as_ref(), over),
            write(ends.input, input),
        );
        (output, error)
    }
}

/// Reads an output to its end. The first `keep` bytes are kept; `over` is called once when there are more.
async fn read(
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
async fn write(to: Option<pipe::Sender>, input: Bytes) {
    if let Some(mut to) = to {
        let _ = to.write_all(&input).await;
    }
}
