//! The tool itself, and how it is described to a model.

use std::sync::Arc;

use serde_json::Value;
use stead_core::{
    effect::Outcome,
    id::RunId,
    message::ToolDef,
    sandbox::{Access, BoxLimits, Tier},
};
use stead_ports::{
    BoxFuture,
    tool::{Invocation, Output, Tool},
};
use stead_tools::{
    config::CommandConfig,
    error::ToolSetupError,
    offer::{Offered, lone_name},
};

use super::Plan;
use crate::{act::act, place::Place, report, settings::Settings, workshop::Workshop};

impl Workshop {
    /// A command as a tool: one operation, `run`, named as the tool is. Its class is `contained` when nothing can be reached
    /// from its boxes, else `irreversible`.
    ///
    /// # Errors
    /// A command, template or variable that cannot be meant (`ST0103`), an egress rule that is wrong (`ST0261`).
    pub fn command(
        &self,
        tool: &str,
        config: &CommandConfig,
        settings: &Settings,
    ) -> Result<Vec<Offered>, ToolSetupError> {
        let place = Place::new(tool, settings)?;
        let plan = Plan::compile(config).map_err(|why| ToolSetupError::value(format!("{tool}: {why}")))?;
        if settings.tier == Tier::Wasm && plan.access() == Access::Write {
            let why = "a component writes nothing: `workspace: rw` needs another tier than `wasm`";
            return Err(ToolSetupError::value(format!("{tool}: {why}")));
        }
        let def = ToolDef {
            name: lone_name(tool),
            description: described(config, &plan, &place),
            schema: plan.schema.clone(),
        };
        let default_class = place.class();
        let tool = Arc::new(CommandTool { shop: self.clone(), place, plan });
        Ok(vec![Offered { operation: "run".into(), def, tool, default_class, reconciles: false }])
    }
}

/// What a model should know of it.
fn described(config: &CommandConfig, plan: &Plan, place: &Place) -> String {
    let own = config.description.trim();
    let mut text = if own.is_empty() { format!("Runs `{}`.", config.command.join(" ")) } else { own.to_owned() };
    text.push_str(" It runs in a fresh sandbox of its own: nothing stays from one call to the next");
    text.push_str(match plan.access() {
        Access::None => ".",
        Access::Read => ". It starts in the session's workspace, which it can read and not write.",
        Access::Write => {
            " but the session's workspace, in which it starts. What it writes there is kept when the command ends by itself, \
             whatever its exit code; what it writes elsewhere is lost."
        }
    });
    let wall = place.settings.limits.wall.as_secs_f64();
    text.push_str(&format!(" It is killed after {wall} seconds."));
    if place.is_closed() {
        text.push_str(" It has no network.");
    } else {
        let hosts: Vec<_> = place.settings.egress.iter().take(20).map(|rule| rule.0.host.as_str()).collect();
        text.push_str(&format!(
            " Of the network it reaches only, through a proxy that is set up: {}.",
            hosts.join(", ")
        ));
    }
    text
}

struct CommandTool {
    shop: Workshop,
    place: Place,
    plan: Plan,
}

impl Tool for CommandTool {
    fn kind(&self) -> &'static str {
        "command"
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            let arguments: Result<Value, _> = serde_json::from_str(invocation.arguments.get());
            let arguments = match arguments {
                Ok(arguments) => arguments,
                Err(e) => return Outcome::Refused(Output::error(format!("the arguments are not JSON: {e}"))),
            };
            let job = match self.plan.job(&arguments, &invocation.key) {
                Ok(job) => job,
                Err(why) => return Outcome::Refused(Output::error(why)),
            };
            match act(&self.shop.0, &self.place, job, &invocation).await {
                Ok(mut acted) => {
                    acted.blot(&self.place.blotted);
                    let name = format!("e{}", invocation.effect.n);
                    Outcome::Returned(report::output(&acted, &name, invocation.max_output))
                }
                Err(fault) => fault.outcome(),
            }
        })
    }

    fn limit(&self, run: RunId, limits: BoxLimits) -> BoxFuture<'_, ()> {
        Box::pin(self.shop.limit(run, limits))
    }

    fn release(&self, run: RunId) -> BoxFuture<'_, ()> {
        self.shop.release(run);
        Box::pin(std::future::ready(()))
    }
}
