//! Our end of a box's terminal, as a stream.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::io::Errno;
use stead_ports::sandbox::{BoxError, Pipes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

use crate::{pty::size, streams::nonblocking};

/// One end; input and output are two handles on it.
#[derive(Clone, Debug)]
pub struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    /// The end that stays outside. To be called within a runtime, which waits for it from here on.
    ///
    /// # Errors
    /// [`BoxError::Lost`] with what the system said.
    #[expect(unsafe_code, reason = "the registration of a descriptor that must stay open")]
    pub fn new(end: OwnedFd) -> Result<Self, BoxError> {
        nonblocking(&end)?;
        // SAFETY: the registration owns the descriptor, nothing here closes or replaces it before the registration ends.
        let end = unsafe { AsyncFd::register(end) };
        let end = end.map_err(|e| BoxError::Lost(format!("the terminal of a sandbox: {e}")))?;
        Ok(Self(Arc::new(end)))
    }

    /// Input and output: two handles on it.
    pub fn pipes(&self) -> Pipes {
        Pipes { stdin: Box::new(self.clone()), stdout: Box::new(self.clone()) }
    }

    /// Tells it another size, in rows and columns.
    pub fn resize(&self, dimensions: (u16, u16)) {
        if let Err(error) = rustix::termios::tcsetwinsize(self.0.get_ref().as_fd(), size(dimensions)) {
            tracing::debug!(%error, "a terminal keeps its size");
        }
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let read = guard.try_io(|end| match rustix::io::read(end.get_ref(), buf.initialize_unfilled()) {
                // Nobody has the other end open any more.
                Err(Errno::IO) => Ok(0),
                read => Ok(read?),
            });
            if let Ok(read) = read {
                buf.advance(read?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(written) = guard.try_io(|end| Ok(rustix::io::write(end.get_ref(), buf)?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
