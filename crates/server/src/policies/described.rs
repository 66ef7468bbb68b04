//! An agent version as policies see it: its tools, and its own policies.

use stead_api::{agent::Untraced, policy::PolicyTool};
use stead_core::id::Name;
use stead_manifest::Bundle;
use stead_policy::Source;
use stead_ports::agent::Agent;

use crate::agents::untraced;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// The agent's name here.
    pub(crate) name: Name,
    /// Its tools.
    pub(crate) tools: Vec<PolicyTool>,
    /// The files of its own policies, under the agent's name: `refund-desk/policy/large.cedar`.
    pub(crate) own: Vec<Source>,
    /// Whether nothing stands between other people's words and what it does.
    pub(crate) untraced: Option<Untraced>,
}

impl Described {
    /// A version that was loaded, with the bundle that it was made of.
    pub(crate) fn of(agent: &Agent, bundle: &Bundle) -> Self {
        let tool = |tool: &stead_ports::agent::BoundTool| {
            let (name, schema) = (tool.def.name.clone(), tool.def.schema.clone());
            let (toolset, risk) = (tool.toolset.to_string(), tool.risk.name().to_owned());
            PolicyTool { name, toolset, class: tool.class, risk, schema }
        };
        let own = |(file, text): (&str, &str)| {
            let file = format!("{}/{}", agent.name, file.trim_start_matches("./"));
            Source { file, text: text.to_owned() }
        };
        Self {
            name: agent.name.clone(),
            tools: agent.tools.iter().map(tool).collect(),
            own: bundle.policy().map(own).collect(),
            untraced: untraced(bundle, &agent.tools),
        }
    }
}
