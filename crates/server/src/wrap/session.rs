//! A session from its start to its end: the folder, the server, the engine, the door, and the loopback server through which
//! approvals are answered.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::{
    code::{self, Code},
    id::Name,
};
use stead_engine::EngineError;
use stead_ports::clock::Clock as _;
use tokio::{
    io::{AsyncBufRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{
    agent::WrapAgents,
    call,
    door::{Door, Ended, MAX_CALLS},
    effect::Wire,
    options::WrapOptions,
    past, place,
    upstream::{Lines, Upstream},
};
use crate::{
    auth::DEFAULT_TENANT,
    clock::SystemClock,
    config::{Config, units::Time},
    runtime::{OpenOptions, Runtime},
    serve::{ServeError, Server},
};

/// How long calls that were sent may take once the client has gone.
const LAST_CALLS: Duration = Duration::from_secs(2);
/// How long the end of the engine may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Why a session does not begin, or breaks off.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The folder holds something else.
    #[error("ST0170: {} holds something else than a wrapped server's calls\n  hint: name another folder with --data", .0.display())]
    Folder(PathBuf),
    /// As many sessions of one name run as there may.
    #[error("ST0173: {} sessions run on {} and beside it\n  hint: end one of them, or choose another --name", place::MAX_PLACES, .0.display())]
    Places(PathBuf),
    /// The wrapped server cannot be started.
    #[error("ST0048: `{program}` cannot be started: {source}")]
    Start {
        /// Its program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file or pipe.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be served.
    #[error(transparent)]
    Serve(Box<ServeError>),
}

impl From<ServeError> for WrapError {
    fn from(e: ServeError) -> Self {
        Self::Serve(Box::new(e))
    }
}

impl WrapError {
    /// The stable code, when it has one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Folder(_) => Some(code::WRAP_FOLDER),
            Self::Places(_) => Some(code::WRAP_PLACES),
            Self::Start { .. } => Some(code::TOOL_SERVER),
            Self::Io { .. } => None,
            Self::Serve(e) => Some(e.code()),
        }
    }
}

/// Serves the client at these pipes until it leaves, the server ends, or `shutdown` completes.
///
/// # Errors
/// [`WrapError`].
pub async fn wrap(
    options: WrapOptions,
    input: impl AsyncBufRead + Send + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
    shutdown: impl Future<Output = ()>,
) -> Result<Ended, WrapError> {
    let options = Arc::new(options);
    // Nothing is started for a folder that cannot be used.
    if !take(&options.data)? {
        return Err(WrapError::Folder(options.data.clone()));
    }
    let (mut upstream, lines) =
        Upstream::start(&options.launcher, &options.command).map_err(|source| WrapError::Start {
            program: options.command.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default(),
            source,
        })?;
    let wire = Arc::new(Wire::new(upstream.stdin.clone()));
    let agents = Arc::new(WrapAgents::new(options.clone(), wire.clone()));
    let began = SystemClock.now();
    let runtime = open(&options, &agents).await?;
    let stead = format!("{} {}", options.program, runtime.data_dir().display());
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: runtime.data_dir().to_owned(),
        drain_timeout: Time(DRAIN),
        ..Config::default()
    };
    let server = Server::over(config, runtime.clone()).await?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(stop.clone().cancelled_owned()));
    let tenant = Name::from(DEFAULT_TENANT);
    let unknown = past::settle(runtime.engine(), &tenant, began).await.map_err(ServeError::from)?;
    let notice = Door::notice(&unknown);
    if let Some(notice) = &notice {
        tracing::warn!("{notice}");
    }
    let door = Arc::new(Door {
        options,
        engine: runtime.engine().clone(),
        tenant,
        who: call::who(),
        stead,
        wire,
        client: Lines::new(Box::new(output)),
        made: 0.into(),
        unknown: Mutex::new(unknown),
        agents,
        notice,
        listed: tokio::sync::Mutex::default(),
        stale: false.into(),
        own_ids: 0.into(),
        under_way: Mutex::default(),
        greetings: Mutex::default(),
        places: Arc::new(Semaphore::new(MAX_CALLS)),
    });
    let mut server_lines = tokio::spawn({
        let door = door.clone();
        async move { door.from_server(lines).await }
    });
    let ended = tokio::select! {
        ended = door.from_client(input) => ended,
        _ = &mut server_lines => Ok(Ended::Server),
        () = shutdown => Ok(Ended::Told),
    };
    // The server's lines are still read: answers may be among them.
    door.finish(LAST_CALLS).await;
    upstream.end().await;
    door.wire.close();
    door.finish(LAST_CALLS).await;
    server_lines.abort();
    stop.cancel();
    // A server that panicked has nothing left to end.
    let _ = serving.await;
    ended.map_err(|source| WrapError::Io { what: "the client".into(), source })
}

/// Opens the first folder that no living process owns.
async fn open(options: &WrapOptions, agents: &Arc<WrapAgents>) -> Result<Runtime, WrapError> {
    for dir in place::places(&options.data) {
        if !take(&dir)? {
            continue;
        }
        let opened =
            Runtime::open(OpenOptions { data_dir: dir, agents: Some(agents.clone()), ..OpenOptions::default() });
        match opened.await {
            Err(e) if is_locked(&e) => {}
            opened => return Ok(opened.map_err(ServeError::from)?),
        }
    }
    Err(WrapError::Places(options.data.clone()))
}

fn take(dir: &Path) -> Result<bool, WrapError> {
    place::take(dir).map_err(|source| WrapError::Io { what: dir.display().to_string(), source })
}

fn is_locked(e: &EngineError) -> bool {
    e.code() == code::DATA_LOCKED
}
