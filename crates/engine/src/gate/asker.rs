//! Who a run is to policies, told from its journal: for whoever asks about a run that need not be in memory.

use stead_core::{fact::Fact, id::RunId, record::Record, ruling::Behalf, run::GENESIS};
use stead_policy::{Asker, User};

use crate::{Engine, types::EngineError};

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
        Ok(Asker {
            tenant: record.header.tenant.to_string(),
            agent: started.agent.to_string(),
            version: started.version.to_string(),
            session: started.session.to_string(),
            run: run.to_string(),
            user,
            callers,
        })
    }
}

/// The person on whose behalf a run works, and the agents above it.
pub(super) fn of_behalf(behalf: &Behalf) -> (Option<User>, std::collections::BTreeSet<String>) {
    let person = behalf.user.as_ref();
    let user =
        person.map(|p| User { name: p.name.to_string(), roles: p.roles.iter().map(ToString::to_string).collect() });
    (user, behalf.callers.iter().map(ToString::to_string).collect())
}
