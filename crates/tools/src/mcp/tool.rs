//! The tools of a server: found when a version is made, offered when it runs.

use std::{collections::HashSet, path::Path, sync::Arc};

use serde_json::{Map, Value};
use stead_core::{
    effect::{EffectClass, Outcome},
    id::{Name, RunId},
    message::ToolDef,
    sandbox::BoxLimits,
};
use stead_ports::{
    BoxFuture,
    connect::Connects,
    delegate::{Delegate, OnBehalf},
    tool::{Invocation, MaySend, Output, Tool},
};

use super::{
    asks::Asks,
    host::{Hosted, Whose},
    pin::Discovered,
    process::Launch,
    remote::{Remote, Shown},
    runs::Runs,
    server::Server,
    session::Session,
};
use crate::{
    config::{McpConfig, McpUrlConfig},
    error::ToolSetupError,
    offer::{Offered, full_name, unique},
    reach::Reach,
    secret::Secret,
    text,
};

/// Most bytes of a description that the model is shown.
const MAX_DESCRIPTION: usize = 4 * 1024;

/// Starts a server, lists its tools and stops it again: what an agent version pins.
///
/// `set` are variables of its environment whose values are not those of this process; they are blotted out of whatever it
/// says. `base` is the folder of the manifest.
///
/// # Errors
/// `ST0048` with the end of the server's stderr when it does not start, does not answer in time, or answers nonsense;
/// `ST0103` when `command` or `only` is wrong.
pub async fn discover(
    config: &McpConfig,
    set: &[(String, Secret)],
    base: &Path,
) -> Result<Vec<Discovered>, ToolSetupError> {
    let launch = Launch::new(config, set, base).map_err(ToolSetupError::value)?;
    found(&Server::Program(launch), config.only.as_deref(), &nobody()).await
}

/// The same for a server that is started somewhere else.
///
/// # Errors
/// As [`discover`], and those of its host.
pub async fn discover_hosted(
    hosted: Hosted,
    only: Option<&[String]>,
    whose: &Whose,
) -> Result<Vec<Discovered>, ToolSetupError> {
    found(&Server::Hosted(hosted), only, whose).await
}

/// The same for a server behind a URL. `auth` is sent as a bearer token.
///
/// # Errors
/// As [`discover`]; `ST0054` for a guarded address, `ST0056` when the server refuses the credential.
pub async fn discover_url(
    config: &McpUrlConfig,
    auth: Option<Shown>,
    reach: &Reach,
) -> Result<Vec<Discovered>, ToolSetupError> {
    found(&Server::Url(Remote::new(config, auth, reach)?), config.only.as_deref(), &nobody()).await
}

/// The same with a delegated token, which is made for `whose`.
///
/// # Errors
/// As [`discover_url`], and `ST0345` when there is no token.
pub async fn discover_delegated(
    config: &McpUrlConfig,
    delegate: Delegate,
    whose: OnBehalf,
    reach: &Reach,
) -> Result<Vec<Discovered>, ToolSetupError> {
    let auth = Some(Shown::Delegate(delegate));
    let whose = Whose { on_behalf: Some((Arc::new(whose), MaySend::default())), ..nobody() };
    found(&Server::Url(Remote::new(config, auth, reach)?), config.only.as_deref(), &whose).await
}

/// For a server that makes no difference between runs.
fn nobody() -> Whose {
    Whose {
        run: RunId(0),
        tenant: Name::from(""),
        limits: BoxLimits::default(),
        connects: Connects::default(),
        on_behalf: None,
    }
}

async fn found(server: &Server, only: Option<&[String]>, whose: &Whose) -> Result<Vec<Discovered>, ToolSetupError> {
    let told = |why: super::ledger::Failure| ToolSetupError { code: why.code, detail: why.words };
    let session = Session::start(server, whose, None).await.map_err(told)?;
    let found = session.tools().await;
    session.close().await;
    let mut found = found.map_err(told)?;
    if let Some(only) = only {
        if let Some(missing) = only.iter().find(|name| !found.iter().any(|d| d.operation == **name)) {
            let names: Vec<_> = found.iter().map(|d| d.operation.as_str()).collect();
            let names = text::ellipsis(&names.join(", "), 500);
            return Err(ToolSetupError::value(format!("the server has no tool `{missing}`; it has {names}")));
        }
        found.retain(|d| only.contains(&d.operation));
    }
    found.sort_by(|a, b| a.operation.cmp(&b.operation));
    Ok(found)
}

