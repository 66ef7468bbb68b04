//! An agent version as policies see it: its tools, and its own policies.

use stead_api::policy::PolicyTool;
use stead_core::id::Name;
use stead_manifest::{Bundle, Manifest, manifest::Risk as Written};
use stead_policy::{Risk, Source};
use stead_ports::agent::Agent;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// The agent's name here.
    pub(crate) name: Name,
    /// Its tools.
    pub(crate) tools: Vec<PolicyTool>,
    /// The files of its own policies, under the agent's name: `refund-desk/policy/large.cedar`.
    pub(crate) own: Vec<Source>,
}

impl Described {
    /// A version that was loaded, with the bundle that it was made of.
    pub(crate) fn of(agent: &Agent, bundle: &Bundle) -> Self {
        let tool = |tool: &stead_ports::agent::BoundTool| {
            let name = tool.def.name.as_str();
            let (toolset, risk) = risk_of(&bundle.manifest, name);
            let (name, schema) = (name.to_owned(), tool.def.schema.clone());
            PolicyTool { name, toolset, class: tool.class, risk: risk.name().to_owned(), schema }
        };
        let own = |(file, text): (&str, &str)| {
            let file = format!("{}/{}", agent.name, file.trim_start_matches("./"));
            Source { file, text: text.to_owned() }
        };
        Self {
            name: agent.name.clone(),
            tools: agent.tools.iter().map(tool).collect(),
            own: bundle.policy().map(own).collect(),
        }
    }
}

/// The entry of a manifest that a tool comes from, and its risk. A name that could come from two is taken to be of the longer
/// one, with the worse risk of both.
pub(crate) fn risk_of(manifest: &Manifest, name: &str) -> (String, Risk) {
    let mut found = (name.to_owned(), None, Risk::Normal);
    for (entry, tool) in &manifest.tools {
        let operation = match name.strip_prefix(entry.as_str()) {
            Some("") => "",
            Some(rest) if rest.starts_with('_') => &rest[1..],
            _ => continue,
        };
        let risk = match tool.rules(operation).risk {
            Written::Normal => Risk::Normal,
            Written::High => Risk::High,
            Written::Critical => Risk::Critical,
        };
        if found.1.is_none_or(|length| entry.len() > length) {
            (found.0, found.1) = (entry.clone(), Some(entry.len()));
        }
        found.2 = found.2.max(risk);
    }
    (found.0, found.2)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_tool_is_of_the_longest_entry_and_has_the_worst_risk() {
        let text = "stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: x\ntools:\n\
            \x20 pay: { mcp: { command: [x] }, effects: { in_full: { risk: critical } } }\n\
            \x20 pay_in: { mcp: { command: [x] }, effects: { full: { risk: high } } }\n\
            \x20 helper: { agent: other }\n";
        let manifest = stead_manifest::parse(text, "agent.yaml").unwrap();
        assert_eq!(risk_of(&manifest, "pay_in_full"), ("pay_in".to_owned(), Risk::Critical));
        assert_eq!(risk_of(&manifest, "pay_out"), ("pay".to_owned(), Risk::Normal));
        assert_eq!(risk_of(&manifest, "helper"), ("helper".to_owned(), Risk::Normal));
    }
}
