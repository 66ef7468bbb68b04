//! A log for other people's tools: JSON Lines, or log records of OpenTelemetry in the JSON encoding of OTLP, each with its place in the log.

use std::{fs::File, io::Write as _, path::Path};

use clap::ValueEnum;
use serde_json::{Value, json};
use stead_api::audit::AuditEntry;
use stead_client::Client;
use stead_core::code;

use super::all;
use crate::{
    error::{CliError, Outcome},
    ui,
};

/// Log records of one request of OTLP: collectors refuse much larger ones.
const BATCH: usize = 512;

/// How a log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A leaf a line, as the API has it
    #[default]
    Jsonl,
    /// `ExportLogsServiceRequest` a line (OTLP 1.x, JSON encoding): each can be posted to `/v1/logs` of a collector as it is
    Otlp,
}

/// Where it goes.
enum To {
    Stdout,
    File(File, String),
}

impl To {
    fn line(&mut self, value: &Value) -> Outcome<()> {
        match self {
            Self::Stdout => ui::json_line(value)?,
            Self::File(file, name) => writeln!(file, "{value}").map_err(|e| failed(name, &e))?,
        }
        Ok(())
    }
}

fn failed(name: &str, error: &std::io::Error) -> CliError {
    CliError::new(code::DATA_READONLY, format!("{name}: {error}"))
}

/// Writes a log from `from` on.
pub(super) async fn write(client: &Client, log: &str, from: u64, format: Format, output: Option<&Path>) -> Outcome<()> {
    let logs = client.audit_logs().await?;
    let origin = logs.items.into_iter().find(|found| found.log == log).map(|found| found.origin).unwrap_or_default();
    let mut to = match output {
        None => To::Stdout,
        Some(path) => {
            let name = path.display().to_string();
            let file = File::create(path).map_err(|e| failed(&name, &e))?;
            To::File(file, name)
        }
    };
    let mut batch = Vec::new();
    all::each(client, log, from, |entry| {
        if format == Format::Jsonl {
            return to.line(&serde_json::to_value(&entry)?);
        }
        batch.push(record(&origin, &entry));
        if batch.len() == BATCH { to.line(&request(&origin, std::mem::take(&mut batch))) } else { Ok(()) }
    })
    .await?;
    if !batch.is_empty() {
        to.line(&request(&origin, batch))?;
    }
    if let To::File(file, name) = &to {
        file.sync_all().map_err(|e| failed(name, &e))?;
    }
    Ok(())
}

/// The request that hands records to a collector.
fn request(origin: &str, records: Vec<Value>) -> Value {
    let resource = [text("service.name", "stead"), text("stead.audit.origin", origin)];
    json!({ "resourceLogs": [{
        "resource": { "attributes": resource },
        "scopeLogs": [{ "scope": { "name": "stead.audit", "version": env!("CARGO_PKG_VERSION") }, "logRecords": records }],
    }] })
}

/// One leaf. Numbers of 64 bits are text in OTLP's JSON.
fn record(origin: &str, entry: &AuditEntry) -> Value {
    let nanos = (i128::from(entry.at.0) * 1_000).max(0).to_string();
    let mut attributes = vec![
        number("stead.audit.index", entry.index),
        text("stead.audit.hash", &entry.hash),
        text("stead.audit.log", origin),
    ];
    let mut body = String::new();
    if let Some(record) = &entry.record {
        attributes.extend([text("stead.run", &record.run.to_string()), number("stead.seq", record.seq)]);
        attributes.push(text("stead.leaf", &record.leaf.to_string()));
        let denied = record.decisions.iter().filter(|d| d.verdict == "deny").count() as u64;
        if denied > 0 {
            attributes.push(number("stead.denied", denied));
        }
        body = record.kinds.join(", ");
    }
    if let Some(act) = &entry.act {
        attributes.extend([text("stead.act", &act.id), text("stead.topic", &act.topic)]);
        body = act.body.as_ref().map_or_else(|| act.topic.clone(), Value::to_string);
    }
    json!({
        "timeUnixNano": nanos, "severityNumber": 9, "severityText": "INFO", "body": { "stringValue": body },
        "attributes": attributes, "eventName": if entry.act.is_some() { "stead.audit.act" } else { "stead.audit.record" },
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}
