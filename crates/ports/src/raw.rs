//! A model call as it went over the wire: what a cassette is made from. Watching it changes nothing about the call.
//!
//! No secret passes here: keys travel in headers of the request, which are not given at all, and where a provider
//! repeats the key in its answer, `[key]` stands in its place.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use stead_core::time::Span;

/// One part of an exchange, with the time since the request was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Time since the request was begun.
    pub at: Span,
    /// The part.
    pub part: RawPart,
}

/// In order: one request, at most one head, any number of pieces. An exchange that fails ends where it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawPart {
    /// What is sent.
    Request {
        /// Which wire is spoken, such as `anthropic`.
        wire: &'static str,
        /// Path of the URL: neither host nor query.
        path: String,
        /// The body, in one spelling: equal calls have equal bytes.
        body: Bytes,
    },
    /// The head of the response.
    Head {
        /// HTTP status.
        status: u16,
        /// Those headers that say how to read the body, when to come back and what to name in a complaint: lower-case
        /// names, in the order of the names.
        headers: Vec<(String, String)>,
    },
    /// Bytes of the response's body as they arrived, which may be in the middle of a character.
    Body(Bytes),
}

/// Where an exchange goes; must not block.
#[derive(Clone)]
pub struct RawSink(Arc<dyn Fn(Raw) + Send + Sync>);

impl RawSink {
    /// A sink that hands each part to `take`.
    pub fn new(take: impl Fn(Raw) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Hands over one part.
    pub fn give(&self, raw: Raw) {
        (self.0)(raw);
    }
}

impl fmt::Debug for RawSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawSink")
    }
}
