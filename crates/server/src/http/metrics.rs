//! Counters for Prometheus. Names are stable; `docs/metrics.md` lists them. No name carries a tenant, an agent or a run:
//! the number of series is bounded by the routes.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use stead_engine::{Engine, ProviderStats};

/// Upper bounds of the buckets of request times, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// The server's counters, and the way to the engine's.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Asked, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    under_way: Gauge,
    followers: Gauge,
    connections: Gauge,
    sweeps: Counter,
    swept: Counter,
}

/// Counts down again when it is dropped.
pub(crate) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn count(gauge: &Gauge) -> Counted {
    gauge.inc();
    Counted(gauge.clone())
}

impl Metrics {
    pub(crate) fn new(engine: Engine) -> Self {
        let mut registry = Registry::with_prefix("stead");
        let requests = Family::default();
        let seconds: Family<Route, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let (under_way, followers, connections) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit("http_request", "Time to the head of the answer", Unit::Seconds, seconds.clone());
        registry.register("http_requests_under_way", "Requests under way", under_way.clone());
        registry.register("http_followers", "Followers and waiters connected", followers.clone());
        registry.register("http_connections", "Connections open", connections.clone());
        let (sweeps, swept) = (Counter::default(), Counter::default());
        registry.register("workspace_sweeps", "Sweeps of a tenant's workspaces that ended well", sweeps.clone());
        registry.register(
            "workspace_objects_swept",
            "Objects of workspaces removed because nothing led to them",
            swept.clone(),
        );
        registry.register_collector(Box::new(OfEngine(engine)));
        Self { registry, requests, seconds, under_way, followers, connections, sweeps, swept }
    }

    /// A request is under way until the result is dropped.
    pub(crate) fn under_way(&self) -> Counted {
        count(&self.under_way)
    }

    /// A follower is connected until the result is dropped.
    pub(crate) fn follower(&self) -> Counted {
        count(&self.followers)
    }

    /// A connection is open until the result is dropped.
    pub(crate) fn connection(&self) -> Counted {
        count(&self.connections)
    }

    /// A tenant's workspaces were swept, and so many objects are gone.
    pub(crate) fn swept(&self, objects: u64) {
        self.sweeps.inc();
        self.swept.inc_by(objects);
    }

    pub(crate) fn observe(&self, method: String, route: String, status: StatusCode, took: Duration) {
        self.seconds.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Asked { method, route, status: status.as_u16() }).inc();
    }

    /// All metrics as OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        text::encode(&mut out, &self.registry).expect("encodes to memory");
        out
    }
}

/// Reads the engine's counters when they are asked for.
struct OfEngine(Engine);

impl std::fmt::Debug for OfEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfEngine")
    }
}

impl Collector for OfEngine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let gauges = [
            ("runs_loaded", "Runs in memory", stats.loaded),
            ("runs_backlog", "Runs waiting for memory", stats.backlog),
            ("model_calls_under_way", "Model calls under way", stats.model_calls),
            ("tool_calls_under_way", "Tool calls under way", stats.tool_calls),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = [
            ("runs_started", "Runs started", stats.runs_started),
            ("records", "Records appended", stats.records),
            ("model_replies", "Model calls that replied", stats.model_replies),
            ("model_failures", "Model attempts that failed", stats.model_failures),
            ("answers_rejected", "Answers that did not satisfy their output's schema", stats.answers_rejected),
            ("effects_returned", "Effects that returned", stats.effects_returned),
            ("effects_unknown", "Effects whose outcome stayed unknown", stats.effects_unknown),
            ("tokens", "Model tokens used", stats.spent.tokens),
            ("budget_slices", "Slices of budgets that runs took", stats.slices),
            (
                "budget_slices_refused",
                "Slices that there was no room for any more, so that it was decided again",
                stats.slices_refused,
            ),
            ("budget_blocked", "Runs that a budget of their tenant or of an agent stopped or made ask", stats.blocked),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        // Absent once a call of unknown price is in the sum: unknown is never 0.
        if let Some(usd) = stats.spent.usd {
            let counter = ConstCounter::new(usd.0);
            let help = "Money used, in millionths of a US dollar; absent when it is not known";
            counter.encode(encoder.encode_descriptor("spent_micro_usd", help, None, counter.metric_type())?)?;
        }
        providers(&mut encoder, &stats.providers)?;
        let ended = ["completed", "failed", "cancelled"].into_iter().zip(stats.runs_ended);
        let help = "Runs ended, by how";
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor("runs_ended", help, None, kind)?;
        for (status, value) in ended {
            ConstCounter::new(value).encode(family.encode_family(&[("status", status)])?)?;
        }
        let info = ConstGauge::new(1_i64);
        let mut family = encoder.encode_descriptor("build", "The release", None, info.metric_type())?;
        info.encode(family.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?)
    }
}

/// What the engine counts of each provider.
fn providers(encoder: &mut DescriptorEncoder<'_>, stats: &[ProviderStats]) -> Result<(), std::fmt::Error> {
    type Of = fn(&ProviderStats) -> u64;
    let gauges: [(&str, &str, Of); 2] = [
        ("provider_calls_under_way", "Model calls under way, by provider", |p| p.under_way),
        ("provider_calls_waiting", "Model calls that wait in line for their provider", |p| p.waiting),
    ];
    for (name, help, of) in gauges {
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for p in stats {
            let gauge = ConstGauge::new(i64::try_from(of(p)).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("provider", p.provider.as_str())])?)?;
        }
    }
    let counters: [(&str, &str, Of); 5] = [
        ("provider_calls", "Model calls that passed their provider's limits", |p| p.passed),
        ("provider_calls_waited", "Of these, calls that had to wait first", |p| p.waited),
        ("provider_wait_micros", "Microseconds that they waited in line", |p| p.waited_micros),
        ("provider_calls_refused", "Model calls that the provider refused because it had had enough", |p| p.refused),
        ("provider_calls_deferred", "Model calls given back because the wait would have been long", |p| p.deferred),
    ];
    for (name, help, of) in counters {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for p in stats {
            ConstCounter::new(of(p)).encode(family.encode_family(&[("provider", p.provider.as_str())])?)?;
        }
    }
    Ok(())
}
