//! What becomes of the workspace: the proof that a box writes no more, the commit, and what is not kept.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use stead_core::{
    code,
    id::{Name, TreeId},
    sandbox::TreeChange,
};
use stead_ports::{
    sandbox::{End, Outcome, outcome::Layer},
    workspace::{Still, Written},
};
use stead_workspace::{Diff, Made, TreePath, WorkspaceError, Workspaces, Writer};

use crate::place::WORKSPACE;

/// What nobody's workspace holds at its top: a project's own settings and data of Stead's, which a person's tools would believe.
pub(crate) const RESERVED: &[u8] = b".stead";

/// What became of the workspace.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It could not be written.
    ReadOnly,
    /// Nothing in it is another.
    Unchanged,
    /// It is another one.
    Changed {
        change: TreeChange,
        diff: Diff,
        /// What was not kept of it, in words.
        lost: Vec<String>,
    },
    /// The one before stands, for this reason.
    Not(String),
}

/// The layer of a box that is dead: it came with the box's outcome.
struct Dead(Layer);

impl Still for Dead {
    fn written(&self) -> io::Result<Written> {
        let dir: OwnedFd = self.0.upper.as_fd().try_clone_to_owned()?;
        Ok(Written::Upper { dir, marks: self.0.marks })
    }
}

/// Commits what a dead box has written over `base`, if it ended by itself.
pub(crate) async fn keep(
    writer: &Writer,
    work: &Workspaces,
    tenant: &Name,
    before: Option<TreeId>,
    base: TreeId,
    outcome: &mut Outcome,
) -> Kept {
    match outcome.end {
        End::Exited(_) | End::Signal(_) => {}
        End::Memory | End::Deadline | End::Output | End::Killed => {
            return Kept::Not("the command did not end by itself".to_owned());
        }
    }
    let Some(at) = outcome.layers.iter().position(|layer| layer.at == Path::new(WORKSPACE)) else {
        return Kept::Not("the sandbox gave nothing back of what was written".to_owned());
    };
    let still = Dead(outcome.layers.swap_remove(at));
    match commit(writer, work, tenant, before, base, &still).await {
        Ok(kept) => kept,
        Err(error) => Kept::Not(format!("{}: {error}", error.code())),
    }
}

async fn commit(
    writer: &Writer,
    work: &Workspaces,
    tenant: &Name,
    before: Option<TreeId>,
    base: TreeId,
    still: &dyn Still,
) -> Result<Kept, WorkspaceError> {
    let committed = writer.commit(base, still).await?;
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

/// A new tree as a fact.
pub(crate) fn change(before: Option<TreeId>, made: Made, diff: &Diff) -> TreeChange {
    TreeChange {
        before,
        after: made.tree,
        added: diff.added,
        changed: diff.changed.saturating_add(diff.mode),
        removed: diff.removed,
        bytes: made.bytes,
    }
}
