//! What a collector was told, and what it left out.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Told {
    signal: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Signal {
    signal: &'static str,
}

/// See the module.
#[derive(Default)]
pub(crate) struct OfTelemetry {
    told: Family<Told, Counter>,
    failed: Family<Signal, Counter>,
    behind: Gauge,
    damaged: Counter,
}

impl OfTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let this = Self::default();
        for signal in ["traces", "logs", "metrics"] {
            let _ = this.failed.get_or_create(&Signal { signal });
            for result in ["taken", "dropped"] {
                let _ = this.told.get_or_create(&Told { signal, result });
            }
        }
        let help = "Spans, records of logs and metrics that the collector was told, and those that it refused for good and that are dropped";
        registry.register("telemetry_told", help, this.told.clone());
        let help = "Requests that the collector did not take; they are made again";
        registry.register("telemetry_failures", help, this.failed.clone());
        registry.register(
            "telemetry_behind",
            "Leaves of audit logs of which the collector was not told yet",
            this.behind.clone(),
        );
        registry.register(
            "telemetry_damaged",
            "Times that a run was told without its texts, or not at all, because something stored of it is damaged",
            this.damaged.clone(),
        );
        this
    }

    /// So many were taken, and so many never will be.
    pub(crate) fn told(&self, signal: &'static str, taken: u64, dropped: u64) {
        self.told.get_or_create(&Told { signal, result: "taken" }).inc_by(taken);
        if dropped > 0 {
            self.told.get_or_create(&Told { signal, result: "dropped" }).inc_by(dropped);
        }
    }

    /// A request was not taken.
    pub(crate) fn failed(&self, signal: &'static str) {
        self.failed.get_or_create(&Signal { signal }).inc();
    }

    /// Something of a run cannot be read, and is not told.
    pub(crate) fn damaged(&self) {
        self.damaged.inc();
    }

    /// So many leaves are to be told of.
    pub(crate) fn behind(&self, leaves: u64) {
        self.behind.set(i64::try_from(leaves).unwrap_or(i64::MAX));
    }
}
