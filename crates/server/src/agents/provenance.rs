//! What a manifest declares of where values come from, as the engine works by it.

use stead_api::agent::Untraced;
use stead_core::{code, effect::EffectClass};
use stead_manifest::{
    Bundle,
    manifest::{Kind, Tool, Tracing, Trust},
};
use stead_ports::agent::{AgentError, Also, Behind, BoundTool, Provenance};
use stead_provenance::{
    declare::{Declared, Tool as Told},
    entitle::Reader,
    trust::{self, Origin},
};

/// Turns in which a plan that cannot be read may be repaired.
pub(super) const REPAIRS: u8 = 2;

/// What is declared of the bound tools; `None` when nothing is traced.
pub(super) fn of(bundle: &Bundle, tools: &[BoundTool]) -> Result<Option<Provenance>, AgentError> {
    if bundle.tracing() == Tracing::Off {
        return Ok(None);
    }
    let mut out = Provenance::default();
    for bound in tools {
        let Some(tool) = bundle.manifest.tools.get(&*bound.toolset) else { continue };
        let operation = operation(bound);
        let mut declared = declared(&bound.toolset, tool, operation, bound)?;
        let mut pinned = bundle.pinned.get(&*bound.toolset).into_iter().flatten();
        if let Some(output) = pinned.find(|pinned| pinned.name == operation).and_then(|pinned| pinned.output.clone()) {
            declared = declared.output(output);
        }
        let origin = match bound.behind {
            Behind::Agent(..) => Origin::Child(bound.def.name.as_str().into()),
            Behind::Tool(_) => Origin::Tool(bound.def.name.as_str().into()),
        };
        let own = tool.effects.get(operation).map_or(&[][..], |effect| &effect.readers);
        for reader in tool.readers.iter().chain(own) {
            out.entitled.allow(origin.clone(), Reader::parse(reader));
        }
        out.tools.insert(bound.def.name.clone(), declared);
    }
    Ok(Some(out))
}

/// Where nothing stands between other people's words and the world outside; `None` when it is traced, or one of the two is
/// missing. A tool that acts counts as one that is read only if it belongs to an MCP server, whose tools are rarely told apart, or is
/// an agent.
pub(crate) fn untraced(bundle: &Bundle, tools: &[BoundTool]) -> Option<Untraced> {
    if bundle.tracing() != Tracing::Off {
        return None;
    }
    let mut out = Untraced { reads: Vec::new(), acts: Vec::new() };
    for bound in tools {
        let Some(tool) = bundle.manifest.tools.get(&*bound.toolset) else { continue };
        // What cannot be read vouches for nothing.
        let vouched = declared(&bound.toolset, tool, operation(bound), bound)
            .is_ok_and(|told| told.trust.lowest() > trust::Trust::Untrusted);
        let speaks = !acts(bound) || matches!(tool.kind, Kind::Mcp(_)) || matches!(bound.behind, Behind::Agent(..));
        if speaks && !vouched {
            out.reads.push(bound.def.name.clone());
        }
        if acts(bound) {
            out.acts.push(bound.def.name.clone());
        }
    }
    (!out.reads.is_empty() && !out.acts.is_empty()).then_some(out)
}

/// Whether a call does something outside.
const fn acts(bound: &BoundTool) -> bool {
    !matches!(bound.class, EffectClass::Pure | EffectClass::Contained)
}

/// Whether no argument can say which host a call goes to: it asks a database or a workspace, or works in a box that reaches nobody.
fn is_local(tool: &Tool, bound: &BoundTool) -> bool {
    let boxed = bound.also.iter().any(|also| matches!(also, Also::CreateSandbox { network: false, .. }));
    let reaches =
        bound.also.iter().any(|also| matches!(also, Also::CreateSandbox { network: true, .. } | Also::Connect { .. }));
    matches!(tool.kind, Kind::Sql(_) | Kind::Files(_)) || (boxed && !reaches)
}

/// What a tool is called in its toolset.
fn operation(bound: &BoundTool) -> &str {
    bound.def.name.strip_prefix(&*bound.toolset).map_or("", |rest| rest.trim_start_matches('_'))
}

fn declared(toolset: &str, tool: &Tool, operation: &str, bound: &BoundTool) -> Result<Told, AgentError> {
    let wrong =
        |detail: String| AgentError { code: code::MANIFEST_VALUE, detail: format!("`tools.{toolset}`: {detail}") };
    let own = tool.effects.get(operation);
    let mut fields = tool.trust.clone();
    fields.extend(own.into_iter().flat_map(|effect| effect.trust.clone()));
    // What a command or a file says was written by whoever wrote the workspace.
    if matches!(tool.kind, Kind::Command(_) | Kind::Files(_)) && fields.values().any(|word| *word != Trust::Untrusted) {
        let detail = "what commands and files say is untrusted, whoever asks: leave `trust` out".to_owned();
        return Err(wrong(detail));
    }
    let words = fields.iter().map(|(path, word)| (path.as_str(), counts(*word)));
    let trust = Declared::new(words).map_err(|e| wrong(format!("trust: {e}")))?;
    let mut told = Told::named(bound.def.name.as_str()).trust(trust).input(bound.def.schema.clone());
    if acts(bound) {
        told = told.effect();
    }
    if is_local(tool, bound) {
        told = told.local();
    }
    let Some(own) = own else { return Ok(told) };
    let known = bound.def.schema["properties"].as_object();
    for name in own.content.iter().chain(own.recipients.iter().flatten()) {
        if !known.is_some_and(|properties| properties.contains_key(name)) {
            return Err(wrong(format!(
                "`{operation}` has no argument `{name}`, which its `content` or `recipients` names"
            )));
        }
    }
    told = told.content(own.content.iter().map(String::as_str));
    Ok(match &own.recipients {
        Some(recipients) => told.recipients(recipients.iter().map(String::as_str)),
        None => told,
    })
}

const fn counts(word: Trust) -> trust::Trust {
    match word {
        Trust::Trusted => trust::Trust::Trusted,
        Trust::Attested => trust::Trust::Attested,
        Trust::Untrusted => trust::Trust::Untrusted,
    }
}
