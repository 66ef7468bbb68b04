//! The commit of a dead box's layer, and the proof that it is dead: the layer came with the box's outcome.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use stead_core::{
    code,
    id::{Name, TreeId},
};
use stead_ports::{
    sandbox::outcome::Layer,
    workspace::{Still, Written},
};
use stead_workspace::{TreePath, WorkspaceError, Workspaces, Writer};

use crate::kept::{Kept, RESERVED, change};

/// The layer of a box that is dead: it came with the box's outcome.
struct Dead(Layer);

impl Still for Dead {
    fn written(&self) -> io::Result<Written> {
        let dir: OwnedFd = self.0.upper.as_fd().try_clone_to_owned()?;
        Ok(Written::Upper { dir, marks: self.0.marks })
    }
}

/// Makes a tree of it.
pub(crate) async fn commit(
    writer: &Writer,
    work: &Workspaces,
    tenant: &Name,
    before: Option<TreeId>,
    base: TreeId,
    layer: Layer,
) -> Result<Kept, WorkspaceError> {
    let committed = writer.commit(base, &Dead(layer)).await?;
    if committed.made.tree == base {
        return Ok(Kept::Unchanged);
    }
    let top = work.list(tenant, committed.made.tree, &TreePath::TOP, None, usize::MAX).await?;
    if top.iter().any(|(name, _)| name.as_bytes() == RESERVED) {
        return Ok(Kept::Not(format!(
            "{}: `.stead` at the top of a workspace is Stead's own name",
            code::WORKSPACE_PATH
        )));
    }
    let mut lost = Vec::new();
    if let Some((path, _)) = committed.left_out.first() {
        lost.push(format!(
            "pipes and sockets are not kept: {path}{}",
            if committed.left_out.len() > 1 { " and others" } else { "" }
        ));
    }
    Ok(Kept::Changed { change: change(before, committed.made, &committed.diff), diff: committed.diff, lost })
}
