//! What both stores do with the content of workspaces before a database sees it.

use bytes::Bytes;
use stead_core::{
    code,
    id::{BlobId, Name},
};
use stead_ports::{journal::StoreError, objects::MAX_OBJECT};

use crate::blob::{BlobKey, Packed};

/// Contents with their addresses, packed; each once, in the order of their ids, so that two who put the same do not wait for each
/// other in a circle.
pub(crate) async fn pack(
    key: &BlobKey,
    tenant: &Name,
    contents: &[Bytes],
) -> Result<Vec<(BlobId, Packed)>, StoreError> {
    if let Some(long) = contents.iter().find(|c| c.len() > MAX_OBJECT) {
        return Err(StoreError {
            code: code::TOO_LARGE,
            detail: format!("an object of {} bytes; {MAX_OBJECT} are allowed", long.len()),
        });
    }
    let (key, tenant, contents) = (key.clone(), tenant.clone(), contents.to_vec());
    // Megabytes of it would hold up whoever else is on this thread.
    let packed = tokio::task::spawn_blocking(move || {
        let mut out: Vec<_> = contents.iter().map(|c| (key.address(&tenant, c), Packed::new(c))).collect();
        out.sort_by_key(|(id, _)| *id);
        out.dedup_by_key(|(id, _)| *id);
        out
    });
    packed.await.map_err(|e| StoreError { code: code::INTERNAL, detail: format!("packing objects: {e}") })
}
