//! A child run, which a call of an agent starts, and which its parent stops.

use stead_core::{
    budget::Limits,
    code,
    effect::EffectClass,
    fact::{Parent, StopMode},
    grant::Granted,
    id::{Name, RunId, VersionId},
    label::SealedLabel,
    record::Actor as By,
    ruling::{Above, Behalf},
    run::CallPhase,
};
use stead_ports::{agent::Behind, tool::Invocation};

use super::NO_ARGUMENTS;
use crate::{
    actor::Actor,
    flights::{Done, Key},
    hearing::sealed,
    input::handed,
    types::{ChildOf, EngineError, StartRun},
};

impl Actor {
    pub(super) async fn start_child(&mut self, effect: u32, limits: Limits) -> Result<(), EngineError> {
        let found = self.invocation(effect).await?;
        self.listen(false).await?;
        let label = self.handed_label(found.as_ref());
        let (version, input) = match self.child(found) {
            Ok(child) => child,
            Err(error) => {
                let flight = async move { Done::ChildStarted { effect, result: Err(error) } };
                self.flights.push(Key::StartChild(effect), Box::pin(flight));
                return Ok(());
            }
        };
        let mut callers = self.state.behalf.callers.clone();
        callers.push(self.state.agent.clone());
        let mut above = self.state.behalf.above.clone();
        above.push(Above { run: self.run, version: self.state.version });
        let mut grants = self.state.behalf.grants.clone();
        if let Some(CallPhase::Child { grant: Some(grant), .. }) = self.state.call(effect).map(|c| &c.phase) {
            // This run is the last of those above the child.
            let by = u8::try_from(callers.len() - 1).unwrap_or(u8::MAX);
            grants.push(Granted { by, grant: (**grant).clone() });
        }
        let start = StartRun {
            tenant: self.state.tenant.clone(),
            version,
            session: None,
            input,
            files: Vec::new(),
            limits,
            idempotency: None,
            actor: By::Run(self.run),
            behalf: Behalf {
                user: self.state.behalf.user.clone(),
                callers,
                session: Some(self.state.works_for()),
                switch: self.state.behalf.switch,
                above,
                grants,
                delegated: self.state.behalf.delegated,
                trace: self.state.behalf.trace.clone(),
            },
            label,
            parent: Some(ChildOf {
                parent: Parent { run: self.run, effect },
                hops: self.state.hops.saturating_add(1),
                restored: self.state.restored,
            }),
        };
        let (engine, child) = (self.engine.clone(), self.state.effect_id(effect).child().0);
        let flight = async move {
            let result = match Box::pin(engine.start(start)).await {
                Ok(started) => Ok(started.run),
                // One that a process before has started lives, though its version cannot be loaded now: it holds.
                Err(error @ EngineError::Agent { .. }) => match engine.journal().run(child).await {
                    Ok(Some(_)) => Ok(child),
                    Ok(None) => Err(error),
                    Err(trouble) => Err(trouble.into()),
                },
                Err(error) => Err(error),
            };
            Done::ChildStarted { effect, result }
        };
        self.flights.push(Key::StartChild(effect), Box::pin(flight));
        Ok(())
    }

    /// What the input of a child counts: as much as the arguments that hand it over.
    fn handed_label(&self, found: Option<&(Name, Invocation, EffectClass)>) -> Option<SealedLabel> {
        let ((_, invocation, _), provenance) = found.zip(self.agent.provenance.as_ref())?;
        let call = self.state.call(invocation.effect.n)?;
        let judged = self.hearing.as_ref()?.judge(provenance, &self.state, call, invocation.arguments.get());
        judged.ok().map(|judged| sealed(&judged.traced.label()))
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

    pub(crate) fn stop_child(&mut self, effect: u32, child: RunId, mode: StopMode) {
        let (engine, by) = (self.engine.clone(), By::Run(self.run));
        let flight = async move {
            let result = Box::pin(engine.stop(child, mode, by)).await;
            Done::ChildStopped { effect, mode, result }
        };
        self.flights.push(Key::StopChild(effect), Box::pin(flight));
    }
}
