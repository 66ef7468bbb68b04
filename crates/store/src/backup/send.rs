//! The way of a backup's pieces out of a store: a bounded channel, so that a slow taker slows the reading down.

use std::fmt::Display;

use bytes::Bytes;
use stead_core::code;
use stead_ports::journal::{Backup, StoreError};
use tokio::sync::mpsc::{Sender, channel};

use super::chunk::TooLong;

/// Pieces under way at once; each is about a chunk.
const UNDER_WAY: usize = 4;

/// Where the pieces go.
pub(crate) type Pieces = Sender<Result<Bytes, StoreError>>;

/// Why a backup ends early.
pub(crate) enum Stopped {
    /// The store failed.
    Failed(StoreError),
    /// Nobody listens any more.
    Gone,
}

/// Both ends.
pub(crate) fn pieces() -> (Pieces, Backup) {
    channel(UNDER_WAY)
}

pub(crate) fn too_long(place: impl Display, _: TooLong) -> Stopped {
    let detail = format!("{place}: a row is longer than any that was written");
    Stopped::Failed(StoreError { code: code::DATA_DAMAGED, detail })
}

pub(crate) fn wrong_key(place: impl Display) -> StoreError {
    let detail = format!("{place}: keys/blob.key is not the key that it was written with");
    StoreError { code: code::BACKUP_KEY, detail }
}
