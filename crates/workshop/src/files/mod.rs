//! The tool `files`: operations on the tree of a session's workspace itself. No box is needed, for nothing runs: no link is followed, no
//! path leads out, and everything is bounded.

mod change;
mod look;
mod offer;
mod path;
mod search;
mod tool;

pub(crate) use tool::FilesTool;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    List,
    Read,
    Search,
    Write,
    Edit,
    Move,
    Remove,
}

impl Operation {
    /// Every one.
    const ALL: [Self; 7] = [Self::List, Self::Read, Self::Search, Self::Write, Self::Edit, Self::Move, Self::Remove];

    /// Its name.
    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Search => "search",
            Self::Write => "write",
            Self::Edit => "edit",
            Self::Move => "move",
            Self::Remove => "remove",
        }
    }

    /// Whether it makes another tree.
    fn writes(self) -> bool {
        !matches!(self, Self::List | Self::Read | Self::Search)
    }
}
