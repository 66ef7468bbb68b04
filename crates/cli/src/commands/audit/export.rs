//! A log for other people's tools: JSON Lines, or log records of OpenTelemetry in the JSON encoding of OTLP, each with its place in the log.

use std::{fs::File, io::Write as _, path::Path};

use clap::ValueEnum;
use serde_json::Value;
use stead_client::Client;
use stead_core::code;
use stead_telemetry::{logs, request::Origin};

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
    let server = Origin::new("stead", None, env!("CARGO_PKG_VERSION"), [("stead.audit.origin", origin.as_str())]);
    let request = |records| serde_json::to_value(server.logs(records));
    let mut batch = Vec::new();
    all::each(client, log, from, |entry| {
        if format == Format::Jsonl {
            return to.line(&serde_json::to_value(&entry)?);
        }
        batch.push(logs::record(&origin, &entry));
        if batch.len() == BATCH { to.line(&request(std::mem::take(&mut batch))?) } else { Ok(()) }
    })
    .await?;
    if !batch.is_empty() {
        to.line(&request(batch)?)?;
    }
    if let To::File(file, name) = &to {
        file.sync_all().map_err(|e| failed(name, &e))?;
    }
    Ok(())
}
