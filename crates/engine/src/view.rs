//! A run as people see it, from its row and its folded state.

use std::sync::Arc;

use stead_core::{
    effect::EffectClass,
    fact::AskReason,
    id::Name,
    message::Reply,
    record::Payload,
    ruling::{Asked, GateAsks, Given},
    run::{Asking, Call, CallPhase, EntryKind, Life, Renewing, State, wake_at},
    time::Timestamp,
};
use stead_ports::journal::{Journal, RunRow, RunState, Status};

use crate::{
    actor::is_soon,
    payload, preview,
    types::{ApprovalView, EngineError, RunView, SeenView},
};

/// What the indexes say of a state at a time.
pub(crate) fn run_state(state: &State, at: Timestamp) -> RunState {
    let wake = wake_at(state, at);
    let waiting = !state.working() && !state.held() && !is_soon(state, at) && !state.calls.iter().any(is_child);
    let (status, code) = match state.life {
        Life::Queued => (Status::Queued, None),
        Life::Completed => (Status::Completed, None),
        Life::Failed(code) => (Status::Failed, Some(code)),
        Life::Cancelled => (Status::Cancelled, None),
        Life::Live if state.paused => (Status::Paused, None),
        Life::Live if waiting => (Status::Waiting, None),
        Life::Live => (Status::Running, None),
    };
    RunState {
        status,
        wake_at: wake.filter(|_| matches!(status, Status::Waiting | Status::Paused)),
        turns: state.turn,
        effects: state.next_effect - 1,
        spent: state.budget.spent,
        code,
    }
}

/// Whether a call waits for a child. Its parent counts as running: a crash may come before the child's first record, and
/// then only the parent can start it again.
fn is_child(call: &Call) -> bool {
    matches!(call.phase, CallPhase::Child { .. })
}

/// Builds the view of a run.
pub(crate) async fn build(journal: &Arc<dyn Journal>, mut row: RunRow, state: &State) -> Result<RunView, EngineError> {
    let (turns, effects, spent) = (state.turn, state.next_effect - 1, state.budget.spent);
    row.state = RunState { turns, effects, spent, ..row.state };
    if state.life.ended() {
        // The row was read before the records.
        row.state = run_state(state, state.last_at);
    }
    let output = match state.life {
        Life::Completed => last_reply(journal, state).await?.map(|r| r.text),
        _ => None,
    };
    let error = match state.life {
        Life::Failed(code) => Some(last_words(journal, state, code).await?),
        _ => None,
    };
    let approvals = approvals(journal, state).await?;
    Ok(RunView { row, output, error, approvals })
}

pub(crate) async fn last_reply(journal: &Arc<dyn Journal>, state: &State) -> Result<Option<Reply>, EngineError> {
    let Some(entry) = state.transcript.iter().rev().find(|e| e.kind == EntryKind::Reply) else { return Ok(None) };
    reply(journal, state, &entry.payload).await.map(Some)
}

/// A stored reply.
pub(crate) async fn reply(journal: &Arc<dyn Journal>, state: &State, payload: &Payload) -> Result<Reply, EngineError> {
    let bytes = payload::open_whole(journal, &state.tenant, payload).await?;
    // An erased reply still has its place.
    Ok(serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Reply { text: String::from_utf8_lossy(&bytes).into_owned(), ..Reply::default() }))
}

