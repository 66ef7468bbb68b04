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
use stead_tier::streams::nonblocking;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

use crate::terminal::size;

/// One end; input and output are two handles on it.
#[derive(Clone)]
pub(super) struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    #[expect(unsafe_code, reason = "the registration of a descriptor that must stay open")]
    pub(super) fn new(end: OwnedFd) -> Result<Self, BoxError> {
        nonblocking(&end)?;
        // SAFETY: the registration owns the descriptor, nothing here closes or replaces it before the registration ends.
        let end = unsafe { AsyncFd::register(end) };
        let end = end.map_err(|e| BoxError::Lost(format!("the terminal of a sandbox: {e}")))?;
        Ok(Self(Arc::new(end)))
    }

    pub(super) fn pipes(&self) -> Pipes {
        Pipes { stdin: Box::new(self.clone()), stdout: Box::new(self.clone()) }
    }

    pub(super) fn resize(&self, dimensions: (u16, u16)) {
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
