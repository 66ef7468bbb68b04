//! The oci tier of sandboxes: each action runs in a container of an OCI runtime (`runc`, `crun`, `runsc`) that the host has.
//!
//! * [`Containers`] is what the server holds. It looks for a runtime that really runs a container here (`find.rs`,
//!   `probe.rs`), writes a bundle for each box (`config.rs`), and reads what the box writes (`running.rs`).
//! * The [`shim`] is a process for each box, the same program started again. It makes the root and the private folders in a
//!   mount namespace of its own, calls the runtime, is the parent of the container, holds its deadline, and deletes it. When
//!   the server dies it sees its socket close, and ends the container; its mounts end with it.
//!
//! ```text
//! server ── socket ── shim ── create, start, update, delete ── runtime
//!    │                  └───────── parent of ───────── command
//!    └── pipes: stdin, stdout, stderr ────────────────────┘
//! ```
//!
//! What both being killed leaves (a container, its control group, a folder) the next start removes (`sweep.rs`).
//!
//! Not here: images (a root is a folder on disk), workspaces, the egress proxy, policy. `docs/sandbox.md` says what is
//! promised and what is not.

mod config;
mod containers;
mod find;
mod place;
mod probe;
mod running;
pub mod shim;
mod sweep;
mod wire;

pub use containers::{Containers, Settings};
pub use shim::WORD as SHIM;
pub use stead_tier::users::USER;
