//! Trees: what a directory of a workspace is, and its bytes. Pure.

mod directory;
mod encode;
mod entry;

pub use directory::{Directory, MAX_ENTRIES, Totals};
pub use encode::BadDirectory;
pub use entry::{DirEntry, Entry, FileEntry, Leaf};
