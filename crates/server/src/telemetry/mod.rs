//! What runs do, told to a collector by OpenTelemetry. It reads the audit log behind the integrator as any reader could, and notes how far
//! it has come: so an append pays nothing for it, what a collector did not take is told later, and a process that ends loses nothing.
//! What is told twice has the same ids.
//!
//! Not here: what is told (`stead-telemetry`).

mod counters;
mod grpc;
mod http;
mod mask;
mod send;
mod tail;
mod tracers;
mod worker;

use std::sync::Arc;

use stead_ports::secret::Secrets;
use stead_telemetry::request::Origin;
use tokio::task::JoinSet;

use crate::{
    config::{self, Content},
    http::app::Shared,
};

use mask::Masks;
use send::Sender;

/// The name under which it is noted how far it has come.
const READER: &str = "telemetry";

/// What is told, and to whom.
pub(crate) struct Telemetry {
    config: config::Telemetry,
    origin: Origin,
    sender: Option<Arc<Sender>>,
    /// What masks texts; `None` when none are told.
    masks: Option<Masks>,
}

impl Telemetry {
    pub(crate) fn new(config: &config::Config, secrets: &Arc<dyn Secrets>) -> Result<Self, String> {
        let telemetry = config.telemetry.clone();
        let release = env!("CARGO_PKG_VERSION");
        let more = telemetry.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let origin = Origin::new(&telemetry.service, telemetry.instance.as_deref(), release, more);
        let sender = Sender::new(&telemetry, secrets.clone())?.map(Arc::new);
        let masks = (telemetry.content == Content::Redacted).then(|| Masks::new(config, secrets.clone()));
        Ok(Self { config: telemetry, origin, sender, masks })
    }

    /// The server, as it is told with all that it sends.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What masks texts that are shown; `None` when none are.
    pub(crate) async fn mask(&self) -> Option<stead_telemetry::content::Mask> {
        match &self.masks {
            Some(masks) => masks.now().await,
            None => None,
        }
    }

    /// Tells until the server ends.
    pub(crate) async fn keep(app: Shared) {
        let Some(sender) = app.telemetry.sender.clone() else { return };
        let config = &app.telemetry.config;
        let mut tasks = JoinSet::new();
        if config.traces || config.logs {
            tasks.spawn(worker::keep(app.clone(), sender.clone()));
        }
        if config.metrics {
            tasks.spawn(counters::keep(app.clone(), sender));
        }
        tasks.join_all().await;
    }
}
