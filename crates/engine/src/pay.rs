//! Paying debts: what `owes` says becomes a flight, once; what is no longer owed is abandoned.

use std::sync::Arc;

use serde_json::value::RawValue;
use stead_core::{
    effect::{EffectClass, Outcome, Reconciled, Recovery},
    fact::{Parent, StopMode},
    id::{Name, RunId},
    record::Actor as By,
    run::{Command, Debt, owes},
};
use stead_ports::{
    agent::{Behind, BoundTool},
    model::{ModelCall, ModelError, Retry},
    tool::{Invocation, Output, Tool},
};

use crate::{
    actor::Actor,
    flights::{Done, Key},
    stats::UnderWay,
    types::{EngineError, StartRun},
    view,
};

impl Actor {
    /// Pays everything that is owed now.
    pub(crate) async fn pay(&mut self) -> Result<(), EngineError> {
        let mut debts = self.debts();
        if debts.iter().any(|d| matches!(d, Debt::Recover { .. })) {
            self.commit(Command::Recover, By::Runtime).await?;
            self.take_inbox().await?;
            debts = self.debts();
        }
        // What is not owed any more is given up: a model call of a stopped run, a tool call of a killed one.
        let owed: Vec<Key> = debts.iter().filter_map(key).collect();
        self.flights.retain(|k| owed.contains(&k) || matches!(k, Key::StartChild(_) | Key::Late(_)));
        if self.draining {
            return Ok(());
        }
        for debt in debts {
            let Some(key) = key(&debt) else { continue };
            if self.flights.has(key) {
                continue;
            }
            match debt {
                Debt::CallModel { turn, attempt, model } => self.call_model(turn, attempt, model).await?,
                Debt::Dispatch { effect } => self.dispatch(effect).await?,
                Debt::Reconcile { effect } => self.reconcile(effect).await?,
                Debt::StartChild { effect, limits, .. } => {
                    if !self.children.contains(&effect) {
                        self.start_child(effect, limits).await?;
                    }
                }
                Debt::StopChild { effect, child, mode } => {
                    // A child that is being started must exist before it can be stopped.
                    if !self.flights.has(Key::StartChild(effect)) {
                        self.stop_child(effect, child, mode);
                    }
                }
                Debt::Recover { .. } => {}
            }
        }
        Ok(())
    }

    fn debts(&self) -> Vec<Debt> {
        owes(&self.state, self.activation, self.engine.0.ports.clock.now()).collect()
    }

    async fn call_model(&mut self, turn: u32, attempt: u32, model: u8) -> Result<(), EngineError> {
        self.refresh_messages().await?;
        let seq = self.state.next_seq.saturating_sub(1);
        if attempt > 1 {
            self.engine.0.rooms.reset(self.run, seq, attempt);
        }
        let call = ModelCall {
            run: self.run,
            turn,
            attempt,
            instructions: self.agent.instructions.clone(),
            messages: self.view_messages(),
            tools: self.agent.defs.clone(),
            max_output_tokens: self.state.config.models.get(usize::from(model)).map_or(0, |m| m.max_output_tokens),
        };
        let (agent, engine, run) = (self.agent.clone(), self.engine.clone(), self.run);
        let sink_engine = engine.clone();
        let deltas = Arc::new(move |delta| sink_engine.0.rooms.piece(run, seq, attempt, delta));
        let flight = async move {
            let _permit = engine.0.models.acquire().await;
            let _counted = UnderWay::new(&engine.0.counters.model_calls);
            let result = match agent.models.get(usize::from(model)) {
                Some(model) => {
                    let limit = agent.model_timeout.to_std();
                    tokio::time::timeout(limit, model.call(call, deltas)).await.unwrap_or_else(|_| {
                        Err(ModelError {
                            code: stead_core::code::MODEL_TIMEOUT,
                            detail: format!("no complete reply within {} s", limit.as_secs()),
                            retry: Retry::After(None),
                            charged: true,
                        })
                    })
                }
                None => Err(ModelError {
                    code: stead_core::code::VERSION_GONE,
                    detail: "the agent version no longer has this model".into(),
                    retry: Retry::No,
                    charged: false,
                }),
            };
            Done::Model { turn, attempt, result }
        };
        self.flights.push(Key::Model { turn, attempt }, Box::pin(flight));
        Ok(())
    }

    async fn dispatch(&mut self, effect: u32) -> Result<(), EngineError> {
        let attempt = self.state.call(effect).map_or(0, |c| c.attempt);
        let Some((tool, invocation, class)) = self.invocation(effect).await? else { return Ok(()) };
        let (adapter, timeout) = match self.agent.tool(&tool) {
            Some(BoundTool { behind: Behind::Tool(t), timeout, .. }) => (t.clone(), timeout.to_std()),
            _ => {
                let outcome = Outcome::NotSent(Output::error("the agent version no longer has this tool"));
                let flight = async move { Done::Effect { effect, attempt, outcome } };
                self.flights.push(Key::Effect(effect), Box::pin(flight));
                return Ok(());
            }
        };
        let (engine, dispatched) = (self.engine.clone(), self.dispatched.clone());
        let flight = async move {
            let permit = engine.0.tools.acquire().await;
            // Last of all: does this process still own the run?
            if !engine.0.lease.valid(&*engine.0.ports.clock) {
                return std::future::pending().await;
            }
            dispatched.lock().push(effect);
            let counted = UnderWay::new(&engine.0.counters.tool_calls);
            let mut call = call_owned(adapter, invocation);
            let done = match tokio::time::timeout(timeout, &mut call).await {
                Ok(outcome) => Done::Effect { effect, attempt, outcome },
                Err(_) if class.recovery() == Recovery::Surface => Done::TimedOut { effect, attempt, rest: call },
                Err(_) => {
                    let text = format!("{}: no answer within {} s", stead_core::code::TOOL_TIMEOUT, timeout.as_secs());
                    Done::Effect { effect, attempt, outcome: Outcome::Unknown(Output::error(text)) }
                }
            };
            drop((permit, counted));
            done
        };
        self.flights.push(Key::Effect(effect), Box::pin(flight));
        Ok(())
    }

