//! Session sandboxes: boxes that stay. Each belongs to a tenant and has a template that bounds it, a time that runs out, a workspace
//! that can be kept, and a way out whose rules can be changed.
//!
//! * [`Sandboxes`] holds all of a server: [`Sandboxes::create`], [`Sandboxes::get`], [`Sandboxes::list`], [`Sandboxes::remove`].
//! * A [`Sandbox`] runs commands ([`Sandbox::exec`]), each with a [`Log`] of numbered output; its files are reached through
//!   [`Sandbox::files`]; [`Sandbox::snapshot`] keeps its workspace as a tree.
//! * A [`Template`] is what an operator lets callers have.
//!
//! Inside: `registry` counts and ends, `open` makes one, `exec` and `log` are commands and what they wrote, `files` is everything that
//! touches a folder somebody hostile writes to at the same time, `env` what commands find in their environment.
//!
//! Not here: boxes, their workspaces, their way out and the watch over them ([`stead_workshop`]), the words of the API, who is calling. Nothing here outlives its process: a
//! sandbox ends with the server, and only a snapshot stays.
#![cfg(target_os = "linux")]

mod ask;
mod env;
mod error;
mod exec;
mod exec_log;
mod files;
mod limits;
mod open;
mod registry;
mod sandbox;
mod snapshot;
mod template;

pub use ask::{Ask, AskExec, Change, Limits, SandboxId};
pub use error::{PathFault, SandboxesError};
pub use exec::{Exec, ExecState, Ran};
pub use exec_log::{Chunk, Gap, Log, Page, Source};
pub use files::{Event, Files, Happened, Kind, Listing, Reader, Stat, Upload, Watch};
pub use limits::Bounds;
pub use registry::{Gone, Opening, Parts, Sandboxes, Unready};
pub use sandbox::{Sandbox, State, Used};
pub use snapshot::Snapshot;
pub use template::Template;
