//! Ownership, as the dispatch gate sees it. An epoch fences the journal, not the world: so the lease is looked at last
//! of all before something leaves the process, on the clock that also runs while the machine sleeps.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use stead_core::time::Span;
use stead_ports::{clock::Clock, journal::Lease};

/// How long an engine asks for.
pub(crate) const TTL: Span = Span::from_secs(15);
/// How long before its end a lease no longer lets anything out.
const MARGIN: Span = Span::from_secs(3);

/// The lease of an engine.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) lease: Lease,
    /// Boot-time microseconds until which effects may leave.
    until: AtomicU64,
}

impl Gate {
    /// A gate for a lease just taken; `asked` is the boot time before it was asked for.
    pub(crate) fn new(lease: Lease, asked: u64) -> Self {
        let gate = Self { lease, until: AtomicU64::new(u64::MAX) };
        gate.renewed(asked);
        gate
    }

    /// The lease was renewed by a request sent at `asked`.
    pub(crate) fn renewed(&self, asked: u64) {
        if let Some(ttl) = self.lease.ttl {
            self.until.store(asked.saturating_add(ttl.0).saturating_sub(MARGIN.0), SeqCst);
        }
    }

    /// The lease is lost for good.
    pub(crate) fn lost(&self) {
        self.until.store(0, SeqCst);
    }

    /// Whether something may leave now.
    pub(crate) fn valid(&self, clock: &dyn Clock) -> bool {
        let until = self.until.load(SeqCst);
        until == u64::MAX || clock.boot_micros() < until
    }
}
