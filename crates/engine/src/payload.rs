//! Texts on their way into the journal: inline when short, a blob when long, with a preview when the model should not
//! read it all.

use std::sync::Arc;

use bytes::Bytes;
use stead_core::{
    artifact::Artifact,
    id::{BlobId, Name},
    record::{Body, INLINE_MAX, Payload, Source},
};
use stead_ports::{
    file::File,
    journal::{Journal, NewBlob, StoreError},
};

/// Turns texts into payloads and collects the blobs that must become durable with them.
#[derive(Default)]
pub(crate) struct Sealer {
    pub(crate) blobs: Vec<NewBlob>,
}

impl Sealer {
    /// Seals a text. `shown` is how many bytes of it a model may read; a longer text shows a preview of that length.
    pub(crate) fn seal(
        &mut self,
        journal: &dyn Journal,
        tenant: &Name,
        text: impl Into<Bytes>,
        source: Source,
        shown: usize,
    ) -> Payload {
        let content: Bytes = text.into();
        if content.len() <= INLINE_MAX.min(shown) {
            return Payload::new(Body::Inline(content), Some(source));
        }
        let id = journal.blob_id(tenant, &content);
        let len = content.len() as u64;
        let preview = (content.len() > shown).then(|| preview(&content, shown, len));
        self.blobs.push(NewBlob { tenant: tenant.clone(), id, content });
        Payload::new(Body::Blob { id, len, preview }, Some(source))
    }

    /// Puts files beside a text. Their bytes become blobs, however few they are.
    pub(crate) fn attach(&mut self, journal: &dyn Journal, tenant: &Name, payload: &mut Payload, files: Vec<File>) {
        for File { name, media, content } in files {
            let id = journal.blob_id(tenant, &content);
            payload.artifacts.push(Artifact::new(&name, &media, &content, id));
            self.blobs.push(NewBlob { tenant: tenant.clone(), id, content });
        }
    }
}

/// The beginning of a text, cut at a character, with a line that says so.
fn preview(content: &[u8], shown: usize, len: u64) -> Bytes {
    let keep = shown.min(INLINE_MAX / 2);
    let text = String::from_utf8_lossy(&content[..keep.min(content.len())]);
    let text = text.trim_end_matches('\u{fffd}');
    Bytes::from(format!("{text}\n[… cut: {len} bytes in all; the whole is kept in the run's journal]"))
}

/// The bytes of a payload as a model reads them.
pub(crate) async fn open(journal: &Arc<dyn Journal>, tenant: &Name, payload: &Payload) -> Result<Bytes, StoreError> {
    match &payload.body {
        Body::Blob { preview: Some(shown), .. } => Ok(shown.clone()),
        _ => open_whole(journal, tenant, payload).await,
    }
}

/// All bytes of a payload.
pub(crate) async fn open_whole(
    journal: &Arc<dyn Journal>,
    tenant: &Name,
    payload: &Payload,
) -> Result<Bytes, StoreError> {
    match &payload.body {
        Body::Inline(bytes) => Ok(bytes.clone()),
        Body::Blob { id, .. } => stored(journal, tenant, *id).await,
        Body::Erased { .. } => Ok(Bytes::from_static(b"[erased]")),
    }
}

/// The bytes of a blob that a record names.
pub(crate) async fn stored(journal: &Arc<dyn Journal>, tenant: &Name, id: BlobId) -> Result<Bytes, StoreError> {
    journal.blob(tenant, id).await?.ok_or_else(|| StoreError {
        code: stead_core::code::DATA_DAMAGED,
        detail: format!("{id} is named by a record and is not stored; restore it from a backup"),
    })
}
