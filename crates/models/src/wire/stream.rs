//! From bytes to frames: Server-Sent Events (WHATWG HTML, section 9.2) by the crate `sse-stream`, with limits on
//! silence, on a frame and on the whole.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::Response;
use sse_stream::SseByteStream;

use super::{Bounds, tap::Tap};

/// What a frame says.
#[derive(Debug)]
pub(super) enum Frame {
    /// `[DONE]`.
    Done,
    /// JSON text.
    Data(String),
}

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// Nothing came for too long.
    #[error("the stream was silent")]
    Idle,
    /// The frame, or all of them together, are too large.
    #[error("the reply is too large")]
    TooLarge,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Not UTF-8.
    #[error("the reply is not UTF-8")]
    NotText,
}

struct Meter {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    idle: Duration,
    total: usize,
    max_wire: usize,
    /// Bytes since the last whole frame; shared with the reader of frames, who sets it to 0.
    pending: Arc<AtomicUsize>,
    max_frame: usize,
    tap: Option<Tap>,
}

impl Meter {
    async fn next(&mut self) -> Option<Result<Bytes, FrameError>> {
        let bytes = match tokio::time::timeout(self.idle, self.bytes.next()).await {
            Err(_) => return Some(Err(FrameError::Idle)),
            Ok(None) => return None,
            Ok(Some(Err(e))) => return Some(Err(FrameError::Broken(crate::http::chain(&e.without_url())))),
            Ok(Some(Ok(bytes))) => bytes,
        };
        if let Some(tap) = &mut self.tap {
            tap.body(&bytes);
        }
        self.total = self.total.saturating_add(bytes.len());
        let pending = self.pending.fetch_add(bytes.len(), Ordering::Relaxed).saturating_add(bytes.len());
        if self.total > self.max_wire || pending > self.max_frame {
            return Some(Err(FrameError::TooLarge));
        }
        Some(Ok(bytes))
    }
}

/// The frames of a response. Silence is measured on bytes, so that comments keep a slow stream alive.
pub(super) fn frames(
    response: Response,
    bounds: &Bounds,
    tap: Option<Tap>,
) -> impl Stream<Item = Result<Frame, FrameError>> + Send + Unpin {
    let pending = Arc::new(AtomicUsize::new(0));
    let meter = Meter {
        bytes: Box::pin(response.bytes_stream()),
        idle: bounds.idle,
        total: 0,
        max_wire: bounds.max_wire,
        pending: Arc::clone(&pending),
        // A frame is JSON, where a character can take six bytes; the reply's own limit is checked when it is read.
        max_frame: bounds.max_reply.saturating_mul(2),
        tap,
    };
    let bytes = stream::unfold(meter, |mut m| async move { m.next().await.map(|item| (item, m)) });
    let frames = SseByteStream::new(Box::pin(bytes)).filter_map(move |event| {
        pending.store(0, Ordering::Relaxed);
        std::future::ready(match event {
            Ok(event) => event.data.filter(|d| !d.is_empty()).map(|d| Ok(frame(d))),
            Err(e) => Some(Err(frame_error(e))),
        })
    });
    Box::pin(frames)
}

fn frame(data: String) -> Frame {
    if data.trim() == "[DONE]" { Frame::Done } else { Frame::Data(data) }
}

fn frame_error(error: sse_stream::Error) -> FrameError {
    match error {
        sse_stream::Error::Body(e) => match e.downcast::<FrameError>() {
            Ok(e) => *e,
            Err(e) => FrameError::Broken(e.to_string()),
        },
        sse_stream::Error::Utf8Parse(_) => FrameError::NotText,
        e => FrameError::Broken(e.to_string()),
    }
}
