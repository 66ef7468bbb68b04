//! What operators do, as entries of their log. An act is durable before what it allows is done.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use stead_core::time::Timestamp;
use stead_engine::Log;
use stead_ports::{audit::Act, clock::Clock as _, journal::StoreError};

use crate::clock::SystemClock;

/// Denials that become entries in a span of time: whoever asks again and again must not fill the log.
const DENIALS: u32 = 60;
/// The span.
const SPAN: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Acts {
    log: Log,
    denials: Mutex<(Instant, u32)>,
}

impl Acts {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, denials: Mutex::new((Instant::now(), 0)) }
    }

    /// Keeps an act; durable when it returns.
    ///
    /// # Errors
    /// When the store does not take it: what it allows must not be done then.
    pub(crate) async fn keep(&self, topic: &str, body: &Value) -> Result<(), StoreError> {
        let clock = SystemClock;
        self.keep_as(clock.new_ulid(), clock.now(), topic, body).await
    }

    /// The same, under an id by which it is found again.
    ///
    /// # Errors
    /// As [`Acts::keep`].
    pub(crate) async fn keep_as(&self, id: u128, at: Timestamp, topic: &str, body: &Value) -> Result<(), StoreError> {
        let clock = SystemClock;
        let act = Act { id, at, topic: topic.to_owned(), salt: clock.random(), body: body.to_string().into() };
        self.log.store().act(act).await
    }

    /// Keeps that something was denied, unless too much was of late: the file of operators has all.
    pub(crate) async fn denied(&self, body: &Value) {
        {
            let mut denials = self.denials.lock();
            if denials.0.elapsed() > SPAN {
                *denials = (Instant::now(), 0);
            }
            denials.1 += 1;
            if denials.1 > DENIALS {
                return;
            }
        }
        if let Err(error) = self.keep("denied", body).await {
            tracing::warn!(%error, "that something was denied is not in the log of operators");
        }
    }
}
