//! Keeping the workspace of a sandbox as a tree.

use std::{path::Path, time::Duration};

use stead_core::{
    id::{Name, TreeId},
    time::Timestamp,
};
use stead_ports::sandbox::BoxError;
use stead_workspace::Committed;

use crate::{
    Sandbox, SandboxesError,
    limits::{HOLD, SHORTEST},
    open::WORKSPACE,
    sandbox::span,
};

/// A workspace that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its tree: what another sandbox can begin with.
    pub tree: TreeId,
    /// Files, links and folders in it.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// What is there and was not in the tree that the sandbox began with.
    pub added: u64,
    /// What is other.
    pub changed: u64,
    /// What is there no more.
    pub removed: u64,
    /// Pipes and sockets, which are not kept.
    pub left_out: u64,
    /// Until when it is held at least.
    pub held_until: Timestamp,
}

impl Sandbox {
    /// Keeps its workspace as it is now, for that long. Nothing in the sandbox runs meanwhile.
    ///
    /// # Errors
    /// ST0326 when nothing on this host can freeze it, ST0240 and ST0241 for what no workspace may have, ST0320 when it has ended.
    pub async fn snapshot(&self, hold: Duration) -> Result<Snapshot, SandboxesError> {
        if hold < SHORTEST || hold > HOLD {
            let days = HOLD.as_secs() / (24 * 3600);
            return Err(SandboxesError::Refused(format!("a snapshot is held for 1 s to {days} d")));
        }
        // Nobody writes from outside either.
        let _alone = self.writing.write().await;
        let writer = self.workspaces.writer(&self.tenant, &Name::from(self.id.to_string())).await;
        let frozen = self.session.freeze(Path::new(WORKSPACE)).await.map_err(|e| match e {
            BoxError::Spec(why) => SandboxesError::Frozen(why),
            e => self.gone_or(e),
        })?;
        let Committed { made, diff, left_out, .. } = writer.commit(self.tree, &*frozen).await?;
        drop(frozen);
        let held_until = self.clock().now().after(span(hold));
        self.workspaces.hold(&self.tenant, made.tree, held_until).await?;
        Ok(Snapshot {
            tree: made.tree,
            entries: made.entries,
            bytes: made.bytes,
            added: diff.added,
            changed: diff.changed,
            removed: diff.removed,
            left_out: left_out.len() as u64,
            held_until,
        })
    }
}
