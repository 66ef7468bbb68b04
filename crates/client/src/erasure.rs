//! Operations on erasures and legal holds.

use serde::Serialize;
use stead_api::erasure::{Erase, Erasure, Erasures, LegalHold, LegalHolds, PlaceHold, ReleaseHold};

use crate::{client::Client, error::ClientError};

/// How long an erasure is waited for; it goes on without its caller.
const ERASE: std::time::Duration = std::time::Duration::from_secs(3_600);

#[derive(Serialize)]
struct All {
    all: bool,
}

impl Client {
    /// Erases the texts of a person, or tells what that would do.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase(&self, erase: &Erase) -> Result<Erasure, ClientError> {
        self.call_within(self.post(&["v1", "audit", "erasures"], erase)?, ERASE).await
    }

    /// Erasures of the caller's tenant.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erasures(&self) -> Result<Erasures, ClientError> {
        self.call(self.get(&["v1", "audit", "erasures"], &[(); 0])?).await
    }

    /// Places a legal hold.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn place_hold(&self, hold: &PlaceHold) -> Result<LegalHold, ClientError> {
        self.call(self.post(&["v1", "audit", "holds"], hold)?).await
    }

    /// Legal holds of the caller's tenant.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn holds(&self, all: bool) -> Result<LegalHolds, ClientError> {
        self.call(self.get(&["v1", "audit", "holds"], &All { all })?).await
    }

    /// Releases a legal hold.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release_hold(&self, hold: &str, release: &ReleaseHold) -> Result<LegalHold, ClientError> {
        self.call(self.post(&["v1", "audit", "holds", hold, "release"], release)?).await
    }
}
