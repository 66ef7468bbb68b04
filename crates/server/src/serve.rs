//! Serving: from a configuration to a listening server, and an orderly end.

use std::{future::Future, io, net::SocketAddr, path::Path, sync::Arc};

use stead_api::right::Right;
use stead_core::{
    code::{self, Code},
    id::Name,
};
use stead_engine::EngineError;
use stead_ports::{address::Reach, people::People as MayHaveRuns};

use crate::{
    agents::{Environment, Helpers},
    audit::keep_published,
    auth::{DEFAULT_TENANT, Principal, Tokens, own_token},
    config::{self, Config, ConfigError},
    erasure,
    http::{
        app::{App, Shared, router},
        listen::{ListenError, Listener},
    },
    identity::Identity,
    people::People,
    presence::{Announced, Presence},
    runtime::{OpenOptions, Runtime},
    standing::Standing,
    sweep,
    telemetry::Telemetry,
    testing::Setup,
};

/// Subject of the data directory's own token.
pub const OWNER: &str = "owner";

/// Its roles: whoever can read the data folder may approve what the default policy asks about.
const OWNER_ROLES: [&str; 2] = ["owner", "supervisor"];

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The socket cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data cannot be owned or read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file of the data directory cannot be read or written.
    #[error("ST0142: {what}: {source}")]
    Data {
        /// Which.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl ServeError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Config(e) => e.code,
            Self::Listen(e) => e.code,
            Self::Engine(e) => e.code(),
            Self::Data { .. } => code::DATA_READONLY,
        }
    }
}

/// What a command on the user's own machine asks for besides.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// Starts the helper services of manifests.
    pub helpers: Option<Arc<dyn Helpers>>,
    /// Takes commands and begins no work; see [`stead_engine::Options::at_rest`].
    pub at_rest: bool,
    /// What a test puts in the place of the world.
    pub testing: Option<Setup>,
}

/// A server that listens; connections wait until [`Server::run`].
pub struct Server {
    listener: Listener,
    app: Shared,
    addr: SocketAddr,
    url: String,
    token: String,
    config: Config,
    _announced: Option<Announced>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens, opens the runtime, and tells the data directory where it answers.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left behind then.
    pub async fn open(config: Config) -> Result<Self, ServeError> {
        let people: Arc<dyn MayHaveRuns> = Arc::new(Standing::of(&config.auth));
        let environment = Environment::Listed {
            variables: config.agents.env.clone(),
            secrets: config.agents.secrets.clone(),
            shown: config.sandbox.env.clone(),
        };
        Self::open_as(config, Local::default(), environment, Some(people)).await
    }

    /// The same for a command on the user's own machine: process and manifests are the same user's, so that manifests may
    /// name every variable of the environment and every secret.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left behind then.
    pub async fn open_with(config: Config, local: Local) -> Result<Self, ServeError> {
        Self::open_as(config, local, Environment::Open, None).await
    }

    /// `people` says who may have runs; on the user's own machine they all are the user's.
    async fn open_as(
        mut config: Config,
        local: Local,
        environment: Environment,
        people: Option<Arc<dyn MayHaveRuns>>,
    ) -> Result<Self, ServeError> {
        config.check(Path::new("stead.toml"))?;
        if matches!(environment, Environment::Open) && config.telemetry.content == config::Content::Redacted {
            // Manifests may name any variable, so nobody knows which values would have to be masked.
            config.telemetry.content = config::Content::Off;
            if !local.at_rest {
                tracing::warn!(
                    "no texts are told: `telemetry.content = \"redacted\"` needs `stead serve`, where `agents.secrets` and \
                     `agents.env` say what is masked"
                );
            }
        }
        // The port first: it is the cheapest thing to fail.
        let listener = Listener::bind(config.listen).await?.secure(&config)?;
        let runtime = Box::pin(Runtime::open(OpenOptions {
            data_dir: config.data_dir.clone(),
            database: config.database.clone(),
            encrypt: config.encrypt.clone(),
            engine: stead_engine::Options {
                at_rest: local.at_rest,
                ..config.engine_options(&format!("stead-{}", std::process::id()))
            },
            environment,
            secrets: config.secrets.clone(),
            sandbox: config.sandbox.clone(),
            sandboxes: config.sandboxes.clone(),
            budgets: config.budgets.clone(),
            audit: config.audit.clone(),
            approvals: config.approvals.clone(),
            identity: config.identity.clone(),
            oidc: config.auth.oidc.clone(),
            people,
            reach: Reach::allowing(config.agents.addresses.iter().copied()),
            helpers: local.helpers,
            testing: local.testing,
            ..OpenOptions::default()
        }))
        .await?;
        // At rest it would keep nobody's runs going, so nobody is told to come here.
        Self::with(config, listener, runtime, !local.at_rest)
    }

