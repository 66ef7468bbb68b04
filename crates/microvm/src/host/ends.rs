//! The ends of streams on this side: one that is read, and one that is written.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::link::Link;
use crate::wire::{Frame, Kind, MAX_DATA};

/// What came on a stream and was not read yet. Pieces are put together, so that many small ones take no more memory than few large
/// ones: its window is its bound.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    bytes: BytesMut,
    over: Option<Result<(), Reset>>,
}

impl Inbox {
    /// Adds what came.
    pub(super) fn put(&self, bytes: &[u8]) {
        self.held.lock().bytes.extend_from_slice(bytes);
        self.changed.notify_one();
    }

    /// Nothing more comes.
    pub(super) fn close(&self, how: Result<(), Reset>) {
        self.held.lock().over.get_or_insert(how);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Result<Option<Bytes>, Reset>> {
        let mut held = self.held.lock();
        if held.bytes.is_empty() {
            return held.over.map(|how| how.map(|()| None));
        }
        Some(Ok(Some(std::mem::take(&mut held.bytes).freeze())))
    }
}

/// Reads a stream, and opens its window as it does.
pub(super) struct Reader {
    pub(super) link: Arc<Link>,
    pub(super) stream: u32,
    pub(super) inbox: Arc<Inbox>,
}

/// A stream that was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reset;

impl Reader {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Reset> {
        loop {
            if let Some(taken) = self.inbox.take() {
                if let Ok(Some(piece)) = &taken {
                    let length = u32::try_from(piece.len()).unwrap_or(0);
                    if self.link.grant(self.stream, length) {
                        let _ = self.link.send(Frame::credit(self.stream, length)).await;
                    }
                }
                return taken;
            }
            // What came in between left a mark, which ends this wait at once.
            self.inbox.changed.notified().await;
        }
    }

    /// Wants no more.
    pub(super) async fn refuse(&mut self) {
        self.link.over(self.stream, Kind::End);
        let _ = self.link.send(Frame::bare(Kind::Reset, self.stream)).await;
    }
}

/// Writes a stream, within its window.
pub(super) struct Writer {
    pub(super) link: Arc<Link>,
    pub(super) stream: u32,
    pub(super) window: Arc<Semaphore>,
}

impl Writer {
    /// Sends bytes.
    ///
    /// # Errors
    /// When nobody wants them.
    pub(super) async fn send(&self, mut bytes: Bytes) -> Result<(), Reset> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(MAX_DATA));
            let many = u32::try_from(piece.len()).map_err(|_| Reset)?;
            self.window.acquire_many(many).await.map_err(|_| Reset)?.forget();
            self.link.send(Frame::data(self.stream, piece)).await?;
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub(super) async fn end(&self) {
        let _ = self.link.send(Frame::bare(Kind::End, self.stream)).await;
    }
}
