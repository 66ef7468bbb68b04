//! Both ends of a box's streams, and what is done with ours.

use std::{net::TcpListener, os::fd::OwnedFd};

use bytes::Bytes;
use stead_ports::sandbox::{BoxError, Captured, Pipes, Source, Stdio};
use tokio::{net::unix::pipe, sync::watch};

use crate::{
    kept::Keeping,
    streams::{self, Reader},
};

/// Both ends of a box's streams; none for a terminal.
#[derive(Debug, Default)]
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

    /// All three, for a caller that reads and writes them itself: input, output, error. `None` if they are not there.
    pub fn all(self) -> Option<(pipe::Sender, pipe::Receiver, pipe::Receiver)> {
        Some((self.input?, self.output?, self.error?))
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

/// The socket of a box's way out, made ready to be waited for by a runtime.
///
/// # Errors
/// [`BoxError::Lost`] with what the system said.
pub fn way_out(socket: OwnedFd) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).map_err(|e| BoxError::Lost(format!("the way out of a sandbox: {e}")))?;
    Ok(listener)
}

/// What is done with the streams.
#[derive(Debug)]
pub struct Reading {
    ends: Ends,
    input: Bytes,
    keeping: Keeping,
}

impl Reading {
    /// As `stdio` asks, with the ends that are left.
    pub fn new(stdio: Stdio, ends: Ends) -> Self {
        let (input, keeping) = Keeping::of(stdio);
        Self { ends, input, keeping }
    }

    /// Reads and writes until the streams end, or until all that ran is dead: that is when `ended` is, whose outcome comes first.
    /// `over` is called when the command is to be killed for what it wrote.
    pub async fn until<E>(self, ended: impl Future<Output = E>, over: impl Fn() + Sync) -> (E, Captured, Captured) {
        let Self { ends, input, keeping } = self;
        let (dead, hears) = watch::channel(false);
        let ended = async {
            let ended = ended.await;
            dead.send_replace(true);
            ended
        };
        let reader = |source| Reader { source, keeping: &keeping, over: &over, dead: hears.clone() };
        let (ended, output, error, ()) = tokio::join!(
            ended,
            reader(Source::Stdout).read(ends.output),
            reader(Source::Stderr).read(ends.error),
            streams::write(ends.input, input, hears.clone()),
        );
        (ended, output, error)
    }
}
