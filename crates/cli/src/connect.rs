//! Whom a command talks to: the server it names, the server that owns the data directory, or itself. In the last case
//! this process opens the data directory, serves `/v1` on a loopback port of its own for the length of the command, and
//! is its own client: every command has one way only, and other commands may join in meanwhile.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use stead_client::Client;
use stead_core::code;
use stead_server::{
    auth::token_path,
    config::{Config, units::Time},
    presence::Presence,
    serve::{Local, ServeError, Server},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::Global,
    credentials,
    error::{CliError, Outcome},
    helpers::DevHelpers,
    process,
};

/// How long to wait for another command to let go of the data directory.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the end of a command waits for model and tool calls under way.
const DRAIN: Duration = Duration::from_secs(20);

/// What a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Runs must go on.
    Work,
    /// To look and to answer; nothing unfinished is taken up.
    Rest,
}

/// Someone who answers.
pub(crate) struct Connection {
    /// The way to it.
    pub(crate) client: Client,
    own: Option<Own>,
    /// Says when the process that answers has ended; only for one that was found through the data directory.
    owner: Option<watch::Receiver<bool>>,
    /// Whether manifests' folders mean the same there.
    pub(crate) local: bool,
}

struct Own {
    stop: CancellationToken,
    serving: JoinHandle<()>,
    helpers: Arc<DevHelpers>,
}

impl Connection {
    /// Finds who answers; see the module.
    pub(crate) async fn open(global: &Global, need: Need) -> Outcome<Self> {
        if let Some(url) = &global.server {
            return named(url, &global.data).await;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some((client, process)) = owner(&global.data).await {
                return Ok(Self { client, own: None, owner: Some(process), local: true });
            }
            match Self::own(&global.data, need).await {
                Err(e) if e.code() == code::DATA_LOCKED && Instant::now() < until => tokio::time::sleep(PAUSE).await,
                Err(e) => return Err(own_error(e)),
                Ok(connection) => return Ok(connection),
            }
        }
    }

    async fn own(data: &Path, need: Need) -> Result<Self, ServeError> {
        // What boxes may be here, and how policies are applied, if somebody has said so.
        let file = data.join("stead.toml");
        let written = if file.exists() { Config::load(&file)? } else { Config::default() };
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: data.to_owned(),
            drain_timeout: Time(DRAIN),
            sandbox: written.sandbox,
            policy: written.policy,
            audit: written.audit,
            erasure: written.erasure,
            approvals: written.approvals,
            ..Config::default()
        };
        let helpers = Arc::new(DevHelpers::new(need == Need::Work));
        let local = Local { helpers: Some(helpers.clone()), at_rest: need == Need::Rest, testing: None };
        let server = Server::open_with(config, local).await?;
        let client = Client::new(server.url(), server.token())
            .map_err(|e| ServeError::Data { what: "the token file", source: std::io::Error::other(e.detail) })?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Ok(Self { client, own: Some(Own { stop, serving, helpers }), owner: None, local: true })
    }

    /// The way to a server that answers on this machine.
    pub(crate) fn to(client: Client) -> Self {
        Self { client, own: None, owner: None, local: true }
    }

    /// Whether this process does the work.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Whether another process does it, which may end before this command does.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.owner.is_some()
    }

    /// Completes when that process has ended.
    pub(crate) async fn lost(&self) {
        match &self.owner {
            // A process that cannot be watched any more counts as gone: the next look tells.
            Some(ended) => drop(ended.clone().wait_for(|ended| *ended).await),
            None => std::future::pending().await,
        }
    }

    /// Ends in order: what was sent is finished, and the data directory is given back. Nothing is lost without it, so
    /// Ctrl-C ends it at once.
    pub(crate) async fn close(self) {
        let Some(own) = self.own else { return };
        drop(self.client);
        own.stop.cancel();
        tokio::select! {
            // A server that panicked has nothing left to end.
            _ = own.serving => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        own.helpers.stop().await;
    }
}

/// The server that the user named.
async fn named(url: &str, data: &Path) -> Outcome<Connection> {
    let token = match std::env::var("STEAD_TOKEN") {
        Ok(token) if !token.trim().is_empty() => token.trim().to_owned(),
        _ => match credentials::of(url).await? {
            Some(token) => token,
            None => fs::read_to_string(token_path(data)).map(|t| t.trim().to_owned()).map_err(|_| {
                CliError::new(code::UNAUTHENTICATED, format!("there is no token for {url}"))
                    .hint("log in with `stead login`, set STEAD_TOKEN, or name the server's data folder with --data")
            })?,
        },
    };
    let client = Client::new(url, &token)?;
    let local = matches!(client.base().host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    Ok(Connection { client, own: None, owner: None, local })
}

/// The server that says it owns the data directory, if it lives and answers.
async fn owner(data: &Path) -> Option<(Client, watch::Receiver<bool>)> {
    let presence = Presence::read(data)?;
    // A file that a dead process left behind may name a port that now is somebody else's, who must not get the token.
    if !process::is_mine(presence.pid) {
        return None;
    }
    let ended = process::end_of(presence.pid)?;
    let token = fs::read_to_string(token_path(data)).ok()?;
    let client = Client::new(&presence.url, token.trim()).ok()?;
    client.status().await.ok().map(|_| (client, ended))
}

fn own_error(e: ServeError) -> CliError {
    let error = CliError::from(e);
    match error.code() {
        Some(code::DATA_LOCKED) => error.hint("wait for that command to end, or choose another folder with --data"),
        Some(code::DATA_READONLY) => error.hint("choose a folder that you may write with --data"),
        _ => error,
    }
}
