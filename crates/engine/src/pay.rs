//! Paying debts: what `owes` says becomes a flight, once; what is no longer owed is abandoned.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::value::RawValue;
use stead_core::{
    code,
    effect::{EffectClass, Outcome, Reconciled, Recovery},
    fact::{Parent, StopMode},
    id::{Name, RunId, VersionId},
    record::Actor as By,
    run::{Command, Debt, Phase, owes},
};
use stead_ports::{
    BoxFuture,
    agent::{Behind, BoundTool},
    model::{Begun, ModelCall, ModelError, Retry},
    tool::{Invocation, Output, Tool},
};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use crate::{
    Engine,
    actor::Actor,
    flights::{Done, Key, Sent},
    input::handed,
    stats::UnderWay,
    types::{ChildOf, EngineError, StartRun},
    view,
};

/// What stands for the arguments of a call whose reply cannot be read any more.
const NO_ARGUMENTS: &str = "the arguments of this call";
/// How often a flight looks whether a late lease has been renewed.
const LEASE_PAUSE: Duration = Duration::from_millis(100);

/// A permit to send, and last of all a look whether this process still owns the run. A lease that is late may yet be
/// renewed; one that is lost ends the engine, and the flight with it.
async fn permit<'e>(engine: &'e Engine, permits: &'e Semaphore) -> Result<SemaphorePermit<'e>, AcquireError> {
    loop {
        let permit = permits.acquire().await;
        if engine.0.lease.valid(&*engine.0.ports.clock) {
            return permit;
        }
        drop(permit);
        tokio::time::sleep(LEASE_PAUSE).await;
    }
}

