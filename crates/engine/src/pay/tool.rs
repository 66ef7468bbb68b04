//! A tool's call: one attempt at an effect, or a question to its destination.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use serde_json::value::RawValue;
use stead_core::{
    code,
    effect::{EffectClass, Outcome, Reconciled, Recovery},
    id::Name,
    record::Payload,
    run::{EntryKind, State},
    time::Span,
    trace::{Place, Step, TraceContext},
};
use stead_policy::Approval;
use stead_ports::{
    BoxFuture,
    agent::{Also, Behind, BoundTool},
    connect::Connects,
    delegate::OnBehalf,
    tool::{Invocation, Left, MaySend, Output, Tool},
};

use super::{NO_ARGUMENTS, permit, unwound};
use crate::{
    Engine,
    actor::Actor,
    flights::{Done, Key, Sent},
    gate::{self, Asking, OfCall},
    off::{Leave, Through},
    payload,
    signing::Verifier,
    stats::UnderWay,
    types::EngineError,
    view,
};

/// One attempt at an effect, ready to be made.
struct Attempt {
    engine: Engine,
    tool: Arc<dyn Tool>,
    /// How long the answer may take.
    limit: Span,
    invocation: Invocation,
    class: EffectClass,
    /// The number of the attempt.
    n: u8,
    sent: Sent,
    leave: Leave,
}

impl Actor {
    pub(super) async fn dispatch(&mut self, effect: u32) -> Result<(), EngineError> {
        let n = self.state.call(effect).map_or(0, |c| c.attempt);
        let found =
            self.invocation(effect).await?.map(|(tool, invocation, class)| (self.adapter(&tool), invocation, class));
        let unsigned = self.is_unsigned(effect).await?;
        match found.filter(|_| !unsigned) {
            Some((Some((tool, _)), invocation, _))
                if invocation.precondition.as_ref().is_some_and(|p| !tool.holds(p)) =>
            {
                let what = "nothing sees to it any more that what people were shown still holds when this is done";
                let outcome = Outcome::Refused(Output::error(format!("{}: not done: {what}", code::PREVIEW_CHANGED)));
                let flight = async move { Done::Effect { effect, attempt: n, outcome } };
                self.flights.push(Key::Effect(effect), Box::pin(flight));
            }
            Some((Some((tool, limit)), invocation, class)) => {
                let boxed = self.state.call(effect).and_then(|c| c.head.rules.place).is_some_and(|p| p.boxed);
                let limit = if boxed { longer(limit, tool.around(), &invocation) } else { limit };
                let (engine, sent) = (self.engine.clone(), Sent::default());
                let leave = self.leave(Through::tool(&self.agent, &invocation.tool));
                let attempt = Attempt { engine, tool, limit, invocation, class, n, sent: sent.clone(), leave };
                self.flights.push_waiting(Key::Effect(effect), sent, Box::pin(attempt.make()));
            }
            missing => {
                let what = match missing {
                    _ if unsigned => {
                        "what people signed is not what would be sent, or their keys count no longer".to_owned()
                    }
                    Some(_) => "the agent version no longer has this tool".to_owned(),
                    None => format!("{NO_ARGUMENTS} cannot be read any more"),
                };
                let outcome = Outcome::NotSent(Output::error(what));
                let flight = async move { Done::Effect { effect, attempt: n, outcome } };
                self.flights.push(Key::Effect(effect), Box::pin(flight));
            }
        }
        Ok(())
    }

    pub(super) async fn reconcile(&mut self, effect: u32) -> Result<(), EngineError> {
        let found = self.invocation(effect).await?;
        let question =
            found.and_then(|(tool, invocation, _)| self.adapter(&tool).map(|(tool, limit)| (tool, limit, invocation)));
        let engine = self.engine.clone();
        let flight = async move {
            let _permit = permit(&engine, &engine.0.tools, None).await;
            let asked = engine.0.ports.clock.now();
            let answer = match question {
                Some((tool, limit, invocation)) => {
                    let answer = tokio::time::timeout(limit.to_std(), unwound(|| tool.reconcile(invocation))).await;
                    answer.ok().flatten().unwrap_or(Reconciled::StillUnknown)
                }
                None => Reconciled::StillUnknown,
            };
            Done::Reconciled { effect, asked, answer }
        };
        self.flights.push(Key::Reconcile(effect), Box::pin(flight));
        Ok(())
    }

    /// The adapter behind a tool, and how long it may take.
    fn adapter(&self, tool: &Name) -> Option<(Arc<dyn Tool>, Span)> {
        match self.agent.tool(tool) {
            Some(BoundTool { behind: Behind::Tool(adapter), timeout, .. }) => Some((adapter.clone(), *timeout)),
            _ => None,
        }
    }

