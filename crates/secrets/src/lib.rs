//! Secrets of an operator: one encrypted file, which `stead secrets` writes and a server reads; and the other places where they may be.
//!
//! * [`SecretsFile`] sets, lists and removes, and is the adapter of the port [`stead_ports::secret::Secrets`].
//! * [`Sources`] asks it first, then [`Folder`], [`Variables`] and [`Vault`].
//! * [`Place`] says where the file is, and where its key comes from.
//! * [`rules`] bounds names, values and the file; `format` is its bytes, `key` the key, `disk` how both get on the disk.
//!
//! Each value is sealed by itself with AES-256-GCM-SIV, bound to its name and date; a last seal covers the whole file, so that
//! no entry can be taken out, put back or moved. `docs/secrets.md` is the text of the format and of what it protects.
//!
//! Not here: who may name which secret (the wiring), and where a secret goes (the adapters of models and tools).

mod disk;
mod file;
mod folder;
mod format;
mod key;
mod place;
pub mod rules;
mod sources;
mod variables;
mod vault;

pub use file::{Listed, SecretsFile};
pub use folder::Folder;
pub use key::KeyBytes;
pub use place::{KEY_VARIABLE, KeySource, Place};
pub use sources::{Found, Source, Sources, State};
pub use variables::Variables;
pub use vault::{Login, Vault, VaultOptions};
