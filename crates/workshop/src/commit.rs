//! The commit of a dead box's layer, and the proof that it is dead: the layer came with the box's outcome.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use stead_core::id::TreeId;
use stead_ports::{
    sandbox::outcome::Layer,
    workspace::{Still, Written},
};
use stead_workspace::{WorkspaceError, Writer};

use crate::kept::{Kept, change};

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
    before: Option<TreeId>,
    base: TreeId,
    layer: Layer,
) -> Result<Kept, WorkspaceError> {
    let committed = writer.commit(base, &Dead(layer)).await?;
    if committed.made.tree == base {
        return Ok(Kept::Unchanged);
    }
    let mut lost = Vec::new();
    if let Some((path, _)) = committed.left_out.first() {
        lost.push(format!(
            "pipes, sockets and `.stead` at the top are not kept: {path}{}",
            if committed.left_out.len() > 1 { " and others" } else { "" }
        ));
    }
    Ok(Kept::Changed { change: change(before, committed.made, &committed.diff), diff: committed.diff, lost })
}
