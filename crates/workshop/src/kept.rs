//! What becomes of the workspace when a box is dead: what is kept, and what is not.

use std::path::Path;

use stead_core::{id::TreeId, sandbox::TreeChange};
#[cfg(not(target_os = "linux"))]
use stead_ports::sandbox::outcome::Layer;
use stead_ports::sandbox::{End, Outcome};
#[cfg(not(target_os = "linux"))]
use stead_workspace::WorkspaceError;
use stead_workspace::{Diff, Made, Writer};

#[cfg(target_os = "linux")]
use crate::commit::commit;
use crate::place::WORKSPACE;

/// What became of the workspace.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "commits make them, which are for Linux"))]
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

/// Commits what a dead box has written over `base`, if it ended by itself.
pub(crate) async fn keep(writer: &Writer, before: Option<TreeId>, base: TreeId, outcome: &mut Outcome) -> Kept {
    match outcome.end {
        End::Exited(_) | End::Signal(_) => {}
        End::Memory | End::Deadline | End::Output | End::Killed => {
            return Kept::Not("the command did not end by itself".to_owned());
        }
    }
    let Some(at) = outcome.layers.iter().position(|layer| layer.at == Path::new(WORKSPACE)) else {
        return Kept::Not("the sandbox gave nothing back of what was written".to_owned());
    };
    let layer = outcome.layers.swap_remove(at);
    match commit(writer, before, base, layer).await {
        Ok(kept) => kept,
        Err(error) => Kept::Not(format!("{}: {error}", error.code())),
    }
}

/// Nothing here makes a layer that could be read.
#[cfg(not(target_os = "linux"))]
async fn commit(
    _writer: &Writer,
    _before: Option<TreeId>,
    _base: TreeId,
    _layer: Layer,
) -> Result<Kept, WorkspaceError> {
    Ok(Kept::Not("what a sandbox wrote can be read on Linux alone".to_owned()))
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
