//! Translates what the engine and the journal say into what the API says, and checks whose it is.

use std::collections::BTreeSet;

use stead_api::{self as api, session::SessionRef};
use stead_core::{
    code,
    id::{Name, RunId, SessionId},
    ruling::{Escalate, Escalated},
    time::Timestamp,
};
use stead_engine::{ApprovalView, FactEvent, RunView, SeenView};
use stead_ports::{
    agent::{Agent, Behind},
    journal::{RunRow, SessionRow, VersionRow},
};

use super::sessions;
use crate::{
    auth::Principal,
    http::{
        app::App,
        failure::{Answer, Failure},
        input::is_agent,
    },
};

/// The run, when it is the caller's; another tenant's run does not exist for the caller.
pub(super) async fn own_run(app: &App, who: &Principal, run: RunId) -> Answer<RunRow> {
    let row = app.runtime.journal().run(run).await?;
    row.filter(|r| r.tenant == who.tenant).ok_or_else(|| Failure::not_found(run))
}

/// The session, when it is the caller's.
pub(super) async fn own_session(app: &App, who: &Principal, session: SessionId) -> Answer<SessionRow> {
    let row = app.runtime.journal().session(session).await?;
    row.filter(|s| s.tenant == who.tenant).ok_or_else(|| Failure::not_found(session))
}

/// The session that a caller names by its id or its key. A key that several agents have needs the agent's name.
pub(super) async fn named_session(app: &App, who: &Principal, name: &str, agent: Option<Name>) -> Answer<SessionRow> {
    /// Agents that are told of.
    const SHOWN: usize = 20;
    let agent = agent_filter(agent)?;
    let (key, agent) = match SessionRef::new(name, agent) {
        SessionRef::Id(id) => return own_session(app, who, id).await,
        SessionRef::Key { key, agent } => (key, agent),
    };
    let found = match sessions::is_key(&key) {
        true => app.runtime.journal().sessions_of_key(&who.tenant, &key, u32::MAX).await?,
        false => Vec::new(),
    };
    let mut found: Vec<_> = found.into_iter().filter(|s| agent.as_ref().is_none_or(|a| *a == s.agent)).collect();
    if found.len() > 1 {
        let agents: Vec<_> = found.iter().take(SHOWN).map(|s| s.agent.as_str()).collect();
        let more = if found.len() > SHOWN { ", and others" } else { "" };
        let detail = format!("several agents have a session `{key}`: {}{more}", agents.join(", "));
        return Err(Failure::new(code::SESSION_AMBIGUOUS, detail)
            .hint("name one: `--agent NAME`, or `agent=NAME` in the query"));
    }
    let short: String = key.chars().filter(|c| !c.is_control()).take(80).collect();
    found.pop().ok_or_else(|| Failure::not_found(format_args!("a session `{short}`")))
}

/// The session that a list is narrowed to. One that is named by an id need not exist.
pub(super) async fn session_filter(
    app: &App,
    who: &Principal,
    session: Option<&str>,
    agent: Option<&Name>,
) -> Answer<Option<SessionId>> {
    let Some(session) = session else { return Ok(None) };
    match session.parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) => named_session(app, who, session, agent.cloned()).await.map(|row| Some(row.id)),
    }
}

/// The agent that a list is narrowed to.
pub(super) fn agent_filter(agent: Option<Name>) -> Answer<Option<Name>> {
    match agent {
        Some(name) if !is_agent(&name) => Err(Failure::bad_request("`agent` is no name of an agent")),
        other => Ok(other),
    }
}

pub(super) fn summary(row: RunRow) -> api::run::RunSummary {
    api::run::RunSummary {
        id: row.id,
        session: row.session,
        session_key: row.session_key,
        agent: row.agent,
        version: row.version,
        parent: row.parent,
        status: row.state.status,
        title: row.title,
        created: row.created,
        updated: row.updated,
        wake_at: row.state.wake_at,
        turns: row.state.turns,
        effects: row.state.effects,
        spent: row.state.spent,
        code: row.state.code,
    }
}

