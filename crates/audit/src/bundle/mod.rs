//! Bundles: files that prove leaves to whoever has the log's key, without a connection to anything.
//!
//! [`Bundle`] is the file, [`make`] makes one, [`verify`](mod@verify) checks one.

mod broken;
mod file;
mod make;
mod order;
pub mod verify;

pub use broken::Broken;
pub use file::{Bundle, Item, Link, MAX_LEN, MAX_LINKS, MIN_LEAF};
pub use make::{Shown, make};
pub use order::{Order, OutOfOrder, RunSeen};
pub use verify::{Report, verify};
