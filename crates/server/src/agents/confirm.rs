//! What one person applied, set or took back, and another confirms: the alias moves, and with it those of the agents of its folder.

use futures_util::{FutureExt as _, future::BoxFuture};
use stead_core::{
    code,
    id::{Name, VersionId},
};
use stead_ports::{
    agent::AgentError,
    clock::Clock as _,
    journal::{AliasMove, AliasMoved, MovedBy, Step},
};

use super::{AgentStore, ApplyError, gone, wired::Wired};
use crate::clock::SystemClock;

/// A proposal that somebody confirms.
#[derive(Clone, Debug)]
pub(crate) struct Confirm {
    pub(crate) tenant: Name,
    pub(crate) agent: Name,
    pub(crate) alias: Name,
    /// What it is to name; `None` removes it.
    pub(crate) to: Option<VersionId>,
    pub(crate) by: Name,
}

impl AgentStore {
    /// Moves an alias as somebody else proposed.
    ///
    /// # Errors
    /// When the store does not answer, or the version cannot be read. What was not proposed is no error: see [`AliasMoved`].
    pub(crate) fn confirm(&self, confirm: Confirm) -> BoxFuture<'_, Result<AliasMoved, ApplyError>> {
        // Boxed: agents nest.
        async move {
            let Confirm { tenant, agent, alias, to, by } = &confirm;
            let wanted = AliasMove {
                tenant: tenant.clone(),
                agent: agent.clone(),
                alias: alias.clone(),
                to: *to,
                expect: None,
                at: SystemClock.now(),
                by: by.clone(),
                why: MovedBy::Set,
                step: Step::Confirmed,
            };
            let moved = self.journal.move_alias(wanted).await?;
            let (true, Some(version)) = (moved == AliasMoved::Done, *to) else { return Ok(moved) };
            let unkept = |e: std::io::Error| AgentError { code: code::DATA_READONLY, detail: e.to_string() };
            self.site.confirm_dir(tenant, agent, version).map_err(unkept)?;
            self.forget(agent);
            for (name, version) in self.nested(tenant, agent, version).await? {
                // One that was not proposed with it names what it named.
                self.confirm(Confirm { agent: name, to: Some(version), ..confirm.clone() }).await?;
            }
            Ok(moved)
        }
        .boxed()
    }

    /// The agents of a version's folder, with the versions that it calls.
    async fn nested(
        &self,
        tenant: &Name,
        agent: &Name,
        version: VersionId,
    ) -> Result<Vec<(Name, VersionId)>, ApplyError> {
        let Some(row) = self.journal.version(tenant, version).await? else { return Ok(Vec::new()) };
        let wired = Wired::decode(&row.body).map_err(|e| gone(version, &e))?;
        let mut nested = Vec::new();
        for child in wired.children.values() {
            let row = self.journal.version(tenant, *child).await?;
            nested.extend(row.filter(|row| row.agent.starts_with(&format!("{agent}/"))).map(|row| (row.agent, *child)));
        }
        Ok(nested)
    }
}
