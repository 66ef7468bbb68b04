//! From a stored version to an agent: its models, its tools, and the control values the machine works by.

use std::sync::Arc;

use stead_core::{
    budget::Price,
    code,
    fact::{ModelConfig, RunConfig},
    id::{Name, VersionId},
    message::{OutputSchema, ToolDef},
    time::Span,
};
use stead_manifest::{
    Bundle, Manifest,
    manifest::{ModelChoice, ModelSource, SecretRef, Temperature, Tracing},
};
use stead_models::{
    cassette::{Cassette, CassetteError, Pace, Player, Recorded},
    registry::{ModelSpec, ProviderContext, Resolved, resolve},
    rehearsal::{Rehearsal, Script},
    relay::Relay,
    settings::{Effort, Settings},
    wire::Bounds,
};
use stead_ports::{
    agent::{Agent, AgentError, AnswerSchema, BoundTool},
    input::InputSchema,
    model::Model,
};
use stead_tools::reach;

use super::{
    AgentStore, provenance,
    renewed::{Make, Renewed, RenewedModel, Values},
    tools, unsandboxed,
    wired::Wired,
};

/// First pause between attempts at a model; doubles each time.
const BACKOFF: Span = Span::from_millis(500);
/// Longest pause between attempts that the provider did not ask for.
const BACKOFF_MAX: Span = Span::from_secs(60);

/// Builds the agent of a version.
pub(super) async fn agent(
    store: &AgentStore,
    tenant: &Name,
    version: VersionId,
    wired: &Wired,
    bundle: &Bundle,
) -> Result<Agent, AgentError> {
    store.keys.environment.admit(&bundle.manifest)?;
    let places = store.places(tenant, &wired.name, &bundle.manifest).await?;
    let manifest = bundle.placed(&places).map_err(|e| AgentError { code: e.code, detail: e.to_string() })?;
    let base = bundle.dir.clone().unwrap_or(places.data);
    let mut resolved = Vec::new();
    for choice in manifest.model.chain() {
        let Resolved { model, price } = model(store, &wired.name, bundle, choice).await?;
        let model: Arc<dyn Model> = Arc::new(Recorded::new(model, store.tape.clone()));
        let model: Arc<dyn Model> = if manifest.gateway { Arc::new(Relay::new(model)) } else { model };
        resolved.push((choice, Resolved { model, price }));
    }
    for program in unsandboxed::of(&manifest) {
        tracing::warn!(agent = %wired.name, program, "this MCP server runs as the server's user, unsandboxed");
    }
    let tools = tools::bind(store, tenant, &manifest, bundle, wired, &base).await?;
    // A model that is asked how sure it is finds the place for it with each tool.
    let sure = manifest.confidence.is_some();
    let shown = |def: ToolDef| if sure { ToolDef { schema: stead_engine::offered(def.schema), ..def } } else { def };
    let defs: Arc<[ToolDef]> = tools.iter().map(|t| shown(t.def.clone())).collect();
    let instructions: Arc<str> = bundle.instructions().into();
    Ok(Agent {
        name: wired.name.clone(),
        version,
        config: config(bundle.tracing(), &manifest, &resolved, overhead(&instructions, &defs)),
        instructions,
        session_limits: manifest.session.budget.clone(),
        models: resolved.into_iter().map(|(_, r)| r.model).collect(),
        model_timeout: manifest.model.timeout,
        input: input(bundle)?,
        output: answer(bundle)?,
        provenance: provenance::of(bundle, &tools)?,
        ask_below: manifest
            .confidence
            .map(|confidence| u16::try_from(confidence.ask_below.millionths() / 100).unwrap_or(10_000)),
        relays: manifest.gateway,
        tools,
        defs,
    })
}

/// What a run's input must look like, ready to be checked.
fn input(bundle: &Bundle) -> Result<Option<InputSchema>, AgentError> {
    let schema = bundle.input_schema().map(stead_tools::schema::compile_input).transpose();
    schema.map_err(|e| AgentError { code: e.code, detail: format!("input: {}", e.detail) })
}

/// What the answer must look like, ready to be checked.
fn answer(bundle: &Bundle) -> Result<Option<AnswerSchema>, AgentError> {
    let Some(schema) = bundle.output_schema() else { return Ok(None) };
    let check = stead_tools::schema::compile_answer(&schema)
        .map_err(|e| AgentError { code: e.code, detail: format!("output: {}", e.detail) })?;
    let schema = Arc::new(OutputSchema { name: "answer".to_owned(), schema });
    Ok(Some(AnswerSchema { schema, check }))
}

fn config(
    tracing: Tracing,
    manifest: &Manifest,
    models: &[(&ModelChoice, Resolved)],
    overhead_tokens: u64,
) -> RunConfig {
    RunConfig {
        limits: manifest.budget.limits.clone(),
        models: models
            .iter()
            .map(|(choice, resolved)| ModelConfig {
                name: resolved.model.name().clone(),
                max_output_tokens: choice.max_output_tokens,
                price: choice.price.map(Price::from).or(resolved.price),
            })
            .collect(),
        model_attempts: manifest.model.attempts,
        backoff: BACKOFF,
        backoff_max: BACKOFF_MAX,
        max_turns: manifest.max_turns,
        // A gateway passes the whole of what it is asked.
        context_tokens: if manifest.gateway { u64::MAX } else { manifest.context.tokens },
        approval_ttl: manifest.approvals.ttl,
        overhead_tokens,
        repairs: manifest.output.as_ref().map(|output| output.repairs),
        plan: (tracing == Tracing::Plan).then_some(provenance::REPAIRS),
        at_limit: manifest.budget.at_limit,
        max_open_asks: manifest.approvals.max_open,
        max_asks: manifest.approvals.max_per_run,
    }
}

