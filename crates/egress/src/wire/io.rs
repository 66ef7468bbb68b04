//! A connection of the box in two halves, with what was read too far.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

/// Any stream of bytes, both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One of them, whichever.
pub(crate) type BoxIo = Box<dyn Io>;

/// The half that reads, and what it has read already.
pub(crate) struct Reader {
    half: ReadHalf<BoxIo>,
    pub(crate) buffer: BytesMut,
}

impl Reader {
    /// Reads more; `false` at the end of the stream.
    pub(crate) async fn more(&mut self) -> io::Result<bool> {
        self.buffer.reserve(16 << 10);
        Ok(self.half.read_buf(&mut self.buffer).await? > 0)
    }
}

pub(crate) fn split(io: BoxIo) -> (Reader, WriteHalf<BoxIo>) {
    let (half, writer) = tokio::io::split(io);
    (Reader { half, buffer: BytesMut::new() }, writer)
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Pin::new(&mut self.half).poll_read(cx, into);
        }
        let count = self.buffer.len().min(into.remaining());
        into.put_slice(&self.buffer[..count]);
        self.buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Both halves as one stream again, which begins with what was read already.
pub(crate) fn rejoin(reader: Reader, writer: WriteHalf<BoxIo>) -> BoxIo {
    Box::new(Rejoined { reader, writer })
}

struct Rejoined {
    reader: Reader,
    writer: WriteHalf<BoxIo>,
}

impl AsyncRead for Rejoined {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Rejoined {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
