//! How long sandboxes took to start.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use stead_core::sandbox::Tier;

/// Upper bounds of the buckets, in seconds: from a process to a machine.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Start {
    tier: String,
    result: &'static str,
}

/// See the module; clones count as one.
#[derive(Clone, Debug)]
pub(crate) struct Starts(Family<Start, Histogram, fn() -> Histogram>);

impl Default for Starts {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(BUCKETS)))
    }
}

impl Starts {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time to start a sandbox, by tier, and whether it started";
        registry.register_with_unit("sandbox_start", help, Unit::Seconds, self.0.clone());
    }

    /// Tells of that tier from now on, though none has started yet.
    pub(crate) fn know(&self, tier: Tier) {
        let _ = self.0.get_or_create(&Start { tier: tier.to_string(), result: "started" });
    }

    /// A sandbox of that tier has started, or has not.
    pub(crate) fn count(&self, tier: Tier, took: Duration, started: bool) {
        let result = if started { "started" } else { "failed" };
        self.0.get_or_create(&Start { tier: tier.to_string(), result }).observe(took.as_secs_f64());
    }
}
