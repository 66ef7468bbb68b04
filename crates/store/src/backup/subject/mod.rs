//! Personal texts in a backup: sealed under a key of each person that is in no backup. Who destroys the key destroys what every backup of
//! before has of the person. The store itself keeps texts as ever; sealing costs a backup, and no append and no read.
//!
//! * `key` is a key of a person, as it is used and as a store keeps it; `set` is the file in which all of them leave a store.
//! * `envelope` is how a text is sealed: for one person, or for several of whom each can open it.
//! * `owners` says whose what is; `sealer` seals rows on their way out, `opener` opens them on their way in.
//!
//! ```text
//! sealed  = FF 53 4B 01 || key id:16 || nonce:12 || AES-256-GCM-SIV(key, nonce, AAD, plain):n+16
//! shared  = FF 53 4B 02 || n:2 || n * (key id:16 || nonce:12 || AES-256-GCM-SIV(key, nonce, AAD, content key):48)
//!           || nonce:12 || AES-256-GCM-SIV(content key, nonce, AAD, plain):n+16
//! AAD     = "stead/subject/v1" || the place, as encryption at rest binds it
//! ```
//!
//! No database here: how keys are kept is each store's own.

mod envelope;
mod key;
mod opener;
mod owners;
mod sealer;
mod set;

pub(crate) use key::{KeptKey, NOBODY, SubjectKey};
pub(crate) use opener::Opener;
pub use opener::Shut;
pub(crate) use owners::{Owners, Run};
pub(crate) use sealer::Sealer;
pub(crate) use set::Gone;
pub use set::KeySet;

use stead_core::{code, time::Timestamp};
use stead_ports::journal::StoreError;

use crate::seal::WrappingKey;

/// By which a key is found: random, and says nothing.
pub(crate) type KeyId = [u8; 16];

/// How far erasures are: those that were begun, those that are finished, keys that were destroyed. While these are the same, no erasure can
/// have passed by a key that is made for what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks(pub(crate) i64, pub(crate) i64, pub(crate) i64);

/// How often a backup looks anew because an erasure has gone on meanwhile.
pub(crate) const ATTEMPTS: usize = 8;

/// Erasures did not stand still.
pub(crate) fn restless(place: impl std::fmt::Display) -> StoreError {
    let detail = format!("{place}: erasures went on while keys were made for the backup: take it again");
    StoreError { code: code::ERASURE_UNFINISHED, detail }
}

/// Fresh keys for those who have none: for runs of before each erasure that is under way, and for the others.
pub(crate) fn fresh(
    missing: &[(String, [u8; 32])],
    under_way: &[Vec<i64>],
    now: Timestamp,
    wrapping: Option<&WrappingKey>,
) -> Result<Vec<KeptKey>, StoreError> {
    let mut all = Vec::new();
    for ((tenant, subject), erasures) in missing.iter().zip(under_way) {
        for until in erasures.iter().copied().map(Some).chain([None]) {
            all.push(SubjectKey::fresh(tenant, *subject, now.0, until)?.kept(wrapping)?);
        }
    }
    Ok(all)
}

/// Opens all keys of a store.
pub(crate) fn opened(
    place: impl std::fmt::Display + Copy,
    kept: &[KeptKey],
    wrapping: Option<&WrappingKey>,
) -> Result<Vec<SubjectKey>, StoreError> {
    kept.iter().map(|key| key.open(place, wrapping)).collect()
}
