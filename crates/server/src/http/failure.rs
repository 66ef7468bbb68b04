//! Errors as answers: an HTTP status for every code, and the problem document.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use stead_api::{
    problem::{MEDIA_TYPE, Place, Problem},
    right::Right,
};
use stead_core::{
    code::{self, Code},
    id::RunId,
};
use stead_engine::EngineError;
use stead_ports::{
    agent::AgentError,
    input::{Misfit, Wrong},
    journal::StoreError,
    policies::Confirmed,
};

use crate::{
    agents::ApplyError,
    people::Stranger,
    policies::{self, PolicyError},
};

/// Seconds after which a refused caller may try again.
const RETRY_AFTER: u16 = 1;

/// How far a request had come when it failed. Told as an extension of the answer, for faces whose clients repeat requests by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing was begun.
    Refused,
    /// Work was begun, and nobody knows how far it came.
    Begun,
    /// A run was started.
    Run(RunId),
}

/// A problem on its way out.
#[derive(Debug)]
pub(crate) struct Failure(Box<Problem>, Reach);

/// What a handler answers.
pub(crate) type Answer<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status_of(code), code, detail)), Reach::Refused)
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(code::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(code::NOT_FOUND, format!("{what} does not exist"))
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(code::UNAUTHENTICATED, "the request carries no token that this server knows")
            .hint("send `Authorization: Bearer TOKEN`; the data directory's own token is in its file `token`")
    }

    pub(crate) fn forbidden(right: Right) -> Self {
        Self::new(code::FORBIDDEN, format!("the token lacks the right `{right}`"))
            .hint("ask the operator for a token with that right; `GET /v1/status` tells the rights of a token")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(code::TOO_LARGE, format!("the body is larger than {limit} bytes"))
    }

    pub(crate) fn overloaded(detail: impl Into<String>) -> Self {
        Self::new(code::OVERLOADED, detail).hint("try again later")
    }

    /// The failure of a stop that did not even reach the run.
    pub(crate) fn unacknowledged(self) -> Self {
        if self.0.status == 503 {
            self.hint("the stop is not acknowledged: ask again once the store answers")
        } else {
            self
        }
    }

    /// Whether it says that a token counts for nothing.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.0.code, code::UNAUTHENTICATED | code::TOKEN_REFUSED | code::FORBIDDEN)
    }

    /// Whether it says that something does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.0.code == code::NOT_FOUND
    }

    /// Whether it says that something does not fit what is.
    pub(crate) fn is_conflict(&self) -> bool {
        self.0.code == code::CONFLICT
    }

    /// What is told.
    pub(crate) fn problem(&self) -> &Problem {
        &self.0
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says how far the request had come.
    #[must_use]
    pub(crate) fn reach(mut self, reach: Reach) -> Self {
        self.1 = reach;
        self
    }

    /// Names the member of the request that it is about.
    #[must_use]
    pub(crate) fn about(mut self, member: &str) -> Self {
        let Problem { code, detail, .. } = &*self.0;
        let (code, message) = (*code, detail.clone());
        let key = member.to_owned();
        self.0.errors.push(Place { code, file: "body".to_owned(), line: 0, column: 0, key, message, hint: None });
        self
    }

    #[must_use]
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }
}

/// The status that a code is answered with, wherever it comes from.
fn status_of(code: Code) -> u16 {
    match code {
        code::UNAUTHENTICATED | code::TOKEN_REFUSED | code::PAGE_SESSION => 401,
        code::FORBIDDEN
        | code::POLICY
        | code::DISABLED
        | code::GRANT
        | code::DELEGATION
        | code::FACE_TOKEN
        | code::PAGE_ORIGIN
        | code::PAGE_LINK => 403,
        code::BAD_REQUEST
        | code::TOO_DEEP
        | code::FACE_PARAMETER
        | code::FACE_TOOLS
        | code::FACE_ORDER
        | code::FACE_KEPT => 400,
        code::NOT_FOUND | code::FACE_MODEL | code::NOTICE_UNKNOWN | code::WORKSPACE_NOTHING | code::WORKSPACE_PATH => {
            404
        }
        code::CONFLICT
        | code::IDEMPOTENCY
        | code::VERSION_GONE
        | code::SESSION_AMBIGUOUS
        | code::VERSION_AMBIGUOUS
        | code::NOTHING_EARLIER
        | code::ALIAS_REFUSED
        | code::POLICY_CONFIRM
        | code::HELD
        | code::SUBJECT_AT_WORK
        | code::ERASURE_UNFINISHED
        | code::SANDBOX_INPUT => 409,
        code::SESSION_SANDBOX_GONE => 410,
        code::TOO_LARGE => 413,
        code::SESSION_SANDBOXES_FULL => 429,
        code::SANDBOX_FILE_ROOM => 507,
        code::NOTICE_UNSENT => 502,
        code::OVERLOADED
        | code::DRAINING
        | code::DATA_FULL
        | code::DATA_READONLY
        | code::DATA_UNREACHABLE
        | code::DATA_LOCKED
        | code::PROVIDER_UNREACHABLE
        | code::SANDBOX_BUSY
        | code::SANDBOX_LOST => 503,
        code::INTERNAL
        | code::QUARANTINED
        | code::DATA_DAMAGED
        | code::DATA_NEWER
        | code::DATA_OLDER
        | code::AUDIT_BROKEN => 500,
        // What is left is about the agent: its manifest, its models, its tools.
        _ => 422,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem), Reach::Refused)
    }
}

