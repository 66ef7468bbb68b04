//! An agent as the tool of another: what it is asked has the form that its own manifest demands of an input.

use serde_json::{Value, json};
use stead_core::{
    code,
    effect::EffectClass,
    fact::CallRules,
    id::{Name, VersionId},
    message::ToolDef,
};
use stead_manifest::{
    Bundle,
    manifest::{Kind, Tool},
};
use stead_ports::agent::{AgentError, Also, Behind, BoundTool, Handed};
use stead_tools::schema;

use super::{
    AgentStore, gone,
    tools::{call_rules, told},
    wired::Wired,
};

/// Longest text that a run hands to an agent that is a tool, in characters.
const MAX_CHILD_INPUT: u32 = 256 << 10;

/// The tool behind which stands the agent that the manifest names, in the version that is pinned.
pub(super) async fn agent_tool(
    store: &AgentStore,
    tenant: &Name,
    (name, tool): (&str, &Tool),
    bundle: &Bundle,
    wired: &Wired,
) -> Result<BoundTool, AgentError> {
    let Some(version) = wired.children.get(name) else {
        return Err(AgentError {
            code: code::VERSION_GONE,
            detail: format!("the agent behind `{name}` is not pinned"),
        });
    };
    let nested = match &tool.kind {
        Kind::Agent(named) => bundle.agents.get(named),
        _ => None,
    };
    let input = match nested {
        Some(nested) => nested.input_schema(),
        None => store.input_of(tenant, *version).await?,
    };
    let (schema, handed) = match &input {
        Some(input) => schema::offered_input(input).map_err(|e| told(name, e))?,
        None => (any_text(), Handed::Text),
    };
    let about = tool.description.clone().or(nested.map(|b| b.manifest.description.clone()));
    let about = about.filter(|text| !text.is_empty());
    let def = ToolDef {
        name: name.into(),
        description: about.unwrap_or_else(|| format!("Asks the agent `{name}` and returns its answer.")),
        schema,
    };
    let rules = tool.rules("");
    Ok(BoundTool {
        schema_digest: schema::digest(&def.schema),
        // A child is found again by its id, which derives from the effect: asking twice is asking once.
        toolset: name.into(),
        class: EffectClass::Keyed,
        risk: rules.risk,
        also: [Also::StartAgent(store.name_of(tenant, *version).await?)].into(),
        key: None,
        preview: None,
        timeout: rules.timeout,
        max_output: tool.max_output,
        max_shown: tool.max_shown,
        check: schema::compile(&def.schema).map_err(|e| told(name, e))?,
        behind: Behind::Agent(*version, handed),
        def,
        rules: CallRules {
            child: Some(tool.budget.clone().unwrap_or_default()),
            grant: tool.grant.clone().map(Box::new),
            ..call_rules(rules)
        },
    })
}

/// The arguments of an agent that takes any text.
fn any_text() -> Value {
    json!({
        "type": "object",
        "properties": { "input": { "type": "string", "minLength": 1, "maxLength": MAX_CHILD_INPUT,
            "description": "What the agent is asked, with everything it must know: it sees nothing else." } },
        "required": ["input"],
        "additionalProperties": false
    })
}

impl AgentStore {
    /// The name of a stored version's agent.
    async fn name_of(&self, tenant: &Name, version: VersionId) -> Result<Name, AgentError> {
        let row = self.journal.version(tenant, version).await;
        let row = row.map_err(|e| AgentError { code: e.code, detail: e.detail })?;
        row.map(|row| row.agent).ok_or_else(|| gone(version, "it is not stored"))
    }

    /// The schema of a stored version's input.
    async fn input_of(&self, tenant: &Name, version: VersionId) -> Result<Option<Value>, AgentError> {
        let row = self.journal.version(tenant, version).await;
        let row = row.map_err(|e| AgentError { code: e.code, detail: e.detail })?;
        let row = row.ok_or_else(|| gone(version, "it is not stored"))?;
        let wired = Wired::decode(&row.body).map_err(|e| gone(version, &e))?;
        let bundle = wired.bundle(None).map_err(|e| gone(version, &e.to_string()))?;
        Ok(bundle.input_schema())
    }
}
