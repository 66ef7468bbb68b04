//! Every operation of the API, typed.

use std::time::{Duration, Instant};

use futures_util::{Stream, TryStreamExt as _};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use stead_api::{
    agent::{Agent, AgentSummary, ApplyAgent},
    approval::{Answer, Approval, NoticeList, NoticeTested},
    fact::FactEvent,
    page::{Page, PageQuery},
    run::{Run, RunSummary, SandboxLimits, StartRun, Started, Status, WaitUntil},
    session::{OpenSession, Session, SessionRef, StartInSession},
    status::ServerStatus,
    version::Versions,
};
use stead_core::id::{EffectId, Name, RunId, VersionId};

use crate::{
    client::{Client, add_query},
    error::ClientError,
    follow::{BACKOFF, BACKOFF_MAX},
};

/// How long one request waits for a run; longer waits are several requests.
const WAIT: Duration = Duration::from_secs(60);
/// How long an answer may take after the wait.
const GRACE: Duration = Duration::from_secs(30);
/// How long an apply may take: MCP servers are started for it.
pub(crate) const APPLY: Duration = Duration::from_secs(300);
/// How long a waiter bears a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Only of these statuses; empty means all.
    pub status: Vec<Status>,
    /// Only of this agent.
    pub agent: Option<Name>,
    /// Only of this session; for a key that several agents have, `agent` chooses.
    pub session: Option<SessionRef>,
    /// Only children of this run.
    pub parent: Option<RunId>,
    /// Which page.
    pub page: PageQuery,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default)]
pub struct SessionQuery {
    /// Only of this agent.
    pub agent: Option<Name>,
    /// Which page.
    pub page: PageQuery,
}

/// Which open approvals to list.
#[derive(Clone, Debug, Default)]
pub struct ApprovalQuery {
    /// Only of this agent.
    pub agent: Option<Name>,
    /// Only of this session; for a key that several agents have, `agent` chooses.
    pub session: Option<SessionRef>,
    /// Only of this run.
    pub run: Option<RunId>,
    /// Which page.
    pub page: PageQuery,
}

#[derive(Serialize)]
struct ApprovalFields<'a> {
    agent: Option<&'a Name>,
    session: Option<String>,
    run: Option<RunId>,
    cursor: Option<&'a str>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct AgentField<'a> {
    agent: Option<&'a Name>,
}

#[derive(Serialize)]
struct RunFields<'a> {
    status: Option<String>,
    agent: Option<&'a Name>,
    session: Option<String>,
    parent: Option<RunId>,
    cursor: Option<&'a str>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct SessionFields<'a> {
    agent: Option<&'a Name>,
    cursor: Option<&'a str>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct WaitFields {
    wait: Option<String>,
    until: Option<WaitUntil>,
}

#[derive(Serialize)]
struct BackupFields {
    key: bool,
}

const NO_QUERY: [(); 0] = [];

fn keyed(request: RequestBuilder, key: Option<&str>) -> RequestBuilder {
    match key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    }
}

impl Client {
    /// The server and who is asking.
    ///
    /// # Errors
    /// [`ClientError`], as all operations.
    pub async fn status(&self) -> Result<ServerStatus, ClientError> {
        self.call(self.get(&["v1", "status"], &NO_QUERY)?).await
    }

    /// Makes a version of an agent and lets new runs use it.
    ///
    /// # Errors
    /// [`ClientError`]; for a manifest that is not accepted with every wrong place.
    pub async fn apply_agent(&self, agent: &ApplyAgent) -> Result<Agent, ClientError> {
        self.call_within(self.post(&["v1", "agents"], agent)?, APPLY).await
    }

