//! Commit: from what a box has written to a tree.

use std::io;

use stead_core::id::TreeId;
use stead_ports::workspace::{Still, Written};

use crate::{
    Made, WorkspaceError, Writer,
    diff::{Diff, diff},
    host::scan::{Found, LeftOut, Stripped, scan},
    intake::take_in,
    name::TreePath,
};

/// What a commit made.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The tree, held for a while.
    pub made: Made,
    /// How it differs from the base.
    pub diff: Diff,
    /// What files had that is not kept.
    pub stripped: Stripped,
    /// Pipes, sockets and a `.stead` at the top, which are not kept; the first 100.
    pub left_out: Vec<(TreePath, LeftOut)>,
}

impl Writer {
    /// Makes a tree of what a box has written over `base`, which something that is kept leads to. Only what was written is read: an
    /// upper directory with ten files costs ten files, whatever the base has.
    ///
    /// The box has ended or stands still for as long as this runs; `still` is the proof. Everything in the directory is hostile.
    ///
    /// # Errors
    /// ST0240 for more than the limits allow, ST0241 for devices, forged marks and links from outside, ST0242 when the base is
    /// not there or is damaged, ST0245 when the directory cannot be read, ST0246 when it changed meanwhile. The base is as it was, then.
    pub async fn commit(&self, base: TreeId, still: &dyn Still) -> Result<Committed, WorkspaceError> {
        let written = still.written().map_err(|e: io::Error| WorkspaceError::disk("what the box has written", e))?;
        // A whole directory stands for itself; the base is only what it is compared with.
        let below = match written {
            Written::Upper { .. } => Some(base),
            Written::Whole { .. } => None,
        };
        let Self { workspaces, tenant, .. } = self;
        let (mut trees, mut outbox) = (workspaces.trees(tenant), workspaces.outbox(tenant));
        let found =
            take_in(&workspaces.objects, tenant, &workspaces.cache, &workspaces.limits, &mut outbox, move |intake| {
                scan(written, intake)
            });
        let Found { layer, left_out, stripped } = found.await?;
        let made = workspaces.finish(&mut trees, tenant, below, layer, &mut outbox).await?;
        let diff = diff(&mut trees, base, made.tree, workspaces.limits.listed).await?;
        Ok(Committed { made, diff, stripped, left_out })
    }
}
