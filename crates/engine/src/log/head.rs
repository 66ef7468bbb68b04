//! Where a log stands, as much of it as appending needs: tiles of hashes at the right edge, the leaves of the last entry bundle, and runs whose
//! records cannot be read.

use std::collections::HashSet;

use stead_audit::{
    checkpoint::Checkpoint,
    edge::Edge,
    hash::{self, TreeHash},
    key::SignerKey,
    note::Trust,
    tile::{Holds, Tile, WIDTH},
};
use stead_core::{
    code,
    id::{Name, RunId},
};
use stead_ports::{
    audit::{AuditStore, ENTRIES, LogRow},
    journal::StoreError,
};

/// See the module.
pub(super) struct Head {
    pub(super) row: Option<LogRow>,
    pub(super) signer: SignerKey,
    pub(super) edge: Edge,
    /// The leaves of the entry bundle that is not full, as it is written.
    pub(super) bundle: Vec<u8>,
    /// Runs of which a record could not be read: what follows it cannot be in the log either.
    pub(super) unread: HashSet<RunId>,
}

impl Head {
    /// Reads it, and proves that it is what was signed.
    pub(super) async fn load(store: &dyn AuditStore, tenant: &Name, signer: SignerKey) -> Result<Self, StoreError> {
        let (edge, bundle, unread) = (Edge::default(), Vec::new(), HashSet::new());
        let Some(row) = store.log(tenant).await? else { return Ok(Self { row: None, signer, edge, bundle, unread }) };
        let damaged = |why: String| StoreError {
            code: code::DATA_DAMAGED,
            detail: format!("the audit log {}: {why}", signer.verifier().name()),
        };
        let (signed, _) = Checkpoint::verify(&row.note, &Trust::in_log(signer.verifier().clone())).map_err(|e| {
            damaged(format!(
                "its checkpoint is not of this server's key ({e}): put the file keys/audit.key back with which it was signed, \
                 or, if it is lost, restore a backup"
            ))
        })?;
        if (signed.size, signed.root) != (row.size, TreeHash(row.root)) {
            return Err(damaged("it is not where its checkpoint says: it was changed".into()));
        }
        let mut tiles = Vec::new();
        for tile in Tile::edge(row.size) {
            let Holds::Hashes(level) = tile.holds() else { continue };
            let body = store.tile(tenant, level, tile.index()).await?.unwrap_or_default();
            let hashes = hash::split(&body).unwrap_or_default();
            tiles.push(hashes.into_iter().take(tile.width().into()).collect());
        }
        let edge = Edge::new(row.size, signed.root, &tiles).map_err(|e| damaged(e.to_string()))?;
        let bundle = match row.size % u64::from(WIDTH) {
            0 => Vec::new(),
            width => {
                let index = row.size / u64::from(WIDTH);
                let body = store.tile(tenant, ENTRIES, index).await?.unwrap_or_default();
                let tile = Tile::new(Holds::Entries, index, width as u16).expect("a log that is not too large has it");
                let leaves = tile.entries(&body).map_err(|e| damaged(e.to_string()))?;
                if !leaves.iter().map(|leaf| hash::leaf(leaf)).eq(edge.level(0).iter().copied()) {
                    return Err(damaged("a leaf is not the one that was signed".into()));
                }
                body.to_vec()
            }
        };
        Ok(Self { row: Some(row), signer, edge, bundle, unread })
    }
}
