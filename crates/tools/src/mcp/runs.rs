//! One server process for each run that calls a tool of it, and the check that its tools are the pinned ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use stead_core::{code, effect::Outcome, id::RunId};
use stead_ports::tool::Output;

use super::{pin::Discovered, process::Launch, session::Session};

/// The processes of a server, by run.
pub(super) struct Runs {
    launch: Launch,
    pinned: BTreeMap<String, [u8; 16]>,
    slots: Mutex<HashMap<RunId, Arc<Slot>>>,
}

/// A run's place. Its lock is held while a server starts or is checked, so that a run never starts two.
type Slot = tokio::sync::Mutex<Option<Connected>>;

#[derive(Clone)]
struct Connected {
    session: Arc<Session>,
    /// The tools as this process listed them.
    listed: Arc<BTreeMap<String, [u8; 16]>>,
}

impl Runs {
    pub(super) fn new(launch: Launch, pinned: &[Discovered]) -> Self {
        Self { launch, pinned: digests(pinned), slots: Mutex::default() }
    }

    pub(super) async fn call(
        &self,
        run: RunId,
        operation: &str,
        arguments: Map<String, Value>,
        max_output: usize,
    ) -> Outcome<Output> {
        let connected = match self.connect(run).await {
            Ok(connected) => connected,
            Err(why) => return Outcome::NotSent(Output::error(format!("{}: {why}", code::TOOL_SERVER))),
        };
        let changed = match connected.listed.get(operation) {
            None => Some("is gone from the server"),
            Some(now) if self.pinned.get(operation) != Some(now) => Some("has another description or schema now"),
            Some(_) => None,
        };
        if let Some(how) = changed {
            return Outcome::Refused(Output::error(format!(
                "{}: `{operation}` {how} than when this agent version was made; apply the agent again to accept it",
                code::TOOL_CHANGED
            )));
        }
        connected.session.call(operation, arguments, max_output).await
    }

    /// The run's server, started or started again when it must be, and checked again when it says that it changed.
    async fn connect(&self, run: RunId) -> Result<Connected, String> {
        let slot = Arc::clone(self.slots.lock().entry(run).or_default());
        let mut slot = slot.lock().await;
        if let Some(connected) = slot.as_mut().filter(|c| !c.session.is_closed()) {
            if connected.session.tools_changed() {
                connected.listed = Arc::new(digests(&connected.session.tools().await?));
            }
            return Ok(connected.clone());
        }
        *slot = None;
        let session = Session::start(&self.launch).await?;
        let listed = Arc::new(digests(&session.tools().await?));
        Ok(slot.insert(Connected { session: Arc::new(session), listed }).clone())
    }

    pub(super) async fn release(&self, run: RunId) {
        let slot = self.slots.lock().remove(&run);
        if let Some(slot) = slot
            && let Some(connected) = slot.lock().await.take()
            && let Some(session) = Arc::into_inner(connected.session)
        {
            session.close().await;
        }
    }
}

fn digests(tools: &[Discovered]) -> BTreeMap<String, [u8; 16]> {
    tools.iter().map(|d| (d.operation.clone(), d.digest)).collect()
}