/// The pinned tools of a server that is started. Nothing is started yet.
///
/// # Errors
/// `ST0103` when `command` is wrong.
pub fn offer(
    tool: &str,
    config: &McpConfig,
    set: &[(String, Secret)],
    base: &Path,
    pinned: &[Discovered],
) -> Result<Vec<Offered>, ToolSetupError> {
    let launch = Launch::new(config, set, base).map_err(|why| ToolSetupError::value(format!("{tool}: {why}")))?;
    Ok(offered(tool, Server::Program(launch), pinned, None))
}

/// The pinned tools of a server that is started somewhere else. Nothing is started yet.
pub fn offer_hosted(tool: &str, hosted: Hosted, pinned: &[Discovered]) -> Vec<Offered> {
    offered(tool, Server::Hosted(hosted), pinned, None)
}

/// The pinned tools of a server behind a URL. Nothing is sent yet.
///
/// # Errors
/// `ST0103` when the configuration is wrong, `ST0054` for a guarded address.
pub fn offer_url(
    tool: &str,
    config: &McpUrlConfig,
    auth: Option<Shown>,
    reach: &Reach,
    pinned: &[Discovered],
) -> Result<Vec<Offered>, ToolSetupError> {
    Ok(offered(tool, Server::Url(Remote::new(config, auth, reach)?), pinned, None))
}

/// The same, with somebody who answers what the server asks.
///
/// # Errors
/// As [`offer_url`].
pub fn offer_asking(
    tool: &str,
    config: &McpUrlConfig,
    auth: Option<Shown>,
    (reach, asks): (&Reach, Arc<dyn Asks>),
    pinned: &[Discovered],
) -> Result<Vec<Offered>, ToolSetupError> {
    Ok(offered(tool, Server::Url(Remote::new(config, auth, reach)?), pinned, Some(asks)))
}

fn offered(tool: &str, server: Server, pinned: &[Discovered], asks: Option<Arc<dyn Asks>>) -> Vec<Offered> {
    let runs = Arc::new(Runs::new(server, pinned, asks));
    let mut taken = HashSet::new();
    let offered = pinned.iter().map(|pin| {
        let name = unique(full_name(tool, &pin.operation), &mut taken);
        let description = text::ellipsis(&pin.description, MAX_DESCRIPTION);
        Offered {
            operation: pin.operation.clone(),
            def: ToolDef { name, description, schema: pin.schema.clone() },
            tool: Arc::new(McpTool { runs: Arc::clone(&runs), operation: pin.operation.clone() }),
            default_class: EffectClass::Irreversible,
            reconciles: false,
        }
    });
    offered.collect()
}

/// One tool of a server.
struct McpTool {
    runs: Arc<Runs>,
    operation: String,
}

impl Tool for McpTool {
    fn kind(&self) -> &'static str {
        "mcp"
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            let arguments: Map<String, Value> = match serde_json::from_str(invocation.arguments.get()) {
                Ok(arguments) => arguments,
                Err(e) => return Outcome::Refused(Output::error(format!("the arguments are not an object: {e}"))),
            };
            let Invocation { effect, tenant, limits, max_output, connects, on_behalf, may_send, trace, .. } =
                invocation;
            let on_behalf = on_behalf.map(|run| (run, may_send));
            let whose = Whose { run: effect.run, tenant, limits, connects: connects.lasting(), on_behalf };
            self.runs.call(&whose, effect, &self.operation, arguments, (max_output, trace.as_ref())).await
        })
    }

    fn limit(&self, run: RunId, limits: BoxLimits) -> BoxFuture<'_, ()> {
        Box::pin(self.runs.limit(run, limits))
    }

    fn release(&self, run: RunId) -> BoxFuture<'_, ()> {
        Box::pin(self.runs.release(run))
    }
}