    async fn reconcile(&mut self, effect: u32) -> Result<(), EngineError> {
        let Some((tool, invocation, _)) = self.invocation(effect).await? else { return Ok(()) };
        let adapter = match self.agent.tool(&tool) {
            Some(BoundTool { behind: Behind::Tool(t), timeout, .. }) => Some((t.clone(), timeout.to_std())),
            _ => None,
        };
        let asked = self.engine.0.ports.clock.now();
        let flight = async move {
            let answer = match adapter {
                Some((tool, limit)) => {
                    tokio::time::timeout(limit, tool.reconcile(invocation)).await.unwrap_or(Reconciled::StillUnknown)
                }
                None => Reconciled::StillUnknown,
            };
            Done::Reconciled { effect, asked, answer }
        };
        self.flights.push(Key::Reconcile(effect), Box::pin(flight));
        Ok(())
    }

    /// What a tool is given for an effect of the open turn: the very bytes that were validated and decided on.
    async fn invocation(&mut self, effect: u32) -> Result<Option<(Name, Invocation, EffectClass)>, EngineError> {
        let Some(call) = self.state.call(effect) else { return Ok(None) };
        let (tool, class, index) = (call.head.tool.clone(), call.head.class, call.index);
        let id = self.state.effect_id(effect);
        let key = call.head.key.clone().unwrap_or_else(|| id.to_string().into());
        let Some(arguments) = self.arguments(index).await? else { return Ok(None) };
        let max_output = self.agent.tool(&tool).map_or(0, |t| t.max_output);
        let invocation = Invocation {
            effect: id,
            session: self.state.session,
            tenant: self.state.tenant.clone(),
            key,
            tool: tool.clone(),
            arguments,
            max_output,
        };
        Ok(Some((tool, invocation, class)))
    }

    /// The arguments of a call of the open turn's reply.
    async fn arguments(&mut self, index: u16) -> Result<Option<Arc<RawValue>>, EngineError> {
        if self.fresh_reply.is_none() {
            let Some(entry) = self.state.transcript.iter().rev().find(|e| e.kind == stead_core::run::EntryKind::Reply)
            else {
                return Ok(None);
            };
            let payload = entry.payload.clone();
            self.fresh_reply = Some(view::reply(&self.engine.0.ports.journal, &self.state, &payload).await?);
        }
        let call = self.fresh_reply.as_ref().and_then(|r| r.calls.get(usize::from(index)));
        Ok(call.map(|c| Arc::from(c.arguments.clone())))
    }

    async fn start_child(&mut self, effect: u32, limits: stead_core::budget::Limits) -> Result<(), EngineError> {
        let Some((tool, invocation, _)) = self.invocation(effect).await? else { return Ok(()) };
        let version = match self.agent.tool(&tool).map(|t| &t.behind) {
            Some(Behind::Agent(version)) => *version,
            _ => self.state.version,
        };
        let input = serde_json::from_str::<serde_json::Value>(invocation.arguments.get())
            .ok()
            .and_then(|v| v.get("input").and_then(|i| i.as_str()).map(str::to_owned))
            .unwrap_or_default();
        let start = StartRun {
            tenant: self.state.tenant.clone(),
            version,
            session: None,
            input,
            limits,
            idempotency: None,
            actor: By::Run(self.run),
            parent: Some((Parent { run: self.run, effect }, self.state.hops.saturating_add(1))),
        };
        let engine = self.engine.clone();
        let flight = async move {
            let result = Box::pin(engine.start(start)).await.map(|s| s.run);
            Done::ChildStarted { effect, result }
        };
        self.flights.push(Key::StartChild(effect), Box::pin(flight));
        Ok(())
    }

    fn stop_child(&mut self, effect: u32, child: RunId, mode: StopMode) {
        let (engine, by) = (self.engine.clone(), By::Run(self.run));
        let flight = async move {
            let result = Box::pin(engine.stop(child, mode, by)).await;
            Done::ChildStopped { effect, result }
        };
        self.flights.push(Key::StopChild(effect), Box::pin(flight));
    }
}

/// Which flight pays a debt.
fn key(debt: &Debt) -> Option<Key> {
    match debt {
        Debt::CallModel { turn, attempt, .. } => Some(Key::Model { turn: *turn, attempt: *attempt }),
        Debt::Dispatch { effect } => Some(Key::Effect(*effect)),
        Debt::Reconcile { effect } => Some(Key::Reconcile(*effect)),
        Debt::StartChild { effect, .. } => Some(Key::StartChild(*effect)),
        Debt::StopChild { effect, .. } => Some(Key::StopChild(*effect)),
        Debt::Recover { .. } => None,
    }
}

/// A tool's call that owns its tool, so that it can outlive the wait for it.
fn call_owned(tool: Arc<dyn Tool>, invocation: Invocation) -> stead_ports::BoxFuture<'static, Outcome<Output>> {
    Box::pin(async move { tool.call(invocation).await })
}
