//! An output of a component: the first bytes are kept, whatever comes beyond is dropped or ends it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use stead_ports::sandbox::{Captured, Follower, Source, WhenFull};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

/// Bytes that can be written at once: what a host has to copy.
const PIECE: usize = 64 << 10;

/// One output; every handle on it writes to the same.
#[derive(Clone)]
pub(crate) struct Output(Arc<Shared>);

struct Shared {
    source: Source,
    keep: usize,
    full: WhenFull,
    follower: Option<Follower>,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    kept: BytesMut,
    total: u64,
    over: bool,
}

impl Output {
    pub(crate) fn new(source: Source, keep: usize, full: WhenFull, follower: Option<Follower>) -> Self {
        Self(Arc::new(Shared { source, keep, full, follower, written: Mutex::default() }))
    }

    /// Writes. `false`: that was more than is kept, and is its end.
    fn put(&self, bytes: &[u8]) -> bool {
        let Shared { source, keep, full, follower, written } = &*self.0;
        let mut written = written.lock();
        written.total += bytes.len() as u64;
        let room = keep - written.kept.len();
        let kept = &bytes[..bytes.len().min(room)];
        written.kept.extend_from_slice(kept);
        if let Some(follower) = follower.as_ref().filter(|_| !kept.is_empty()) {
            follower(*source, kept);
        }
        if bytes.len() > room && *full == WhenFull::Kill {
            written.over = true;
        }
        !written.over
    }

    /// What the host has to say, where there is room.
    pub(crate) fn add(&self, words: &str) {
        let mut written = self.0.written.lock();
        let room = self.0.keep - written.kept.len();
        if words.len() <= room {
            written.kept.extend_from_slice(words.as_bytes());
            written.total += words.len() as u64;
        }
    }

    /// Whether it was ended for what it wrote.
    pub(crate) fn over(&self) -> bool {
        self.0.written.lock().over
    }

    pub(crate) fn captured(&self) -> Captured {
        let written = self.0.written.lock();
        Captured { bytes: Bytes::copy_from_slice(&written.kept), total: written.total }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.put(&bytes) { Ok(()) } else { Err(StreamError::trap("more output than is kept")) }
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = if self.put(bytes) { Ok(bytes.len()) } else { Err(io::ErrorKind::StorageFull.into()) };
        Poll::Ready(done)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