    /// What a tool is given for an effect of the open turn: the very bytes that were validated and decided on.
    pub(super) async fn invocation(
        &mut self,
        effect: u32,
    ) -> Result<Option<(Name, Invocation, EffectClass)>, EngineError> {
        let Some(call) = self.state.call(effect) else { return Ok(None) };
        let (tool, class, index) = (call.head.tool.clone(), call.head.class, call.index);
        let id = self.state.effect_id(effect);
        let key = call.head.key.clone().unwrap_or_else(|| id.to_string().into());
        let rewritten = call.arguments.clone();
        let precondition = call.seen.as_ref().and_then(|seen| seen.precondition.clone());
        let Some(arguments) = self.arguments(index, rewritten).await? else { return Ok(None) };
        let max_output = self.agent.tool(&tool).map_or(0, |t| t.max_output);
        let leave = self.leave(Through::tool(&self.agent, &tool));
        let left = self.state.left();
        let connects = self.connects(effect).await?;
        let invocation = Invocation {
            effect: id,
            session: self.state.session,
            tenant: self.state.tenant.clone(),
            key,
            tool: tool.clone(),
            arguments,
            max_output,
            may_send: MaySend::as_long_as(move || leave.now()),
            connects,
            workspace: self.state.tree,
            limits: self.state.box_limits.clone(),
            left: Left { cpu: left.cpu, traffic: left.traffic },
            precondition,
            on_behalf: Some(self.on_behalf()),
            trace: self.trace(effect),
        };
        Ok(Some((tool, invocation, class)))
    }

    /// The step of the run's trace that calls a tool, where operators want tools to be told.
    pub(super) fn trace(&self, effect: u32) -> Option<TraceContext> {
        let State { run, parent, behalf, .. } = &*self.state;
        let tells = self.engine.0.options.propagate;
        tells.then(|| Place::of(*run, *parent, behalf).context(*run, Step::Effect(effect)))
    }

    /// Who the run is to services that it shows a delegated token.
    pub(super) fn on_behalf(&self) -> Arc<OnBehalf> {
        let State { tenant, agent, version, run, behalf, .. } = &*self.state;
        let (tenant, agent, behalf) = (tenant.clone(), agent.clone(), behalf.clone());
        Arc::new(OnBehalf { tenant, agent, version: Some(*version), run: Some(*run), behalf })
    }

    /// What is asked before an effect speaks to a host; nobody for a tool that speaks to none.
    async fn connects(&mut self, effect: u32) -> Result<Connects, EngineError> {
        let agent = self.agent.clone();
        let speaks = |name: &Name| agent.tool(name).is_some_and(reaches);
        if !self.state.call(effect).is_some_and(|call| speaks(&call.head.tool)) {
            return Ok(Connects::default());
        }
        self.open_reply().await?;
        self.listen(false).await?;
        let Some(call) = self.state.call(effect) else { return Ok(Connects::default()) };
        let (index, tool) = (call.index, call.head.tool.clone());
        let said = self.fresh_reply.as_ref().and_then(|reply| reply.calls.get(usize::from(index)));
        let (arguments, sure) = gate::split(&agent, said.map_or("{}", |said| said.arguments.get()));
        let plan = match (&agent.provenance, &self.hearing) {
            (None, _) => false,
            (Some(provenance), Some(hearing)) => {
                let judged = hearing.judge(provenance, &self.state, call, &arguments);
                // What cannot be judged counts as the worst.
                self.tainted.fetch_or(judged.is_err(), Relaxed);
                judged.is_ok_and(|judged| gate::is_planned(&judged))
            }
            (Some(_), None) => {
                self.tainted.store(true, Relaxed);
                false
            }
        };
        let ask_below = agent.ask_below.and_then(gate::ten_thousandths);
        let approvals = self.let_go_by(effect).await?;
        let call =
            OfCall { risk: sure.risk.unwrap_or_default(), confidence: sure.confidence, ask_below, plan, approvals };
        let principal = self.principal.get_or_init(|| gate::principal(&self.state, &self.agent).into()).clone();
        let ports = &self.engine.0.ports;
        Ok(Connects::asking(Arc::new(Asking {
            sets: ports.policies.clone(),
            clock: ports.clock.clone(),
            tenant: self.state.tenant.clone(),
            agent: self.agent.clone(),
            principal,
            tainted: self.tainted.clone(),
            leave: self.leave(Through::tool(&self.agent, &tool)),
            call: Some(call),
        })))
    }

    /// The answers by which a call was let go, as far as they count now for the very bytes that are sent.
    async fn let_go_by(&mut self, effect: u32) -> Result<Vec<Approval>, EngineError> {
        let Some(call) = self.state.call(effect).filter(|call| !call.given.is_empty()) else { return Ok(Vec::new()) };
        let (index, rewritten) = (call.index, call.arguments.clone());
        let signing = self.engine.0.ports.directories.fresh(&self.state.tenant).await;
        let editors = match signing.directory {
            Some(_) => self.engine.editors(&self.state).await?,
            None => Vec::new(),
        };
        let arguments = self.arguments(index, rewritten).await?;
        let Some((call, arguments)) = self.state.call(effect).zip(arguments) else { return Ok(Vec::new()) };
        let verifier = Verifier { signing: &signing, agent: &self.agent, editors: &editors };
        Ok(verifier.counting(&self.state, call, arguments.get(), &call.given, None))
    }

