//! What is different between two trees. Only directories with different ids are read.

use std::{collections::BTreeSet, future::Future, pin::Pin};

use stead_core::id::TreeId;

use crate::{
    WorkspaceError,
    limits::MAX_DEPTH,
    name::{EntryName, TreePath},
    tree::{Directory, Entry},
    trees::Trees,
};

/// How one path differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// What was there.
    pub before: Option<Entry>,
    /// What is there now.
    pub after: Option<Entry>,
}

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// Its content, target or kind is another.
    Changed,
    /// Only whether it may be executed is another.
    Mode,
}

impl Change {
    /// In which way it differs.
    pub fn kind(&self) -> Kind {
        match (&self.before, &self.after) {
            (None, _) => Kind::Added,
            (_, None) => Kind::Removed,
            (Some(Entry::File(a)), Some(Entry::File(b))) if (a.size, a.content) == (b.size, b.content) => Kind::Mode,
            _ => Kind::Changed,
        }
    }
}

/// The differences of two trees, in the order of their paths, a directory before what is in it.
///
/// A directory that was added is listed, and so is all that is in it; of one that was removed, only itself. Applied in order to the
/// tree before, a whole list gives the tree after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The first of them.
    pub changes: Vec<Change>,
    /// Files, links and directories that were added, those within added directories too.
    pub added: u64,
    /// Those that were removed, those within removed directories too.
    pub removed: u64,
    /// Those that are others now.
    pub changed: u64,
    /// Files of which only the right to execute them differs.
    pub mode: u64,
    /// Whether there are more than are listed.
    pub more: bool,
}

/// Compares two trees, and lists at most `most` differences; all are counted.
pub(crate) async fn diff(
    trees: &mut Trees<'_>,
    before: TreeId,
    after: TreeId,
    most: usize,
) -> Result<Diff, WorkspaceError> {
    let mut work = Work { trees, out: Diff::default(), most, path: TreePath::TOP };
    if before != after {
        work.directories(before, after).await?;
    }
    Ok(work.out)
}

struct Work<'w, 'o> {
    trees: &'w mut Trees<'o>,
    out: Diff,
    most: usize,
    path: TreePath,
}

type Walk<'a> = Pin<Box<dyn Future<Output = Result<(), WorkspaceError>> + Send + 'a>>;

impl Work<'_, '_> {
    fn directories(&mut self, before: TreeId, after: TreeId) -> Walk<'_> {
        Box::pin(async move {
            self.deep(after)?;
            self.trees.keep(&[before, after]).await?;
            let (old, new) = (self.trees.known(before)?, self.trees.known(after)?);
            for name in names(&old, &new) {
                let (was, is) = (old.get(name.as_bytes()), new.get(name.as_bytes()));
                if was == is {
                    continue;
                }
                self.path.push(name);
                match (was, is) {
                    (Some(Entry::Directory(a)), Some(Entry::Directory(b))) if a.tree != b.tree => {
                        self.directories(a.tree, b.tree).await?;
                    }
                    // Equal trees with other sums: one of the two parents lies.
                    (Some(Entry::Directory(_)), Some(Entry::Directory(b))) => {
                        return Err(WorkspaceError::Damaged {
                            tree: b.tree,
                            what: "its sums are not those of its parent",
                        });
                    }
                    (was, is) => self.entry(was.cloned(), is.cloned()).await?,
                }
                self.path.pop();
            }
            Ok(())
        })
    }

    /// One path that differs, and what comes or goes with it.
    async fn entry(&mut self, before: Option<Entry>, after: Option<Entry>) -> Result<(), WorkspaceError> {
        let below = |e: &Option<Entry>| e.as_ref().map_or(0, |e| e.count().saturating_sub(1));
        self.out.removed = self.out.removed.saturating_add(below(&before));
        self.out.added = self.out.added.saturating_add(below(&after));
        let tree = match &after {
            Some(Entry::Directory(d)) => Some(d.tree),
            _ => None,
        };
        let change = Change { path: self.path.clone(), before, after };
        match change.kind() {
            Kind::Added => self.out.added += 1,
            Kind::Removed => self.out.removed += 1,
            Kind::Changed => self.out.changed += 1,
            Kind::Mode => self.out.mode += 1,
        }
        self.list(change);
        match tree {
            Some(tree) => self.added(tree).await,
            None => Ok(()),
        }
    }

    /// Lists what is in an added directory, while there is room.
    fn added(&mut self, tree: TreeId) -> Walk<'_> {
        Box::pin(async move {
            self.deep(tree)?;
            if self.out.more {
                return Ok(());
            }
            let directory = self.trees.one(tree).await?;
            for (name, entry) in &*directory {
                self.path.push(name.clone());
                self.list(Change { path: self.path.clone(), before: None, after: Some(entry.clone()) });
                if let Entry::Directory(d) = entry {
                    self.added(d.tree).await?;
                }
                self.path.pop();
                if self.out.more {
                    break;
                }
            }
            Ok(())
        })
    }

    fn list(&mut self, change: Change) {
        if self.out.changes.len() < self.most {
            self.out.changes.push(change);
        } else {
            self.out.more = true;
        }
    }

    fn deep(&self, tree: TreeId) -> Result<(), WorkspaceError> {
        if self.path.names().len() <= MAX_DEPTH {
            return Ok(());
        }
        Err(WorkspaceError::Damaged { tree, what: "it has more levels than any workspace" })
    }
}

fn names(old: &Directory, new: &Directory) -> BTreeSet<EntryName> {
    old.iter().chain(new.iter()).map(|(name, _)| name.clone()).collect()
}
