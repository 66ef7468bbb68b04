//! The microvm tier of sandboxes: each action runs in a fresh virtual machine with a kernel of its own, and the machine is
//! thrown away.
//!
//! * [`Machines`] is what the server holds (`host/`): it finds out once how machines can be run here, starts one for each
//!   box, sends it what it needs, and reads what comes back.
//! * `vmm/` is what runs a machine: QEMU today. It is told a kernel, an image, memory, processors, and hands back the
//!   one socket over which all talk with the machine goes.
//! * `guest/` is the first program of the machine. It unpacks folders, makes the box, starts the command in it and looks
//!   after it. It is this same program, copied into the image (`image/`).
//! * `wire/` is the talk: frames of streams with windows, and the orders and news among them. `tree/` is how a folder travels.
//!
//! ```text
//! server ── socket ── QEMU ══ virtio console ══ init of the machine ── command
//!    └─ socket ─ place: the network and the memory in which the way out and the layers stand
//! ```
//!
//! Everything that comes out of a machine is hostile, the first program's words too: whoever breaks the machine's kernel
//! speaks in its place. So frames, windows, folders and times have bounds on this side, and what the machine says of its use of
//! processors and memory is not believed but measured from outside.
//!
//! Not here: workspaces, the egress proxy (it is handed a socket), policy. `docs/sandbox.md` says what is promised and what is not.

mod guest;
mod host;
mod image;
mod net;
pub mod role;
mod sys;
mod tree;
mod vmm;
mod wire;

use stead_tier::fault;

pub use host::{
    Machines, Settings,
    probe::{Finding, State, probe},
};
pub use role::WORD;
