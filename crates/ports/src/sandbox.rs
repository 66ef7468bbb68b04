//! The sandbox port: a box is a fresh place for one action, used once and thrown away. This file says what a box is asked
//! and what it answers; [`property`] says what a tier can promise, [`outcome`] how an action ended.
//!
//! Not here: which tier an agent gets (manifest and policy), workspaces (a box mounts folders that it is given) and the
//! rules of egress (a box gives the proxy a socket to listen on, and has no other way out).

pub mod outcome;
pub mod property;
pub mod session;

use std::{collections::BTreeSet, net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use stead_core::code::{self, Code};
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::{
    outcome::{Captured, End, Evidence, Outcome, Pressure, Served, Usage},
    property::{Offer, Property, Tier},
    session::{Exec, ExecEnd, ExecWhy, Hand, Resident, STAYING, Session, Streams},
};
use crate::BoxFuture;

/// What runs in a box. Bytes are passed on as they are; a NUL byte in any of them is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments. A program without a slash is looked for in the box's own `PATH`.
    pub words: Vec<String>,
    /// The whole environment: nothing is inherited. Without a `PATH` the box has a usual one.
    pub env: Vec<(String, String)>,
    /// The working folder, inside.
    pub dir: PathBuf,
}

/// A folder of the host, inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it appears: a folder that the root has (`/workspace`, `/data`, `/mnt`, `/opt`, `/srv`), or a place below
    /// `/tmp` or `/home/box`, which is made.
    pub at: PathBuf,
    /// What appears there.
    pub content: Content,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The folder, read-only.
    ReadOnly(PathBuf),
    /// The folder itself, writable where its permissions let the box's user write. No quota holds there.
    ReadWrite(PathBuf),
    /// The folder as a read-only lower layer, with a private upper layer that counts against the box's disk quota. The
    /// upper layer comes back with the outcome ([`Outcome::layers`]), the folder itself never changes.
    Layered(PathBuf),
}

/// What the read-only root of a box is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Root {
    /// The host's programs and libraries (`/usr`), with a small `/etc` of the box's own.
    #[default]
    Host,
    /// A folder that holds a root of its own, with `/proc`, `/dev`, `/tmp` and `/home/box` to mount on.
    Folder(PathBuf),
}

/// What an action may use. A limit that the tier cannot hold is left out only if nothing requires it
/// ([`Spec::requires`]), and the [`Evidence`] then says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, files in private folders included.
    pub memory: Option<u64>,
    /// Processes and threads at once, the box's own init included.
    pub pids: Option<u32>,
    /// Thousandths of a processor.
    pub cpu_milli: Option<u32>,
    /// Bytes in all private folders together.
    pub disk: u64,
    /// Files and folders in all private folders together.
    pub inodes: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Open files of one process.
    pub open_files: u32,
    /// From the start of the command to its end by force.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: Some(512 << 20),
            pids: Some(128),
            cpu_milli: Some(1000),
            disk: 256 << 20,
            inodes: 65_536,
            file: 256 << 20,
            open_files: 1024,
            wall: Duration::from_secs(30),
        }
    }
}

/// A change of the limits of a box that runs; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Thousandths of a processor.
    pub cpu_milli: Option<u32>,
}

/// What a box is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// What runs.
    pub command: Command,
    /// The read-only root.
    pub root: Root,
    /// Folders inside, mounted in this order.
    pub mounts: Vec<Mount>,
    /// What it may use.
    pub limits: Limits,
    /// What the tier must be able to promise; if it cannot, nothing starts ([`BoxError::Lacks`]).
    pub requires: BTreeSet<Property>,
    /// The port on the box's loopback where the way out begins; `None` means there is none. See [`Running::egress`].
    pub egress: Option<u16>,
    /// The fork server that starts it, if it can: then the command begins as a copy of a process that has already loaded its
    /// runtime. If it cannot, the command starts cold, and the [`Evidence`] says so.
    pub zygote: Option<Zygote>,
}

/// A fork server that runs no code of an action itself. All actions of a tenant's zygote have the same layout of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zygote {
    /// Whose actions it starts: never those of two tenants. 1 to 128 bytes.
    pub tenant: String,
    /// What it has loaded.
    pub runtime: Runtime,
}

/// A runtime that a zygote can load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// The host's `python3`. It starts `python3 FILE`, `python3 -c TEXT`, `python3 -m MODULE` and `python3 -`, each with
    /// arguments, without options of the interpreter.
    Python,
}

/// Which of its outputs a box wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Hears output as it comes, in pieces as they were read. Must not block.
pub type Follower = Arc<dyn Fn(Source, &[u8]) + Send + Sync>;

/// What happens to a command that writes more than is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The box is killed; its end is [`End::Output`].
    #[default]
    Kill,
    /// The rest is read and dropped.
    Drop,
}

/// Where the streams of a command lead.
#[derive(Default)]
pub enum Stdio {
    /// Nothing to read; output is kept up to 1 MiB each.
    #[default]
    Quiet,
    /// Input is given whole, output is kept.
    Capture {
        /// All that stands on standard input.
        input: Bytes,
        /// Bytes kept of each output.
        keep: usize,
        /// What happens beyond.
        full: WhenFull,
        /// Hears of it on the way.
        follower: Option<Follower>,
    },
    /// Input and output are streams ([`Running::pipes`]); standard error is kept up to `keep` bytes, the rest dropped.
    Pipes {
        /// Bytes kept of standard error.
        keep: usize,
    },
    /// A terminal of the box's own; what passes through it is [`Running::pipes`].
    Terminal {
        /// Rows and columns.
        size: (u16, u16),
    },
}

