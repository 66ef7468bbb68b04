//! What earlier sessions left behind. A call ends with the session that made it: what was not sent is withdrawn, what was
//! sent and not answered is unknown, and that is said to the next session, once.

use std::time::Duration;

use stead_core::{
    fact::{AfterUnknown, Fact, StopMode},
    id::{Name, RunId},
    message::Reply,
    record::Actor,
    time::Timestamp,
};
use stead_engine::{Engine, EngineError};
use stead_ports::journal::{RunFilter, Status};

/// Most runs looked at; more cannot be under way at once.
const MAX_RUNS: u32 = 1_000;
/// How long a run that is stopped may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of arguments that are told.
const SHOWN: usize = 200;
/// Most calls that are told of.
const TOLD: usize = 20;

/// A call of which nobody knows whether it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) run: RunId,
    pub(super) tool: String,
    /// Digest of its arguments, as the journal has it.
    pub(super) args: [u8; 16],
    pub(super) arguments: String,
}

/// Ends what earlier sessions left, and gives the calls of unknown outcome among it. `began` is the time before the
/// journal was opened.
pub(super) async fn settle(engine: &Engine, tenant: &Name, began: Timestamp) -> Result<Vec<Unknown>, EngineError> {
    let filter = RunFilter { tenant: tenant.clone(), limit: MAX_RUNS, ..RunFilter::default() };
    let open = vec![Status::Queued, Status::Running, Status::Waiting, Status::Paused];
    for row in engine.journal().runs(&RunFilter { status: open, ..filter.clone() }).await? {
        match engine.stop(row.id, StopMode::Cancel, Actor::Runtime).await {
            // It has ended by itself meanwhile.
            Err(EngineError::Conflict { .. } | EngineError::NotFound { .. }) => {}
            other => other?,
        }
        match tokio::time::timeout(PATIENCE, engine.wait(row.id, false)).await {
            Ok(ended) => drop(ended?),
            Err(_) => tracing::warn!(run = %row.id, "this run of an earlier session has not ended yet"),
        }
    }
    let mut unknown = Vec::new();
    for row in engine.journal().runs(&filter).await? {
        if row.created < began && row.updated >= began {
            unknown.extend(of(engine, row.id).await?);
        }
    }
    Ok(unknown)
}

/// The call of a run, when its outcome is unknown.
pub(super) async fn of(engine: &Engine, run: RunId) -> Result<Option<Unknown>, EngineError> {
    let (mut call, mut unknown) = (None, false);
    for event in engine.facts(run, 0, MAX_RUNS).await? {
        match event.fact {
            Fact::ModelReplied(f) => {
                let reply: Reply = event.text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default();
                if let Some((head, said)) = f.calls.first().zip(reply.calls.first()) {
                    call = Some((head.tool.to_string(), head.args, short(said.arguments.get())));
                }
            }
            Fact::EffectUnknown(f) if f.then == AfterUnknown::Tell => unknown = true,
            Fact::EffectReturned(_) | Fact::EffectRefused(_) => unknown = false,
            _ => {}
        }
    }
    Ok(call.filter(|_| unknown).map(|(tool, args, arguments)| Unknown { run, tool, args, arguments }))
}

fn short(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(SHOWN)];
    if cut.len() == text.len() { text.to_owned() } else { format!("{cut}…") }
}

/// What the model and the user are told of them.
pub(super) fn notice(unknown: &[Unknown]) -> Option<String> {
    if unknown.is_empty() {
        return None;
    }
    let mut text =
        "Stead: nobody knows whether these calls of an earlier session happened. Find out before you repeat \
                    one; a human is asked before an equal one is sent."
            .to_owned();
    for call in unknown.iter().take(TOLD) {
        text.push_str(&format!("\n- {} {} ({})", call.tool, call.arguments, call.run));
    }
    if unknown.len() > TOLD {
        text.push_str(&format!("\n- and {} more", unknown.len() - TOLD));
    }
    Some(text)
}
