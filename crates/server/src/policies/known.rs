//! What the policy set of an epoch was: for whoever compares a recorded decision with it.

use std::collections::BTreeSet;

use stead_core::{
    id::{Name, VersionId},
    time::Timestamp,
};

use super::{PolicyError, PolicySets, fits::compiled, set::Set};

/// What is known of an epoch.
#[derive(Debug)]
pub(crate) enum Known {
    /// Since when it was in force, and the ids of the policies that decided for a version then.
    Policies {
        /// Since when.
        since: Timestamp,
        /// The ids.
        ids: BTreeSet<String>,
    },
    /// It is not what it was, or never decided anything.
    Wrong(String),
    /// There is not enough left to say more than that it was there.
    Partly(String),
}

impl PolicySets {
    /// The policies that decided for a version under an epoch.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn known(&self, tenant: &Name, version: VersionId, epoch: u64) -> Result<Known, PolicyError> {
        let (mut since, mut set) = (Timestamp(i64::MIN), Set::default());
        if epoch > 0 {
            let Some(row) = self.sets.store.policy(tenant, epoch).await? else {
                return Ok(Known::Wrong("there is no such set".to_owned()));
            };
            if !row.is_applied() {
                return Ok(Known::Wrong("it was proposed, and never confirmed".to_owned()));
            }
            match Set::decode(&row.body) {
                Ok(kept) if kept.digest().0 == row.digest => set = kept,
                Ok(_) => return Ok(Known::Wrong("its files are not those of its digest: it was changed".to_owned())),
                Err(why) => return Ok(Known::Wrong(why)),
            }
            since = row.confirmed.map_or(row.at, |(_, at)| at);
        }
        let Ok(described) = self.agents.described(tenant, version).await else {
            return Ok(Known::Partly(format!(
                "{version} cannot be loaded any more: policies of its own are not known"
            )));
        };
        match compiled(set.into(), Some(described), epoch).await {
            Ok(policies) => Ok(Known::Policies { since, ids: policies.ids().map(str::to_owned).collect() }),
            Err(PolicyError::Refused(_)) => Ok(Known::Partly(format!(
                "policy set {epoch} cannot be made any more by this release; its files are what they were"
            ))),
            Err(e) => Err(e),
        }
    }
}
