//! One session for each run that calls a tool of a server, and the check that its tools are the pinned ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use stead_core::{
    code,
    effect::Outcome,
    id::{EffectId, RunId},
    sandbox::{Action, BoxLimits, BoxUse},
    trace::TraceContext,
};
use stead_ports::tool::Output;

use super::{
    asks::Asks,
    host::Whose,
    ledger::Failure,
    pin::{Discovered, Pin},
    server::Server,
    session::{Asked, Session},
};

/// The sessions with a server, by run.
pub(super) struct Runs {
    server: Server,
    pinned: BTreeMap<String, Pin>,
    asks: Option<Arc<dyn Asks>>,
    slots: Mutex<HashMap<RunId, Arc<Slot>>>,
}

/// A run's place.
#[derive(Default)]
struct Slot {
    /// Its lock is held while a server starts or is checked, so that a run never starts two.
    connected: tokio::sync::Mutex<Option<Connected>>,
    /// What servers have used that ended between two calls.
    owed: Mutex<Option<BoxUse>>,
}

#[derive(Clone)]
struct Connected {
    session: Arc<Session>,
    /// The tools as this session listed them.
    listed: Arc<BTreeMap<String, Pin>>,
}

impl Runs {
    pub(super) fn new(server: Server, pinned: &[Discovered], asks: Option<Arc<dyn Asks>>) -> Self {
        Self { server, pinned: pins(pinned), asks, slots: Mutex::default() }
    }

    pub(super) async fn call(
        &self,
        whose: &Whose,
        effect: EffectId,
        operation: &str,
        arguments: Map<String, Value>,
        (max_output, trace): (usize, Option<&TraceContext>),
    ) -> Outcome<Output> {
        let (first, session) = self.attempt(whose, effect, operation, arguments.clone(), (max_output, trace)).await;
        // A server that forgot the session has not looked at the call. In a new one, its tools are compared again.
        match (&first, session) {
            (Outcome::NotSent(_), Some(session)) if session.is_expired() => {
                self.attempt(whose, effect, operation, arguments, (max_output, trace)).await.0
            }
            _ => first,
        }
    }

    async fn attempt(
        &self,
        whose: &Whose,
        effect: EffectId,
        operation: &str,
        arguments: Map<String, Value>,
        (max_output, trace): (usize, Option<&TraceContext>),
    ) -> (Outcome<Output>, Option<Arc<Session>>) {
        let begun = Instant::now();
        let slot = Arc::clone(self.slots.lock().entry(whose.run).or_default());
        let connected = match self.connect(whose, &slot).await {
            Ok(connected) => connected,
            Err(why) => {
                let output = Output::error(format!("{}: {}", why.code, why.words));
                return (if why.is_final() { Outcome::Refused(output) } else { Outcome::NotSent(output) }, None);
            }
        };
        let pin = self.pinned.get(operation);
        let changed = match connected.listed.get(operation) {
            None => Some("is gone from the server"),
            Some(now) if !pin.is_some_and(|pin| pin.holds(now)) => Some("has another description or schema now"),
            Some(_) => None,
        };
        if let Some(how) = changed {
            let output = Output::error(format!(
                "{}: `{operation}` {how} than when this agent version was made; apply the agent again to accept it",
                code::TOOL_CHANGED
            ));
            return (Outcome::Refused(output), None);
        }
        let session = connected.session;
        let structured = pin.is_some_and(Pin::tells_results);
        let mut outcome =
            session.call(Asked { effect: effect.n, operation, structured, trace }, arguments, max_output).await;
        slot.count(&session, &mut outcome, begun.elapsed()).await;
        (outcome, Some(session))
    }

    /// The run's session, begun or begun again when it must be, and its tools listed again when they may have changed.
    async fn connect(&self, whose: &Whose, slot: &Slot) -> Result<Connected, Failure> {
        let mut held = slot.connected.lock().await;
        if let Some(connected) = held.as_mut().filter(|c| !c.session.is_closed()) {
            connected.session.acts_for(whose);
            if !connected.session.may_have_changed() {
                return Ok(connected.clone());
            }
            match connected.session.tools().await {
                Ok(tools) => {
                    connected.listed = Arc::new(pins(&tools));
                    return Ok(connected.clone());
                }
                Err(why) if !connected.session.is_closed() => return Err(why),
                // It ended meanwhile, which the next session makes good.
                Err(_) => {}
            }
        }
        if let Some(ended) = held.take() {
            slot.owe(ended.session.used(Duration::ZERO).await);
        }
        let session = Session::start(&self.server, whose, self.asks.as_ref()).await?;
        let listed = Arc::new(pins(&session.tools().await?));
        Ok(held.insert(Connected { session: Arc::new(session), listed }).clone())
    }

    /// Other limits for the run's server.
    pub(super) async fn limit(&self, run: RunId, limits: BoxLimits) {
        if let Server::Hosted(hosted) = &self.server {
            hosted.host.limit(run, limits).await;
        }
    }

    pub(super) async fn release(&self, run: RunId) {
        let slot = self.slots.lock().remove(&run);
        if let Some(slot) = slot
            && let Some(connected) = slot.connected.lock().await.take()
            && let Some(session) = Arc::into_inner(connected.session)
        {
            session.close().await;
        }
    }
}

impl Slot {
    fn owe(&self, used: Option<BoxUse>) {
        let Some(used) = used else { return };
        let mut owed = self.owed.lock();
        match &mut *owed {
            Some(owed) => owed.join(&used),
            None => *owed = Some(used),
        }
    }

    /// Puts what the run's server has used since the last call into the outcome. What was not sent has no fact that could tell it: it
    /// is told with the next call.
    async fn count(&self, session: &Session, outcome: &mut Outcome<Output>, wall: Duration) {
        let (Outcome::Returned(output) | Outcome::Refused(output) | Outcome::Unknown(output)) = outcome else { return };
        self.owe(session.used(wall).await);
        let sandbox = self.owed.lock().take();
        output.action = sandbox.map(|used| Box::new(Action { workspace: None, sandbox: Some(used) }));
    }
}

fn pins(tools: &[Discovered]) -> BTreeMap<String, Pin> {
    tools.iter().map(|d| (d.operation.clone(), Pin::of(d))).collect()
}
