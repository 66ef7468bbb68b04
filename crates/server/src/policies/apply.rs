//! Applying, going back, confirming: each makes or completes an entry, and what decides follows at once.

use stead_api::{
    policy::{PolicyFiles, PolicySet, PolicyStatus},
    problem::Place,
};
use stead_core::{id::Name, ruling::Person};
use stead_policy::{Edge, Policies, Problem, SetDigest};
use stead_ports::{
    clock::Clock as _,
    policies::{Confirmed, MAX_EPOCH, NewPolicy, PolicyRow},
};

use super::{
    PolicyError, PolicySets,
    check::{Checked, place},
    people::{self, Wants},
    set::Set,
};
use crate::clock::SystemClock;

/// Who applies, and how.
#[derive(Clone, Debug)]
pub(crate) struct By {
    pub(crate) tenant: Name,
    pub(crate) person: Person,
    /// Whether a second person must confirm.
    pub(crate) four_eyes: bool,
}

/// An entry that was made or completed.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) set: PolicySet,
    pub(crate) warnings: Vec<Place>,
    /// Whether it is an entry of now, and not one that said the same already.
    pub(crate) new: bool,
}

impl PolicySets {
    /// Applies or proposes a set of these files.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] when it does not fit, or a case of it has another answer.
    pub(crate) async fn apply(&self, by: By, files: PolicyFiles, rollback: Option<u64>) -> Result<Made, PolicyError> {
        let Checked { set, policies, mut warnings } = self.check(&by.tenant, files).await?;
        warnings.extend(locked_out(&by, &policies));
        // Who goes back may be in a hurry, and its cases passed when it was applied.
        let asked = rollback.is_none();
        let (set, failed) = super::fits::apart(move || {
            let failed = if asked { set.failed(&policies) } else { Ok(Vec::new()) };
            (set, failed)
        })
        .await?;
        match failed {
            Ok(failed) if failed.is_empty() => {}
            Ok(failed) | Err(failed) => return Err(PolicyError::Refused(failed)),
        }
        let (epoch, now) = self.sets.in_force(&by.tenant).await?;
        // Under another set of tools it is checked, and kept, anew.
        if epoch > 0 && *now == set {
            return Ok(Made { set: self.entry(&by.tenant, epoch).await?, warnings, new: false });
        }
        let epoch = self.keep(&by, &set, rollback).await?;
        self.refresh(&by.tenant).await;
        Ok(Made { set: self.entry(&by.tenant, epoch).await?, warnings, new: true })
    }

    async fn keep(&self, by: &By, set: &Set, rollback: Option<u64>) -> Result<u64, PolicyError> {
        let new = NewPolicy {
            tenant: by.tenant.clone(),
            digest: set.digest().0,
            body: set.encode().map_err(PolicyError::TooMuch)?,
            by: by.person.name.clone(),
            at: SystemClock.now(),
            rollback,
            proposed: by.four_eyes,
        };
        let full = || PolicyError::TooMuch(format!("the tenant has applied {MAX_EPOCH} policy sets; no more are kept"));
        self.sets.store.put_policy(new).await?.ok_or_else(full)
    }

    /// Applies the files of an earlier epoch again.
    ///
    /// # Errors
    /// As [`PolicySets::apply`]; [`PolicyError::Epoch`].
    pub(crate) async fn rollback(&self, by: By, epoch: u64) -> Result<Made, PolicyError> {
        let set = self.sets.at(&by.tenant, epoch).await?.ok_or(PolicyError::Epoch(epoch))?;
        self.apply(by, set.files.clone(), Some(epoch)).await
    }

    /// Confirms what somebody else proposed. It is checked again first, because agents may have changed since.
    ///
    /// # Errors
    /// [`PolicyError::Unconfirmed`], [`PolicyError::Epoch`], [`PolicyError::Refused`].
    pub(crate) async fn confirm(&self, tenant: &Name, epoch: u64, by: &Name) -> Result<Made, PolicyError> {
        let set = self.sets.at(tenant, epoch).await?.ok_or(PolicyError::Epoch(epoch))?;
        let checked = self.check(tenant, set.files.clone()).await?;
        match self.sets.store.confirm_policy(tenant, epoch, by, SystemClock.now()).await? {
            Confirmed::Done => {}
            Confirmed::Unknown => return Err(PolicyError::Epoch(epoch)),
            why => return Err(PolicyError::Unconfirmed(epoch, why)),
        }
        self.refresh(tenant).await;
        Ok(Made { set: self.entry(tenant, epoch).await?, warnings: checked.warnings, new: true })
    }

    async fn entry(&self, tenant: &Name, epoch: u64) -> Result<PolicySet, PolicyError> {
        let row = self.sets.store.policy(tenant, epoch).await?.ok_or(PolicyError::Epoch(epoch))?;
        Ok(told(row, self.sets.store.policy_epoch(tenant).await?))
    }

    /// Entries before `before`, the last one first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn list(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PolicySet>, PolicyError> {
        let now = self.sets.store.policy_epoch(tenant).await?;
        let rows = self.sets.store.policies(tenant, before, limit).await?;
        Ok(rows.into_iter().map(|row| told(row, now)).collect())
    }

    /// An entry with its files.
    ///
    /// # Errors
    /// [`PolicyError::Epoch`].
    pub(crate) async fn show(&self, tenant: &Name, epoch: u64) -> Result<(PolicySet, Set), PolicyError> {
        let set = self.sets.at(tenant, epoch).await?.ok_or(PolicyError::Epoch(epoch))?;
        Ok((self.entry(tenant, epoch).await?, (*set).clone()))
    }

    /// The epoch in force; 0 for the default policy alone.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn epoch(&self, tenant: &Name) -> Result<u64, PolicyError> {
        Ok(self.sets.store.policy_epoch(tenant).await?)
    }
}

/// Told to somebody who could not apply policies any more under what they apply.
fn locked_out(by: &By, policies: &Policies) -> Option<Place> {
    let principal = people::principal(&by.tenant, &by.person);
    let why = people::ask(policies, &principal, &Wants::Tenant(Edge::ApplyPolicy)).denied?;
    let who = &by.person.name;
    let problem = Problem::whole("the policy set", format!("under it `{who}` cannot apply policies any more: {why}"));
    Some(place(problem.hint("the data folder's own token can go back in any case: `stead policy rollback EPOCH`")))
}

fn told(row: PolicyRow, now: u64) -> PolicySet {
    let status = match row.is_applied() {
        true if row.epoch == now => PolicyStatus::InForce,
        true => PolicyStatus::Past,
        false if row.epoch < now => PolicyStatus::Overtaken,
        false => PolicyStatus::Proposed,
    };
    let (confirmed_by, confirmed_at) = row.confirmed.unzip();
    PolicySet {
        epoch: row.epoch,
        digest: SetDigest(row.digest).to_string(),
        status,
        by: row.by,
        at: row.at,
        rollback: row.rollback,
        confirmed_by,
        confirmed_at,
    }
}
