//! One call: from the client's line to the answer. In between it is a run, which may wait for a human; then the client is
//! told, again and again, that it waits.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json, value::RawValue};
use stead_core::{
    code,
    fact::StopMode,
    id::{Name, RunId},
    record::Actor,
    ruling::Behalf,
};
use stead_engine::{ApprovalView, EngineError, RunView, StartRun};
use stead_models::caller::{Call, DONE};
use stead_ports::journal::Status;
use tokio_util::sync::CancellationToken;

use super::{
    door::Door,
    effect::Pending,
    envelope::{CallParams, Id, tool_error_line},
    past,
};

/// How often the client is told that a call waits for a human.
const REMINDER: Duration = Duration::from_secs(5);
/// How far a reminder moves the progress on. Progress must grow (MCP, "Progress"), and the server's own, which follows,
/// counts in larger steps.
const STEP: f64 = 1e-6;
/// Most bytes of arguments in what people are told.
const SHOWN: usize = 400;

/// A call that the client waits for.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) cancelled: CancellationToken,
    pub(super) pending: Arc<Pending>,
}

impl Pending {
    pub(super) fn new(id: Id, params: &mut CallParams) -> Self {
        Self {
            id,
            arguments: params.arguments.is_some(),
            meta: params.meta.take(),
            others: std::mem::take(&mut params.others),
            sent: false.into(),
            answer: Mutex::default(),
        }
    }
}

/// Makes a call; gives the line that answers it, or nothing when the client has taken it back.
pub(super) async fn make(door: &Door, params: CallParams, call: &UnderWay) -> Option<Vec<u8>> {
    let id = &call.pending.id;
    match attempt(door, params, call).await {
        Ok(answer) => answer,
        Err(why) => Some(tool_error_line(id, &why)),
    }
}

async fn attempt(door: &Door, params: CallParams, call: &UnderWay) -> Result<Option<Vec<u8>>, String> {
    let made = door.made.fetch_add(1, Ordering::Relaxed);
    if made >= door.options.max_calls {
        return Err(format!("{}: this session has made its {made} calls; nothing was sent", code::WRAP_CALLS));
    }
    let versions = door.versions(call.pending.meta.as_deref()).await?;
    let arguments = params.arguments.unwrap_or_else(|| RawValue::from_string("{}".to_owned()).unwrap_or_default());
    let equal_unknown = door.is_unknown(&params.name, &arguments);
    let input = Call { tool: params.name, arguments };
    let start = StartRun {
        tenant: door.tenant.clone(),
        version: if equal_unknown { versions.asking } else { versions.usual },
        session: None,
        input: serde_json::to_string(&input).map_err(|e| e.to_string())?,
        files: Vec::new(),
        limits: Default::default(),
        idempotency: None,
        actor: Actor::User(door.who.clone()),
        behalf: Behalf { user: Some(door.who.clone().into()), ..Behalf::default() },
        label: None,
        parent: None,
    };
    let start = async { door.engine.start(start).await.map(|started| started.run) };
    let run = door.wire.start(start, call.pending.clone()).await.map_err(|e| told(&e))?;
    let ended = follow(door, run, call, equal_unknown).await;
    door.wire.forget(run);
    let view = ended.map_err(|e| told(&e))?;
    // What returned is known; anything else is looked up.
    if view.output.as_deref() != Some(DONE)
        && let Ok(Some(unknown)) = past::of(&door.engine, run).await
    {
        door.unknown.lock().push(unknown);
    }
    if call.cancelled.is_cancelled() {
        return Ok(None);
    }
    if let Some(answer) = call.pending.answer.lock().take() {
        return Ok(Some(answer));
    }
    Err(match view.row.state.status {
        Status::Completed => view.output.unwrap_or_default(),
        Status::Cancelled => format!("{}: the call was stopped before it was sent", code::WITHDRAWN),
        _ => view.error.unwrap_or_default(),
    })
}

/// Waits for the run's end. A client that takes its call back stops the run.
async fn follow(door: &Door, run: RunId, call: &UnderWay, equal_unknown: bool) -> Result<RunView, EngineError> {
    let waiting = async {
        let view = door.engine.wait(run, true).await?;
        if view.row.state.status.ended() {
            return Ok(view);
        }
        let Some(approval) = view.approvals.first() else { return door.engine.wait(run, false).await };
        let text = question(door, approval, equal_unknown);
        tracing::warn!("{text}");
        tokio::select! {
            ended = door.engine.wait(run, false) => ended,
            never = remind(door, &text, call.pending.meta.as_deref()) => match never {},
        }
    };
    tokio::select! {
        ended = waiting => ended,
        () = call.cancelled.cancelled() => {
            match door.engine.stop(run, StopMode::Cancel, Actor::User(door.who.clone())).await {
                Err(EngineError::Conflict { .. }) => {}
                other => other?,
            }
            door.engine.wait(run, false).await
        }
    }
}

fn question(door: &Door, approval: &ApprovalView, equal_unknown: bool) -> String {
    let arguments = &approval.arguments[..approval.arguments.floor_char_boundary(SHOWN)];
    let cut = if arguments.len() == approval.arguments.len() { "" } else { "…" };
    let (stead, id) = (&door.stead, &approval.effect);
    let answers = format!("\n  {stead} approvals approve {id}\n  {stead} approvals deny {id}");
    if let Some(words) = &approval.question {
        return format!("waiting for a human: {words}{answers}");
    }
    let why = if equal_unknown { " (nobody knows whether an equal call happened)" } else { "" };
    format!("waiting for a human{why}: {} {arguments}{cut}{answers}", approval.tool)
}

/// Tells the client, if it asked for progress, that the call waits.
async fn remind(door: &Door, text: &str, meta: Option<&RawValue>) -> std::convert::Infallible {
    let meta: Option<Value> = meta.and_then(|meta| serde_json::from_str(meta.get()).ok());
    let token = meta.as_ref().and_then(|meta| meta.get("progressToken"));
    let Some(token) = token else { return std::future::pending().await };
    let mut progress = 0.0;
    loop {
        progress += STEP;
        let line = json!({
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": { "progressToken": token, "progress": progress, "message": text },
        });
        door.client.write(line.to_string().as_bytes()).await;
        tokio::time::sleep(REMINDER).await;
    }
}

fn told(e: &EngineError) -> String {
    format!("{}: {e}; nothing was sent", e.code())
}

/// Who calls, in the journal.
pub(super) fn who() -> Name {
    "mcp-client".into()
}
