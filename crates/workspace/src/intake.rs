//! Files on their way in: read once, in chunks, addressed, sent to the store and left in the cache. Reading blocks, so it is done on
//! a thread of its own; what it reads waits in a short queue, and so memory stays small whatever the size.

use std::{fmt::Display, io::Read, sync::Arc};

use bytes::Bytes;
use stead_core::id::{BlobId, Name};
use stead_ports::{journal::StoreError, objects::Objects};
use tokio::sync::mpsc;

use crate::{
    Limits, WorkspaceError,
    cache::Cache,
    chunk::{self, CHUNK},
    limits::{Tally, check},
    outbox::Outbox,
    tree::FileEntry,
};

/// Objects, of a chunk each at most, that wait between the reader and the store.
const QUEUE: usize = 8;

/// Takes files in. Every bound is checked before the bytes are read that would break it.
pub(crate) struct Intake {
    objects: Arc<dyn Objects>,
    tenant: Name,
    cache: Cache,
    to_store: mpsc::Sender<(BlobId, Bytes)>,
    pub(crate) limits: Limits,
    pub(crate) tally: Tally,
}

impl Intake {
    /// Takes one file in. `size` is what it is said to have; without it, the bounds count what comes. The caller compares the size of
    /// the entry with what was said.
    pub(crate) fn file(
        &mut self,
        path: &dyn Display,
        exec: bool,
        size: Option<u64>,
        reader: &mut dyn Read,
    ) -> Result<FileEntry, WorkspaceError> {
        if let Some(size) = size {
            check(path, size, self.limits.file, "bytes of one file")?;
            check(path, self.tally.bytes.saturating_add(size), self.limits.bytes, "bytes")?;
        }
        let first = self.chunk(path, reader)?;
        let rest = if first.len() == CHUNK { self.chunk(path, reader)? } else { Bytes::new() };
        let entry = match rest.is_empty() {
            true => self.short(exec, first)?,
            false => self.long(path, exec, first, rest, reader)?,
        };
        self.tally.file(entry.size, &self.limits, path)?;
        Ok(entry)
    }

    fn short(&mut self, exec: bool, bytes: Bytes) -> Result<FileEntry, WorkspaceError> {
        let content = self.send(bytes.clone())?;
        let entry = FileEntry { exec, size: bytes.len() as u64, content };
        self.cache.offer(&self.tenant, &entry, &bytes);
        Ok(entry)
    }

    fn long(
        &mut self,
        path: &dyn Display,
        exec: bool,
        first: Bytes,
        second: Bytes,
        reader: &mut dyn Read,
    ) -> Result<FileEntry, WorkspaceError> {
        let mut offer = self.cache.begin();
        let (mut ids, mut size) = (Vec::new(), 0);
        let mut waiting = Some(second);
        let mut chunk = first;
        loop {
            size += chunk.len() as u64;
            check(path, size, self.limits.file, "bytes of one file")?;
            check(path, self.tally.bytes.saturating_add(size), self.limits.bytes, "bytes")?;
            offer.write(&chunk);
            let full = chunk.len() == CHUNK;
            ids.push(self.send(chunk)?);
            chunk = match waiting.take() {
                Some(next) => next,
                None if full => self.chunk(path, reader)?,
                None => break,
            };
            if chunk.is_empty() {
                break;
            }
        }
        let content = self.send(chunk::encode(&ids).into())?;
        let entry = FileEntry { exec, size, content };
        offer.finish(&self.tenant, &entry);
        Ok(entry)
    }

    /// The next chunk: a whole one, or the last.
    fn chunk(&self, path: &dyn Display, reader: &mut dyn Read) -> Result<Bytes, WorkspaceError> {
        let mut out = Vec::new();
        reader.take(CHUNK as u64).read_to_end(&mut out).map_err(|e| WorkspaceError::disk(path, e))?;
        Ok(out.into())
    }

    fn send(&self, content: Bytes) -> Result<BlobId, WorkspaceError> {
        let id = self.objects.address(&self.tenant, &content);
        // The other end goes when the store has failed, and says why there.
        self.to_store.blocking_send((id, content)).map_err(|_| StoreError::stopped())?;
        Ok(id)
    }
}

/// Runs a reader on a thread of its own, and sends what it reads to the store. It returns when the reader has ended, whatever
/// happened, so what it reads from may be given back then.
pub(crate) async fn take_in<T: Send + 'static>(
    objects: &Arc<dyn Objects>,
    tenant: &Name,
    cache: &Cache,
    limits: &Limits,
    outbox: &mut Outbox<'_>,
    read: impl FnOnce(&mut Intake) -> Result<T, WorkspaceError> + Send + 'static,
) -> Result<T, WorkspaceError> {
    let (to_store, mut queue) = mpsc::channel(QUEUE);
    let mut intake = Intake {
        objects: objects.clone(),
        tenant: tenant.clone(),
        cache: cache.clone(),
        to_store,
        limits: limits.clone(),
        tally: Tally::default(),
    };
    let reader = tokio::task::spawn_blocking(move || read(&mut intake));
    let mut sent = Ok(());
    while let Some((id, content)) = queue.recv().await {
        sent = outbox.push(id, content).await;
        if sent.is_err() {
            break;
        }
    }
    drop(queue);
    let found =
        reader.await.map_err(|e| WorkspaceError::disk("the reader of a workspace", std::io::Error::other(e)))?;
    sent?;
    found
}
