//! Leaves of audit logs as records of OpenTelemetry, each with its place in its log. So what a collector has can be held against what was
//! signed.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value as Any},
    logs::v1::{LogRecord, SeverityNumber},
};
use serde_json::Value;
use stead_api::audit::AuditEntry;

use crate::value::{cut, int, text};

/// Bytes of what an act says that are told.
const BODY_MAX: usize = 16 << 10;

/// One leaf of the log that is called `origin`.
pub fn record(origin: &str, entry: &AuditEntry) -> LogRecord {
    let nanos = u64::try_from(entry.at.0).unwrap_or(0).saturating_mul(1_000);
    let mut attributes = vec![
        int("stead.audit.index", entry.index),
        text("stead.audit.hash", &entry.hash),
        text("stead.audit.log", origin),
    ];
    let mut body = String::new();
    if let Some(record) = &entry.record {
        attributes.extend([text("stead.run", &record.run.to_string()), int("stead.seq", record.seq)]);
        attributes.push(text("stead.leaf", &record.leaf.to_string()));
        let denied = record.decisions.iter().filter(|d| d.verdict == "deny").count() as u64;
        if denied > 0 {
            attributes.push(int("stead.denied", denied));
        }
        body = record.kinds.join(", ");
    }
    if let Some(act) = &entry.act {
        attributes.extend([text("stead.act", &act.id), text("stead.topic", &act.topic)]);
        body = match &act.body {
            Some(Value::String(shown)) => shown.clone(),
            Some(body) => body.to_string(),
            None => act.topic.clone(),
        };
    }
    let event = if entry.act.is_some() { "stead.audit.act" } else { "stead.audit.record" };
    LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".into(),
        body: Some(AnyValue { value: Some(Any::StringValue(cut(&body, BODY_MAX).to_owned())) }),
        attributes,
        event_name: event.into(),
        ..LogRecord::default()
    }
}
