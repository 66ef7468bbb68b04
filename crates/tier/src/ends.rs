//! Both ends of a box's streams, and what is done with ours.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use stead_ports::sandbox::{BoxError, Captured, Follower, KEEP, Pipes, Source, Stdio, WhenFull};
use tokio::{net::unix::pipe, sync::watch};

use crate::streams::{self, MAX_KEEP, Reader};

/// Both ends of a box's streams; none for a terminal.
#[derive(Default)]
pub struct Ends {
    /// Standard input, output and error as the command gets them, to be dropped here as soon as it has them.
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
        let (read_input, write_input) = streams::pipe()?;
        let (read_output, write_output) = streams::pipe()?;
        let (read_error, write_error) = streams::pipe()?;
        let input = match stdio {
            // Dropped, so that there is nothing to read.
            Stdio::Quiet => None,
            Stdio::Capture { input, .. } if input.is_empty() => None,
            _ => Some(streams::writer(write_input)?),
        };
        for end in [&read_input, &write_output, &write_error] {
            // Without the right to do so they are the command's already, for then it is the same user.
            let _ = std::os::unix::fs::fchown(end, Some(user), Some(user));
        }
        Ok(Self {
            inside: vec![read_input, write_output, write_error],
            input,
            output: Some(streams::reader(read_output)?),
            error: Some(streams::reader(read_error)?),
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

/// What is done with the streams.
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

    /// Reads and writes until the streams end, or until all that ran is dead: then `dead` turns true. `over` is called when there is
    /// more than is kept.
    pub async fn run(self, over: impl Fn(WhenFull) + Sync, dead: watch::Receiver<bool>) -> (Captured, Captured) {
        let Self { ends, input, keep, full, follower } = self;
        let over = || over(full);
        let reader = |source| Reader { source, keep, follower: follower.as_ref(), over: &over, dead: dead.clone() };
        let (output, error, ()) = tokio::join!(
            reader(Source::Stdout).read(ends.output),
            reader(Source::Stderr).read(ends.error),
            streams::write(ends.input, input, dead.clone()),
        );
        (output, error)
    }
}
