//! The port of erasure and of legal holds: whose texts are to go, what was to go and is gone, and what must stay.
//!
//! An *erasure* is a job: it is kept before anything is done and until all is done, and each of its steps may be done again. It names its person
//! only by a pseudonym, a keyed digest: what is kept of an erasure must not say whom it was about.
//!
//! Not here: what a record means and which texts are in it (`stead-core`), what a workspace leads to, and the certificate.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stead_core::{
    id::{BlobId, LeafHash, Name, RunId, TreeId},
    time::Timestamp,
};

use crate::journal::{RunRow, StoreError};

/// Holds of a tenant that are in force at once.
pub const MAX_HOLDS: u64 = 10_000;
/// Runs of one erasure.
pub const MAX_RUNS: usize = 1_000_000;
/// What a list shows of a run whose texts were erased.
pub const ERASED_TITLE: &str = "[erased]";

/// What a legal hold is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Everything of the tenant.
    Tenant,
    /// A person: the runs that work on their behalf.
    Subject,
    /// All runs of a session.
    Session,
    /// One run, with its children.
    Run,
}

impl Held {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tenant, Self::Subject, Self::Session, Self::Run];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Subject => "subject",
            Self::Session => "session",
            Self::Run => "run",
        }
    }

    /// What the word is for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == word)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that must stay, whoever asks for its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: u128,
    /// The tenant.
    pub tenant: Name,
    /// What it is about.
    pub what: Held,
    /// Which one of these; of [`Held::Tenant`] its name.
    pub name: Name,
    /// Who placed it.
    pub by: Name,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: String,
    /// Who released it, and when; it counts no more then.
    pub released: Option<(Name, Timestamp)>,
}

/// What became of a hold that somebody placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is in force: no erasure of what it covers is under way, and none begins.
    InForce,
    /// The tenant has [`MAX_HOLDS`] in force.
    TooMany,
    /// An erasure has begun that whoever places it has not looked at.
    Erasing,
}

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: u128,
    /// The tenant.
    pub tenant: Name,
    /// The pseudonym of whom it is about: [`ErasureStore::pseudonym`].
    pub subject: [u8; 32],
    /// Who asked for it.
    pub by: Name,
    /// When: it is about all that was there then.
    pub at: Timestamp,
    /// The runs, in the order of their ids; of one that is proposed none yet.
    pub runs: Vec<RunId>,
    /// Whether it waits for a second person.
    pub proposed: bool,
    /// That person, where one was needed.
    pub confirmed_by: Option<Name>,
    /// The signed note that says what was erased; `None` until all is.
    pub certificate: Option<String>,
}

impl Erasure {
    /// Whether it has begun and is not done.
    pub const fn is_under_way(&self) -> bool {
        !self.proposed && self.certificate.is_none()
    }
}

/// A record without its texts.
#[derive(Clone, Debug)]
pub struct Bare {
    /// Its position in the run.
    pub seq: u64,
    /// Its leaf hash, which is as before.
    pub leaf: LeafHash,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A run whose texts go.
#[derive(Clone, Debug)]
pub struct BareRun {
    /// Its tenant.
    pub tenant: Name,
    /// The run.
    pub run: RunId,
    /// Its records that had texts.
    pub records: Vec<Bare>,
    /// Blobs that these texts named: kept with the erasure until it is known whether others name them too.
    pub blobs: Vec<BlobId>,
}

/// A tree of a workspace that no fact names: the snapshot of a session sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTree {
    /// The tenant.
    pub tenant: Name,
    /// The tree.
    pub tree: TreeId,
    /// Who took it.
    pub owner: Name,
    /// Until when it is held.
    pub until: Timestamp,
}

/// The blobs that a record names; `None` for one that cannot be read, which may name any.
pub type Naming = Arc<dyn Fn(&[u8]) -> Option<Vec<BlobId>> + Send + Sync>;

