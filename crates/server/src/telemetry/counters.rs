//! The counters of `/metrics`, told from time to time. They are sums, so one that is not taken is made up for by the next.

use std::sync::Arc;

use stead_ports::clock::Clock as _;
use stead_telemetry::metrics;

use super::send::{Request, Sender};
use crate::{clock::SystemClock, http::app::Shared};

/// Tells until the server ends, and then a last time.
pub(super) async fn keep(app: Shared, sender: Arc<Sender>) {
    let nanos = |at: i64| u64::try_from(at).unwrap_or(0).saturating_mul(1_000);
    let start = nanos(app.started.0);
    loop {
        tokio::select! {
            () = app.draining.cancelled() => {}
            () = tokio::time::sleep(app.telemetry.config.every.0) => {}
        }
        let text = app.metrics.text(&**app.runtime.journal()).await;
        let metrics = metrics::of_text(&text, start, nanos(SystemClock.now().0));
        let count = metrics.len() as u64;
        match sender.send(Request::Metrics(app.telemetry.origin().metrics(metrics))).await {
            Ok(rejected) => app.metrics.telemetry.told("metrics", count.saturating_sub(rejected), rejected),
            Err(error) => {
                app.metrics.telemetry.failed("metrics");
                tracing::warn!(%error, "the collector did not take the counters");
            }
        }
        if app.draining.is_cancelled() {
            return;
        }
    }
}
