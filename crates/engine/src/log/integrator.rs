//! The one task that integrates. It is woken by appends, waits a little so that many share a transaction, and goes on until nothing is left.
//! What it writes counts under the lease alone; a log that does not stand where it left it is read anew.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use stead_core::{code, id::Name};
use stead_ports::{
    audit::{AuditStore, MOST_BYTES, Unsequenced},
    clock::Clock,
    journal::{Lease, StoreError},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    Ask, Health,
    head::Head,
    key::LogKey,
    prepare::{Heads, doubtful, prepare, tenant_of},
};

/// Records in one transaction.
const BATCH: u32 = 4_096;
/// How long what was appended may wait for more.
const PACE: Duration = Duration::from_millis(100);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The same when the lease may be another's.
const LOST: Duration = Duration::from_secs(30);
/// Logs whose edges are kept in memory; one has some 100 KiB at most.
const KEPT: usize = 256;

/// See the module.
pub(super) struct Integrator {
    store: Arc<dyn AuditStore>,
    key: LogKey,
    lease: Lease,
    clock: Arc<dyn Clock>,
    health: Arc<Mutex<Health>>,
    heads: Heads,
}

impl Integrator {
    pub(super) fn new(
        store: Arc<dyn AuditStore>,
        key: LogKey,
        lease: Lease,
        clock: Arc<dyn Clock>,
        health: Arc<Mutex<Health>>,
    ) -> Self {
        Self { store, key, lease, clock, health, heads: Heads::new() }
    }

    /// Works until it is told to finish, or nobody can tell it any more.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Ask>, told: watch::Sender<u64>) {
        let bell = self.store.bell();
        let (mut waiting, mut last) = (Vec::<oneshot::Sender<()>>::new(), None);
        loop {
            let mut failed = false;
            let wait = match self.all(&told).await {
                Ok(found) => {
                    self.health.lock().failing = None;
                    // Whoever has gone needs no answer.
                    let finished = last.is_some();
                    for done in waiting.drain(..).chain(last.take()) {
                        let _ = done.send(());
                    }
                    if finished {
                        return;
                    }
                    // While there is work all the time, each round waits for as much as comes in a pace: small rounds cost as much as large ones.
                    found.then(|| Instant::now() + PACE)
                }
                Err(error) => {
                    tracing::warn!(%error, "the audit log does not go on; what was written stays to be integrated");
                    // Another owner integrates from now on; or somebody only held the file for a moment.
                    let pause = if error.code == code::DATA_LOCKED { LOST } else { AGAIN };
                    self.health.lock().failing = Some(error);
                    self.heads.clear();
                    if last.is_some() {
                        return;
                    }
                    failed = true;
                    Some(Instant::now() + pause)
                }
            };
            let until = match wait {
                Some(until) => until,
                None => {
                    tokio::select! {
                        () = bell.notified() => Instant::now() + PACE,
                        ask = asked.recv() => {
                            let Some(ask) = ask else { return };
                            take(ask, &mut waiting, &mut last);
                            continue;
                        }
                    }
                }
            };
            // Somebody who waits is not kept waiting, but after a failure.
            if let Ok(ask) = timeout_at(until, asked.recv()).await {
                let Some(ask) = ask else { return };
                take(ask, &mut waiting, &mut last);
                if failed && last.is_none() {
                    tokio::time::sleep_until(until).await;
                }
            }
        }
    }

    /// Integrates all that was written before it began; whether there was anything.
    async fn all(&mut self, told: &watch::Sender<u64>) -> Result<bool, StoreError> {
        let mut any = false;
        loop {
            let found = self.store.unsequenced(BATCH).await?;
            if found.is_empty() {
                return Ok(any);
            }
            any = true;
            let whole = found.len() < BATCH as usize && bytes_of(&found) < MOST_BYTES / 2;
            self.load(&found).await?;
            let (mut heads, now, count) = (std::mem::take(&mut self.heads), self.clock.now(), found.len());
            // Thousands of hashes: not on a thread on which others wait.
            let prepared = tokio::task::spawn_blocking(move || (prepare(found, &mut heads, now), heads)).await;
            let broke = |e: tokio::task::JoinError| StoreError { code: code::INTERNAL, detail: e.to_string() };
            let (change, heads) = prepared.map_err(broke)?;
            if !self.store.integrate(self.lease, change?).await? {
                let detail = "a log was changed by somebody else; it is read anew".into();
                return Err(StoreError { code: code::CONFLICT, detail });
            }
            self.heads = heads;
            self.health.lock().integrated += count as u64;
            told.send_modify(|n| *n += 1);
            if whole {
                return Ok(true);
            }
        }
    }

    /// Sees to it that the logs of all these are in memory.
    async fn load(&mut self, found: &[Unsequenced]) -> Result<(), StoreError> {
        let tenants: HashSet<Name> = found.iter().map(tenant_of).collect();
        if self.heads.len() + tenants.len() > KEPT {
            self.heads.retain(|tenant, _| tenants.contains(tenant));
        }
        for tenant in tenants {
            if !self.heads.contains_key(&tenant) {
                let head = Head::load(&*self.store, &tenant, self.key.signer(&tenant)).await?;
                self.heads.insert(tenant, head);
            }
        }
        for (tenant, run, seq) in doubtful(found, &self.heads) {
            let spans = self.store.spans(run, seq - 1, 1).await?;
            let there = spans.iter().any(|span| span.seq + span.indexes.len() as u64 >= seq);
            if !there && let Some(head) = self.heads.get_mut(&tenant) {
                head.unread.insert(run);
            }
        }
        Ok(())
    }
}

/// Bytes of records. Where a store gives no more because of these, it gives [`MOST_BYTES`] as they are stored.
fn bytes_of(found: &[Unsequenced]) -> usize {
    found.iter().map(|one| if let Unsequenced::Record { bytes, .. } = one { bytes.len() } else { 0 }).sum()
}

fn take(ask: Ask, waiting: &mut Vec<oneshot::Sender<()>>, last: &mut Option<oneshot::Sender<()>>) {
    match ask {
        Ask::CatchUp(done) => {
            // Whoever has waited long enough has gone; while nothing can be integrated they would only become more.
            waiting.retain(|waits| !waits.is_closed());
            waiting.push(done);
        }
        Ask::Finish(done) => *last = Some(done),
    }
}
