//! What all handlers share, and the router with everything a request passes on its way.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{Router, http::Request, middleware, response::IntoResponse as _};
use stead_core::{
    code,
    time::{Span, Timestamp},
};
use stead_ports::clock::Clock as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::{failure::Failure, guard, metrics::Metrics, operate};
use crate::{
    auth::Tokens, clock::SystemClock, config, identity::Identity, notices::Notices, openai, pages::Pages,
    people::People, routes, runtime::Runtime, telemetry::Telemetry,
};

/// Agents that are applied at once: each may be large, and start MCP servers. More wait for their turn.
const APPLYING: usize = 16;
/// Requests with files at once; each holds its body in memory.
pub(crate) const ATTACHING: usize = 16;

/// What handlers work with.
pub(crate) type Shared = Arc<App>;

/// See [`Shared`].
pub(crate) struct App {
    /// The engine and everything behind it.
    pub(crate) runtime: Runtime,
    /// Who may call.
    pub(crate) tokens: Tokens,
    /// Those whom an identity provider knows.
    pub(crate) people: Option<People>,
    /// Who the runs of this server are to others.
    pub(crate) identity: Arc<Identity>,
    /// How long runs may work on behalf of people of the identity provider.
    pub(crate) delegation: Span,
    /// The approval page.
    pub(crate) pages: Pages,
    /// Bounds of requests.
    pub(crate) limits: config::Limits,
    /// Whether `/metrics` needs no token.
    pub(crate) metrics_open: bool,
    /// Places of requests under way.
    pub(crate) requests: Arc<Semaphore>,
    /// Places of agents being applied.
    pub(crate) applying: Arc<Semaphore>,
    /// Places of requests with files.
    pub(crate) attaching: Arc<Semaphore>,
    /// Places of followers and waiters.
    pub(crate) followers: Arc<Semaphore>,
    /// Fires when the server begins to shut down.
    pub(crate) draining: CancellationToken,
    /// How often workspaces are swept.
    pub(crate) sweep: Duration,
    /// Counters.
    pub(crate) metrics: Metrics,
    /// Whether a policy set takes a second person.
    pub(crate) four_eyes: bool,
    /// Whether a change of what an alias names takes a second person.
    pub(crate) four_eyes_for_agents: bool,
    /// Whether an erasure takes a second person.
    pub(crate) four_eyes_for_erasures: bool,
    /// Where it is told what policies say of what people do.
    pub(crate) operators: operate::Record,
    /// Who is told of questions to people.
    pub(crate) notices: Notices,
    /// What is told of runs by OpenTelemetry.
    pub(crate) telemetry: Telemetry,
    /// When serving began.
    pub(crate) started: Timestamp,
    /// Session sandboxes.
    #[cfg(target_os = "linux")]
    pub(crate) sandboxes: crate::sandboxes::Held,
}

impl App {
    pub(crate) fn new(
        runtime: Runtime,
        tokens: Tokens,
        people: Option<People>,
        identity: Arc<Identity>,
        place: config::Place,
        telemetry: Telemetry,
        config: &config::Config,
    ) -> Shared {
        let (store, secrets, reach) = (runtime.notices().clone(), runtime.secrets(), runtime.reach());
        let notices = Notices::new(&config.approvals.notices, place.origin.clone(), store, secrets, reach);
        let metrics = Metrics::new(runtime.engine().clone(), runtime.log().clone(), runtime.shop().starts());
        #[cfg(target_os = "linux")]
        let sandboxes = crate::sandboxes::Held::new(&runtime, &config.sandboxes);
        let operators = operate::Record::open(runtime.data_dir(), runtime.log().clone());
        Arc::new(Self {
            #[cfg(target_os = "linux")]
            sandboxes,
            runtime,
            tokens,
            people,
            identity,
            pages: Pages::new(place, &config.approvals),
            delegation: Span(u64::try_from(config.identity.delegation.0.as_micros()).unwrap_or(u64::MAX)),
            limits: config.limits.clone(),
            metrics_open: config.metrics_open,
            requests: Arc::new(Semaphore::new(config.limits.requests.min(Semaphore::MAX_PERMITS))),
            applying: Arc::new(Semaphore::new(APPLYING)),
            attaching: Arc::new(Semaphore::new(ATTACHING)),
            followers: Arc::new(Semaphore::new(config.limits.followers.min(Semaphore::MAX_PERMITS))),
            draining: CancellationToken::new(),
            sweep: config.sandbox.sweep.0,
            metrics,
            four_eyes: config.policy.four_eyes,
            four_eyes_for_agents: config.agents.four_eyes,
            four_eyes_for_erasures: config.erasure.four_eyes,
            operators,
            notices,
            telemetry,
            started: SystemClock.now(),
        })
    }

    /// The time that a request may take.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.limits.request_timeout.0
    }
}

/// The whole router.
pub(crate) fn router(app: Shared) -> Router {
    let mut router = Router::new();
    for route in routes::table().into_iter().chain(routes::pages()).chain(routes::openai()) {
        let handler = match route.pace {
            routes::Pace::Brief => route.handler.route_layer(middleware::from_fn_with_state(app.clone(), guard::brief)),
            routes::Pace::Long => route.handler,
        };
        // Outermost: who may not ask takes no place.
        let allowed = middleware::from_fn_with_state((app.clone(), route.needs, route.path), guard::allowed);
        // A tile's path has slashes, as names of agents have, which OpenAPI has no word for.
        let path = route.path.replace("{tile}", "{*tile}").replace("{model}", "{*model}");
        router = router.route(&path, handler.route_layer(allowed));
    }
    router
        .fallback(|request: Request<axum::body::Body>| async move {
            Failure::not_found(request.uri().path().chars().take(200).collect::<String>())
        })
        .method_not_allowed_fallback(|request: Request<axum::body::Body>| async move {
            Failure::bad_request(format!("this resource has no method {:.20}", request.method().as_str()))
                .status(axum::http::StatusCode::METHOD_NOT_ALLOWED)
        })
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            let why = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let why = why.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(why, "a request handler panicked");
            Failure::new(code::INTERNAL, "the request met a bug of the server; its log says more").into_response()
        }))
        .layer(middleware::from_fn_with_state(app.clone(), guard::authenticate))
        .layer(middleware::from_fn(openai::shape::shaped))
        .layer(middleware::from_fn_with_state(app.clone(), guard::observe))
        .with_state(app)
}
