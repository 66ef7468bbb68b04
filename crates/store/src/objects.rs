//! What both stores do with the content of workspaces before a database sees it.

use std::sync::Arc;

use bytes::Bytes;
use stead_core::{
    code,
    id::{BlobId, Name},
};
use stead_ports::{journal::StoreError, objects::MAX_OBJECT};

use crate::{
    blob::{BlobKey, Packed},
    seal::{self, Ring},
};

/// What is stored of a content, opened, unpacked, and proved to be the one asked for.
pub(crate) fn unpack(
    ring: Option<&Ring>,
    key: &BlobKey,
    tenant: &Name,
    id: BlobId,
    packed: (i16, i64, Vec<u8>),
) -> Result<Bytes, StoreError> {
    let (codec, length, body) = match ring {
        None => packed,
        Some(ring) => seal::open_content(ring, tenant, id, packed).ok_or_else(|| StoreError {
            code: code::DATA_DAMAGED,
            detail: format!("{id} is encrypted under a key that the store does not have: restore it from a backup"),
        })?,
    };
    key.unpack(tenant, id, codec, length, body)
}

/// Contents with their addresses, packed and sealed; each once, in the order of their ids, so that two who put the same do not wait
/// for each other in a circle.
pub(crate) async fn pack(
    key: &BlobKey,
    ring: Option<&Arc<Ring>>,
    tenant: &Name,
    contents: &[Bytes],
) -> Result<Vec<(BlobId, Packed)>, StoreError> {
    if let Some(long) = contents.iter().find(|c| c.len() > MAX_OBJECT) {
        return Err(StoreError {
            code: code::TOO_LARGE,
            detail: format!("an object of {} bytes; {MAX_OBJECT} are allowed", long.len()),
        });
    }
    let (key, ring, tenant, contents) = (key.clone(), ring.cloned(), tenant.clone(), contents.to_vec());
    // Megabytes of it would hold up whoever else is on this thread.
    let packed = tokio::task::spawn_blocking(move || {
        let mut out: Vec<_> = contents.iter().map(|c| (key.address(&tenant, c), Packed::new(c))).collect();
        out.sort_by_key(|(id, _)| *id);
        out.dedup_by_key(|(id, _)| *id);
        if let Some(ring) = ring {
            seal::seal_contents(&ring, &tenant, &mut out)?;
        }
        Ok(out)
    });
    packed.await.map_err(|e| StoreError { code: code::INTERNAL, detail: format!("packing objects: {e}") })?
}
