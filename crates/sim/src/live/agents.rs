//! The agents of a history: scripted models that call tools at random, and tools that count.

use std::{sync::Arc, time::Duration};

use serde_json::value::RawValue;
use stead_core::{
    budget::{Limits, Usage},
    code,
    effect::{EffectClass, Outcome, Reconciled, Risk},
    id::{EffectId, Name, VersionId},
    message::{Message, OutputSchema, Reply, StopReason, ToolCall, ToolDef},
    record::{Body, Payload},
    time::Span,
};
use stead_ports::{
    BoxFuture,
    agent::{Agent, AgentError, Agents, AnswerSchema, Behind, BoundTool, Handed},
    model::{DeltaSink, Model, ModelCall, ModelError, Retry},
    tool::{Invocation, Output, Tool},
};

use super::cosmos::Cosmos;
use crate::{
    failure::Violation,
    plan::{PlanTool, SECOND},
    world::Request,
};

/// The agent that clients start, and the one that it starts.
pub(super) const ROOT: VersionId = VersionId([1; 32]);
pub(super) const CHILD: VersionId = VersionId([2; 32]);

/// How long the engine waits for a tool, and for a model.
const TOOL_TIMEOUT: Span = Span::from_secs(5);
const MODEL_TIMEOUT: Span = Span::from_secs(8);

/// Both agents of a history.
pub(super) struct SimAgents([Arc<Agent>; 2]);

impl SimAgents {
    pub(super) fn new(cosmos: &Arc<Cosmos>) -> Self {
        Self([agent(cosmos, ROOT, "agent"), agent(cosmos, CHILD, "child")])
    }
}

impl Agents for SimAgents {
    fn load(&self, _: &Name, version: VersionId) -> BoxFuture<'_, Result<Arc<Agent>, AgentError>> {
        let agent = self.0.iter().find(|a| a.version == version).cloned();
        let gone = || AgentError { code: code::VERSION_GONE, detail: "no such version".into() };
        Box::pin(std::future::ready(agent.ok_or_else(gone)))
    }
}

fn agent(cosmos: &Arc<Cosmos>, version: VersionId, name: &str) -> Arc<Agent> {
    let plan = &cosmos.plan;
    let child = version == CHILD;
    let mut config = plan.config.clone();
    if child {
        config.max_turns = 2;
        config.limits = Limits::default();
    }
    // An agent that starts itself as its child would never end; the child has no children.
    let tools = plan.tools.iter().filter(|t| !child || t.rules.child.is_none());
    let tools: Vec<BoundTool> = tools.map(|t| bound(cosmos, t)).collect();
    let names = tools.iter().map(|t| t.def.name.clone()).collect();
    let model =
        Arc::new(SimModel { cosmos: cosmos.clone(), tools: names, name: "scripted".into(), account: ACCOUNT.into() });
    Arc::new(Agent {
        name: name.into(),
        version,
        instructions: "do what you like".into(),
        models: config.models.iter().map(|_| model.clone() as Arc<dyn Model>).collect(),
        config,
        session_limits: plan.session_limits.clone(),
        model_timeout: MODEL_TIMEOUT,
        input: None,
        output: plan.config.repairs.map(|_| AnswerSchema {
            schema: Arc::new(OutputSchema { name: "answer".into(), schema: serde_json::json!({}) }),
            check: Arc::new(|answer| if answer == UNFIT { Err("it does not fit".into()) } else { Ok(()) }),
        }),
        provenance: None,
        ask_below: None,
        relays: false,
        defs: tools.iter().map(|t| t.def.clone()).collect(),
        tools,
    })
}

