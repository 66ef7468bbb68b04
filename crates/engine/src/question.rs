//! A question as it is signed and shown: made of the run's state, its agent and the exact bytes of the arguments. The same function
//! makes it for whoever is asked and for the gate that lets the action go, so that what was signed is what is done.

use serde_json::Value;
use stead_core::{
    fact::Fact,
    id::{EffectId, Name, VersionId},
    record::{Body, Payload},
    run::{Call, CallPhase, EntryKind, Request, State},
    sandbox::Access,
};
use stead_policy::class_name;
use stead_ports::{
    agent::{Agent, Also, BoundTool},
    journal::{AliasEvent, Step},
};
use stead_trust::{
    action::{Action, Behalf},
    hex,
    question::{Gate, Preview, Question},
    statement::Human,
};

use crate::{
    Engine,
    load::{self, load},
    payload, preview,
    signing::{Signing, human, initiators, reason, seconds},
    types::EngineError,
    view,
};

/// Events of an agent's history in which its last editors are looked for.
pub(crate) const HISTORY: u32 = 1_000;
/// Reasons and labels that are shown.
const SHOWN: usize = 64;

/// A question, with what else bears on an answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Who began what it is about.
    pub initiators: Vec<Human>,
    /// Whether a yes counts only when it is signed.
    pub demanded: bool,
    /// Whether people are asked now; or else it was asked last.
    pub open: bool,
    /// The signed answers that were given, as they are kept.
    pub receipts: Vec<String>,
}

/// What is asked about a call that answers are to let go now; `None` when it was asked where nobody signs.
pub(crate) fn of_release(state: &State, agent: &Agent, call: &Call, arguments: &str) -> Option<Question> {
    let request = call.request.as_ref()?;
    let tool = agent.tool(&call.head.tool)?;
    let gate = |g: &stead_core::ruling::GateAsks| Gate {
        policy: g.policy.to_string(),
        approvers: g.approvers.iter().map(ToString::to_string).collect(),
        quorum: g.quorum,
        verified: g.verified == Some(true),
        channels: g.channels == Some(true),
        escalate: g.escalate.iter().map(|step| (seconds(request.at.after(step.after)), step.to.to_string())).collect(),
    };
    let asked = request.asked.as_deref();
    Some(Question {
        run: state.run.to_string(),
        step: call.head.effect,
        request: request.hash,
        salt: request.salt,
        action: action(state, agent, tool, call, request, arguments),
        reason: reason(request.reason).to_owned(),
        why: Vec::new(),
        labels: Vec::new(),
        epoch: request.epoch,
        gates: asked.iter().flat_map(|asked| asked.gates.iter().map(gate)).collect(),
        quorum: asked.map_or(1, |asked| asked.quorum),
        asked: seconds(request.at),
        expires: request.expires.map(seconds),
        denial: "nothing is done, and the model reads that a person denied it".to_owned(),
        preview: None,
    })
}

fn action(state: &State, agent: &Agent, tool: &BoundTool, call: &Call, request: &Request, arguments: &str) -> Action {
    let head = &call.head;
    let mut target = Vec::new();
    let mut secrets = Vec::new();
    let mut environment = None;
    for also in tool.also.iter() {
        match also {
            Also::StartAgent(agent) => target.push(format!("agent {agent}")),
            Also::Connect { host, port, method, path, .. } => {
                target.push(format!("{method} {host}:{port}{path}").trim_start().to_owned());
            }
            Also::CreateSandbox { tier, cpu_millis, memory_bytes, network } => {
                let reach = if *network { "with a way out" } else { "without a way out" };
                environment =
                    Some(format!("{tier}, {cpu_millis} thousandths of a processor, {memory_bytes} bytes, {reach}"));
            }
            Also::UseSecret { secret, host } if host.is_empty() => secrets.push(secret.clone()),
            Also::UseSecret { secret, host } => secrets.push(format!("{secret} to {host}")),
        }
    }
    let works = head.rules.place.is_some_and(|place| place.workspace != Access::None);
    Action {
        tenant: state.tenant.to_string(),
        agent: agent.name.to_string(),
        version: state.version.to_string(),
        tool: head.tool.to_string(),
        schema: hex::encode(&head.schema),
        class: class_name(head.class).to_owned(),
        key: head.key.as_ref().map(ToString::to_string),
        arguments: arguments.to_owned(),
        target,
        behalf: Behalf {
            user: state.behalf.user.as_ref().map(|user| user.name.to_string()),
            callers: state.behalf.callers.iter().map(ToString::to_string).collect(),
        },
        cost: None,
        workspace: request.tree.filter(|_| works).map(|tree| tree.to_string()),
        environment,
        secrets,
        precondition: call.seen.as_ref().and_then(|seen| seen.precondition.as_ref()).map(ToString::to_string),
    }
}

