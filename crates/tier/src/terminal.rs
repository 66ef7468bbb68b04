//! Our end of a box's terminal, as streams.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    pin::Pin,
    task::{Context, Poll},
};

use rustix::io::Errno;
use stead_ports::sandbox::{BoxError, Pipes};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::unix::pipe,
};

use crate::{pty::size, streams::nonblocking};

/// One end.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

impl Terminal {
    /// The end that stays outside.
    ///
    /// # Errors
    /// [`BoxError::Lost`] with what the system said.
    pub fn new(end: OwnedFd) -> Result<Self, BoxError> {
        nonblocking(&end)?;
        Ok(Self(end))
    }

    /// Input and output: two handles on it, which are waited for as pipes are. To be called within a runtime.
    ///
    /// # Errors
    /// [`BoxError::Lost`] with what the system said.
    pub fn pipes(&self) -> Result<Pipes, BoxError> {
        let lost = |e: io::Error| BoxError::Lost(format!("the terminal of a sandbox: {e}"));
        let another = || self.0.try_clone().map_err(lost);
        let stdin = pipe::Sender::from_owned_fd_unchecked(another()?).map_err(lost)?;
        let stdout = pipe::Receiver::from_owned_fd_unchecked(another()?).map_err(lost)?;
        Ok(Pipes { stdin: Box::new(stdin), stdout: Box::new(Shown(stdout)) })
    }

    /// Tells it another size, in rows and columns.
    pub fn resize(&self, dimensions: (u16, u16)) {
        if let Err(error) = rustix::termios::tcsetwinsize(self.0.as_fd(), size(dimensions)) {
            tracing::debug!(%error, "a terminal keeps its size");
        }
    }
}

/// What a terminal shows. That nobody has its other end open any more is an error to the kernel, and here the end.
struct Shown(pipe::Receiver);

impl AsyncRead for Shown {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buf) {
            Poll::Ready(Err(e)) if Errno::from_io_error(&e) == Some(Errno::IO) => Poll::Ready(Ok(())),
            other => other,
        }
    }
}
