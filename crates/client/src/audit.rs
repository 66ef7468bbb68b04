//! Operations on the audit log. What is proven by an answer, its reader checks: `stead-audit`.

use bytes::Bytes;
use serde::Serialize;
use stead_api::audit::{AuditEntries, AuditLogs, ConsistencyProof, InclusionProof, RunVerification};
use stead_core::id::RunId;

use crate::{
    client::{Client, MAX_ANSWER, read},
    error::ClientError,
};

/// Bytes of a bundle at most.
const MAX_BUNDLE: usize = 1 << 30;

/// Which leaves.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EntryQuery {
    /// From this index on; below 0 it counts from the end.
    pub from: Option<i64>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Only of this run.
    pub run: Option<RunId>,
}

/// What goes into a bundle.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BundleQuery {
    /// The leaves of this run.
    pub run: Option<RunId>,
    /// From this index on.
    pub from: Option<u64>,
    /// To this one, which is not in it.
    pub to: Option<u64>,
    /// Sizes of checkpoints that were kept, separated by commas.
    pub links: Option<String>,
    /// Whether records are shown.
    pub records: Option<bool>,
    /// Whether their texts are.
    pub texts: Option<bool>,
    /// Under the newest checkpoint that witnesses have signed.
    pub cosigned: bool,
}

#[derive(Serialize)]
struct Cosigned {
    cosigned: bool,
}

#[derive(Serialize)]
struct Included {
    index: u64,
    size: Option<u64>,
}

#[derive(Serialize)]
struct Consistent {
    old: u64,
    new: Option<u64>,
}

impl Client {
    /// The logs that the caller may see.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit_logs(&self) -> Result<AuditLogs, ClientError> {
        self.call(self.get(&["v1", "audit", "logs"], &[(); 0])?).await
    }

    /// The newest checkpoint of a log, or the newest that witnesses have signed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn checkpoint(&self, log: &str, cosigned: bool) -> Result<String, ClientError> {
        let response = self.send(self.get(&["v1", "audit", log, "checkpoint"], &Cosigned { cosigned })?).await?;
        let bytes = read(response, MAX_ANSWER).await?;
        String::from_utf8(bytes.into()).map_err(|e| ClientError::foreign(200, e))
    }

    /// Leaves of a log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit_entries(&self, log: &str, query: &EntryQuery) -> Result<AuditEntries, ClientError> {
        self.call(self.get(&["v1", "audit", log, "entries"], query)?).await
    }

    /// The proof that a leaf is in a log, of that size or of now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn inclusion(&self, log: &str, index: u64, size: Option<u64>) -> Result<InclusionProof, ClientError> {
        self.call(self.get(&["v1", "audit", log, "inclusion"], &Included { index, size })?).await
    }

    /// The proof that a log contains an earlier state of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consistency(&self, log: &str, old: u64, new: Option<u64>) -> Result<ConsistencyProof, ClientError> {
        self.call(self.get(&["v1", "audit", log, "consistency"], &Consistent { old, new })?).await
    }

    /// A bundle.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit_bundle(&self, log: &str, query: &BundleQuery) -> Result<Bytes, ClientError> {
        read(self.send(self.get(&["v1", "audit", log, "bundle"], query)?).await?, MAX_BUNDLE).await
    }

    /// Whether a run's journal is what the log says.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify_run(&self, run: RunId) -> Result<RunVerification, ClientError> {
        let request = self.get(&["v1", "runs", &run.to_string(), "verify"], &[(); 0])?;
        self.call_within(request, crate::operations::APPLY).await
    }
}