impl Engine {
    /// How a tenant's answers are signed now.
    pub fn signing(&self, tenant: &Name) -> Signing {
        self.0.ports.directories.current(tenant)
    }

    /// What a person is asked about an effect, or was asked last; `None` when nobody was, or where nobody signs, and when texts are erased
    /// that the question was made of.
    ///
    /// # Errors
    /// When the run or its agent cannot be read.
    pub async fn question(&self, effect: EffectId) -> Result<Option<Asked>, EngineError> {
        let missing = || EngineError::NotFound { what: effect.run.to_string() };
        let mut state = load(self.journal(), effect.run).await?.ok_or_else(missing)?.state;
        let open = state.call(effect.n).is_some_and(|call| matches!(call.phase, CallPhase::Asking { .. }));
        if !open {
            let asked = |fact: &Fact| matches!(fact, Fact::ApprovalRequested(f) if f.effect == effect.n).then_some(());
            let Some(then) = load::up_to_last(self.journal(), effect.run, asked).await? else { return Ok(None) };
            *state = then.state;
        }
        let state = &state;
        let call = state.call(effect.n);
        let Some((call, request)) = call.and_then(|call| Some((call, call.request.as_ref()?))) else { return Ok(None) };
        if self.is_erased(state, call, request).await? {
            return Ok(None);
        }
        let agent = self.0.ports.agents.load(&state.tenant, state.version).await;
        let agent = agent.map_err(|e| EngineError::Agent { code: e.code, detail: e.detail })?;
        let arguments = self.arguments_of(state, call).await?;
        let Some(mut question) = of_release(state, &agent, call, &arguments) else { return Ok(None) };
        self.explain(state, call, request, &mut question).await?;
        question.preview = self.preview(state, call).await?;
        let editors = self.editors(state).await?;
        let signing = self.0.ports.directories.fresh(&state.tenant).await;
        let receipts = self.receipts(effect, request.seq).await?;
        let (initiators, demanded) = (initiators(state, &editors), signing.wants(call));
        Ok(Some(Asked { question, initiators, demanded, open, receipts }))
    }

    /// The signed answers to what was asked in a record.
    async fn receipts(&self, effect: EffectId, asked: u64) -> Result<Vec<String>, EngineError> {
        let records = load::records(self.journal(), effect.run).await?;
        let facts = records.iter().skip(usize::try_from(asked).unwrap_or(usize::MAX)).flat_map(|record| &record.facts);
        let receipt = |fact: &Fact| match fact {
            Fact::ApprovalGiven(f) if f.effect == effect.n => Some(f.signed.as_ref()?.receipt.to_string()),
            _ => None,
        };
        Ok(facts.filter_map(receipt).collect())
    }

