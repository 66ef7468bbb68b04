//! What a manifest declares of where values come from, as the engine works by it.

use stead_core::{code, effect::EffectClass};
use stead_manifest::{
    Manifest,
    manifest::{Kind, Tool, Tracing, Trust},
};
use stead_ports::agent::{AgentError, Behind, BoundTool, Provenance};
use stead_provenance::{
    declare::{Declared, Tool as Told},
    entitle::Reader,
    trust::{self, Origin},
};

/// Turns in which a plan that cannot be read may be repaired.
pub(super) const REPAIRS: u8 = 2;

/// What is declared of the bound tools; `None` when the manifest does not ask for it.
pub(super) fn of(manifest: &Manifest, tools: &[BoundTool]) -> Result<Option<Provenance>, AgentError> {
    if manifest.provenance == Tracing::Off {
        return Ok(None);
    }
    let mut out = Provenance::default();
    for bound in tools {
        let Some(tool) = manifest.tools.get(&*bound.toolset) else { continue };
        let operation = bound.def.name.strip_prefix(&*bound.toolset).map_or("", |rest| rest.trim_start_matches('_'));
        let declared = declared(&bound.toolset, tool, operation, bound)?;
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
    if !matches!(bound.class, EffectClass::Pure | EffectClass::Contained) {
        told = told.effect();
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
