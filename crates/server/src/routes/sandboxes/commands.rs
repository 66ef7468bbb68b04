//! Commands of a sandbox.

use std::sync::Arc;

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use stead_api::{
    page::Page,
    sandbox::{ExecEnd, ExecState as State_, SignalExec, StartExec, TerminalSize},
};
use stead_core::id::SandboxId;
use stead_sandboxes::{AskExec, Exec, ExecState, Ran};

use super::whole::{duration, own, span};
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        body::{Json, MaybeJson, Raw},
        failure::{Answer, Failure},
        input::{At, Params, idempotency_key},
    },
};

/// The signal that nothing can ignore.
const KILL: i32 = 9;

/// The caller's command.
pub(super) fn command(app: &App, who: &Principal, (sandbox, exec): (SandboxId, u32)) -> Answer<Arc<Exec>> {
    Ok(own(app, who, sandbox)?.command(exec)?)
}

pub(super) async fn start(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    headers: HeaderMap,
    Json(asked): Json<StartExec>,
) -> Answer<(StatusCode, Body<stead_api::sandbox::Exec>)> {
    let key = idempotency_key(&headers)?.map(|key| key.as_str().to_owned());
    let sandbox = own(&app, &who, id)?;
    let asked = AskExec {
        words: asked.command,
        env: asked.env,
        dir: asked.dir,
        terminal: asked.terminal.map(|size| (size.rows, size.columns)),
        stdin: asked.stdin,
        timeout: asked.timeout.map(duration),
    };
    let (exec, new) = sandbox.exec(key, asked).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Body(view(&exec))))
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
) -> Answer<Body<Page<stead_api::sandbox::Exec>>> {
    let all = own(&app, &who, id)?.commands();
    Ok(Body(Page { items: all.iter().map(|e| view(e)).collect(), next: None }))
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    At(at): At<(SandboxId, u32)>,
) -> Answer<Body<stead_api::sandbox::Exec>> {
    Ok(Body(view(&*command(&app, &who, at)?)))
}

/// Whether input ends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    #[serde(default)]
    close: bool,
}

pub(super) async fn stdin(
    State(app): State<Shared>,
    who: Principal,
    At(at): At<(SandboxId, u32)>,
    Params(input): Params<Input>,
    Raw(bytes): Raw,
) -> Answer<Body<stead_api::sandbox::Exec>> {
    let exec = command(&app, &who, at)?;
    exec.input(&bytes, input.close).await?;
    Ok(Body(view(&exec)))
}

pub(super) async fn resize(
    State(app): State<Shared>,
    who: Principal,
    At(at): At<(SandboxId, u32)>,
    Json(size): Json<TerminalSize>,
) -> Answer<Body<stead_api::sandbox::Exec>> {
    let exec = command(&app, &who, at)?;
    exec.resize((size.rows, size.columns));
    Ok(Body(view(&exec)))
}

pub(super) async fn kill(
    State(app): State<Shared>,
    who: Principal,
    At(at): At<(SandboxId, u32)>,
    MaybeJson(asked): MaybeJson<SignalExec>,
) -> Answer<Body<stead_api::sandbox::Exec>> {
    let exec = command(&app, &who, at)?;
    match asked.signal {
        None | Some(KILL) => exec.kill(),
        Some(signal @ 1..=64) => exec.signal(signal),
        Some(other) => return Err(Failure::bad_request(format!("{other} is no signal: 1 to 64"))),
    }
    Ok(Body(view(&exec)))
}

fn view(exec: &Exec) -> stead_api::sandbox::Exec {
    stead_api::sandbox::Exec {
        n: exec.n,
        key: exec.key.clone(),
        command: exec.asked.words.clone(),
        terminal: exec.asked.terminal.is_some(),
        started: exec.started,
        latest: exec.log.latest(),
        end: exec.ended().map_or(ExecEnd { state: State_::Running, code: None, signal: None, cpu: None }, ended),
    }
}

pub(super) fn ended(ran: Ran) -> ExecEnd {
    let (state, code, signal) = match ran.state {
        ExecState::Exited(code) => (State_::Exited, Some(code), None),
        ExecState::Signal(signal) => (State_::Signalled, None, Some(signal)),
        ExecState::Killed => (State_::Killed, None, None),
        ExecState::Timeout => (State_::Timeout, None, None),
    };
    ExecEnd { state, code, signal, cpu: ran.cpu.map(span) }
}
