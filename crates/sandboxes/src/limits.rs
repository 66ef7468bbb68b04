//! The bounds of session sandboxes. `docs/limits.md` lists them.

use std::time::Duration;

/// What a tenant holds at most. How many there may be of all tenants is the workshop's to bound
/// ([`stead_workshop::HostLimits::sandboxes`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Sandboxes of one tenant at once.
    pub most_of_tenant: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { most_of_tenant: 16 }
    }
}

/// Commands of a sandbox that run at once.
pub(crate) const RUNNING: usize = 32;
/// Commands of a sandbox that are remembered, those that run included; the oldest that have ended are forgotten first.
pub(crate) const REMEMBERED: usize = 256;
/// Bytes kept of one command's output.
pub(crate) const OUTPUT: usize = 1 << 20;
/// What a piece of output counts besides its bytes, so that many short ones have a bound too.
pub(crate) const PIECE_COST: usize = 64;
/// Bytes of one piece.
pub(crate) const PIECE: usize = 32 << 10;
/// Pieces that are read after a command has ended, of what it wrote before.
pub(crate) const LAST_PIECES: usize = 64;
/// How long it is waited for the next of them, when something that the command left behind holds its output open.
pub(crate) const LAST_WAIT: Duration = Duration::from_millis(200);
/// Bytes of a key of a command.
pub(crate) const KEY: usize = 255;
/// Sandboxes that have ended and are remembered, so that whoever asks hears why.
pub(crate) const ENDED: usize = 1024;
/// Variables of an environment.
pub(crate) const VARIABLES: usize = 256;
/// Bytes that are written to standard input at once.
pub(crate) const INPUT: usize = 1 << 20;
/// How long standard input may take to be taken.
pub(crate) const INPUT_TIME: Duration = Duration::from_secs(20);
/// Shortest time of a sandbox.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);
/// Longest life of a sandbox, however often its time is renewed: that of any box.
pub(crate) const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest time that a snapshot is held.
pub(crate) const HOLD: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of one file that is written from outside.
pub(crate) const FILE: u64 = 512 << 20;
/// Bytes of a path.
pub(crate) const PATH: usize = 4000;
/// Entries of a folder that are listed.
pub(crate) const LISTED: usize = 10_000;
/// Entries that one removal takes away.
pub(crate) const REMOVED: usize = 1_000_000;
/// Levels of folders that a removal goes down.
pub(crate) const DEPTH: usize = 128;
/// Watches of a sandbox at once; each has a thread.
pub(crate) const WATCHES: usize = 4;
/// Folders of one watch.
pub(crate) const WATCHED: usize = 1024;
/// How long a tree is held for a sandbox that is being made with it: nothing else may lead to it, until the sandbox itself does.
pub(crate) const BEGINNING: Duration = Duration::from_secs(3600);
