//! The exchange as it went over the wire, for whoever keeps it. The key never passes: request headers are not given,
//! and where the key stands in a body, `[key]` takes its place, wherever the body is cut into pieces.

use std::time::Instant;

use bytes::Bytes;
use reqwest::Response;
use stead_core::time::Span;
use stead_ports::raw::{Raw, RawPart, RawSink};

use crate::secret::Secret;

/// Headers that are given besides those of [`PREFIXES`].
const HEADERS: &[&str] =
    &["content-type", "date", "openai-processing-ms", "request-id", "retry-after", "retry-after-ms", "x-request-id"];
/// Beginnings of headers that tell of rates.
const PREFIXES: &[&str] = &["anthropic-ratelimit-", "x-ratelimit-"];
/// Most bytes of one header's value.
const MAX_VALUE: usize = 1 << 10;

/// A watched exchange.
pub(super) struct Tap {
    sink: RawSink,
    began: Instant,
    key: Option<Secret>,
    /// Bytes that may be the beginning of the key.
    held: Vec<u8>,
}

impl Tap {
    pub(super) fn new(sink: RawSink, key: Option<Secret>) -> Self {
        Self { sink, began: Instant::now(), key, held: Vec::new() }
    }

    fn give(&self, part: RawPart) {
        let at = Span(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.sink.give(Raw { at, part });
    }

    pub(super) fn request(&self, wire: &'static str, path: &str, body: &[u8]) {
        let body = match &self.key {
            Some(key) => key.cut_from(body).0,
            None => body.to_vec(),
        };
        self.give(RawPart::Request { wire, path: path.to_owned(), body: body.into() });
    }

    pub(super) fn head(&self, response: &Response) {
        let told = |name: &str| HEADERS.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p));
        let mut headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .filter(|(name, _)| told(name.as_str()))
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .filter(|(_, value)| value.len() <= MAX_VALUE)
            .map(|(name, value)| (name, self.key.as_ref().map_or_else(|| value.clone(), |k| k.redact(&value))))
            .collect();
        headers.sort();
        self.give(RawPart::Head { status: response.status().as_u16(), headers });
    }

    /// Bytes as they arrived.
    pub(super) fn body(&mut self, bytes: &Bytes) {
        let Some(key) = &self.key else { return self.give(RawPart::Body(bytes.clone())) };
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let (mut clean, open) = key.cut_from(&all);
        self.held = clean.split_off(clean.len() - open);
        if !clean.is_empty() {
            self.give(RawPart::Body(clean.into()));
        }
    }

    /// A whole body of an error, which may repeat the key half masked.
    pub(super) fn error_body(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let body = match self.key.as_ref().map(|key| key.redact(&text)) {
            Some(clean) if clean != text => Bytes::from(clean),
            _ => Bytes::copy_from_slice(bytes),
        };
        if !body.is_empty() {
            self.give(RawPart::Body(body));
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // What looked like the beginning of the key was none.
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.give(RawPart::Body(held.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_key_in_the_answer_is_cut_out_wherever_the_pieces_end() {
        let text = b"data: sk-1 sk-secret-0123 sk-secret sk-secret-0123sk-secret-012";
        for size in 1..text.len() {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            let sink = RawSink::new(move |raw| {
                if let RawPart::Body(bytes) = raw.part {
                    sink.lock().unwrap().extend_from_slice(&bytes);
                }
            });
            let mut tap = Tap::new(sink, Some(Secret::new("sk-secret-0123")));
            for piece in text.chunks(size) {
                tap.body(&Bytes::from_static(piece));
            }
            drop(tap);
            let got = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
            assert_eq!(got, "data: sk-1 [key] sk-secret [key]sk-secret-012", "pieces of {size}");
        }
    }
}
