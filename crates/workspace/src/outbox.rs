//! Objects on their way to the store, in batches. What is large is asked for first, and sent only if it is missing.

use std::collections::HashMap;

use bytes::Bytes;
use stead_core::{
    id::{BlobId, Name},
    time::Timestamp,
};
use stead_ports::objects::Objects;

use crate::WorkspaceError;

/// Objects of a batch.
const OBJECTS: usize = 256;
/// Bytes of a batch.
const BYTES: usize = 4 << 20;
/// A batch below this is sent without asking: the question would cost as much.
const ASK_FROM: usize = 256 << 10;

/// Where objects wait until a batch is full. Dropped without [`Outbox::flush`], what waits is lost; what was sent is held by nobody
/// for long.
pub(crate) struct Outbox<'o> {
    objects: &'o dyn Objects,
    tenant: &'o Name,
    until: Timestamp,
    waiting: HashMap<BlobId, Bytes>,
    bytes: usize,
}

impl<'o> Outbox<'o> {
    /// Objects that are sent are held until then.
    pub(crate) fn new(objects: &'o dyn Objects, tenant: &'o Name, until: Timestamp) -> Self {
        Self { objects, tenant, until, waiting: HashMap::new(), bytes: 0 }
    }

    pub(crate) async fn push(&mut self, id: BlobId, content: Bytes) -> Result<(), WorkspaceError> {
        let len = content.len();
        if self.waiting.insert(id, content).is_none() {
            self.bytes += len;
        }
        if self.bytes >= BYTES || self.waiting.len() >= OBJECTS {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what waits; everything pushed is durable when it returns.
    pub(crate) async fn flush(&mut self) -> Result<(), WorkspaceError> {
        if self.bytes >= ASK_FROM {
            let ids: Vec<BlobId> = self.waiting.keys().copied().collect();
            let missing: std::collections::HashSet<BlobId> =
                self.objects.hold(self.tenant, &ids, self.until).await?.into_iter().collect();
            self.waiting.retain(|id, _| missing.contains(id));
        }
        let contents: Vec<Bytes> = self.waiting.drain().map(|(_, content)| content).collect();
        self.bytes = 0;
        if !contents.is_empty() {
            self.objects.put(self.tenant, &contents, self.until).await?;
        }
        Ok(())
    }
}
