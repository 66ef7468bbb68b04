//! Sending one request to the collector, once.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use stead_manifest::manifest::{SecretPlace, SecretRef};
use stead_ports::secret::Secrets;

use super::{grpc::Grpc, http::Http};
use crate::{
    agents::{Environment, found, values},
    config::{Protocol, Telemetry},
};

/// How long a request may take, with everything.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read.
pub(super) const ANSWER_MAX: usize = 64 << 10;

/// What is told.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

impl Request {
    pub(super) fn signal(&self) -> &'static str {
        match self {
            Self::Traces(_) => "traces",
            Self::Logs(_) => "logs",
            Self::Metrics(_) => "metrics",
        }
    }
}

/// Why something was not taken, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untaken {
    /// It may be taken later, perhaps not before so long.
    #[error("{why}")]
    Later {
        /// Why.
        why: String,
        /// As the collector asks.
        after: Option<Duration>,
    },
    /// As it is, it never will be.
    #[error("{0}")]
    Never(String),
    /// It knows no such signal.
    #[error("{0}")]
    Unknown(String),
}

impl Untaken {
    pub(super) fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }
}

/// A way to the collector.
pub(super) struct Sender {
    wire: Wire,
    headers: BTreeMap<String, String>,
    secrets: Arc<dyn Secrets>,
}

enum Wire {
    Http(Http),
    Grpc(Box<Grpc>),
}

impl Sender {
    /// `None` when nothing is told.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(config: &Telemetry, secrets: Arc<dyn Secrets>) -> Result<Option<Self>, String> {
        let Some(endpoint) = config.endpoint.as_deref() else { return Ok(None) };
        let ca =
            config.ca.as_ref().map(|ca| fs::read(ca).map_err(|e| format!("`telemetry.ca`: {}: {e}", ca.display())));
        let ca = ca.transpose()?;
        let wire = match config.protocol {
            Protocol::Http => Wire::Http(Http::new(endpoint, ca.as_deref())?),
            Protocol::Grpc => Wire::Grpc(Box::new(Grpc::new(endpoint, ca.as_deref())?)),
        };
        Ok(Some(Self { wire, headers: config.headers.clone(), secrets }))
    }

    /// Sends; how many of what it holds were refused.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) async fn send(&self, request: Request) -> Result<u64, Untaken> {
        let headers = self.headers().await?;
        let sent = async {
            match &self.wire {
                Wire::Http(http) => http.send(&request, &headers).await,
                Wire::Grpc(grpc) => grpc.send(request, &headers).await,
            }
        };
        let late = || Untaken::later(format!("it took longer than {TIMEOUT:?}"));
        tokio::time::timeout(TIMEOUT, sent).await.unwrap_or_else(|_| Err(late()))
    }

    /// Asked for at each request, so that a changed secret counts from the next one on.
    async fn headers(&self) -> Result<Vec<(String, String)>, Untaken> {
        let mut out = Vec::with_capacity(self.headers.len());
        for (name, text) in &self.headers {
            let value = match SecretRef::read(text) {
                None => text.clone(),
                Some(reference) => {
                    let names = match reference.place() {
                        SecretPlace::Secret(name) => vec![name.to_owned()],
                        SecretPlace::Env(_) => Vec::new(),
                    };
                    let unknown = |detail: String| Untaken::later(format!("the header `{name}`: {detail}"));
                    let known = values(&*self.secrets, &names).await.map_err(|e| unknown(e.detail))?;
                    // The operator wrote it: what manifests may name is no matter here.
                    let secret = found(&Environment::Open, &reference, &known).map_err(|e| unknown(e.detail))?;
                    secret.expose().trim().to_owned()
                }
            };
            out.push((name.to_ascii_lowercase(), value));
        }
        Ok(out)
    }
}