impl Actor {
    /// Pays everything that is owed now.
    pub(crate) async fn pay(&mut self) -> Result<(), EngineError> {
        let mut debts = self.debts();
        if debts.iter().any(|d| matches!(d, Debt::Recover { .. })) {
            self.commit(Command::Recover, By::Runtime).await?;
            self.take_inbox().await?;
            debts = self.debts();
        }
        if !self.holds() && self.state.held() {
            self.commit(Command::Tick, By::Runtime).await?;
            debts = self.debts();
        }
        // What is not owed any more is given up: a model call of a stopped run, a tool call of a killed one.
        let owed: Vec<Key> = debts.iter().filter_map(key).collect();
        self.flights.retain(|k| owed.contains(&k) || matches!(k, Key::StartChild(_) | Key::Late(_) | Key::Inbox));
        if self.holds() {
            return self.take_back().await;
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
                    if !self.started.contains(&effect) {
                        self.start_child(effect, limits).await?;
                    }
                }
                Debt::StopChild { effect, child, mode } => {
                    // A child that is being started must exist before it can be stopped.
                    if !self.flights.has(Key::StartChild(effect)) && !self.stopped.contains(&(effect, mode)) {
                        self.stop_child(effect, child, mode);
                    }
                }
                Debt::Recover { .. } => {}
            }
        }
        Ok(())
    }

    pub(crate) fn debts(&self) -> Vec<Debt> {
        owes(&self.state, self.activation, self.engine.0.ports.clock.now()).collect()
    }

    async fn call_model(&mut self, turn: u32, attempt: u32, model: u8) -> Result<(), EngineError> {
        self.messages.refresh(&self.engine.0.ports.journal, &self.state, self.fresh_reply.as_ref()).await?;
        let seq = self.state.next_seq.saturating_sub(1);
        if attempt > 1 {
            self.engine.0.rooms.reset(self.run, seq, attempt);
        }
        let mut call = ModelCall {
            run: self.run,
            turn,
            attempt,
            instructions: self.agent.instructions.clone(),
            messages: self.messages.view(&self.state),
            tools: self.agent.defs.clone(),
            output: self.agent.output.as_ref().map(|output| output.schema.clone()),
            max_output_tokens: self.state.config.models.get(usize::from(model)).map_or(0, |m| m.max_output_tokens),
            raw: None,
            begun: None,
        };
        let (agent, engine, run) = (self.agent.clone(), self.engine.clone(), self.run);
        // Pieces count while the flight is in the air; an adapter that goes on writing afterwards is not heard.
        let in_the_air = Arc::new(engine.clone());
        let heard_by = Arc::downgrade(&in_the_air);
        let deltas = Arc::new(move |delta| {
            if let Some(engine) = heard_by.upgrade() {
                engine.0.rooms.piece(run, seq, attempt, delta);
            }
        });
        let sent = Sent::default();
        let sends = sent.clone();
        let account = agent.models.get(usize::from(model)).and_then(|m| m.account()).map(|a| engine.0.providers.of(a));
        let tokens = match self.state.phase {
            Phase::Model { reserved, .. } => reserved.tokens,
            _ => 0,
        };
        let flight = async move {
            let _in_the_air = in_the_air;
            // The provider's turn first: whoever waits for it holds no permit that another provider's call could use.
            let pass = match account {
                Some(account) => match account.turn(run, tokens).await {
                    Ok(pass) => Some(Arc::new(pass)),
                    Err(deferred) => return Done::ModelDeferred { turn, attempt, deferred },
                },
                None => None,
            };
            let _permit = permit(&engine, &engine.0.models).await;
            sends.now();
            if let Some(pass) = &pass {
                pass.sends();
                let arrives = Arc::downgrade(pass);
                call.begun = Some(Begun::new(move || {
                    if let Some(pass) = arrives.upgrade() {
                        pass.arrived();
                    }
                }));
            }
            let _counted = UnderWay::new(&engine.0.counters.model_calls);
            let result = match agent.models.get(usize::from(model)) {
                Some(model) => {
                    let limit = agent.model_timeout;
                    let failed =
                        |code, detail| Err(ModelError { code, detail, retry: Retry::After(None), charged: true });
                    match tokio::time::timeout(limit.to_std(), unwound(|| model.call(call, deltas))).await {
                        Ok(Some(result)) => result,
                        Ok(None) => failed(code::INTERNAL, "the model's adapter panicked".to_owned()),
                        Err(_) => failed(code::MODEL_TIMEOUT, format!("no complete reply within {limit}")),
                    }
                }
                None => Err(ModelError {
                    code: code::VERSION_GONE,
                    detail: "the agent version no longer has this model".into(),
                    retry: Retry::No,
                    charged: false,
                }),
            };
            if let Some(pass) = &pass {
                pass.came_to(&result);
            }
            Done::Model { turn, attempt, result }
        };
        self.flights.push_waiting(Key::Model { turn, attempt }, sent, Box::pin(flight));
        Ok(())
    }

    async fn dispatch(&mut self, effect: u32) -> Result<(), EngineError> {
        let attempt = self.state.call(effect).map_or(0, |c| c.attempt);
        let found = self.invocation(effect).await?.map(|(tool, invocation, class)| {
            let adapter = match self.agent.tool(&tool) {
                Some(BoundTool { behind: Behind::Tool(t), timeout, .. }) => Some((t.clone(), *timeout)),
                _ => None,
            };
            (adapter, invocation, class)
        });
        let (adapter, timeout, invocation, class) = match found {
            Some((Some((adapter, timeout)), invocation, class)) => (adapter, timeout, invocation, class),
            missing => {
                let what = match missing {
                    Some(_) => "the agent version no longer has this tool".to_owned(),
                    None => format!("{NO_ARGUMENTS} cannot be read any more"),
                };
                let outcome = Outcome::NotSent(Output::error(what));
                let flight = async move { Done::Effect { effect, attempt, outcome } };
                self.flights.push(Key::Effect(effect), Box::pin(flight));
                return Ok(());
            }
        };
        let (engine, sent) = (self.engine.clone(), Sent::default());
        let sends = sent.clone();
        let flight = async move {
            let permit = permit(&engine, &engine.0.tools).await;
            sends.now();
            let counted = UnderWay::new(&engine.0.counters.tool_calls);
            let mut call = call_owned(adapter, invocation);
            let done = match tokio::time::timeout(timeout.to_std(), &mut call).await {
                Ok(outcome) => Done::Effect { effect, attempt, outcome },
                Err(_) if class.recovery() == Recovery::Surface => Done::TimedOut { effect, attempt, rest: call },
                Err(_) => {
                    let text = format!("{}: no answer within {timeout}", code::TOOL_TIMEOUT);
                    Done::Effect { effect, attempt, outcome: Outcome::Unknown(Output::error(text)) }
                }
            };
            drop((permit, counted));
            done
        };
        self.flights.push_waiting(Key::Effect(effect), sent, Box::pin(flight));
        Ok(())
    }

    async fn reconcile(&mut self, effect: u32) -> Result<(), EngineError> {
        let found = self.invocation(effect).await?;
        let question = found.and_then(|(tool, invocation, _)| match self.agent.tool(&tool) {
            Some(BoundTool { behind: Behind::Tool(t), timeout, .. }) => Some((t.clone(), timeout.to_std(), invocation)),
            _ => None,
        });
        let engine = self.engine.clone();
        let flight = async move {
            let _permit = permit(&engine, &engine.0.tools).await;
            let asked = engine.0.ports.clock.now();
            let answer = match question {
                Some((tool, limit, invocation)) => {
                    let answer = tokio::time::timeout(limit, unwound(|| tool.reconcile(invocation))).await;
                    answer.ok().flatten().unwrap_or(Reconciled::StillUnknown)
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
        let found = self.invocation(effect).await?;
        let (version, input) = match self.child(found) {
            Ok(child) => child,
            Err(error) => {
                let flight = async move { Done::ChildStarted { effect, result: Err(error) } };
                self.flights.push(Key::StartChild(effect), Box::pin(flight));
                return Ok(());
            }
        };
        let start = StartRun {
            tenant: self.state.tenant.clone(),
            version,
            session: None,
            input,
            files: Vec::new(),
            limits,
            idempotency: None,
            actor: By::Run(self.run),
            parent: Some(ChildOf {
                parent: Parent { run: self.run, effect },
                hops: self.state.hops.saturating_add(1),
                restored: self.state.restored,
            }),
        };
        let engine = self.engine.clone();
        let flight = async move {
            let result = Box::pin(engine.start(start)).await.map(|s| s.run);
            Done::ChildStarted { effect, result }
        };
        self.flights.push(Key::StartChild(effect), Box::pin(flight));
        Ok(())
    }

    /// The version that a call starts, and its input. Nothing is started in the place of what cannot be told.
    fn child(&self, found: Option<(Name, Invocation, EffectClass)>) -> Result<(VersionId, String), EngineError> {
        let Some((tool, invocation, _)) = found else {
            return Err(EngineError::NotFound { what: NO_ARGUMENTS.to_owned() });
        };
        let Some(Behind::Agent(version, what)) = self.agent.tool(&tool).map(|t| &t.behind) else {
            let detail = format!("the agent version no longer has an agent behind `{tool}`");
            return Err(EngineError::Agent { code: code::VERSION_GONE, detail });
        };
        let input = handed(&invocation.arguments, *what).map_err(|e| {
            let detail = format!("the arguments hold no `input` that the agent could be given: {e}");
            EngineError::Agent { code: code::TOOL_ARGUMENTS, detail }
        })?;
        Ok((*version, input))
    }

    fn stop_child(&mut self, effect: u32, child: RunId, mode: StopMode) {
        let (engine, by) = (self.engine.clone(), By::Run(self.run));
        let flight = async move {
            let result = Box::pin(engine.stop(child, mode, by)).await;
            Done::ChildStopped { effect, mode, result }
        };
        self.flights.push(Key::StopChild(effect), Box::pin(flight));
    }
}

/// Which flight pays a debt.
pub(crate) fn key(debt: &Debt) -> Option<Key> {
    match debt {
        Debt::CallModel { turn, attempt, .. } => Some(Key::Model { turn: *turn, attempt: *attempt }),
        Debt::Dispatch { effect } => Some(Key::Effect(*effect)),
        Debt::Reconcile { effect } => Some(Key::Reconcile(*effect)),
        Debt::StartChild { effect, .. } => Some(Key::StartChild(*effect)),
        Debt::StopChild { effect, .. } => Some(Key::StopChild(*effect)),
        Debt::Recover { .. } => None,
    }
}

/// A tool's call that owns its tool, so that it can outlive the wait for it. A tool that panics has said nothing about
/// what it did.
fn call_owned(tool: Arc<dyn Tool>, invocation: Invocation) -> BoxFuture<'static, Outcome<Output>> {
    Box::pin(async move {
        let outcome = unwound(|| tool.call(invocation)).await;
        outcome.unwrap_or_else(|| Outcome::Unknown(Output::error("the tool's adapter panicked")))
    })
}

/// What an adapter's future comes to; `None` when it panics, which is no reason for the run's task to end.
async fn unwound<'a, T>(call: impl FnOnce() -> BoxFuture<'a, T>) -> Option<T> {
    AssertUnwindSafe(async move { call().await }).catch_unwind().await.ok()
}
