//! The policies port: the policy sets of each tenant, numbered in the order in which they were applied.
//!
//! An entry never changes, but for one thing: what one person has proposed, another confirms, once. The set *in force* is the
//! one with the highest epoch of those that are applied; a tenant that never applied one has epoch 0, which no entry has.
//!
//! Not here: what the files of a set say. The store keeps them as they are given.

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};

use crate::journal::StoreError;

/// Entries that are kept of one tenant; their epochs are 1 to this.
pub const MAX_EPOCH: u64 = 1_000_000;

/// A policy set of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow {
    /// The tenant.
    pub tenant: Name,
    /// Its place in the order of the tenant's sets, from 1.
    pub epoch: u64,
    /// SHA-256 of its files.
    pub digest: [u8; 32],
    /// Its files and the tools that it was checked against, in the server's form; empty in lists.
    pub body: Bytes,
    /// Who applied it, or proposed it.
    pub by: Name,
    /// When.
    pub at: Timestamp,
    /// The epoch whose files these are, when it goes back to one.
    pub rollback: Option<u64>,
    /// Whether it waits, or waited, for a second person.
    pub proposed: bool,
    /// Who confirmed it, and when.
    pub confirmed: Option<(Name, Timestamp)>,
}

impl PolicyRow {
    /// Whether it takes part in what is in force.
    pub fn is_applied(&self) -> bool {
        !self.proposed || self.confirmed.is_some()
    }
}

/// A policy set that is to become the next epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPolicy {
    /// The tenant.
    pub tenant: Name,
    /// SHA-256 of its files.
    pub digest: [u8; 32],
    /// Its files and the tools that it was checked against, in the server's form.
    pub body: Bytes,
    /// Who.
    pub by: Name,
    /// When.
    pub at: Timestamp,
    /// The epoch whose files these are, when it goes back to one.
    pub rollback: Option<u64>,
    /// Whether it takes a second person.
    pub proposed: bool,
}

/// What came of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It is in force.
    Done,
    /// There is no such entry.
    Unknown,
    /// It does not wait for anybody.
    NotProposed,
    /// Who proposed it cannot confirm it.
    Same,
    /// A later set is in force, this one's epoch.
    Late(u64),
}

/// The policy sets of tenants.
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// Keeps a set under the tenant's next epoch and tells that; `None` when the tenant has [`MAX_EPOCH`] of them.
    async fn put_policy(&self, set: NewPolicy) -> Result<Option<u64>, StoreError>;

    /// Lets a proposed set come into force, confirmed by somebody else than who proposed it.
    async fn confirm_policy(
        &self,
        tenant: &Name,
        epoch: u64,
        by: &Name,
        at: Timestamp,
    ) -> Result<Confirmed, StoreError>;

    /// A set.
    async fn policy(&self, tenant: &Name, epoch: u64) -> Result<Option<PolicyRow>, StoreError>;

    /// The epoch in force; 0 when there is none.
    async fn policy_epoch(&self, tenant: &Name) -> Result<u64, StoreError>;

    /// Sets with an epoch below `before`, the last one first, without their bodies.
    async fn policies(&self, tenant: &Name, before: Option<u64>, limit: u32) -> Result<Vec<PolicyRow>, StoreError>;
}