impl From<EngineError> for Failure {
    fn from(e: EngineError) -> Self {
        let failure = Self::new(e.code(), e.to_string());
        match e {
            EngineError::Input(misfit) => unfit(&misfit),
            EngineError::KeyReused { .. } => failure.hint("use a fresh Idempotency-Key for a different request"),
            EngineError::Overloaded { .. } => failure.hint("try again later"),
            EngineError::Unrecorded { .. } => failure.hint("ask again once the store can write"),
            _ => failure,
        }
    }
}

/// The failure of an input that does not fit: the first place in words, all of them as data.
fn unfit(misfit: &Misfit) -> Failure {
    let place = |wrong: &Wrong| Place {
        code: code::INPUT_SCHEMA,
        file: "input".to_owned(),
        line: 0,
        column: 0,
        key: wrong.at.clone(),
        message: wrong.why.clone(),
        hint: None,
    };
    let first = misfit.wrong.first().map(ToString::to_string).unwrap_or_default();
    let mut failure = Failure::new(code::INPUT_SCHEMA, format!("the input does not fit the agent's schema: {first}"));
    failure.0.errors = misfit.wrong.iter().map(place).collect();
    match &misfit.example {
        Some(example) => failure.hint(format!("an input that fits: {example}")),
        None => failure.hint("`stead agents show AGENT` tells the schema"),
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        Self::new(e.code, e.detail)
    }
}

impl From<Stranger> for Failure {
    fn from(e: Stranger) -> Self {
        let failure = Self::new(e.code, e.detail);
        match e.code {
            code::TOKEN_REFUSED => failure.hint("log in again: `stead login`"),
            code::FORBIDDEN => failure.hint("ask the operator for an entry of `auth.oidc.groups`"),
            _ => failure.hint("try again later"),
        }
    }
}

impl From<AgentError> for Failure {
    fn from(e: AgentError) -> Self {
        Self::new(e.code, e.detail)
    }
}

impl From<ApplyError> for Failure {
    fn from(e: ApplyError) -> Self {
        match e {
            ApplyError::Bundle(e) => crate::agents::problem_of(&e).into(),
            ApplyError::Agent(e) => e.into(),
            ApplyError::Store(e) => e.into(),
            ApplyError::Policies(e) => e.into(),
            ApplyError::Aliases(_) => Self::new(code::ALIAS_REFUSED, e.to_string())
                .hint("remove one that nobody uses: `stead agents alias rm`"),
        }
    }
}

impl From<PolicyError> for Failure {
    fn from(e: PolicyError) -> Self {
        let mut failure = Self::new(e.code(), e.to_string().lines().next().unwrap_or_default());
        match e {
            PolicyError::Agent(e) => e.into(),
            PolicyError::Store(e) => e.into(),
            PolicyError::Refused(problems) => {
                failure.0.hint = problems.first().and_then(|problem| problem.hint.clone());
                failure.0.errors = problems.into_iter().map(policies::place).collect();
                failure
            }
            PolicyError::Epoch(_) => failure.hint("`stead policy ls` lists them"),
            PolicyError::Unconfirmed(_, Confirmed::Same) => {
                failure.hint("another person confirms it, with a token of another subject")
            }
            PolicyError::Unconfirmed(epoch, Confirmed::Late(_)) => {
                failure.hint(format!("propose it anew: `stead policy rollback {epoch}`"))
            }
            _ => failure,
        }
    }
}

#[cfg(target_os = "linux")]
impl From<stead_sandboxes::SandboxesError> for Failure {
    fn from(e: stead_sandboxes::SandboxesError) -> Self {
        let failure = Self::new(e.code(), e.to_string());
        match e.code() {
            code::SESSION_SANDBOX_GONE => failure.hint("make another: `stead sandboxes create`"),
            code::IDEMPOTENCY => failure.hint("use a fresh Idempotency-Key for a different command"),
            code::SANDBOX_UNAVAILABLE | code::SANDBOX_LACKS => {
                failure.hint("`stead doctor` tells what this host lacks")
            }
            _ => failure,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(problem, reach) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            tracing::error!(code = %problem.code, detail = problem.detail, "request failed");
        }
        let refused = problem.code == code::TOKEN_REFUSED;
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        // A face of other people's protocols says it in its own form.
        response.extensions_mut().insert(Arc::<Problem>::from(problem));
        response.extensions_mut().insert(reach);
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                // RFC 6750, section 3.1.
                let how = if refused { "Bearer error=\"invalid_token\"" } else { "Bearer" };
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(how));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER.into());
            }
            _ => {}
        }
        response
    }
}