pub(super) fn run(view: RunView) -> api::run::Run {
    api::run::Run {
        summary: summary(view.row),
        output: view.output,
        error: view.error,
        approvals: view.approvals.into_iter().map(approval).collect(),
    }
}

fn gate(gate: stead_core::ruling::GateAsks, since: Timestamp, taken: &[Escalated]) -> api::approval::GateAsks {
    let stead_core::ruling::GateAsks { policy, approvers, quorum, verified, channels, remind, escalate } = gate;
    let (verified, channels) = (verified == Some(true), channels == Some(true));
    let step = |Escalate { after, to }: Escalate| {
        let taken = taken.iter().any(|step| step.policy == policy && step.to == to);
        api::approval::EscalateTo { at: since.after(after), to, taken }
    };
    let escalate = escalate.into_iter().map(step).collect();
    let remind = remind.map(|span| span.0);
    api::approval::GateAsks { policy, approvers, quorum, verified, channels, remind, escalate }
}

pub(super) fn approval(view: ApprovalView) -> api::approval::Approval {
    let quorum = view.asked.as_ref().map_or(1, |asked| asked.quorum);
    let gates = view.asked.into_iter().flat_map(|asked| asked.gates);
    api::approval::Approval {
        id: view.effect,
        run: view.effect.run,
        session: view.session,
        agent: view.agent,
        tool: view.tool,
        class: view.class,
        arguments: view.arguments,
        question: view.question,
        preview: view.preview.map(preview),
        reason: view.reason,
        since: view.since,
        expires: view.expires,
        quorum,
        gates: gates.map(|asks| gate(asks, view.since, &view.escalated)).collect(),
        reminders: view.reminders,
        given: view.given,
    }
}

fn preview(SeenView { text, precondition, at }: SeenView) -> api::approval::Preview {
    api::approval::Preview { text, precondition, at }
}

pub(super) fn fact(event: &FactEvent) -> api::fact::FactEvent {
    api::fact::FactEvent {
        seq: event.seq,
        index: event.index,
        at: event.at,
        actor: event.actor.clone(),
        leaf: event.leaf,
        fact: api::fact::AnyFact::Known(event.fact.clone()),
        text: event.text.clone(),
        why: event.why.clone(),
    }
}

pub(super) fn session(row: SessionRow, queued: Vec<RunId>) -> api::session::Session {
    api::session::Session {
        id: row.id,
        agent: row.agent,
        key: row.key,
        active: row.active,
        head: row.head,
        spent: row.spent,
        created: row.created,
        queued,
    }
}

pub(super) fn version(row: VersionRow) -> api::agent::AgentSummary {
    api::agent::AgentSummary {
        name: row.agent,
        version: row.version,
        created: row.created,
        live: row.live,
        aliases: Vec::new(),
    }
}

pub(super) fn agent(
    row: VersionRow,
    agent: &Agent,
    unsandboxed: BTreeSet<String>,
    untraced: Option<api::agent::Untraced>,
) -> api::agent::Agent {
    let models = agent.models.iter().zip(&agent.config.models);
    api::agent::Agent {
        name: row.agent,
        version: row.version,
        created: row.created,
        live: row.live,
        proposed: None,
        instructions: agent.instructions.to_string(),
        models: models
            .map(|(model, config)| api::agent::ModelInfo {
                name: config.name.clone(),
                scripted: model.scripted(),
                priced: config.price.is_some(),
            })
            .collect(),
        tools: agent
            .tools
            .iter()
            .map(|tool| api::agent::ToolInfo {
                name: tool.def.name.as_str().into(),
                description: tool.def.description.clone(),
                class: tool.class,
                ask: tool.rules.ask,
                schema: tool.def.schema.clone(),
                agent: match tool.behind {
                    Behind::Agent(version, _) => Some(version),
                    Behind::Tool(_) => None,
                },
            })
            .collect(),
        limits: (&agent.config.limits).into(),
        input: agent.input.as_ref().map(|input| (*input.schema).clone()),
        unsandboxed: unsandboxed.into_iter().collect(),
        untraced,
    }
}