/// Why a run failed, in the words of its last record.
async fn last_words(
    journal: &Arc<dyn Journal>,
    state: &State,
    code: stead_core::code::Code,
) -> Result<String, EngineError> {
    let seq = state.next_seq.saturating_sub(1);
    for stored in journal.read(state.run, seq, 1).await? {
        let record = stead_core::record::Record::decode(&stored.bytes, stead_core::run::GENESIS);
        let Ok((record, _)) = record else { continue };
        let words = record.facts.iter().rev().find_map(|f| match f {
            stead_core::fact::Fact::RunFailed(f) => f.payload.and_then(|p| record.payloads.get(usize::from(p))),
            _ => None,
        });
        if let Some(payload) = words {
            let bytes = payload::open(journal, &state.tenant, payload).await?;
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(code.title().to_owned())
}

/// What a human is asked in this run.
pub(crate) async fn approvals(journal: &Arc<dyn Journal>, state: &State) -> Result<Vec<ApprovalView>, EngineError> {
    let asking = |c: &&Call| matches!(c.phase, CallPhase::Asking { .. });
    if state.life != Life::Live {
        return Ok(Vec::new());
    }
    let limit = state.asking.as_deref().map(|asking| limit_view(state, asking));
    let limit = limit.into_iter().chain(state.renewing.map(|renewing| renewal_view(state, renewing)));
    if !state.calls.iter().any(|c| asking(&c)) {
        return Ok(limit.collect());
    }
    let reply = last_reply(journal, state).await?.unwrap_or_default();
    let (mut rewritten, mut seen) = (Vec::new(), Vec::new());
    for call in state.calls.iter().filter(asking) {
        if let Some(found) = &call.seen {
            let text = payload::open(journal, &state.tenant, &found.text).await?;
            let text = preview::words(found, &String::from_utf8_lossy(&text));
            let precondition = found.precondition.as_ref().map(ToString::to_string);
            seen.push((call.head.effect, SeenView { text, precondition, at: found.at }));
        }
        if let Some(arguments) = &call.arguments {
            let text = payload::open(journal, &state.tenant, arguments).await?;
            rewritten.push((call.head.effect, String::from_utf8_lossy(&text).into_owned()));
        }
    }
    let view = |call: &Call| {
        let CallPhase::Asking { reason, expires, since, ref asked } = call.phase else { return None };
        let arguments = match rewritten.iter().find(|(effect, _)| *effect == call.head.effect) {
            Some((_, text)) => text.as_str(),
            None => reply.calls.get(usize::from(call.index)).map_or("", |c| c.arguments.get()),
        };
        Some(ApprovalView {
            effect: state.effect_id(call.head.effect),
            session: state.session,
            agent: state.agent.clone(),
            tool: call.head.tool.clone(),
            class: call.head.class,
            arguments: arguments.to_owned(),
            question: None,
            preview: seen.iter().find(|(effect, _)| *effect == call.head.effect).map(|(_, seen)| seen.clone()),
            reason,
            since,
            expires,
            asked: asked.as_deref().cloned(),
            reminders: call.reminders,
            escalated: call.escalated.clone(),
            given: people(&call.given),
        })
    };
    Ok(state.calls.iter().filter_map(view).chain(limit).collect())
}

/// Who has said yes, each once, over however many ways.
fn people(given: &[Given]) -> Vec<Name> {
    let mut people: Vec<Name> = Vec::new();
    for one in given {
        if !people.contains(&one.name) {
            people.push(one.name.clone());
        }
    }
    people
}

/// The question whether a limit is to be raised, as if it were a call of a tool named `budget`: its arguments are the limit as it is
/// recorded.
fn limit_view(state: &State, asking: &Asking) -> ApprovalView {
    ApprovalView {
        effect: state.effect_id(asking.effect),
        session: state.session,
        agent: state.agent.clone(),
        tool: "budget".into(),
        class: EffectClass::Pure,
        arguments: serde_json::to_string(&asking.raise).unwrap_or_default(),
        question: Some(asking.raise.text()),
        preview: None,
        reason: AskReason::Budget,
        since: asking.since,
        expires: asking.expires,
        asked: None,
        reminders: 0,
        escalated: Vec::new(),
        given: Vec::new(),
    }
}

/// The question whether a run may go on on somebody's behalf, as if it were a call of a tool named `delegation`.
fn renewal_view(state: &State, renewing: Renewing) -> ApprovalView {
    let person = state.behalf.user.as_ref().map(|user| user.name.clone()).unwrap_or_default();
    let lasts = state.behalf.delegated.map_or_else(String::new, |d| format!(" for another {}", d.lasts));
    let question = format!(
        "The time is over in which this run may work on behalf of {person}. May it go on{lasts}? Only {person} can say yes; a no stops it."
    );
    let approvers = vec![Name::from(format!("user:{person}"))];
    let gate = GateAsks { policy: "delegation".into(), approvers, quorum: 1, ..GateAsks::default() };
    ApprovalView {
        effect: state.effect_id(renewing.effect),
        session: state.session,
        agent: state.agent.clone(),
        tool: "delegation".into(),
        class: EffectClass::Pure,
        arguments: serde_json::json!({ "person": &*person }).to_string(),
        question: Some(question),
        preview: None,
        reason: AskReason::Delegation,
        since: renewing.since,
        expires: renewing.expires,
        asked: Some(Asked { gates: vec![gate], quorum: 1 }),
        reminders: 0,
        escalated: Vec::new(),
        given: Vec::new(),
    }
}
