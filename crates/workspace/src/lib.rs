//! Workspaces: what an agent's actions read and write, as content-addressed trees. A tree goes into a box as a directory, and what the
//! box has written comes out as another tree; the two ids and their difference are facts of the run.
//!
//! * [`Workspaces::materialise`] makes a directory of a tree, [`Workspaces::lowers`] a small one of what differs, [`Writer::commit`] a tree of what was written over it.
//! * [`Workspaces::read`], [`Workspaces::write`] and their like work on a tree without any directory.
//! * [`Workspaces::import_tar`], [`Workspaces::import_zip`] and [`Workspaces::export_tar`] take trees from and to elsewhere.
//! * [`sweep`](fn@sweep) removes what nothing leads to.
//! * [`tree`] is what a directory is and its bytes; `docs/workspaces.md` is the text of that format.
//!
//! Inside: `layer` says what changes, `apply` lays it over a base, `diff` compares; those are pure or read the store only. `host` reads
//! directories that somebody hostile wrote, `cache` is what this host keeps, `intake` and `outbox` are the way into the store.
//!
//! What serves a box is for Linux alone, as boxes are, and is left out elsewhere: commits, for which `host` opens names by `openat2(2)` and
//! reads the marks of overlayfs, and the lower directories of an overlay. All the rest is the same everywhere.
//!
//! Not here: boxes, mounts and processes; and which tree a session is at, which is a fact.

mod apply;
mod archive;
mod cache;
pub mod chunk;
#[cfg(target_os = "linux")]
mod commit;
mod diff;
mod error;
mod files;
mod hold;
#[cfg(target_os = "linux")]
mod host;
mod intake;
mod layer;
mod limits;
#[cfg(target_os = "linux")]
mod lowers;
mod materialise;
mod name;
mod outbox;
mod sweep;
pub mod tree;
mod trees;
mod workspaces;
mod writer;

pub use cache::{Base, Cache, forget};
#[cfg(target_os = "linux")]
pub use commit::Committed;
pub use diff::{Change, Diff, Kind};
pub use error::WorkspaceError;
#[cfg(target_os = "linux")]
pub use host::scan::{LeftOut, Stripped};
pub use limits::Limits;
#[cfg(target_os = "linux")]
pub use lowers::Lowers;
pub use name::{BadName, EntryName, MAX_NAME, MAX_PATH, TreePath, shown};
pub use sweep::{Swept, leads_to, reachable, sweep};
pub use workspaces::{Made, Options, Workspaces};
pub use writer::Writer;
