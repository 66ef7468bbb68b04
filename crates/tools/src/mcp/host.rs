//! A place where servers are started that is not this process's own: a box for each run. What the place is, is its owner's matter;
//! this file says what a server needs of it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use stead_core::{
    code::Code,
    id::{Name, RunId},
    sandbox::{BoxLimits, BoxUse},
};
use stead_ports::{BoxFuture, connect::Connects, delegate::OnBehalf, tool::MaySend};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::secret::Secret;

/// How long the end of a server that was killed is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// For whom a server is started.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The run: no other one ever speaks to the server.
    pub run: RunId,
    /// Its tenant.
    pub tenant: Name,
    /// Limits that an operator has set for the run's boxes.
    pub limits: BoxLimits,
    /// Asked before the server speaks to a host. It lives for a whole run, so what holds for one call alone does not count.
    pub connects: Connects,
    /// The run to a server that is shown a delegated token, and whether it may send.
    pub on_behalf: Option<(Arc<OnBehalf>, MaySend)>,
}

/// Starts servers.
pub trait Host: Send + Sync + 'static {
    /// Starts one for a run. The error has a stable code and says what to do; nothing is left then.
    fn start(&self, whose: Whose) -> BoxFuture<'_, Result<Started, (Code, String)>>;

    /// An operator set other limits for a run: its server gets them at once.
    fn limit(&self, run: RunId, limits: BoxLimits) -> BoxFuture<'_, ()>;
}

/// A server that was started.
pub struct Started {
    /// Its standard input; dropping it ends the input.
    pub stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// Its life.
    pub life: Arc<dyn Life>,
}

/// The life of a server. Dropping the last holder kills all of it.
pub trait Life: Send + Sync + 'static {
    /// Kills all of it.
    fn kill(&self);

    /// Waits until all of it is dead; why it ended, and what it wrote to its standard error.
    fn ended(&self) -> BoxFuture<'_, String>;

    /// What it has used since this was asked last, told once; `wall` is how long it worked for whoever asks. `None` when nobody counts.
    fn used(&self, wall: Duration) -> BoxFuture<'_, Option<BoxUse>>;
}

/// A server that is started somewhere else.
#[derive(Clone)]
pub struct Hosted {
    /// What messages call it.
    pub name: String,
    /// Where.
    pub host: Arc<dyn Host>,
    /// Values that it is given as they are: blotted out of whatever it says.
    pub secrets: Vec<Secret>,
    /// How long it may take to start and list its tools.
    pub start_timeout: Duration,
}

/// What is held of a started server.
pub(super) struct Held {
    life: Arc<dyn Life>,
    last: Mutex<String>,
}

impl Held {
    pub(super) fn new(life: Arc<dyn Life>) -> Self {
        Self { life, last: Mutex::default() }
    }

    pub(super) fn kill(&self) {
        self.life.kill();
    }

    /// See [`Life::used`].
    pub(super) async fn used(&self, wall: Duration) -> Option<BoxUse> {
        self.life.used(wall).await
    }

    /// Waits, but not long, for its end.
    pub(super) async fn silence(&self) {
        if let Ok(words) = timeout(FAREWELL, self.life.ended()).await {
            *self.last.lock() = words;
        }
    }

    /// Its last words, when it has ended.
    pub(super) fn last_words(&self) -> String {
        self.last.lock().clone()
    }
}
