//! Counters for Prometheus. Names are stable; `docs/metrics.md` lists them. No name carries a tenant, an agent or a run:
//! the number of series is bounded by the routes. What the engine counts is told in [`engine`].

mod engine;
mod log;
mod starts;
mod telemetry;

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use stead_engine::{Engine, Log};
use stead_ports::journal::Journal;

pub(crate) use self::starts::Starts;
use self::{engine::OfEngine, log::OfLog, telemetry::OfTelemetry};

/// Upper bounds of the buckets of request times, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How old may be what was read of the journal: whoever asks again and again asks it no more often.
const FRESH: Duration = Duration::from_secs(1);

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Notice {
    notice: String,
    result: &'static str,
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
    notices: Family<Notice, Counter>,
    /// What a collector was told.
    pub(crate) telemetry: OfTelemetry,
    queued: Gauge,
    asked: Gauge,
    looked: Mutex<Option<Instant>>,
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
    pub(crate) fn new(engine: Engine, log: Log, starts: &Starts) -> Self {
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
        let notices = Family::default();
        registry.register("notices", "Notices to people, by what became of the attempt", notices.clone());
        let telemetry = OfTelemetry::new(&mut registry);
        starts.register(&mut registry);
        let (queued, asked, looked) = (Gauge::default(), Gauge::default(), Mutex::default());
        registry.register("runs_queued", "Runs that wait for the foreground of their sessions", queued.clone());
        registry.register("approvals_waiting", "Open questions to people", asked.clone());
        registry.register_collector(Box::new(OfEngine(engine)));
        registry.register_collector(Box::new(OfLog(log)));
        Self {
            registry,
            requests,
            seconds,
            under_way,
            followers,
            connections,
            sweeps,
            swept,
            notices,
            telemetry,
            queued,
            asked,
            looked,
        }
    }

    /// An attempt at a notice ended so.
    pub(crate) fn notice(&self, notice: &str, result: &'static str) {
        self.notices.get_or_create(&Notice { notice: notice.to_owned(), result }).inc();
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

    /// All metrics as OpenMetrics text. What waits is asked of the journal, and stays what it was when that does not answer.
    pub(crate) async fn text(&self, journal: &dyn Journal) -> String {
        let stale = {
            let mut looked = self.looked.lock();
            let stale = looked.is_none_or(|at| at.elapsed() >= FRESH);
            if stale {
                *looked = Some(Instant::now());
            }
            stale
        };
        if stale && let Ok(depths) = journal.depths().await {
            self.queued.set(i64::try_from(depths.queued).unwrap_or(i64::MAX));
            self.asked.set(i64::try_from(depths.asked).unwrap_or(i64::MAX));
        }
        let mut out = String::new();
        // Writing to a String cannot fail.
        text::encode(&mut out, &self.registry).expect("encodes to memory");
        out
    }
}
