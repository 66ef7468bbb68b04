//! What the server and a shim tell each other: JSON in datagrams ([`stead_tier::socket`]), descriptors beside them.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::io::Errno;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stead_ports::sandbox::Change;
pub(crate) use stead_tier::socket::pair;
use stead_tier::socket::{self, Received};

/// What a shim is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The first word. Beside it: the streams, the folder of the root, the folders of the mounts.
    Start(Box<Plan>),
    Kill,
    Measure,
    Limit {
        memory: Option<u64>,
        pids: Option<u32>,
        cpu_milli: Option<u32>,
    },
}

impl From<Change> for Order {
    fn from(Change { memory, pids, cpu_milli }: Change) -> Self {
        Self::Limit { memory, pids, cpu_milli }
    }
}

/// A box, as far as the runtime does not read it in `config.json` itself.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) runtime: PathBuf,
    /// The container's name, and its control group's.
    pub(crate) id: String,
    /// The folder with `config.json`.
    pub(crate) bundle: PathBuf,
    pub(crate) words: Vec<String>,
    /// Where the program is looked for.
    pub(crate) path: String,
    pub(crate) dir: String,
    pub(crate) own_root: bool,
    pub(crate) places: Vec<Place>,
    /// Bytes and files of all private folders together.
    pub(crate) disk: u64,
    pub(crate) inodes: u64,
    pub(crate) limits: Limits,
    pub(crate) wall_ms: u64,
    pub(crate) egress: Option<u16>,
    /// Rows and columns.
    pub(crate) terminal: Option<(u16, u16)>,
}

/// Limits that control groups hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) memory: Option<u64>,
    pub(crate) pids: Option<u32>,
    pub(crate) cpu_milli: Option<u32>,
}

/// A folder inside.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) at: String,
    pub(crate) access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
    Layered,
}

/// What a shim tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// There is no box, and nothing of it is left.
    Failed(Failure),
    /// The command runs. Beside it: the socket of the way out, the terminal.
    Started(Held),
    /// The answer to [`Order::Limit`]: why not, if not.
    Limited(Option<String>),
    /// The answer to [`Order::Measure`].
    Measured(Used),
    /// All is dead. Beside it: the upper layers, in the order of the mounts.
    Ended { end: End, usage: Used },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// What was asked makes no box.
    Spec(String),
    /// The command cannot be started.
    Command(String),
    /// The host or its runtime does not do what it must.
    Host(String),
}

/// For each limit the control group that holds it, or why none does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) memory: Result<String, String>,
    pub(crate) pids: Result<String, String>,
    pub(crate) cpu: Result<String, String>,
    pub(crate) accounting: Result<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    Exited(i32),
    Signal(i32),
    Deadline,
    Killed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) wall_us: u64,
    pub(crate) cpu_us: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) memory_peak: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
    pub(crate) pids: Option<u64>,
    pub(crate) pids_refused: Option<u64>,
    pub(crate) pressure: Option<Pressure>,
}

/// How much processes wait, in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pressure {
    pub(crate) cpu: Option<u16>,
    pub(crate) memory: Option<u16>,
    pub(crate) io: Option<u16>,
}

/// Sends one message. With `wait` it waits for room.
pub(crate) fn send<M: Serialize>(
    socket: impl AsFd,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
    wait: bool,
) -> Result<(), Errno> {
    socket::send(socket, &serde_json::to_vec(message).map_err(|_| Errno::INVAL)?, descriptors, wait)
}

/// Waits for one message; `None` at the end of the conversation. One whose descriptors did not all arrive is none.
pub(crate) fn receive<M: DeserializeOwned>(socket: impl AsFd) -> Result<Option<(M, Vec<OwnedFd>)>, Errno> {
    let mut room = Vec::new();
    let Some(Received { message, descriptors }) = socket::receive(socket, &mut room, true)? else { return Ok(None) };
    let message = serde_json::from_slice(message).map_err(|_| Errno::BADMSG)?;
    Ok(Some((message, descriptors.ok_or(Errno::MSGSIZE)?)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn orders_come_with_their_descriptors_and_the_end_is_seen() {
        let (a, b) = pair().unwrap();
        let long = Plan { words: vec!["x".repeat(128 << 10)], ..Plan::default() };
        send(&a, &Order::Start(Box::new(long)), &[b.as_fd(), b.as_fd()], true).unwrap();
        let (order, descriptors) = receive::<Order>(&b).unwrap().unwrap();
        assert!(matches!(order, Order::Start(plan) if plan.words[0].len() == 128 << 10));
        assert_eq!(descriptors.len(), 2);
        drop(descriptors);
        drop(a);
        assert!(receive::<Order>(&b).unwrap().is_none());
    }
}
