//! A look at what an effect would do: a call of a tool that changes nothing, with the arguments that were decided on. It has no intent:
//! cut off, it is made again.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use serde_json::value::RawValue;
use stead_core::{
    code,
    effect::Outcome,
    id::Name,
    run::{CallPhase, Look},
    time::Span,
};
use stead_policy::Risk;
use stead_ports::{
    agent::{Behind, BoundTool},
    connect::Connects,
    tool::{Invocation, Left, MaySend, Output},
};

use super::{permit, tool::call_owned, tool::reaches};
use crate::{
    actor::Actor,
    flights::{Done, Key, Sent},
    gate::{self, Asking, OfCall},
    off::Through,
    payload,
    stats::UnderWay,
    types::EngineError,
};

impl Actor {
    /// Pays for a look.
    pub(super) async fn look(&mut self, effect: u32) -> Result<(), EngineError> {
        let Some((tool, look)) = self.state.call(effect).and_then(|call| match &call.phase {
            CallPhase::Previewing(look) => Some((call.head.tool.clone(), (**look).clone())),
            _ => None,
        }) else {
            return Ok(());
        };
        let agent = self.agent.clone();
        let how = agent.tool(&tool).and_then(|tool| tool.preview.as_deref());
        let with = agent.tool(&look.tool).and_then(|bound| match &bound.behind {
            Behind::Tool(adapter) => Some((bound, adapter.clone())),
            Behind::Agent(..) => None,
        });
        let arguments = self.look_arguments(&look).await?;
        let (Some(how), Some((bound, adapter)), Some(arguments)) = (how, with, arguments) else {
            let why = "the agent version has no such tool any more, or its arguments cannot be read";
            let outcome = Outcome::NotSent(Output::error(why));
            self.flights.push(Key::Look(effect), Box::pin(async move { Done::Looked { effect, outcome } }));
            return Ok(());
        };
        let limit = Span(how.timeout.0.min(bound.timeout.0));
        let invocation = self.look_invocation(effect, bound, arguments).await?;
        let (engine, sent) = (self.engine.clone(), Sent::default());
        let leave = self.leave(Through::tool(&agent, &look.tool));
        let left = sent.clone();
        let flight = async move {
            let permit = permit(&engine, &engine.0.tools, Some(&leave)).await;
            left.now();
            let counted = UnderWay::new(&engine.0.counters.tool_calls);
            let (kind, clock) = (adapter.kind(), engine.0.ports.clock.clone());
            let called = clock.boot_micros();
            let answer = tokio::time::timeout(limit.to_std(), call_owned(adapter, invocation)).await;
            engine.0.counters.called(kind, clock.boot_micros().saturating_sub(called));
            drop((permit, counted));
            let late = |_| Outcome::Unknown(Output::error(format!("{}: no answer within {limit}", code::TOOL_TIMEOUT)));
            Done::Looked { effect, outcome: answer.unwrap_or_else(late) }
        };
        self.flights.push_waiting(Key::Look(effect), sent, Box::pin(flight));
        Ok(())
    }

    /// The arguments that were decided on, byte for byte.
    async fn look_arguments(&mut self, look: &Look) -> Result<Option<Arc<RawValue>>, EngineError> {
        let text = payload::open_whole(&self.engine.0.ports.journal, &self.state.tenant, &look.arguments).await?;
        let text = String::from_utf8(text.into()).ok().and_then(|text| RawValue::from_string(text).ok());
        Ok(text.map(Arc::from))
    }

    async fn look_invocation(
        &mut self,
        effect: u32,
        bound: &BoundTool,
        arguments: Arc<RawValue>,
    ) -> Result<Invocation, EngineError> {
        let (id, tool) = (self.state.effect_id(effect), Name::from(bound.def.name.as_str()));
        let connects = self.look_connects(effect, bound, arguments.get()).await?;
        let leave = self.leave(Through::tool(&self.agent, &tool));
        let left = self.state.left();
        Ok(Invocation {
            effect: id,
            session: self.state.session,
            tenant: self.state.tenant.clone(),
            key: format!("{id}.preview").into(),
            tool,
            arguments,
            max_output: bound.max_output,
            may_send: MaySend::as_long_as(move || leave.now()),
            connects,
            workspace: self.state.tree,
            limits: self.state.box_limits.clone(),
            left: Left { cpu: left.cpu, traffic: left.traffic },
            precondition: None,
            on_behalf: Some(self.on_behalf()),
            trace: self.trace(effect),
        })
    }

    /// What is asked before the look speaks to a host.
    async fn look_connects(
        &mut self,
        effect: u32,
        bound: &BoundTool,
        arguments: &str,
    ) -> Result<Connects, EngineError> {
        if !reaches(bound) {
            return Ok(Connects::default());
        }
        self.open_reply().await?;
        self.listen(false).await?;
        let agent = self.agent.clone();
        let Some(call) = self.state.call(effect) else { return Ok(Connects::default()) };
        let mut look = call.clone();
        (look.head.tool, look.head.class) = (bound.def.name.as_str().into(), bound.class);
        let plan = match (&agent.provenance, &self.hearing) {
            (None, _) => false,
            (Some(provenance), Some(hearing)) => {
                let judged = hearing.judge(provenance, &self.state, &look, arguments);
                // What cannot be judged counts as the worst.
                self.tainted.fetch_or(judged.is_err(), Relaxed);
                judged.is_ok_and(|judged| gate::is_planned(&judged))
            }
            (Some(_), None) => {
                self.tainted.store(true, Relaxed);
                false
            }
        };
        let call = OfCall { risk: Risk::Normal, confidence: None, ask_below: None, plan, approvals: Vec::new() };
        let principal = self.principal.get_or_init(|| gate::principal(&self.state, &self.agent).into()).clone();
        let ports = &self.engine.0.ports;
        Ok(Connects::asking(Arc::new(Asking {
            sets: ports.policies.clone(),
            clock: ports.clock.clone(),
            tenant: self.state.tenant.clone(),
            agent: agent.clone(),
            principal,
            tainted: self.tainted.clone(),
            leave: self.leave(Through::tool(&agent, &look.head.tool)),
            call: Some(call),
        })))
    }
}
