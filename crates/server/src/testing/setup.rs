//! The setup of a case, as `stead test` hands it to the process that runs it.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use stead_core::{budget::Price, code, id::Name};
use stead_manifest::{
    cases::Returned,
    manifest::{ModelChoice, ModelSource},
};
use stead_models::{
    cassette::{Cassette, CassetteError, Pace, Player},
    registry::{Resolved, list_price},
    rehearsal::{Rehearsal, Script},
};
use stead_ports::{agent::AgentError, model::Model, tool::Tool};

use super::{doubles::Double, ledger::Ledger};

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// What stands for the agent's models.
    pub model: Option<StandIn>,
    /// What doubles do with each effect, by full name of the tool; the last goes on.
    pub tools: BTreeMap<Name, Vec<Returned>>,
    /// Where doubles note what they were asked.
    pub ledger: PathBuf,
    /// Where the process ends.
    pub crash: Option<CrashAt>,
}

/// What stands for an agent's models.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandIn {
    /// A script.
    Rehearsal {
        /// What errors call it.
        file: String,
        /// Its text.
        text: String,
    },
    /// A cassette.
    Cassette {
        /// What errors call it.
        file: String,
        /// Its text.
        text: String,
        /// Whether it answers by order alone.
        loose: bool,
    },
}

/// Where the process ends by `SIGKILL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashAt {
    /// The record that this process appends, from 1.
    pub record: u64,
    /// Before or after.
    pub moment: Moment,
}

/// See [`CrashAt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// It is about to be written: what was done since the record before is not known to the journal.
    Before,
    /// It is on disk, and nobody has heard of it.
    After,
}

/// A setup at work.
pub(crate) struct StandIns {
    setup: Setup,
    model: OnceLock<Arc<dyn Model>>,
    ledger: Arc<Mutex<Ledger>>,
}

impl fmt::Debug for StandIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandIns").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl StandIns {
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        let ledger = Arc::new(Mutex::new(Ledger::open(&setup.ledger)?));
        Ok(Self { setup, model: OnceLock::new(), ledger })
    }

    /// What stands for a model of that agent; `None` when it speaks for itself. Agents of an agent's folder
    /// (`desk/researcher`) keep their own.
    pub(crate) fn model(&self, agent: &Name, choice: &ModelChoice) -> Result<Option<Resolved>, AgentError> {
        match &self.setup.model {
            Some(stand_in) if !agent.contains('/') => {
                let made = match self.model.get() {
                    Some(model) => model.clone(),
                    None => make(stand_in)?,
                };
                // One for all places in the chain and all loads: it may count.
                let model = self.model.get_or_init(|| made).clone();
                Ok(Some(Resolved { model, price: price(stand_in, choice) }))
            }
            _ if is_real(choice) => {
                let detail = format!("the agent `{agent}` has a real model, and a test asks none");
                Err(AgentError { code: code::TEST_MODEL, detail })
            }
            _ => Ok(None),
        }
    }

    /// Whether some operation of that tool has a double.
    pub(crate) fn stands_for_some(&self, tool: &str) -> bool {
        let of = |name: &Name| name.strip_prefix(tool).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        self.setup.tools.keys().any(of)
    }

    /// The double of a tool.
    pub(crate) fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        let (name, does) = self.setup.tools.get_key_value(&Name::from(name))?;
        Some(Arc::new(Double::new(name.clone(), does.clone(), self.ledger.clone())))
    }
}

/// What a turn counts as: a recorded one what it would cost, a made up one nothing.
fn price(stand_in: &StandIn, choice: &ModelChoice) -> Option<Price> {
    match (stand_in, &choice.source) {
        (StandIn::Cassette { .. }, ModelSource::Provider(name)) if is_real(choice) => {
            choice.base_url.is_none().then(|| list_price(name)).flatten()
        }
        _ => Some(Rehearsal::PRICE),
    }
}

fn is_real(choice: &ModelChoice) -> bool {
    matches!(&choice.source, ModelSource::Provider(name) if !name.starts_with("rehearsal:"))
}

fn make(stand_in: &StandIn) -> Result<Arc<dyn Model>, AgentError> {
    match stand_in {
        StandIn::Rehearsal { file, text } => {
            let script = Script::parse(text);
            let script = script.map_err(|e| AgentError { code: e.code, detail: format!("{file}: {e}") })?;
            Ok(Arc::new(Rehearsal::new(script)))
        }
        StandIn::Cassette { file, text, loose } => {
            let cassette = Cassette::parse(text)
                .map_err(|e| AgentError { code: CassetteError::CODE, detail: format!("{file}: {e}") })?;
            Ok(Arc::new(Player::new(cassette, *loose, Pace::Fast)))
        }
    }
}
