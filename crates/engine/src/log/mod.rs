//! The audit log behind the journal: one integrator gives what was written its place, and anybody may read and prove.
//!
//! * [`key`](LogKey) is what the logs are called and signed with.
//! * `head` is where a log stands, as much of it as appending needs; `prepare` makes leaves and tiles of what was written.
//! * `integrator` is the one task that takes, prepares and writes, a transaction at a time: what is cut off in the middle was never begun.
//! * `read` looks things up, believes no tile, and makes proofs and bundles.
//!
//! Not here: what a leaf says and how it is hashed (`stead-audit`), how it is kept (`stead-store`), who may look (the server).

mod head;
mod integrator;
mod key;
mod prepare;
mod read;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use stead_audit::key::{SignerKey, VerifierKey};
use stead_core::id::Name;
use stead_ports::{
    audit::{AuditStore, LogRow},
    clock::Clock,
    journal::{Lease, StoreError},
};
use tokio::sync::{mpsc, oneshot, watch};

pub use key::LogKey;
pub use read::{LogError, Picked};

/// How long the end of a process waits until what was written is in the log.
const FINISH: Duration = Duration::from_secs(5);

/// What may be asked of the integrator and not be heard yet; who asks then waits for room, within the time that it has.
const ASKS: usize = 1_024;

/// How the integrator does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Leaves that this process has integrated.
    pub integrated: u64,
    /// Why the last attempt failed; `None` when it did not.
    pub failing: Option<StoreError>,
}

/// The audit log of a process that owns its journal; clones are handles to the same one.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    store: Arc<dyn AuditStore>,
    lease: Lease,
    key: LogKey,
    asks: mpsc::Sender<Ask>,
    news: watch::Receiver<u64>,
    health: Arc<Mutex<Health>>,
}

/// What is asked of the integrator.
enum Ask {
    /// To tell when all is in the log that was written before.
    CatchUp(oneshot::Sender<()>),
    /// To do so, and end.
    Finish(oneshot::Sender<()>),
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("key", &self.0.key).finish_non_exhaustive()
    }
}

impl Log {
    /// Starts the integrator.
    pub(crate) fn keep(store: Arc<dyn AuditStore>, key: LogKey, lease: Lease, clock: Arc<dyn Clock>) -> Self {
        let (asks, asked) = mpsc::channel(ASKS);
        let (told, news) = watch::channel(0);
        let health = Arc::<Mutex<Health>>::default();
        let integrator = integrator::Integrator::new(store.clone(), key.clone(), lease, clock, health.clone());
        tokio::spawn(integrator.run(asked, told));
        Self(Arc::new(Shared { store, lease, key, asks, news, health }))
    }

    /// The key by which others verify the log of a tenant; that of the operators for [`stead_ports::audit::OPERATORS`].
    pub fn verifier(&self, tenant: &Name) -> VerifierKey {
        self.0.key.signer(tenant).verifier().clone()
    }

    /// The key itself, for what is signed in the name of a log beside its checkpoints.
    pub fn signer(&self, tenant: &Name) -> SignerKey {
        self.0.key.signer(tenant)
    }

    /// Changes whenever a log has new leaves.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.clone()
    }

    /// How the integrator does.
    pub fn health(&self) -> Health {
        self.0.health.lock().clone()
    }

    /// What keeps it.
    pub fn store(&self) -> &Arc<dyn AuditStore> {
        &self.0.store
    }

    /// Where a log stands; `None` when it has no leaf yet.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn head(&self, tenant: &Name) -> Result<Option<LogRow>, StoreError> {
        self.0.store.log(tenant).await
    }

    /// How far a reader of the logs has come, by tenant; nothing before it has noted anything.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read_upto(&self, reader: &str) -> Result<Vec<(Name, u64)>, StoreError> {
        self.0.store.read_upto(reader).await
    }

    /// Notes how far a reader has come.
    ///
    /// # Errors
    /// When the store does not answer, or the journal is another's by now.
    pub async fn note_upto(&self, reader: &str, upto: &[(Name, u64)]) -> Result<(), StoreError> {
        self.0.store.note_upto(self.0.lease, reader, upto).await
    }

    /// Waits until all is in the log that was written before; false when that took longer than `within`, or nobody integrates.
    pub async fn caught_up(&self, within: Duration) -> bool {
        self.ask(Ask::CatchUp, within).await
    }

    /// The same, after which nothing is integrated any more.
    pub(crate) async fn finish(&self) {
        self.ask(Ask::Finish, FINISH).await;
    }

    async fn ask(&self, ask: fn(oneshot::Sender<()>) -> Ask, within: Duration) -> bool {
        let (done, told) = oneshot::channel();
        let answered = async { self.0.asks.send(ask(done)).await.is_ok() && told.await.is_ok() };
        tokio::time::timeout(within, answered).await.unwrap_or(false)
    }
}
