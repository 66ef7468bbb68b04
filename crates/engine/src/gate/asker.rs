//! Who a run is to policies, told from its journal: for whoever asks about a run that need not be in memory.

use stead_core::{
    code,
    fact::Fact,
    grant::Use,
    id::{Name, RunId, VersionId},
    record::Record,
    ruling::Behalf,
    run::{GENESIS, State},
};
use stead_policy::{Asker, Handed, User};

use crate::{Engine, load::load, switches::told, types::EngineError};

impl Engine {
    /// Who a run is to policies.
    ///
    /// # Errors
    /// When the run does not exist or its first record cannot be read.
    pub async fn asker(&self, run: RunId) -> Result<Asker, EngineError> {
        let first = self.journal().read(run, 0, 1).await?;
        let first = first.first().ok_or_else(|| EngineError::NotFound { what: run.to_string() })?;
        let quarantined = |why: String| EngineError::Quarantined { run, why };
        let (record, _) = Record::decode(&first.bytes, GENESIS).map_err(|e| quarantined(format!("record 0: {e}")))?;
        let started = record.facts.iter().find_map(|fact| match fact {
            Fact::RunStarted(started) => Some(started),
            _ => None,
        });
        let started = started.ok_or_else(|| quarantined("its first record is not a start".to_owned()))?;
        let behalf = started.behalf.as_deref().cloned().unwrap_or_default();
        let (user, callers) = of_behalf(&behalf);
        let grant = Handed::of(&behalf, &started.config.limits);
        Ok(Asker {
            tenant: record.header.tenant.to_string(),
            agent: started.agent.to_string(),
            version: started.version.to_string(),
            session: started.session.to_string(),
            run: run.to_string(),
            user,
            callers,
            grant,
        })
    }
}

/// Whose a run is: what a token of it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The tenant.
    pub tenant: Name,
    /// The agent.
    pub agent: Name,
    /// Its version.
    pub version: VersionId,
    /// The run.
    pub run: RunId,
    /// On whose behalf it works, and what is above it.
    pub behalf: Behalf,
}

impl Engine {
    /// Whether what a run shows others still counts: it may act now, and whoever it acts for lets it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn may_be_shown(&self, run: RunId) -> Result<bool, EngineError> {
        match self.acting(run).await {
            Ok(Lineage { behalf, .. }) => {
                let now = self.0.ports.clock.now();
                Ok(!behalf.is_over(now) && behalf.allows(Use::Anything, now).is_ok())
            }
            Err(EngineError::NotFound { .. } | EngineError::Conflict { .. } | EngineError::Agent { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Whose a run is that may act now: one that has not ended, is not being stopped, and of which operators have turned off nothing.
    ///
    /// # Errors
    /// When the run does not exist or cannot be read; `ST0008` when it has ended or stops, `ST0340` when it is off.
    pub async fn acting(&self, run: RunId) -> Result<Lineage, EngineError> {
        let missing = || EngineError::NotFound { what: run.to_string() };
        let state = load(self.journal(), run).await?.ok_or_else(missing)?.state;
        if state.life.ended() || state.stop.is_some() {
            return Err(EngineError::Conflict { why: format!("{run} has ended, or is being stopped") });
        }
        if let Some(row) = self.off(&state) {
            return Err(EngineError::Agent { code: code::DISABLED, detail: told(&row) });
        }
        let State { tenant, agent, version, behalf, .. } = &*state;
        let (tenant, agent, behalf) = (tenant.clone(), agent.clone(), behalf.clone());
        Ok(Lineage { tenant, agent, version: *version, run, behalf })
    }
}

/// The person on whose behalf a run works, and the agents above it.
pub(super) fn of_behalf(behalf: &Behalf) -> (Option<User>, std::collections::BTreeSet<String>) {
    let person = behalf.user.as_ref();
    let user =
        person.map(|p| User { name: p.name.to_string(), roles: p.roles.iter().map(ToString::to_string).collect() });
    (user, behalf.callers.iter().map(ToString::to_string).collect())
}
