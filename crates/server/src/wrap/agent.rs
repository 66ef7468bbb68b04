//! The agent that stands for a wrapped server: its tools as they were listed, with the user's rules, and the caller for a
//! model. A list that changes makes another version; runs of an earlier session find an agent that can do nothing.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use stead_core::{
    budget::Limits,
    code,
    effect::{EffectClass, Risk},
    fact::{CallRules, ModelConfig, RunConfig},
    id::{Name, VersionId},
    message::ToolDef,
    time::Span,
};
use stead_models::caller::Caller;
use stead_ports::{
    BoxFuture,
    agent::{Agent, AgentError, Agents, ArgumentCheck, Behind, BoundTool},
    model::Model,
};
use stead_tools::schema;

use super::{
    effect::{Effect, Wire},
    options::{Ask, WrapOptions},
    tools::Listed,
};

/// Versions of one session.
const MAX_VERSIONS: usize = 256;
/// Bytes of an answer that the journal keeps; the client gets the whole.
const MAX_OUTPUT: usize = 1 << 20;
/// Bytes of an answer that the caller is shown, which only says that it came.
const MAX_SHOWN: usize = 4_096;
/// How long one attempt at the caller may take, which only reads its input.
const MODEL_TIMEOUT: Span = Span::from_secs(60);

/// The two versions of a list: as the user's rules say, and the one that asks about every call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions {
    pub(super) usual: VersionId,
    pub(super) asking: VersionId,
}

/// Serves the versions of this session to the engine.
pub(super) struct WrapAgents {
    options: Arc<WrapOptions>,
    wire: Arc<Wire>,
    made: Mutex<HashMap<VersionId, Arc<Agent>>>,
}

impl WrapAgents {
    pub(super) fn new(options: Arc<WrapOptions>, wire: Arc<Wire>) -> Self {
        Self { options, wire, made: Mutex::default() }
    }

    /// The versions of a list of tools.
    pub(super) fn make(&self, listed: &[Listed]) -> Result<Versions, String> {
        let usual = self.version(listed, false)?;
        let asking = self.version(listed, true)?;
        Ok(Versions { usual, asking })
    }

    fn version(&self, listed: &[Listed], asking: bool) -> Result<VersionId, String> {
        let o = &self.options;
        let command: Vec<_> = o.command.iter().map(|part| part.to_string_lossy()).collect();
        let rules = format!("{:?} {:?} {asking} {:?} {:?}", o.ask, o.effects, o.timeout, o.approval_ttl);
        let whole = serde_json::to_vec(&(&*o.name, command, listed, rules)).map_err(|e| e.to_string())?;
        let version = VersionId(Sha256::new().chain_update(b"stead/wrap/v1").chain_update(whole).finalize().into());
        let mut made = self.made.lock();
        if !made.contains_key(&version) {
            if made.len() >= MAX_VERSIONS {
                return Err(format!("its list of tools changed more than {} times", MAX_VERSIONS / 2));
            }
            let tools = listed.iter().map(|tool| self.bound(tool, asking)).collect();
            made.insert(version, Arc::new(self.agent(version, tools)));
        }
        Ok(version)
    }

    fn agent(&self, version: VersionId, mut tools: Vec<BoundTool>) -> Agent {
        tools.sort_by(|a, b| a.def.name.cmp(&b.def.name));
        let model = Arc::new(Caller::default());
        Agent {
            name: self.options.name.clone(),
            version,
            instructions: "".into(),
            input: None,
            output: None,
            provenance: None,
            ask_below: None,
            relays: false,
            config: RunConfig {
                limits: Limits { tool_calls: Some(1), ..Limits::default() },
                models: vec![ModelConfig {
                    name: model.name().clone(),
                    max_output_tokens: 0,
                    price: Some(Caller::PRICE),
                }],
                model_attempts: 1,
                backoff: Span::from_millis(100),
                backoff_max: Span::from_secs(1),
                max_turns: 2,
                // The caller reads the whole of its input, and nobody pays for that.
                context_tokens: u64::MAX,
                approval_ttl: Some(span(self.options.approval_ttl)),
                overhead_tokens: 0,
                repairs: None,
                plan: None,
                at_limit: stead_core::budget::AtLimit::Stop,
                max_open_asks: None,
                max_asks: None,
            },
            session_limits: Limits::default(),
            models: vec![model],
            model_timeout: MODEL_TIMEOUT,
            defs: tools.iter().map(|tool| tool.def.clone()).collect(),
            tools,
        }
    }

    fn bound(&self, tool: &Listed, asking: bool) -> BoundTool {
        let class = self.options.effects.get(&tool.name).copied().unwrap_or(EffectClass::Irreversible);
        let ask = asking
            || match &self.options.ask {
                Ask::All => true,
                Ask::None => false,
                Ask::Tools(names) => names.contains(&tool.name),
                Ask::Write => class != EffectClass::Pure && tool.annotations.read_only_hint != Some(true),
            };
        BoundTool {
            def: ToolDef {
                name: tool.name.clone(),
                description: tool.description.clone(),
                schema: tool.input_schema.clone(),
            },
            schema_digest: schema::digest(&tool.input_schema),
            toolset: "mcp".into(),
            class,
            risk: Risk::Normal,
            also: Arc::default(),
            // What was not sent is told at once: the client decides whether it tries again.
            rules: CallRules { ask, attempts: 1, ..CallRules::default() },
            key: None,
            preview: None,
            timeout: span(self.options.timeout),
            max_output: MAX_OUTPUT,
            max_shown: MAX_SHOWN,
            check: checked(tool),
            behind: Behind::Tool(Arc::new(Effect(self.wire.clone()))),
        }
    }
}

/// A schema that cannot be used lets nothing through.
fn checked(tool: &Listed) -> ArgumentCheck {
    match schema::compile(&tool.input_schema) {
        Ok(check) => check,
        Err(e) => {
            let why = format!("{}: the server's schema of this tool cannot be used: {}", code::TOOL_SERVER, e.detail);
            Arc::new(move |_| Err(why.clone()))
        }
    }
}

fn span(time: std::time::Duration) -> Span {
    Span(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

impl Agents for WrapAgents {
    fn load(&self, _: &Name, version: VersionId) -> BoxFuture<'_, Result<Arc<Agent>, AgentError>> {
        let known = self.made.lock().get(&version).cloned();
        // An earlier session's: what it had under way is settled, and nothing else is done for it.
        let agent = known.unwrap_or_else(|| Arc::new(self.agent(version, Vec::new())));
        Box::pin(std::future::ready(Ok(agent)))
    }
}
