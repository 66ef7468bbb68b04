//! Operations on policy sets.

use stead_api::{
    page::{Page, PageQuery},
    policy::{
        AppliedPolicies, ApplyPolicies, CheckPolicies, PolicyCheck, PolicyFiles, PolicyReplay, PolicySet,
        PolicySetFiles, ReplayPolicies,
    },
};

use crate::{client::Client, error::ClientError, operations::APPLY};

impl Client {
    /// Applies a policy set, or proposes it where that takes two people.
    ///
    /// # Errors
    /// [`ClientError`]; for a set that is refused with every wrong place.
    pub async fn apply_policies(&self, files: PolicyFiles) -> Result<AppliedPolicies, ClientError> {
        self.call_within(self.post(&["v1", "policies"], &ApplyPolicies { files })?, APPLY).await
    }

    /// A page of the sets that were applied, the last one first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policy_sets(&self, page: &PageQuery) -> Result<Page<PolicySet>, ClientError> {
        self.call(self.get(&["v1", "policies"], page)?).await
    }

    /// A set with its files: an epoch, or `current`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policies(&self, epoch: &str) -> Result<PolicySetFiles, ClientError> {
        self.call(self.get(&["v1", "policies", epoch], &[(); 0])?).await
    }

    /// What a set would be there.
    ///
    /// # Errors
    /// [`ClientError`]; for a set that is refused with every wrong place.
    pub async fn check_policies(&self, files: PolicyFiles) -> Result<PolicyCheck, ClientError> {
        self.call_within(self.post(&["v1", "policies", "check"], &CheckPolicies { files })?, APPLY).await
    }

    /// Decides recorded calls again.
    ///
    /// # Errors
    /// [`ClientError`]; for a set that is refused with every wrong place.
    pub async fn replay_policies(&self, ask: &ReplayPolicies) -> Result<PolicyReplay, ClientError> {
        self.call_within(self.post(&["v1", "policies", "replay"], ask)?, APPLY).await
    }

    /// Applies the files of an epoch again.
    ///
    /// # Errors
    /// [`ClientError`]; for a set that is refused with every wrong place.
    pub async fn rollback_policies(&self, epoch: u64) -> Result<AppliedPolicies, ClientError> {
        let request = self.post(&["v1", "policies", &epoch.to_string(), "rollback"], &())?;
        self.call_within(request, APPLY).await
    }

    /// Confirms what somebody else has proposed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn confirm_policies(&self, epoch: u64) -> Result<AppliedPolicies, ClientError> {
        let request = self.post(&["v1", "policies", &epoch.to_string(), "confirm"], &())?;
        self.call_within(request, APPLY).await
    }
}