    /// Listens for a runtime that is open already.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn over(config: Config, runtime: Runtime) -> Result<Self, ServeError> {
        config.check(Path::new("stead.toml"))?;
        let listener = Listener::bind(config.listen).await?.secure(&config)?;
        Self::with(config, listener, runtime, true)
    }

    fn with(config: Config, listener: Listener, runtime: Runtime, announce: bool) -> Result<Self, ServeError> {
        let data = |what| move |source| ServeError::Data { what, source };
        let token = own_token(runtime.data_dir()).map_err(data("the token file"))?;
        let mut tokens = Tokens::new(&config.auth.tokens);
        tokens.add(
            &token,
            Principal {
                subject: OWNER.into(),
                tenant: DEFAULT_TENANT.into(),
                rights: Right::ALL.into(),
                roles: OWNER_ROLES.map(Name::from).into(),
                mends: true,
                bound: None,
            },
        );
        let addr = listener.addr().map_err(data("the socket"))?;
        let url = url(&config, addr);
        let announced = announce.then(|| Presence::announce(&url, runtime.data_dir()));
        let announced = announced.transpose().map_err(data("server.json"))?;
        let taken = config.auth.tokens.iter().map(|entry| entry.subject.clone()).chain([OWNER.into()]).collect();
        let people = config.auth.oidc.as_deref().cloned().map(|oidc| People::new(oidc, taken)).transpose();
        let people = people.map_err(data("the certificates of `auth.oidc.ca`"))?;
        let identity = Identity::open(runtime.data_dir(), &config.identity, &url).map_err(data("the signing keys"))?;
        let place = config::Place::of(&config, addr.port())
            .map_err(|(message, hint)| ConfigError::new(code::CONFIG, Path::new("stead.toml"), message).hint(hint))?;
        let identity = Arc::new(identity);
        runtime.outward().serve(identity.clone(), runtime.engine());
        let telemetry = Telemetry::new(&config, runtime.secrets())
            .map_err(|why| ConfigError::new(code::CONFIG, Path::new("stead.toml"), why))?;
        let app = App::new(runtime, tokens, people, identity, place, telemetry, &config);
        Ok(Self { listener, app, addr, url, token, config, _announced: announced })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where a program on this machine reaches it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where people reach its approval page.
    pub fn page(&self) -> String {
        format!("{}/approvals", self.app.pages.place.origin)
    }

    /// The data directory's own token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the sandboxes of agents may be.
    pub fn sandbox(&self) -> &config::Sandbox {
        &self.config.sandbox
    }

    /// The runtime behind it.
    pub fn runtime(&self) -> &Runtime {
        &self.app.runtime
    }

    /// Serves until `shutdown` completes. Then: `/readyz` says no, nothing new is accepted, streams end, requests under way
    /// finish, runs stop at their next durable point, and ownership of the data is given back.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, app, config, _announced: announced, .. } = self;
        let patience = config.drain_timeout.0;
        // At rest it begins nothing, this neither.
        let sweeping = announced.is_some().then(|| tokio::spawn(sweep::keep(app.clone())));
        let publishing = announced.is_some().then(|| {
            tokio::spawn(keep_published(app.runtime.log().clone(), config.audit.clone(), app.draining.clone()))
        });
        let notices = app.notices.clone();
        let telling = announced.is_some().then(|| {
            tokio::spawn({
                let app = app.clone();
                async move { notices.keep(app).await }
            })
        });
        let tracing = announced.is_some().then(|| tokio::spawn(Telemetry::keep(app.clone())));
        let erasing = tokio::spawn(erasure::keep(app.clone()));
        let serving = listener.serve(app.clone(), router(app.clone()), patience);
        let stopping = async {
            shutdown.await;
            app.draining.cancel();
        };
        tokio::join!(serving, stopping);
        if let Some(sweeping) = sweeping {
            let _ = sweeping.await;
        }
        if let Some(telling) = telling {
            let _ = telling.await;
        }
        if let Some(publishing) = publishing {
            let _ = publishing.await;
        }
        if let Some(tracing) = tracing {
            let _ = tracing.await;
        }
        let _ = erasing.await;
        #[cfg(target_os = "linux")]
        app.sandboxes.close().await;
        app.runtime.drain(patience).await;
    }
}

/// A wildcard address is reached through loopback.
fn url(config: &Config, addr: SocketAddr) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let mut addr = addr;
    if addr.ip().is_unspecified() {
        let own: SocketAddr =
            if addr.is_ipv4() { ([127, 0, 0, 1], 0).into() } else { ([0, 0, 0, 0, 0, 0, 0, 1], 0).into() };
        addr.set_ip(own.ip());
    }
    format!("{scheme}://{addr}")
}

/// Serves a configuration until `shutdown` completes.
///
/// # Errors
/// [`ServeError`] when serving cannot begin.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let server = Server::open(config).await?;
    tracing::info!(url = server.url(), "serving");
    server.run(shutdown).await;
    Ok(())
}

/// Completes at SIGTERM or SIGINT, also at one that comes after this call and before anybody waits. To be called in a
/// runtime.
pub fn told_to_stop() -> impl Future<Output = ()> + Send + 'static {
    use tokio::signal::unix::{SignalKind, signal};
    let (term, int) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        match (term, int) {
            (Ok(mut term), Ok(mut int)) => {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            }
            // Without handlers the signals end the process by themselves, which loses nothing either.
            _ => std::future::pending().await,
        }
    }
}
