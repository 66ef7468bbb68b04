//! A box that stays: the session sandbox. It begins with nothing but what keeps it, and commands are run in it one after another or
//! several at once, all in the same namespaces, the same private folders and the same limits.
//!
//! Not here: what a caller may do with one, how long it stays and what its commands wrote (`stead-sandboxes`).

use std::{
    net::TcpListener,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{BoxError, Command, Control, Evidence, Outcome, Tier};
use crate::{BoxFuture, workspace::Still};

/// The tiers whose boxes can stay ([`Boxes::open`](super::Boxes::open)). What another one would have to do for it: take orders for commands
/// after its start, hand its folders out by descriptor, and stand still for a snapshot.
pub const STAYING: [Tier; 1] = [Tier::Namespace];

/// A box that stays. Dropping its `end` kills it.
pub struct Resident {
    /// Everything that can be done with it.
    pub session: Arc<dyn Session>,
    /// As [`Running::egress`](super::Running::egress).
    pub egress: Option<TcpListener>,
    /// What holds.
    pub evidence: Evidence,
    /// The end: resolved when all that ran in the box is dead.
    pub end: BoxFuture<'static, Result<Outcome, BoxError>>,
}

/// Has a hand on a box that stays.
pub trait Session: Control {
    /// Runs a command in it, with the same confinement as any first command of a box.
    ///
    /// # Errors
    /// [`BoxError::Command`] when it does not start, [`BoxError::Lost`] when the box has ended, [`BoxError::Spec`] for what is no
    /// command.
    fn exec(&self, command: Command, streams: Streams) -> BoxFuture<'_, Result<Exec, BoxError>>;

    /// Where its writable folders stand inside: those that were mounted layered or writable, and its private ones.
    fn folders(&self) -> Vec<PathBuf>;

    /// The folder at one of these places, as the box sees it now. Everything below is written by somebody hostile while it is
    /// looked at: follow no link that leads out (`openat2(2)`, `RESOLVE_BENEATH`).
    fn folder(&self, at: &Path) -> Option<BorrowedFd<'_>>;

    /// Who owns what the box writes, outside: user and group. What is put there for it is to belong to them.
    fn owner(&self) -> (u32, u32);

    /// Lets nothing in the box run until the proof is dropped, and gives out what was written to the layered folder at that place.
    ///
    /// # Errors
    /// [`BoxError::Spec`] when there is no such layer, or nothing on this host can freeze a box: then it has to end first, and its
    /// [`Outcome::layers`] are the same.
    fn freeze(&self, at: &Path) -> BoxFuture<'_, Result<Box<dyn Still>, BoxError>>;
}

/// Where the streams of a command in a session lead. All are the caller's to read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Three pipes.
    Pipes,
    /// A terminal of the box's own.
    Terminal {
        /// Rows and columns.
        size: (u16, u16),
    },
}

/// A command that runs in a session. Dropping its `end` kills it, with all that it started.
pub struct Exec {
    /// Signals and the size of the terminal.
    pub hand: Arc<dyn Hand>,
    /// Standard input, or what is typed; dropping it ends the input (of a terminal: nothing).
    pub stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Standard output, or all that a terminal shows.
    pub stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// Standard error; none of a terminal.
    pub stderr: Option<Box<dyn AsyncRead + Send + Sync + Unpin>>,
    /// The end of the command itself. What it left behind goes on, until the box ends.
    pub end: BoxFuture<'static, ExecEnd>,
}

/// Has a hand on a command of a session.
pub trait Hand: Send + Sync {
    /// Kills it and all that it started, wherever that moved to.
    fn kill(&self);

    /// Sends a signal to its process group. 1 to 64.
    fn signal(&self, signal: i32);

    /// Tells its terminal a new size (rows, columns).
    fn resize(&self, size: (u16, u16));
}

/// How a command of a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExecEnd {
    /// Why.
    pub why: ExecWhy,
    /// Processor time of it and of what it waited for, as the box tells it; the box's own usage is what counts.
    pub cpu: Option<Duration>,
}

/// Why a command of a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecWhy {
    /// It ended with this code.
    Exited(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It was killed by whoever holds it, or with its box.
    Killed,
}
