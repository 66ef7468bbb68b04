//! The namespace tier of sandboxes: each action runs in a fresh box of Linux namespaces, and the box is thrown away.
//!
//! * [`Namespaces`] is what the server holds: it starts a **launcher**, asks it for boxes, and reads what they write.
//! * [`launcher`] is a small process with one thread, the same program started again. It keeps a **root** (`root.rs`) that
//!   boxes share read-only, some boxes made ahead (`launcher/`), the control groups (`cgroup/`) and the deadlines. So the
//!   server never forks, and when one of the two dies, the boxes die with it.
//!   Mount namespaces of dead boxes are taken down by a helper of its own (`launcher/undertaker.rs`).
//! * A box is two processes of ours: its **init** (`init.rs`), which owns the mounts and reaps, and the **seed**
//!   (`seed.rs`), which has given up all rights and becomes the command. Until then it shares its init's memory, and they take
//!   turns (`twin.rs`).
//! * A seed can also be a fork of a **zygote** (`zygote/`), which has a runtime loaded already.
//!
//! ```text
//! server ── socket ── launcher ── socket ── init ── socket ── seed ═ exec ═> command
//!    └── pipes: stdin, stdout, stderr ─────────────────────────────────────────┘
//! ```
//!
//! * In a box that stays the seed becomes a **foreman** (`foreman.rs`), which forks a **keeper** (`keeper.rs`) for each command. The
//!   server speaks with both by sockets of their own.
//!
//! All namespaces of a box belong to the launcher's user namespace, but the seed lives in one of its own below it. A
//! command that gets every capability there has none over the box's mounts, network or processes.
//!
//! Not here: workspaces (folders are mounted as they are given), the egress proxy (it is handed a socket that listens in
//! the box's network), policy. `docs/sandbox.md` says what is promised and what is not.

mod cgroup;
mod client;
mod foreman;
mod init;
mod keeper;
mod landlock;
pub mod launcher;
mod mounts;
mod net;
mod plan;
mod private;
mod privileges;
mod probe;
mod root;
mod seccomp;
mod seed;
mod seeds;
mod stay;
mod sys;
mod terminal;
mod twin;
mod wire;
mod zygote;

use stead_tier::fault;

pub use cgroup::sweep;
pub use client::{Namespaces, Settings};
pub use launcher::WORD as LAUNCHER;
pub use probe::{Finding, State, probe};
