//! Our end of a box's terminal, as streams.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    pin::Pin,
    task::{Context, Poll},
};

use rustix::{
    io::Errno,
    termios::{Winsize, tcsetwinsize},
};
use stead_ports::sandbox::{BoxError, Pipes};
use stead_tier::streams::nonblocking;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::unix::pipe,
};

/// One end, as the runtime sent it.
pub(crate) struct Terminal(OwnedFd);

impl Terminal {
    pub(crate) fn new(end: OwnedFd) -> Result<Self, BoxError> {
        nonblocking(&end)?;
        Ok(Self(end))
    }

    /// Input and output: two handles on it, which are waited for as pipes are.
    pub(crate) fn pipes(&self) -> Result<Pipes, BoxError> {
        let lost = |e: io::Error| BoxError::Lost(format!("the terminal of a sandbox: {e}"));
        let another = || self.0.try_clone().map_err(lost);
        let stdin = pipe::Sender::from_owned_fd_unchecked(another()?).map_err(lost)?;
        let stdout = pipe::Receiver::from_owned_fd_unchecked(another()?).map_err(lost)?;
        Ok(Pipes { stdin: Box::new(stdin), stdout: Box::new(Shown(stdout)) })
    }

    pub(crate) fn resize(&self, (rows, columns): (u16, u16)) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        if let Err(error) = tcsetwinsize(self.0.as_fd(), size) {
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
