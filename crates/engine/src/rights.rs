//! People who lose the right to have runs while some work on their behalf. The server sees that when they come next, with other groups
//! or none; it is kept as a switch, so that every server knows it, over crashes, and what holds goes on when they have the right again.
//!
//! Not here: people of the configuration, of whom the configuration alone says so ([`stead_ports::people`]).

use stead_core::{
    id::{Name, RunId},
    time::Timestamp,
};
use stead_ports::switches::{NewSwitch, What};

use crate::{Engine, signing::seconds, types::EngineError};

/// Who turns such a switch.
const SERVER: &str = "the server";

impl Engine {
    /// Notes that a person of an identity provider starts runs, before the first one: of others nobody has to keep anything.
    ///
    /// # Errors
    /// When the store cannot write, or holds no more.
    pub async fn delegates(&self, tenant: &Name, person: &Name) -> Result<(), EngineError> {
        if self.0.board.view().delegates(tenant, person) {
            return Ok(());
        }
        self.delegation(tenant, person, true, "they began to let runs work on their behalf").await
    }

    /// Notes in which tenant a person of an identity provider may have runs now, if in any. What runs do on their behalf in another one
    /// begins no more once this returns. They have the right again by a token that was issued, in seconds since 1970, since they lost
    /// it: an older one says what was so before.
    ///
    /// # Errors
    /// When the store cannot write: then it is not in force.
    pub async fn may_have_runs(
        &self,
        person: &Name,
        here: Option<&Name>,
        issued: Option<u64>,
    ) -> Result<(), EngineError> {
        let Some(view) = self.0.board.any() else { return Ok(()) };
        for tenant in view.delegating(person) {
            let off = view.off(&tenant, What::Delegation, person);
            match (here == Some(&tenant), off) {
                (false, None) => {
                    let why = "their groups do not let them have runs any more";
                    self.delegation(&tenant, person, false, why).await?;
                }
                (true, Some(row)) if &*row.switch.by == SERVER && issued >= Some(seconds(row.switch.at)) => {
                    self.delegation(&tenant, person, true, "their groups let them have runs again").await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn delegation(&self, tenant: &Name, person: &Name, on: bool, why: &str) -> Result<(), EngineError> {
        let (tenant, name, by, reason) = (tenant.clone(), person.clone(), SERVER.into(), why.to_owned());
        let switch = NewSwitch { tenant, what: What::Delegation, name, on, by, at: Timestamp(0), reason };
        self.turn(switch).await.map(drop)
    }

    /// The same as [`Self::renew`], for who only may be the person on whose behalf the run works.
    ///
    /// # Errors
    /// When the store cannot write.
    pub async fn renew_if_theirs(&self, run: RunId, person: &Name) -> Result<(), EngineError> {
        match self.renew(run, person.clone()).await {
            Err(EngineError::Conflict { .. } | EngineError::NotFound { .. } | EngineError::Quarantined { .. }) => {
                Ok(())
            }
            other => other,
        }
    }
}