/// What keeps erasures and holds, and erases.
#[async_trait]
pub trait ErasureStore: Send + Sync + 'static {
    /// What stands for a person in what is kept of erasures: a digest under the key of addresses, which is in no database.
    fn pseudonym(&self, tenant: &Name, subject: &Name) -> [u8; 32];

    /// Runs that work on behalf of a person, children included, in the order of their ids after `after`.
    async fn runs_of(
        &self,
        tenant: &Name,
        subject: &Name,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError>;

    /// Persons on whose behalf a tenant's runs work, each once, in the order of their names after `after`.
    async fn subjects(&self, after: Option<(Name, Name)>, limit: u32) -> Result<Vec<(Name, Name)>, StoreError>;

    /// On whose behalf a run works, and where it stands.
    async fn subject(&self, run: RunId) -> Result<Option<Name>, StoreError>;

    /// Keeps a hold, in one transaction with the look whether an erasure of the tenant is under way whose id is not in `known`: those that
    /// were found not to be about what is held. So of a hold and an erasure at once, one is refused.
    async fn place_hold(&self, hold: Hold, known: Vec<u128>) -> Result<Placed, StoreError>;

    /// Ends a hold; false when there is none of that id in force in the tenant.
    async fn release_hold(&self, tenant: &Name, id: u128, by: &Name, at: Timestamp) -> Result<bool, StoreError>;

    /// Holds of a tenant, or of all, the last one first; with `all` also those that were released.
    async fn holds(&self, tenant: Option<&Name>, all: bool) -> Result<Vec<Hold>, StoreError>;

    /// Keeps an erasure that is proposed or begins, or begins one that was proposed, and removes the name of its `subject` from holds that
    /// were released. Refused (false) when a hold of the tenant is in force whose id is not in `known`: somebody placed it meanwhile. One that
    /// has its certificate already is done again to what was restored: it takes no key of the person that was made after it, and is under way
    /// until [`ErasureStore::finish_erasure`] all the same.
    async fn begin_erasure(
        &self,
        erasure: Erasure,
        subject: Option<Name>,
        known: Vec<u128>,
    ) -> Result<bool, StoreError>;

    /// Erasures, oldest first.
    async fn erasures(&self) -> Result<Vec<Erasure>, StoreError>;

    /// Puts records without texts in the place of those with them, all or none, keeps which blobs they named, and removes what else is
    /// kept of the run: its title, its idempotency key, messages from and to it, and snapshots of all runs of its session. A record
    /// that has another leaf hash is left as it is, and the answer is false.
    async fn erase_run(&self, erasure: u128, run: BareRun) -> Result<bool, StoreError>;

    /// Sessions of these runs: no run goes on with their conversation and files, and those of which all runs are among them lose their key.
    async fn leave_sessions(&self, runs: Vec<RunId>) -> Result<(), StoreError>;

    /// Removes the blobs that an erasure has kept and no record names any more; how many these were. A record that is appended meanwhile
    /// is looked at too.
    ///
    /// # Errors
    /// ST0363 when a record of the tenant cannot be read: it may name any of them, so that all stay.
    async fn remove_blobs(&self, erasure: u128, tenant: &Name, names: Naming) -> Result<u64, StoreError>;

    /// Of these objects those that are there, each with the time until which it is held.
    async fn held_until(&self, tenant: &Name, ids: &[BlobId]) -> Result<Vec<(BlobId, Timestamp)>, StoreError>;

    /// Removes objects that are held until exactly that time; how many these were.
    async fn remove_held(&self, tenant: &Name, ids: Vec<(BlobId, Timestamp)>) -> Result<u64, StoreError>;

    /// Sees to it that nothing of what was removed is left in the files of the database. It may take as long as reading and writing all.
    async fn purge(&self) -> Result<(), StoreError>;

    /// Destroys the keys under which backups have what an erasure is about, and remembers that it did; how many it has destroyed, at this
    /// time and before. Keys for runs that began after it stay.
    async fn destroy_keys(&self, erasure: &Erasure) -> Result<u64, StoreError>;

    /// Keeps the certificate of an erasure: all is done.
    async fn finish_erasure(&self, id: u128, certificate: String) -> Result<(), StoreError>;

    /// Keeps who took a snapshot of a sandbox; what is held no more at `now` is forgotten.
    async fn keep_tree(&self, tree: KeptTree, now: Timestamp) -> Result<(), StoreError>;

    /// Trees that a person keeps.
    async fn kept_trees(&self, tenant: &Name, owner: Option<&Name>) -> Result<Vec<KeptTree>, StoreError>;

    /// Forgets trees that a person keeps.
    async fn forget_trees(&self, tenant: &Name, owner: &Name) -> Result<(), StoreError>;
}