    /// The exact text of a call's arguments, as it will be sent.
    pub(crate) async fn arguments_of(&self, state: &State, call: &Call) -> Result<String, EngineError> {
        if let Some(arguments) = &call.arguments {
            let text = payload::open_whole(self.journal(), &state.tenant, arguments).await?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        let reply = view::last_reply(self.journal(), state).await?.unwrap_or_default();
        Ok(reply.calls.get(usize::from(call.index)).map_or_else(String::new, |c| c.arguments.get().to_owned()))
    }

    /// Whether a text is erased that the question about a call was made of.
    pub(crate) async fn is_erased(&self, state: &State, call: &Call, request: &Request) -> Result<bool, EngineError> {
        let gone = |payload: &Payload| matches!(payload.body, Body::Erased { .. });
        let reply = || state.transcript.iter().rev().find(|e| e.kind == EntryKind::Reply).map(|entry| &entry.payload);
        let arguments = call.arguments.as_ref().or_else(reply);
        let seen = call.seen.as_ref().map(|seen| &seen.text);
        if arguments.into_iter().chain(seen).any(gone) {
            return Ok(true);
        }
        Ok(self.why_of(state, call, request).await?.is_some_and(|why| gone(&why)))
    }

    /// What policies said when they asked, as it was recorded.
    async fn why_of(&self, state: &State, call: &Call, request: &Request) -> Result<Option<Payload>, EngineError> {
        // What had to wait for a look was decided in an earlier record.
        let seq = request.decided.unwrap_or(request.seq);
        let Some(record) = load::record(self.journal(), state.run, seq).await? else { return Ok(None) };
        let why = record.facts.iter().find_map(|fact| match fact {
            Fact::EffectDecided(f) if f.effect == call.head.effect => f.ruled.as_ref()?.why,
            _ => None,
        });
        Ok(why.and_then(|why| record.payloads.get(usize::from(why)).cloned()))
    }

    /// Adds what policies said when they asked, and who said each argument, out of the record with which it was asked.
    pub(crate) async fn explain(
        &self,
        state: &State,
        call: &Call,
        request: &Request,
        question: &mut Question,
    ) -> Result<(), EngineError> {
        let Some(payload) = self.why_of(state, call, request).await? else { return Ok(()) };
        let text = payload::open_whole(self.journal(), &state.tenant, &payload).await?;
        if let Ok(document) = serde_json::from_slice(&text) {
            (question.why, question.labels) = (reasons(&document), labels(&document));
        }
        Ok(())
    }

    /// What a look at the call found.
    pub(crate) async fn preview(&self, state: &State, call: &Call) -> Result<Option<Preview>, EngineError> {
        let Some(seen) = &call.seen else { return Ok(None) };
        let text = payload::open(self.journal(), &state.tenant, &seen.text).await?;
        let text = preview::words(seen, &String::from_utf8_lossy(&text));
        let precondition = seen.precondition.as_ref().map(ToString::to_string);
        Ok(Some(Preview { text, precondition }))
    }

    /// Who changed the agent to the version of a run last: whoever let an alias name it, or proposed that.
    pub(crate) async fn editors(&self, state: &State) -> Result<Vec<Human>, EngineError> {
        let history = self.journal().alias_history(&state.tenant, &state.agent, HISTORY).await?;
        Ok(editors(history.iter(), state.version))
    }
}

/// Who let an alias name a version, or proposed that.
pub(crate) fn editors<'e>(history: impl Iterator<Item = &'e AliasEvent>, version: VersionId) -> Vec<Human> {
    let mut editors: Vec<Human> = Vec::new();
    for event in history.filter(|event| event.version == Some(version)) {
        let who = human(&event.by);
        // Who only confirmed has changed nothing: that is what a second person is for.
        if event.step != Step::Confirmed && !editors.contains(&who) {
            editors.push(who);
        }
    }
    editors
}

/// The reasons of a decision, as it was recorded, in a line each.
fn reasons(document: &Value) -> Vec<String> {
    let gated = document.get("gated").and_then(Value::as_array);
    let line = |reason: &Value| {
        let text = |name: &str| reason.get(name).and_then(Value::as_str);
        let values = reason.get("values").and_then(Value::as_object);
        let values =
            values.into_iter().flatten().filter_map(|(name, value)| Some(format!("{name} is {}", value.as_str()?)));
        let values: Vec<String> = values.take(SHOWN).collect();
        let said = text("said").map(|said| format!(": {said}")).unwrap_or_default();
        let because = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
        format!("{}{said}{because}", text("policy").unwrap_or("a policy"))
    };
    gated.into_iter().flatten().take(SHOWN).map(line).collect()
}

/// Who said each argument, as it was recorded.
fn labels(document: &Value) -> Vec<(String, String)> {
    let arguments = document.get("provenance").and_then(Value::as_object);
    let label = |(name, said): (&String, &Value)| {
        let is = |member: &str| said.get(member) == Some(&Value::Bool(true));
        let origins = said.get("origins").and_then(Value::as_array).into_iter().flatten();
        let origins: Vec<String> =
            origins.map(|o| o.as_str().map_or_else(|| o.to_string(), str::to_owned)).take(SHOWN).collect();
        let trust = said.get("trust").and_then(Value::as_str).unwrap_or("unknown");
        let who = match (is("model"), is("any")) {
            (true, _) => "the model itself".to_owned(),
            (_, true) => "anybody".to_owned(),
            _ => origins.join(", "),
        };
        (name.clone(), format!("{who} ({trust})"))
    };
    arguments.into_iter().flatten().take(SHOWN).map(label).collect()
}
