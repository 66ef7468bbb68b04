//! The MCP tool: a server of the Model Context Protocol, run as a process and spoken to over stdio.
//!
//! A server is foreign code that runs with this process's rights and sends whatever it likes. So: its environment is
//! cleared, its process group is killed when its run is over, every message is bounded, and its tools are **pinned**:
//! an agent version records what [`discover`] found, and a tool that is no longer that is refused (`ST0047`). What a
//! server asks of its client (sampling, elicitation, roots) is refused.
//!
//! Each run has a process of its own, started at its first call. A tool's annotations are shown as [`Hints`] and decide
//! nothing: a server does not get to say how its effects are handled.

use std::{collections::HashSet, path::Path, sync::Arc};

use serde_json::{Map, Value};
use stead_core::{
    effect::{EffectClass, Outcome},
    id::RunId,
    message::ToolDef,
};
use stead_ports::{
    BoxFuture,
    tool::{Invocation, Output, Tool},
};

use crate::{
    config::McpConfig,
    error::ToolSetupError,
    offer::{MAX_NAME, Offered, full_name},
    text,
};

mod client;
mod pin;
mod pipe;
mod process;
mod runs;
mod session;

pub use pin::{Discovered, Hints};

/// Most bytes of a description that the model is shown.
const MAX_DESCRIPTION: usize = 4 * 1024;

/// Starts the server, lists its tools and stops it again: what an agent version pins.
///
/// `base` is the folder of the manifest.
///
/// # Errors
/// `ST0048` with the end of the server's stderr when it does not start, does not answer in time, or answers nonsense;
/// `ST0103` when `command` or `only` is wrong.
pub async fn discover(config: &McpConfig, base: &Path) -> Result<Vec<Discovered>, ToolSetupError> {
    let launch = process::Launch::new(config, base).map_err(ToolSetupError::value)?;
    let session = session::Session::start(&launch).await.map_err(ToolSetupError::server)?;
    let found = session.tools().await;
    session.close().await;
    let mut found = found.map_err(ToolSetupError::server)?;
    if let Some(only) = &config.only {
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

/// The pinned tools of a server. Nothing is started yet.
///
/// # Errors
/// `ST0103` when `command` is wrong.
pub fn offer(
    tool: &str,
    config: &McpConfig,
    base: &Path,
    pinned: &[Discovered],
) -> Result<Vec<Offered>, ToolSetupError> {
    let launch = process::Launch::new(config, base).map_err(|why| ToolSetupError::value(format!("{tool}: {why}")))?;
    let runs = Arc::new(runs::Runs::new(launch, pinned));
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
    Ok(offered.collect())
}

/// A name that no earlier tool has: foreign names may become equal when they are made fit for models.
fn unique(name: String, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.clone();
    let mut n = 2;
    while !taken.insert(candidate.clone()) {
        let suffix = format!("_{n}");
        let stem = name.len().min(MAX_NAME - suffix.len());
        candidate = format!("{}{suffix}", &name[..stem]);
        n += 1;
    }
    candidate
}

/// One tool of a server.
struct McpTool {
    runs: Arc<runs::Runs>,
    operation: String,
}

impl Tool for McpTool {
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            let arguments: Map<String, Value> = match serde_json::from_str(invocation.arguments.get()) {
                Ok(arguments) => arguments,
                Err(e) => return Outcome::Refused(Output::error(format!("the arguments are not an object: {e}"))),
            };
            self.runs.call(invocation.effect.run, &self.operation, arguments, invocation.max_output).await
        })
    }

    fn release(&self, run: RunId) -> BoxFuture<'_, ()> {
        Box::pin(self.runs.release(run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_become_equal_are_told_apart() {
        let mut taken = HashSet::new();
        let names: Vec<_> = ["a.b", "a/b", "a_b"].iter().map(|op| unique(full_name("t", op), &mut taken)).collect();
        assert_eq!(names, ["t_a_b", "t_a_b_2", "t_a_b_3"]);
        let long = "x".repeat(80);
        assert_eq!(unique(full_name("t", &long), &mut taken).len(), MAX_NAME);
        assert_eq!(unique(full_name("t", &long), &mut taken).len(), MAX_NAME);
    }
}
