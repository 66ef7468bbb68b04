//! The audit log: what makes a journal's history something that nobody can rewrite unseen. `docs/audit-log.md` is the
//! normative text.
//!
//! * [`hash`], [`frontier`], [`tree`], [`prove`] and [`proof`] are the Merkle tree: appending, making proofs, checking them.
//! * [`tile`], [`edge`] and [`read`] are its layout in files: their paths, what an append writes, and reading with no belief in
//!   what is read.
//! * [`key`], [`note`] and [`checkpoint`] are what is signed, and by whom.
//! * [`leaf`] is what the log says of a record or of an operator's act, [`origin`] what a log is called, [`bundle`] the file that proves it to others,
//!   [`certificate`] what is signed of an erasure.
//!
//! Not here: who integrates records, where files are kept, and when it is. Nothing here reads a clock, draws a random number or
//! opens a file; `clippy.toml` and `cargo xtask tidy` hold that line.
//!
//! ```
//! use stead_audit::{hash, proof, prove, tree::Tree};
//!
//! let mut tree = Tree::default();
//! tree.extend((0..1_000_u32).map(|n| hash::leaf(&n.to_be_bytes())));
//! let Ok(path) = prove::inclusion(&mut tree, 42, 1_000);
//! assert!(proof::inclusion(hash::leaf(&42_u32.to_be_bytes()), 42, 1_000, &path, tree.root()).is_ok());
//! assert!(proof::inclusion(hash::leaf(&43_u32.to_be_bytes()), 42, 1_000, &path, tree.root()).is_err());
//! ```

pub mod bundle;
mod cbor;
pub mod certificate;
pub mod checkpoint;
pub mod edge;
pub mod frontier;
pub mod hash;
pub mod key;
pub mod leaf;
pub mod note;
pub mod origin;
pub mod proof;
pub mod prove;
pub mod read;
pub mod tile;
pub mod tree;

pub use cbor::Malformed;

/// Leaves that a log can have: a size fits what databases call an integer.
pub const MAX_SIZE: u64 = i64::MAX as u64;
