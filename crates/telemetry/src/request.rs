//! What is sent: requests of OTLP, with the resource that all of it is of.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{InstrumentationScope, KeyValue},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};

use crate::{
    names::{SCHEMA_URL, SCOPE},
    value::{text, yes},
};

/// A server, as it is told with all that it sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    attributes: Vec<KeyValue>,
    release: String,
}

impl Origin {
    /// A server called `service`; `instance` tells it from others of that name, and `more` is what operators add.
    pub fn new<'a>(
        service: &str,
        instance: Option<&str>,
        release: &str,
        more: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut attributes = vec![text("service.name", service), text("service.version", release)];
        attributes.extend(instance.map(|instance| text("service.instance.id", instance)));
        attributes.extend(more.into_iter().map(|(key, value)| text(key, value)));
        Self { attributes, release: release.to_owned() }
    }

    /// The same, of a request that does not have all of a trace: runs are left out (`stead.trace.partial`).
    #[must_use]
    pub fn partial(&self) -> Self {
        let mut partial = self.clone();
        partial.attributes.push(yes("stead.trace.partial", true));
        partial
    }

    fn resource(&self) -> Option<Resource> {
        Some(Resource { attributes: self.attributes.clone(), ..Resource::default() })
    }

    fn scope(&self) -> Option<InstrumentationScope> {
        Some(InstrumentationScope { name: SCOPE.into(), version: self.release.clone(), ..Default::default() })
    }

    /// Spans.
    pub fn spans(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let schema_url = SCHEMA_URL.to_owned();
        let scope_spans = vec![ScopeSpans { scope: self.scope(), spans, schema_url }];
        let resource_spans = vec![ResourceSpans { resource: self.resource(), scope_spans, ..Default::default() }];
        ExportTraceServiceRequest { resource_spans }
    }

    /// Records of logs.
    pub fn logs(&self, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
        let scope_logs = vec![ScopeLogs { scope: self.scope(), log_records, ..Default::default() }];
        let resource_logs = vec![ResourceLogs { resource: self.resource(), scope_logs, ..Default::default() }];
        ExportLogsServiceRequest { resource_logs }
    }

    /// Metrics.
    pub fn metrics(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope_metrics = vec![ScopeMetrics { scope: self.scope(), metrics, ..Default::default() }];
        let resource_metrics = vec![ResourceMetrics { resource: self.resource(), scope_metrics, ..Default::default() }];
        ExportMetricsServiceRequest { resource_metrics }
    }
}
