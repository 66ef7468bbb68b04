//! Passkeys that wait to be enrolled: what their owners have signed, until those who may enrol them fetch it. In memory, because nothing
//! follows from one that is lost: it is made anew, or brought as a file.

use parking_lot::Mutex;
use stead_core::{id::Name, time::Timestamp};

/// How long a request is kept, in seconds.
pub(crate) const LIFE: i64 = 24 * 3_600;
/// Most of everybody; then the oldest goes.
const MAX: usize = 1_000;
/// Most of one person.
const MAX_EACH: usize = 5;

/// A passkey that waits.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// The tenant.
    pub(crate) tenant: Name,
    /// Whose it is to be.
    pub(crate) subject: Name,
    /// Its fingerprint.
    pub(crate) id: String,
    /// The request, signed.
    pub(crate) receipt: String,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<Vec<Pending>>);

impl Requests {
    /// Keeps one; of one key the last.
    pub(crate) fn keep(&self, new: Pending) {
        let all = &mut *self.0.lock();
        all.retain(|p| p.id != new.id && new.since.0.saturating_sub(p.since.0) < LIFE * 1_000_000);
        let own = |p: &Pending| p.tenant == new.tenant && p.subject == new.subject;
        if all.iter().filter(|p| own(p)).count() >= MAX_EACH
            && let Some(oldest) = all.iter().position(own)
        {
            all.remove(oldest);
        }
        if all.len() >= MAX {
            all.remove(0);
        }
        all.push(new);
    }

    /// Those of a tenant, the oldest first.
    pub(crate) fn of(&self, tenant: &Name, now: Timestamp) -> Vec<Pending> {
        let all = self.0.lock();
        let counts = |p: &&Pending| p.tenant == *tenant && now.0.saturating_sub(p.since.0) < LIFE * 1_000_000;
        all.iter().filter(counts).cloned().collect()
    }
}
