//! What the audit log tells of itself, read when `/metrics` is asked for.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use stead_engine::Log;

/// See the module.
#[derive(Debug)]
pub(super) struct OfLog(pub(super) Log);

impl Collector for OfLog {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let health = self.0.health();
        let integrated = ConstCounter::new(health.integrated);
        let help = "Leaves that this process has integrated into audit logs";
        integrated.encode(encoder.encode_descriptor("audit_integrated", help, None, integrated.metric_type())?)?;
        let failing = ConstGauge::new(i64::from(health.failing.is_some()));
        let help = "1 while nothing can be integrated into audit logs";
        failing.encode(encoder.encode_descriptor("audit_failing", help, None, failing.metric_type())?)
    }
}
