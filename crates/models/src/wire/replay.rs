//! A recorded response, read as if it arrived now.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Response};
use stead_core::{code, message::Reply};
use stead_ports::model::{DeltaSink, ModelCall, ModelError, Retry};

use super::{Bounds, Fold, endpoint};

/// See the module.
pub(crate) struct Replay<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a [(String, String)],
    /// Pieces of the body, with the microseconds since the request was begun.
    pub(crate) body: Vec<(u64, Bytes)>,
    /// Whether to keep the times.
    pub(crate) paced: bool,
    pub(crate) origin: &'a str,
    pub(crate) bounds: &'a Bounds,
}

impl Replay<'_> {
    /// Reads it.
    pub(crate) async fn play(self, call: &ModelCall, deltas: &DeltaSink, fold: impl Fold) -> Result<Reply, ModelError> {
        let mut response = http::Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        // No pause is so long that it counts as silence.
        let longest = if self.paced { self.bounds.idle / 2 } else { Duration::ZERO };
        let body = stream::unfold((self.body.into_iter(), 0_u64), move |(mut pieces, before)| async move {
            let (at, piece) = pieces.next()?;
            let pause = Duration::from_micros(at.saturating_sub(before)).min(longest);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            Some((Ok::<_, std::io::Error>(piece), (pieces, at.max(before))))
        });
        let response = response.body(Body::wrap_stream(body)).map_err(|e| ModelError {
            code: code::CASSETTE_READ,
            detail: format!("its head is none of HTTP: {e}"),
            retry: Retry::No,
            charged: false,
        })?;
        endpoint::read(Response::from(response), None, call, deltas, fold, self.bounds, self.origin).await
    }
}