fn bound(cosmos: &Arc<Cosmos>, plan: &PlanTool) -> BoundTool {
    let def = ToolDef { name: plan.name.to_string(), description: String::new(), schema: serde_json::json!({}) };
    let behind = match plan.rules.child {
        Some(_) => Behind::Agent(CHILD, Handed::Text),
        None => Behind::Tool(Arc::new(SimTool { cosmos: cosmos.clone(), plan: plan.clone() })),
    };
    BoundTool {
        def,
        schema_digest: [0; 16],
        toolset: plan.name.clone(),
        class: plan.class,
        risk: Risk::Normal,
        also: Arc::default(),
        rules: plan.rules.clone(),
        key: plan.business_key.then(|| "$.key".into()),
        preview: None,
        timeout: TOOL_TIMEOUT,
        max_output: 1_000,
        max_shown: 100,
        check: Arc::new(|arguments| if arguments.contains("wrong") { Err("it is wrong".into()) } else { Ok(()) }),
        behind,
    }
}

/// The account that all models share.
pub(super) const ACCOUNT: &str = "sim";
/// The answer that does not fit.
const UNFIT: &str = "an unfit reply";

/// A model that calls any tools with few different arguments, so that they collide.
struct SimModel {
    cosmos: Arc<Cosmos>,
    tools: Vec<String>,
    name: Name,
    account: Name,
}

impl SimModel {
    fn reply(&self) -> Reply {
        let calls: Vec<ToolCall> = self.cosmos.roll(|rng| {
            let many = if self.tools.is_empty() { 0 } else { *rng.pick(&[0, 1, 1, 1, 1, 2, 2, 2, 3, 4]) };
            (0..many)
                .map(|n| {
                    let args = rng.below(4);
                    let name = if rng.chance(20) { "nonsense".to_owned() } else { rng.pick(&self.tools).clone() };
                    let wrong = if rng.chance(20) { r#","wrong":1"# } else { "" };
                    let text = format!(r#"{{"input":"go","a":{args},"key":"k{}"{wrong}}}"#, args / 2);
                    let arguments = RawValue::from_string(text).expect("it is JSON");
                    ToolCall { id: format!("c{n}"), name, arguments }
                })
                .collect()
        });
        let output = self.cosmos.roll(|rng| if rng.chance(30) { 200 } else { rng.below(50) });
        let unfit = self.cosmos.plan.config.repairs.is_some() && self.cosmos.roll(|rng| rng.chance(500));
        Reply {
            text: if unfit { UNFIT.into() } else { "a reply".into() },
            stop: if calls.is_empty() { StopReason::End } else { StopReason::ToolCalls },
            calls,
            usage: Usage { input: 30, cached: 0, output, reasoning: 0, cache_write: 0 },
            model: self.name.to_string(),
            ..Reply::default()
        }
    }

    /// What a provider demands: after a reply, one answer for each of its calls, in order, before anything else.
    fn well_formed(&self, call: &ModelCall) {
        let mut open: Vec<&str> = Vec::new();
        for message in &call.messages {
            let wrong = match &**message {
                Message::Tool(result) => {
                    let expected = (!open.is_empty()).then(|| open.remove(0));
                    expected != Some(result.call_id.as_str())
                }
                Message::Assistant(reply) => {
                    let left = !open.is_empty();
                    open = reply.calls.iter().map(|c| c.id.as_str()).collect();
                    left
                }
                Message::User { .. } => !open.is_empty(),
            };
            if wrong {
                let detail = format!("{} turn {}: {:?}", call.run, call.turn, call.messages);
                return self.cosmos.broken(Violation { check: "one result per call, in order", detail });
            }
        }
    }
}

impl Model for SimModel {
    fn name(&self) -> &Name {
        &self.name
    }

    fn scripted(&self) -> bool {
        true
    }

    fn account(&self) -> Option<&Name> {
        Some(&self.account)
    }

    fn call(&self, call: ModelCall, _: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            self.cosmos.starts(call.run, "a model call");
            self.well_formed(&call);
            let faults = self.cosmos.faults();
            let (pause, fault) =
                self.cosmos.roll(|rng| (rng.range(50_000, SECOND), rng.chance(faults.model).then(|| rng.below(4))));
            tokio::time::sleep(Duration::from_micros(pause / 2)).await;
            if let Some(begun) = &call.begun {
                begun.tell();
            }
            tokio::time::sleep(Duration::from_micros(pause - pause / 2)).await;
            let failed =
                |code, retry, charged| Err(ModelError { code, detail: "the provider's words".into(), retry, charged });
            match fault {
                None => Ok(self.reply()),
                Some(0) => {
                    let after = self.cosmos.roll(|rng| Span(rng.below(10 * SECOND)));
                    failed(code::MODEL_BUSY, Retry::After(Some(after)), false)
                }
                Some(1) => failed(code::MODEL_CUT, Retry::After(None), true),
                Some(2) => failed(code::MODEL_REFUSED, Retry::No, false),
                // It hangs until the engine has had enough.
                Some(_) => std::future::pending().await,
            }
        })
    }
}