/// Bytes kept of an output unless asked otherwise.
pub const KEEP: usize = 1 << 20;

/// The streams of a box whose caller reads and writes them itself.
pub struct Pipes {
    /// Standard input; dropping it ends the input (of a terminal: nothing).
    pub stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Standard output; of a terminal: all that it shows, not escaped.
    pub stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
}

/// Has a hand on a box that runs.
pub trait Control: Send + Sync {
    /// Kills all that runs in it. The end is then [`End::Killed`], unless it had ended already.
    fn kill(&self);

    /// Changes its limits.
    ///
    /// # Errors
    /// [`BoxError::Lacks`] if the tier does not hold such a limit, [`BoxError::Lost`] if the box has ended.
    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>>;

    /// What it has used until now, for whoever watches several and stops the worst offender first.
    ///
    /// # Errors
    /// [`BoxError::Lost`] if the box has ended: its outcome tells what it used.
    fn usage(&self) -> BoxFuture<'_, Result<Usage, BoxError>>;

    /// Tells a terminal its new size (rows, columns); nothing for other boxes.
    fn resize(&self, size: (u16, u16));
}

/// A box that runs. Dropping its `end` kills it.
pub struct Running {
    /// Kill, limit, watch, resize.
    pub control: Arc<dyn Control>,
    /// Of [`Stdio::Pipes`] and [`Stdio::Terminal`].
    pub pipes: Option<Pipes>,
    /// A socket that listens on the loopback of the box's own network: give it to the egress proxy, which accepts on it
    /// from outside. It is the only way out, and nothing in the box handles what passes. Close it when the box has ended: it
    /// keeps the network of a dead box.
    pub egress: Option<TcpListener>,
    /// What holds, from the start on.
    pub evidence: Evidence,
    /// The end: resolved when all that ran in the box is dead. Poll it while the box runs, for it also reads what is captured.
    pub end: BoxFuture<'static, Result<Outcome, BoxError>>,
}

/// Makes boxes of one tier.
pub trait Boxes: Send + Sync + 'static {
    /// What the tier can promise on this host, and why not more.
    fn offer(&self) -> BoxFuture<'_, Result<Offer, BoxError>>;

    /// Most boxes of it at once, where that is fewer than its callers may want: one more is [`BoxError::Busy`]. Who keeps to it lets the
    /// next ones wait instead.
    fn most(&self) -> Option<usize> {
        None
    }

    /// Starts one. Dropping the future, or [`Running::end`], kills what was started.
    ///
    /// # Errors
    /// See [`BoxError`]; after an error nothing of the box is left.
    fn start(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Result<Running, BoxError>>;

    /// Starts one that stays, for commands to be run in it ([`Session::exec`]). The command of `spec` is not looked at.
    ///
    /// # Errors
    /// See [`BoxError`]; [`BoxError::Unavailable`] of a tier that has no such boxes.
    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Resident, BoxError>> {
        drop(spec);
        Box::pin(async move {
            let tier = self.offer().await?.tier;
            Err(BoxError::Unavailable { tier, why: "this tier has no session sandboxes".to_owned() })
        })
    }

    /// Starts one and waits for its end. For [`Stdio::Quiet`] and [`Stdio::Capture`].
    ///
    /// # Errors
    /// See [`BoxError`].
    fn run(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Result<Outcome, BoxError>> {
        Box::pin(async move { self.start(spec, stdio).await?.end.await })
    }
}

/// Why there is no box, or no outcome.
#[derive(Debug, thiserror::Error)]
pub enum BoxError {
    /// The tier cannot be given on this host.
    #[error("the sandbox tier `{tier}` cannot be given here: {why}; `stead doctor` tells what this host lacks")]
    Unavailable {
        /// The tier.
        tier: Tier,
        /// What is missing.
        why: String,
    },
    /// The tier is there, but it cannot promise what is required.
    #[error("the sandbox tier `{tier}` cannot promise {property} here: {why}; nothing was started")]
    Lacks {
        /// The tier.
        tier: Tier,
        /// What it lacks.
        property: Property,
        /// Why.
        why: String,
    },
    /// What was asked makes no box.
    #[error("the sandbox cannot be made as asked: {0}")]
    Spec(String),
    /// The box stood, but the command did not start.
    #[error("`{program}` cannot be started in the sandbox: {why}")]
    Command {
        /// The program.
        program: String,
        /// What the system said.
        why: String,
    },
    /// As many boxes as there may be are there.
    #[error("{0} sandboxes run already; try again when one has ended")]
    Busy(usize),
    /// The process that holds the boxes is gone, and the box with it. What the command had done by then is unknown.
    #[error("the sandbox was lost: {0}")]
    Lost(String),
}

impl BoxError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Unavailable { .. } => code::SANDBOX_UNAVAILABLE,
            Self::Lacks { .. } => code::SANDBOX_LACKS,
            Self::Spec(_) => code::SANDBOX_SPEC,
            Self::Command { .. } => code::SANDBOX_COMMAND,
            Self::Busy(_) => code::SANDBOX_BUSY,
            Self::Lost(_) => code::SANDBOX_LOST,
        }
    }
}