    /// The live version of each agent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn agents(&self) -> Result<Page<AgentSummary>, ClientError> {
        self.call(self.get(&["v1", "agents"], &NO_QUERY)?).await
    }

    /// The live version of an agent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn agent(&self, agent: &str) -> Result<Agent, ClientError> {
        self.call(self.get(&["v1", "agents", agent], &NO_QUERY)?).await
    }

    /// The versions of an agent, newest first, with its aliases and their history.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn versions(&self, agent: &str) -> Result<Versions, ClientError> {
        self.call(self.get(&["v1", "agents", agent, "versions"], &NO_QUERY)?).await
    }

    /// A version of an agent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn version(&self, agent: &str, version: VersionId) -> Result<Agent, ClientError> {
        self.call(self.get(&["v1", "agents", agent, "versions", &version.to_string()], &NO_QUERY)?).await
    }

    /// Gets the session of that key, or makes it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_session(&self, open: &OpenSession) -> Result<Session, ClientError> {
        self.call(self.post(&["v1", "sessions"], open)?).await
    }

    /// A page of sessions, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sessions(&self, query: &SessionQuery) -> Result<Page<Session>, ClientError> {
        let fields = SessionFields {
            agent: query.agent.as_ref(),
            cursor: query.page.cursor.as_deref(),
            limit: query.page.limit,
        };
        self.call(self.get(&["v1", "sessions"], &fields)?).await
    }

    /// A session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session(&self, session: impl Into<SessionRef>) -> Result<Session, ClientError> {
        let session = session.into();
        let fields = AgentField { agent: session.agent() };
        self.call(self.get(&["v1", "sessions", &session.to_string()], &fields)?).await
    }

    /// Starts a run in a session. With a `key` the request may be repeated and starts one run only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn start_in_session(
        &self,
        session: impl Into<SessionRef>,
        start: &StartInSession,
        key: Option<&str>,
    ) -> Result<Started, ClientError> {
        let session = session.into();
        let mut url = self.url(&["v1", "sessions", &session.to_string(), "runs"])?;
        add_query(&mut url, &AgentField { agent: session.agent() })?;
        self.call(keyed(self.request(Method::POST, url).json(start), key)).await
    }

    /// Starts a run. With a `key` the request may be repeated and starts one run only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn start_run(&self, start: &StartRun, key: Option<&str>) -> Result<Started, ClientError> {
        self.call(keyed(self.post(&["v1", "runs"], start)?, key)).await
    }

    /// A page of runs, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn runs(&self, query: &RunQuery) -> Result<Page<RunSummary>, ClientError> {
        let words: Vec<&str> = query.status.iter().map(|s| s.as_str()).collect();
        let fields = RunFields {
            status: (!words.is_empty()).then(|| words.join(",")),
            agent: query.agent.as_ref(),
            session: query.session.as_ref().map(ToString::to_string),
            parent: query.parent,
            cursor: query.page.cursor.as_deref(),
            limit: query.page.limit,
        };
        self.call(self.get(&["v1", "runs"], &fields)?).await
    }

    /// A run as it stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn run(&self, run: RunId) -> Result<Run, ClientError> {
        self.call(self.get(&["v1", "runs", &run.to_string()], &NO_QUERY)?).await
    }

    /// Waits until the run has ended, or needs a human; for as long as it takes. A server that is away for up to a minute
    /// (a restart) is waited for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn wait(&self, run: RunId, until: WaitUntil) -> Result<Run, ClientError> {
        let fields = WaitFields { wait: Some(format!("{}s", WAIT.as_secs())), until: Some(until) };
        let mut away: Option<Instant> = None;
        let mut pause = BACKOFF;
        loop {
            let request = self.get(&["v1", "runs", &run.to_string()], &fields)?;
            match self.call_within::<Run>(request, WAIT + GRACE).await {
                Ok(found) => {
                    let status = found.summary.status;
                    let asked = !found.approvals.is_empty() || status == Status::Paused;
                    if status.ended() || (until == WaitUntil::Waiting && asked) {
                        return Ok(found);
                    }
                    (away, pause) = (None, BACKOFF);
                }
                Err(e) if e.is_temporary() && away.get_or_insert_with(Instant::now).elapsed() < PATIENCE => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACKOFF_MAX);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Facts of a run, in the order they happened.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn facts(&self, run: RunId, page: &PageQuery) -> Result<Page<FactEvent>, ClientError> {
        self.call(self.get(&["v1", "runs", &run.to_string(), "facts"], page)?).await
    }

    /// The export of a run, as JSON Lines, in pieces as they come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export(
        &self,
        run: RunId,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, ClientError>> + Send + 'static + use<>, ClientError> {
        let response = self.send(self.get(&["v1", "runs", &run.to_string(), "export"], &NO_QUERY)?).await?;
        Ok(response.bytes_stream().map_err(ClientError::from))
    }

    /// Everything that the server keeps, in pieces as they come; `key` tells whether the key of the blobs' addresses goes
    /// with it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backup(
        &self,
        key: bool,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, ClientError>> + Send + 'static + use<>, ClientError> {
        let response = self.send(self.get(&["v1", "backup"], &BackupFields { key })?).await?;
        Ok(response.bytes_stream().map_err(ClientError::from))
    }

    /// The keys under which backups are sealed, as the bytes of their file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn subject_keys(&self) -> Result<bytes::Bytes, ClientError> {
        let response = self.send(self.get(&["v1", "backup", "subject-keys"], &NO_QUERY)?).await?;
        response.bytes().await.map_err(ClientError::from)
    }

    /// The cassette of a run: what was recorded, else what the journal knows.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cassette(
        &self,
        run: RunId,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, ClientError>> + Send + 'static + use<>, ClientError> {
        let response = self.send(self.get(&["v1", "runs", &run.to_string(), "cassette"], &NO_QUERY)?).await?;
        Ok(response.bytes_stream().map_err(ClientError::from))
    }

    /// Nothing new starts in the run until it is resumed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pause(&self, run: RunId) -> Result<Run, ClientError> {
        self.act(run, "pause").await
    }

    /// The run goes on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resume(&self, run: RunId) -> Result<Run, ClientError> {
        self.act(run, "resume").await
    }

    /// Sets other limits for a run's sandboxes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn limit(&self, run: RunId, limits: &SandboxLimits) -> Result<Run, ClientError> {
        let url = self.url(&["v1", "runs", &run.to_string(), "limit"])?;
        self.call(self.request(Method::POST, url).json(limits)).await
    }

    /// Stops a run; effects under way may finish. No new one starts once this returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel(&self, run: RunId) -> Result<Run, ClientError> {
        self.act(run, "cancel").await
    }

    /// Stops a run and abandons effects under way.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn kill(&self, run: RunId) -> Result<Run, ClientError> {
        self.act(run, "kill").await
    }

    async fn act(&self, run: RunId, verb: &str) -> Result<Run, ClientError> {
        let url = self.url(&["v1", "runs", &run.to_string(), verb])?;
        self.call(self.request(Method::POST, url)).await
    }

    /// A page of open approvals, the one asked last first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approvals(&self, query: &ApprovalQuery) -> Result<Page<Approval>, ClientError> {
        let fields = ApprovalFields {
            agent: query.agent.as_ref(),
            session: query.session.as_ref().map(ToString::to_string),
            run: query.run,
            cursor: query.page.cursor.as_deref(),
            limit: query.page.limit,
        };
        self.call(self.get(&["v1", "approvals"], &fields)?).await
    }

    /// The notices that tell people of approvals.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn notices(&self) -> Result<NoticeList, ClientError> {
        self.call(self.get(&["v1", "approvals", "notices"], &NO_QUERY)?).await
    }

    /// Sends a notice to try it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn test_notice(&self, name: &str) -> Result<NoticeTested, ClientError> {
        self.call(self.post(&["v1", "approvals", "notices", name, "test"], &())?).await
    }

    /// An open approval.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approval(&self, approval: EffectId) -> Result<Approval, ClientError> {
        self.call(self.get(&["v1", "approvals", &approval.to_string()], &NO_QUERY)?).await
    }

    /// Approves an action.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approve(&self, approval: EffectId, note: Option<String>) -> Result<Run, ClientError> {
        self.call(self.post(&["v1", "approvals", &approval.to_string(), "approve"], &Answer { note, receipt: None })?)
            .await
    }

    /// Denies an action.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deny(&self, approval: EffectId, note: Option<String>) -> Result<Run, ClientError> {
        self.call(self.post(&["v1", "approvals", &approval.to_string(), "deny"], &Answer { note, receipt: None })?)
            .await
    }
}
