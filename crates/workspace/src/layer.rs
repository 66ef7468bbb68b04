//! A layer: what is to change in a tree, as a tree of its own with only what changes. A commit, an import and a write all make
//! one, and [`crate::apply`] lays it over a base. Pure.

use std::collections::{BTreeMap, btree_map};

use crate::{
    WorkspaceError,
    name::{EntryName, TreePath},
    tree::Leaf,
};

/// What becomes of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Nothing is there any more.
    Gone,
    /// A file or link is there.
    Leaf(Leaf),
    /// A directory is there.
    Folder(Folder),
}

/// What becomes of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Whether nothing of what the base has there stays.
    pub(crate) fresh: bool,
    pub(crate) children: BTreeMap<EntryName, Node>,
}

impl Folder {
    /// An empty directory that stands for itself.
    pub(crate) fn fresh() -> Self {
        Self { fresh: true, children: BTreeMap::new() }
    }

    /// A change of one path.
    pub(crate) fn of(path: &TreePath, node: Node) -> Option<Self> {
        let (dirs, name) = path.split_last()?;
        let mut folder = Self { fresh: false, children: BTreeMap::from([(name.clone(), node)]) };
        for dir in dirs.iter().rev() {
            folder = Self { fresh: false, children: BTreeMap::from([(dir.clone(), Node::Folder(folder))]) };
        }
        Some(folder)
    }

    /// Puts a node at a path, making the directories on the way, as fresh as the top is; a later leaf replaces an earlier one.
    /// Tells how many directories were made.
    ///
    /// # Errors
    /// When a file or link stands on the way, a directory would be replaced by a leaf, or the path is the top.
    pub(crate) fn put(&mut self, path: &TreePath, node: Node) -> Result<u64, WorkspaceError> {
        let (dirs, name) = path.split_last().ok_or_else(|| WorkspaceError::path(path, "the top is a directory"))?;
        let (fresh, mut at, mut made) = (self.fresh, self, 0);
        for dir in dirs {
            let next = at.children.entry(dir.clone()).or_insert_with(|| {
                made += 1;
                Node::Folder(Self { fresh, ..Self::default() })
            });
            let Node::Folder(folder) = next else {
                return Err(WorkspaceError::path(path, "it leads through a file or a link"));
            };
            at = folder;
        }
        match at.children.entry(name.clone()) {
            btree_map::Entry::Vacant(slot) => drop(slot.insert(node)),
            btree_map::Entry::Occupied(mut slot) => match (slot.get(), &node) {
                // A directory that is named again is the same one.
                (Node::Folder(_), Node::Folder(_)) => {}
                (Node::Folder(_), _) | (_, Node::Folder(_)) => {
                    return Err(WorkspaceError::path(path, "it is a directory and a file"));
                }
                _ => drop(slot.insert(node)),
            },
        }
        Ok(made)
    }

    /// The leaf at a path, as far as this layer says.
    pub(crate) fn leaf(&self, path: &TreePath) -> Option<&Leaf> {
        let (dirs, name) = path.split_last()?;
        let mut at = self;
        for dir in dirs {
            let Some(Node::Folder(folder)) = at.children.get(dir) else { return None };
            at = folder;
        }
        match at.children.get(name) {
            Some(Node::Leaf(leaf)) => Some(leaf),
            _ => None,
        }
    }
}
