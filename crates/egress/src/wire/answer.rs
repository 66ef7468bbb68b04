//! Answers to the box: heads and bodies written with one framing, and the proxy's own problem documents.

use std::io::{self, Write};

use http::{HeaderMap, StatusCode};
use tokio::{
    io::{AsyncWriteExt, WriteHalf},
    time::timeout,
};

use super::BoxIo;
use crate::{error::Refusal, limits::Limits};

/// How the rest of an answer is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// There is no body.
    None,
    /// That many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Up to the end of the connection, for HTTP/1.0.
    Close,
}

/// The half that writes, and what waits to be written at once.
pub(crate) struct Out {
    half: WriteHalf<BoxIo>,
    buffer: Vec<u8>,
    limits: Limits,
    rest: Rest,
    /// Bytes that were written.
    pub(crate) written: u64,
}

impl Out {
    pub(crate) fn new(half: WriteHalf<BoxIo>, limits: Limits) -> Self {
        Self { half, buffer: Vec::with_capacity(4 << 10), limits, rest: Rest::None, written: 0 }
    }

    /// The half, for bytes that are no HTTP any more.
    pub(crate) fn half(&mut self) -> &mut WriteHalf<BoxIo> {
        &mut self.half
    }

    /// The half, for good.
    pub(crate) fn into_half(self) -> WriteHalf<BoxIo> {
        self.half
    }

    /// Begins an answer. `headers` has no field of framing.
    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap, rest: Rest, keep_alive: bool) {
        let reason = status.canonical_reason().unwrap_or("Unknown");
        let b = &mut self.buffer;
        b.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).as_bytes());
        for (name, value) in headers {
            b.extend_from_slice(name.as_str().as_bytes());
            b.extend_from_slice(b": ");
            b.extend_from_slice(value.as_bytes());
            b.extend_from_slice(b"\r\n");
        }
        match rest {
            Rest::Length(length) => b.extend_from_slice(format!("content-length: {length}\r\n").as_bytes()),
            Rest::Chunked => b.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Rest::None | Rest::Close => {}
        }
        if !keep_alive && status != StatusCode::SWITCHING_PROTOCOLS {
            b.extend_from_slice(b"connection: close\r\n");
        }
        b.extend_from_slice(b"\r\n");
        self.rest = rest;
    }

    /// A piece of the body.
    pub(crate) fn piece(&mut self, bytes: &[u8]) {
        match self.rest {
            Rest::None => {}
            _ if bytes.is_empty() => {}
            Rest::Chunked => {
                // A vector takes whatever is written.
                let _ = write!(self.buffer, "{:x}\r\n", bytes.len());
                self.buffer.extend_from_slice(bytes);
                self.buffer.extend_from_slice(b"\r\n");
            }
            Rest::Length(_) | Rest::Close => self.buffer.extend_from_slice(bytes),
        }
    }

    /// Ends the body.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        if self.rest == Rest::Chunked {
            self.buffer.extend_from_slice(b"0\r\n\r\n");
        }
        self.flush().await
    }

    /// Writes as it is.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.flush().await
    }

    /// Sends what waits, within the bound of a stall.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let mut rest = &self.buffer[..];
        while !rest.is_empty() {
            let count = timeout(self.limits.stall, self.half.write(rest)).await??;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += count as u64;
            rest = &rest[count..];
        }
        self.buffer.clear();
        // TLS keeps what it has encrypted until it is told.
        timeout(self.limits.stall, self.half.flush()).await?
    }

    /// Answers with a problem document.
    pub(crate) async fn refuse(&mut self, refusal: &Refusal, is_head: bool, keep_alive: bool) -> io::Result<()> {
        let body = refusal.problem();
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/problem+json"));
        headers.insert("x-stead-egress", http::HeaderValue::from_static("refused"));
        self.head(status, &headers, Rest::Length(body.len() as u64), keep_alive);
        if !is_head {
            self.piece(&body);
        }
        self.end().await
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        // Whoever is gone already needs no goodbye.
        let _ = timeout(self.limits.stall, self.half.shutdown()).await;
    }
}
