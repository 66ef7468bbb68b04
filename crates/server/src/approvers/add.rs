//! Adding an entry: it is checked as everybody will check it, kept, and only then counts.

use std::sync::Arc;

use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{journal::StoreError, trust::DirectoryRow};
use stead_trust::directory::{BadEntry, Directory, Entry, Envelope, What};

use super::Directories;

/// How far the clock of who signed may be ahead, in seconds.
const AHEAD: u64 = 300;

/// Why an entry was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It may not be added.
    #[error(transparent)]
    Bad(#[from] BadEntry),
    /// Something about it that only a server knows.
    #[error("{0}")]
    Refused(String),
    /// The store cannot be read or written, or its directory is broken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Directories {
    /// Adds an entry; the first one begins a directory.
    ///
    /// # Errors
    /// [`AddError`]; nothing was added then.
    pub(crate) async fn add(
        &self,
        tenant: &Name,
        text: &str,
        by: &Name,
        now: Timestamp,
    ) -> Result<Arc<Directory>, AddError> {
        let envelope = Envelope::from_text(text).map_err(BadEntry::Form)?;
        let entry = Entry::from_text(&envelope.entry).map_err(BadEntry::Form)?;
        if entry.at > u64::try_from(now.0 / 1_000_000).unwrap_or(0) + AHEAD {
            return Err(AddError::Refused("the entry's time is ahead of this server's clock".into()));
        }
        let known = self.of(tenant).await?;
        let directory = match known.as_deref() {
            Some(known) => {
                let mut next = known.clone();
                next.add(&envelope)?;
                next
            }
            None => {
                let first = Directory::begin(&envelope)?;
                self.fits(tenant, &first).map_err(AddError::Refused)?;
                first
            }
        };
        // Kept as it is read everywhere: in one form, whatever form it came in.
        let body = Bytes::from(envelope.to_text());
        let row = DirectoryRow { seq: entry.seq, body, by: by.clone(), at: now };
        if !self.store.add_entry(tenant, row).await? {
            return Err(BadEntry::Order("another entry came first; make it anew").into());
        }
        if let What::BreakGlass(b) = &entry.what {
            let (who, until) = (&b.human.subject, b.until);
            tracing::warn!(%tenant, who, until, reason = b.reason, "BREAK-GLASS: one person approves in the place of others");
        }
        tracing::debug!(%tenant, seq = entry.seq, %by, "an entry was added to the directory of approvers");
        drop(self.look(tenant).await?);
        Ok(Arc::new(directory))
    }
}
