//! Encryption of what a store keeps: texts are sealed just before they go to the database, and opened just after they come out of
//! it. Hashes, chains and addresses are those of the plain bytes; what is sealed was compressed before.
//!
//! * `key` has the two kinds of keys: the operator's, which wraps, and those of tenants, which seal.
//! * `place` is what a text is bound to, so that no row can be put where another was.
//! * `line` keeps appends in order while a tenant's first key is made.
//! * `ring` holds the keys of one store; `rows` knows which parts of the port's types and of a backup's rows are sealed.
//!
//! ```text
//! sealed  = FF 53 4C 01 || key id:8 || nonce:12 || AES-256-GCM-SIV(data key, nonce, AAD = place, plain):n+16
//! wrapped = nonce:12 || AES-256-GCM-SIV(wrapping key, nonce, AAD = "stead/data-key/v1" || id:8 || tenant, data key):48
//! ```
//!
//! `docs/encryption.md` says what is sealed and what is not. No database here.

pub(crate) mod key;
mod line;
pub(crate) mod place;
mod ring;
mod rows;

pub(crate) use key::WrappedKey;
pub use key::WrappingKey;
pub(crate) use line::Line;
pub use ring::{LineKey, Rotated};
pub(crate) use ring::{Ring, is_sealed, refused, rotated, told};
pub(crate) use rows::{
    WayIn, open_all, open_content, open_message, open_one, open_policy, open_record, open_records, open_run,
    open_snapshot, open_version, seal_append, seal_contents, seal_policy, seal_record, seal_snapshot, seal_version,
    tenants,
};