/// A tool whose destination counts what is done.
struct SimTool {
    cosmos: Arc<Cosmos>,
    plan: PlanTool,
}

fn output(payload: Payload) -> Output {
    match payload.body {
        Body::Inline(bytes) => Output::ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Output::default(),
    }
}

fn outcome(outcome: Outcome<Payload>) -> Outcome<Output> {
    match outcome {
        Outcome::NotSent(p) => Outcome::NotSent(output(p)),
        Outcome::Returned(p) => Outcome::Returned(output(p)),
        Outcome::Refused(p) => Outcome::Refused(output(p)),
        Outcome::Unknown(p) => Outcome::Unknown(output(p)),
    }
}

impl SimTool {
    /// Nothing but a pure call leaves without a durable intent.
    fn has_intent(&self, id: EffectId) {
        let intents =
            self.cosmos.mem.lock().runs.get(&id.run).and_then(|r| r.audit.call(id.n)).map_or(0, |c| c.intents);
        if intents == 0 && self.plan.class != EffectClass::Pure {
            self.cosmos.broken(Violation { check: "intent before effect", detail: id.to_string() });
        }
    }
}

impl Tool for SimTool {
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            let id = invocation.effect;
            self.cosmos.trace(|| format!("{id} is called: {}", invocation.tool));
            self.cosmos.starts(id.run, &format!("{id}"));
            self.cosmos.starts_for_the_person(&format!("{id}"));
            self.has_intent(id);
            let faults = self.cosmos.faults();
            if self.cosmos.roll(|rng| rng.chance(faults.not_sent)) {
                tokio::time::sleep(Duration::from_micros(self.cosmos.roll(|rng| rng.below(SECOND)))).await;
                return Outcome::NotSent(Output::error("no connection"));
            }
            let a = invocation
                .arguments
                .get()
                .find("\"a\":")
                .and_then(|i| invocation.arguments.get().as_bytes().get(i + 4).copied());
            let request = Request {
                id,
                attempt: 0,
                tool: invocation.tool.clone(),
                class: self.plan.class,
                key: invocation.key.clone(),
                args: [a.unwrap_or(0); 16],
                key_ttl: self.plan.rules.key_ttl.map(|s| s.0),
                life: 0,
            };
            match self.cosmos.send(request).await {
                Ok(answer) => outcome(answer),
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn reconcile(&self, invocation: Invocation) -> BoxFuture<'_, Reconciled<Output>> {
        Box::pin(async move {
            let faults = self.cosmos.faults();
            let (there, back, lost) = self.cosmos.roll(|rng| {
                let back = if rng.chance(faults.slow) { rng.below(10 * SECOND) } else { rng.below(200_000) };
                (rng.below(SECOND), back, rng.chance(faults.answer_lost))
            });
            tokio::time::sleep(Duration::from_micros(there)).await;
            let answer = self.cosmos.ask(invocation.effect);
            if lost {
                return std::future::pending().await;
            }
            tokio::time::sleep(Duration::from_micros(back)).await;
            match answer {
                Reconciled::Happened(p) => Reconciled::Happened(output(p)),
                Reconciled::Absent => Reconciled::Absent,
                Reconciled::StillUnknown => Reconciled::StillUnknown,
            }
        })
    }
}
