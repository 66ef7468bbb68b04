//! An output of a component: the first bytes are kept, whatever comes beyond is dropped or ends it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use parking_lot::Mutex;
use stead_ports::sandbox::{Captured, Source};
use stead_tier::kept::{Keeping, Kept};
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
    keeping: Arc<Keeping>,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    kept: Kept,
    over: bool,
}

impl Output {
    pub(crate) fn new(source: Source, keeping: Arc<Keeping>) -> Self {
        Self(Arc::new(Shared { source, keeping, written: Mutex::default() }))
    }

    /// Writes. `false`: that was more than is kept, and is its end.
    fn put(&self, bytes: &[u8]) -> bool {
        let Shared { source, keeping, written } = &*self.0;
        let mut written = written.lock();
        if written.kept.add(keeping, *source, bytes) {
            written.over = true;
        }
        !written.over
    }

    /// What the host has to say, where there is room.
    pub(crate) fn add(&self, words: &str) {
        self.0.written.lock().kept.note(&self.0.keeping, words);
    }

    /// Whether it was ended for what it wrote.
    pub(crate) fn over(&self) -> bool {
        self.0.written.lock().over
    }

    /// What it wrote; once, when nothing writes any more.
    pub(crate) fn captured(&self) -> Captured {
        std::mem::take(&mut self.0.written.lock().kept).captured()
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