async fn model(
    store: &AgentStore,
    agent: &Name,
    bundle: &Bundle,
    choice: &ModelChoice,
) -> Result<Resolved, AgentError> {
    if let Some(stand_ins) = &store.stand_ins
        && let Some(stand_in) = stand_ins.model(agent, choice)?
    {
        return Ok(stand_in);
    }
    let named = match &choice.source {
        ModelSource::Provider(name) => name.clone(),
        ModelSource::Cassette(file) => {
            let text = bundle.file(file).unwrap_or_default();
            let cassette = Cassette::parse(text)
                .map_err(|e| AgentError { code: CassetteError::CODE, detail: format!("{file}: {e}") })?;
            let model = Arc::new(Player::new(cassette, choice.loose, Pace::Fast));
            return Ok(Resolved { model, price: Some(Rehearsal::PRICE) });
        }
        ModelSource::Script(file) => {
            let text = bundle.file(file).unwrap_or_default();
            let script =
                Script::parse(text).map_err(|e| AgentError { code: e.code, detail: format!("{file}: {e}") })?;
            return Ok(Resolved { model: Arc::new(Rehearsal::new(script)), price: Some(Rehearsal::PRICE) });
        }
    };
    if let Some(url) = &choice.base_url {
        reach::check_text(&store.reach, url)
            .map_err(|e| AgentError { code: e.code, detail: format!("model: {}", e.detail) })?;
    }
    let (choice, http, environment) = (choice.clone(), store.http()?.clone(), store.keys.environment.clone());
    let names = store.keys.of_model(&choice);
    let make: Make<Resolved> = Box::new(move |values| {
        let settings = Settings {
            temperature: choice.temperature.map(Temperature::degrees),
            effort: choice.reasoning.as_deref().and_then(Effort::named),
        };
        let key = choice.key.as_ref().map(SecretRef::whole);
        // A field is taken out of its secret here; who makes the model is given the value alone.
        let field = match choice.key.as_ref().filter(|key| key.field().is_some()) {
            Some(key) => Some(super::keys::found(&environment, key, values)?),
            None => None,
        };
        let spec = ModelSpec { model: &named, base_url: choice.base_url.as_deref(), key, settings };
        let env = |name: &str| environment.of_model(&choice, name);
        let secret = |name: &str| field.clone().or_else(|| values.get(name).cloned());
        let cx = ProviderContext { env: &env, secret: &secret, http: &http, bounds: Bounds::default() };
        resolve(spec, &cx).map_err(|e| AgentError { code: e.code, detail: e.detail })
    });
    if names.is_empty() {
        return make(&Values::new());
    }
    let (renewed, first) = Renewed::begin(store.keys.secrets.clone(), names, make).await?;
    Ok(RenewedModel::wrap(renewed, &first))
}

/// Estimated tokens of what stands in every call: a token is about four bytes of English or JSON.
fn overhead(instructions: &str, defs: &[ToolDef]) -> u64 {
    let tools: usize = defs.iter().map(|d| d.name.len() + d.description.len() + d.schema.to_string().len()).sum();
    ((instructions.len() + tools) as u64).div_ceil(4)
}

/// Sorts tools by name and refuses two of one name.
pub(super) fn sorted(mut tools: Vec<BoundTool>) -> Result<Vec<BoundTool>, AgentError> {
    tools.sort_by(|a, b| a.def.name.cmp(&b.def.name));
    match tools.windows(2).find(|pair| pair[0].def.name == pair[1].def.name) {
        None => Ok(tools),
        Some(pair) => Err(AgentError {
            code: code::MANIFEST_VALUE,
            detail: format!("two tools have the full name `{}`; rename one of them", pair[0].def.name),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stead_models::{http::Http, providers::PROVIDERS};

    use super::*;

    #[test]
    fn manifests_may_name_the_providers_that_can_be_called_and_no_other() {
        let named: BTreeSet<&str> = stead_manifest::PROVIDERS.iter().copied().collect();
        let called: BTreeSet<&str> = PROVIDERS.iter().map(|p| p.name).chain(["rehearsal"]).collect();
        assert_eq!(named, called);
        let http = Http::new().expect("HTTP clients can be made");
        let env = |_: &str| Some("a-key".to_owned());
        let cx = ProviderContext { env: &env, secret: &|_| None, http: &http, bounds: Bounds::default() };
        for provider in named {
            let model = format!("{provider}:m");
            let code = resolve(model.as_str(), &cx).err().map(|e| e.code);
            assert_ne!(code, Some(code::MANIFEST_UNSUPPORTED), "{provider} is named and cannot be called");
        }
    }
}
