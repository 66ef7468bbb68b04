//! The wasm tier of sandboxes: each action is a fresh instance of a WebAssembly component (`wasi:cli/command`), in this
//! process, that can do nothing but what it is linked to.
//!
//! * [`Components`] is what the server holds: the engine (`engine.rs`), and the components that it has compiled
//!   (`cache.rs`), by what they are made of.
//! * An action names a component in a folder that it is given (`file.rs`), is linked to what `give.rs` gives, is metered by
//!   `state.rs`, writes to `output.rs`, and runs on a thread of its own (`run.rs`).
//!
//! There is no ambient authority: no file but below the folders that are given, and those read-only; no network, no
//! processes, no terminal; of the environment what is passed. What a component asks for beyond that makes it a component
//! that cannot be started.
//!
//! Compiled code is kept in memory alone and never read from a disk: what a compiler made is trusted, and so could be
//! whatever somebody put in its place.
//!
//! Not here: other worlds than `wasi:cli/command`, and code that needs a kernel. `docs/sandbox.md` says what is promised.

mod cache;
mod components;
mod engine;
mod file;
mod give;
mod output;
mod run;
mod state;

pub use components::{Components, Settings};