    /// Whether a call that takes signed answers has none for the very bytes that are sent: the last look before they are.
    async fn is_unsigned(&mut self, effect: u32) -> Result<bool, EngineError> {
        let Some(call) = self.state.call(effect).filter(|call| call.request.is_some()) else { return Ok(false) };
        let signing = self.engine.0.ports.directories.current(&self.state.tenant);
        if !signing.wants(call) && !call.given.iter().any(|given| given.signed.is_some()) {
            return Ok(false);
        }
        Ok(self.let_go_by(effect).await?.is_empty())
    }

    /// Reads the open turn's reply back, if it is not at hand.
    pub(crate) async fn open_reply(&mut self) -> Result<(), EngineError> {
        if self.fresh_reply.is_none()
            && let Some(entry) = self.state.transcript.iter().rev().find(|e| e.kind == EntryKind::Reply)
        {
            let payload = entry.payload.clone();
            self.fresh_reply = Some(view::reply(&self.engine.0.ports.journal, &self.state, &payload).await?);
        }
        Ok(())
    }

    /// The arguments of a call of the open turn: those that stand in the place of the model's, if there are such.
    async fn arguments(
        &mut self,
        index: u16,
        rewritten: Option<Payload>,
    ) -> Result<Option<Arc<RawValue>>, EngineError> {
        if let Some(rewritten) = rewritten {
            let text = payload::open_whole(&self.engine.0.ports.journal, &self.state.tenant, &rewritten).await?;
            let text = String::from_utf8(text.into()).ok().and_then(|text| RawValue::from_string(text).ok());
            return Ok(text.map(Arc::from));
        }
        self.open_reply().await?;
        let call = self.fresh_reply.as_ref().and_then(|r| r.calls.get(usize::from(index)));
        Ok(call.map(|c| Arc::from(c.arguments.clone())))
    }
}

/// Whether a tool, or the box of one, may speak to a host.
pub(super) fn reaches(tool: &BoundTool) -> bool {
    tool.also.iter().any(|also| matches!(also, Also::Connect { .. } | Also::CreateSandbox { network: true, .. }))
}

/// An operator may let the boxes of a run live longer than its manifest does: then the answer is waited for longer too, by what its tier
/// takes besides.
fn longer(limit: Span, around: Span, invocation: &Invocation) -> Span {
    invocation.limits.wall.map_or(limit, |wall| limit.max(Span(wall.0.saturating_add(around.0))))
}

impl Attempt {
    async fn make(self) -> Done {
        let Self { engine, tool, limit, invocation, class, n: attempt, sent, leave } = self;
        let effect = invocation.effect.n;
        let permit = permit(&engine, &engine.0.tools, Some(&leave)).await;
        sent.now();
        let counted = UnderWay::new(&engine.0.counters.tool_calls);
        let (kind, clock) = (tool.kind(), engine.0.ports.clock.clone());
        let called = clock.boot_micros();
        let mut call = call_owned(tool, invocation);
        let done = match tokio::time::timeout(limit.to_std(), &mut call).await {
            Ok(outcome) => Done::Effect { effect, attempt, outcome },
            Err(_) if class.recovery() == Recovery::Surface => Done::TimedOut { effect, attempt, rest: call },
            Err(_) => {
                let text = format!("{}: no answer within {limit}", code::TOOL_TIMEOUT);
                Done::Effect { effect, attempt, outcome: Outcome::Unknown(Output::error(text)) }
            }
        };
        engine.0.counters.called(kind, clock.boot_micros().saturating_sub(called));
        if let Some(how) = failed(&done) {
            engine.0.counters.tool_failed(kind, how);
        }
        drop((permit, counted));
        done
    }
}

/// A tool's call that owns its tool, so that it can outlive the wait for it. A tool that panics has said nothing about
/// what it did.
pub(super) fn call_owned(tool: Arc<dyn Tool>, invocation: Invocation) -> BoxFuture<'static, Outcome<Output>> {
    Box::pin(async move {
        let outcome = unwound(|| tool.call(invocation)).await;
        outcome.unwrap_or_else(|| Outcome::Unknown(Output::error("the tool's adapter panicked")))
    })
}

/// How an attempt came to something else than an answer.
fn failed(done: &Done) -> Option<&'static str> {
    match done {
        Done::Effect { outcome, .. } => match outcome {
            Outcome::Returned(output) => output.error.then_some("error"),
            Outcome::Refused(_) => Some("refused"),
            Outcome::NotSent(_) => Some("not_sent"),
            Outcome::Unknown(_) => Some("unknown"),
        },
        Done::TimedOut { .. } => Some("unknown"),
        _ => None,
    }
}
