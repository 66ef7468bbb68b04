//! Streams of server-sent events, bounded: an event has so many bytes, a server says only so much without answering, and
//! a stream is opened again only so often.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use rmcp::transport::common::client_side_sse::SseRetryPolicy;
use sse_stream::{Error, Sse, SseStream};
use stead_core::code;

use super::{
    ledger::{Ledger, MAX_UNASKED},
    pipe::MAX_MESSAGE,
};

/// Attempts in a row at opening a stream again.
const ATTEMPTS: usize = 5;
/// First pause between them; doubles each time.
const PAUSE: Duration = Duration::from_millis(500);

/// When a broken stream is opened again.
#[derive(Debug)]
pub(super) struct Patience;

impl SseRetryPolicy for Patience {
    fn retry(&self, times: usize) -> Option<Duration> {
        let doubled = 1 << times.min(ATTEMPTS);
        (times < ATTEMPTS).then(|| PAUSE * doubled)
    }
}

/// The events in an answer. `watching` says that this is the stream on which a server tells of itself.
pub(super) fn events<E>(
    bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ledger: &Ledger,
    watching: bool,
) -> BoxStream<'static, Result<Sse, Error>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut size = Size::default();
    let meter = ledger.clone();
    let bounded = bytes.map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        if size.takes(&chunk) {
            return Ok(chunk);
        }
        let words = format!("it sent a message of more than {MAX_MESSAGE} bytes");
        meter.blame(code::TOOL_FLOOD, words.as_str());
        Err(io::Error::other(words))
    });
    let (counter, watch) = (ledger.clone(), watching.then(|| Watch::new(ledger)));
    let events = SseStream::from_bytes_stream(bounded).map(move |event| {
        // Held by the stream, so that it ends with it.
        let _ = &watch;
        if event.is_ok() && !counter.hears() {
            let words = format!("it sent {MAX_UNASKED} messages without answering");
            counter.blame(code::TOOL_FLOOD, words.as_str());
            return Err(Error::Body(Box::new(io::Error::other(words))));
        }
        event
    });
    // Nothing is read after a fault, whatever still comes.
    let ledger = ledger.clone();
    events.take_while(move |event| std::future::ready(event.is_err() || ledger.fault().is_none())).boxed()
}

/// The stream of notifications is open as long as this lives.
struct Watch(Ledger);

impl Watch {
    fn new(ledger: &Ledger) -> Self {
        ledger.watch(true);
        Self(ledger.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watch(false);
    }
}

/// Bytes since the last blank line, which ends an event.
#[derive(Default)]
struct Size {
    event: usize,
    line_is_empty: bool,
}

impl Size {
    fn takes(&mut self, chunk: &[u8]) -> bool {
        for byte in chunk {
            match byte {
                b'\r' => {}
                b'\n' if self.line_is_empty => self.event = 0,
                b'\n' => self.line_is_empty = true,
                _ => self.line_is_empty = false,
            }
            self.event += 1;
            if self.event > MAX_MESSAGE {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_measured_from_blank_line_to_blank_line() {
        let mut size = Size::default();
        let half = vec![b'x'; MAX_MESSAGE / 2 + 1];
        assert!(size.takes(&half) && size.takes(b"\r\n\r\n") && size.takes(&half) && size.takes(b"\n"));
        assert!(!size.takes(&half));
    }

    #[test]
    fn a_stream_is_opened_again_a_few_times_and_ever_later() {
        let pauses: Vec<_> = (0..8).map_while(|n| Patience.retry(n)).collect();
        assert_eq!(pauses.len(), ATTEMPTS);
        assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
