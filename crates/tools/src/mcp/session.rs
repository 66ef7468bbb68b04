//! A session with a server: the handshake, its tools, calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rmcp::{
    RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientRequest,
        ContentBlock, InputRequest, InputRequiredResult, InputResponses, PaginatedRequestParams, ProtocolVersion,
        RequestId, ServerResult,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, Peer, PeerRequestOptions, RunningService,
        ServiceError,
    },
    transport::Transport,
};
use serde_json::{Map, Value};
use stead_core::{code, effect::Outcome, sandbox::BoxUse, trace::TraceContext};
use stead_ports::{file::File, tool::Output};
use tokio::time::timeout;

use super::{
    asks::{Asking, Asks},
    client::Client,
    content::pieces,
    host::{Held, Whose},
    ledger::{Failure, Fate, Ledger},
    pin::Discovered,
    pipe::Pipe,
    server::{Program, Server},
    words::{excerpt, greeting_error, is_refusal, redact, words},
};
use crate::{config::McpProtocol, secret::Secret, text};

/// Most tools of a server.
const MAX_TOOLS: usize = 256;
/// Most pages of its list.
const MAX_PAGES: usize = 32;
/// Most times that a call is sent again because its server wanted to know more, or wanted to be asked again.
const MAX_ROUNDS: usize = 8;
/// How long is waited before a server is asked again that wants to know nothing; doubles each time.
const AGAIN: Duration = Duration::from_millis(250);
/// Most bytes of what a server wants to be told again.
const MAX_STATE: usize = 64 * 1024;

/// What is asked of a server.
pub(super) struct Asked<'a> {
    /// Ordinal of the effect.
    pub(super) effect: u32,
    /// The tool.
    pub(super) operation: &'a str,
    /// Whether its result is the value that its schema tells.
    pub(super) structured: bool,
    /// The step that asks.
    pub(super) trace: Option<&'a TraceContext>,
}

/// A server that has shaken hands.
pub(super) struct Session {
    name: String,
    service: RunningService<RoleClient, Client>,
    /// What was started, when something was.
    process: Option<Program>,
    ledger: Ledger,
    changed: Arc<AtomicBool>,
    asking: Asking,
    patience: Duration,
}

impl Session {
    /// Starts or reaches a server. The failure says what happened, with the end of a process's stderr.
    pub(super) async fn start(server: &Server, whose: &Whose, asks: Option<&Arc<dyn Asks>>) -> Result<Self, Failure> {
        let asking = Asking::new(asks.cloned(), &server.name(), whose.run, Ledger::new(server.secrets()));
        match timeout(server.patience(), Self::greet(server, whose, &asking)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::server(format!(
                "the MCP server `{}` did not answer within {} ms of its start",
                server.name(),
                server.patience().as_millis()
            ))),
        }
    }

    async fn greet(server: &Server, whose: &Whose, asking: &Asking) -> Result<Self, Failure> {
        let newer = || ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::LATEST] };
        let only = match server.protocol() {
            McpProtocol::Any => None,
            McpProtocol::Stateful => Some(ClientLifecycleMode::Initialize),
            McpProtocol::Stateless => Some(newer()),
        };
        if let Some(mode) = only {
            return Self::greet_as(server, whose, asking, mode).await.map_err(|(_, why)| why);
        }
        match Self::greet_as(server, whose, asking, ClientLifecycleMode::Initialize).await {
            // A server of the newer protocol knows no `initialize`; asked anew in the newer way it may answer.
            Err((true, old)) => {
                let newer = Self::greet_as(server, whose, asking, newer()).await;
                newer.map_err(|(_, new)| {
                    let words = format!("{}\nAsked with `server/discover` instead: {}", old.words, new.words);
                    Failure::new(old.code, words)
                })
            }
            result => result.map_err(|(_, why)| why),
        }
    }

    /// The error tells whether the server answered, and refused.
    async fn greet_as(
        server: &Server,
        whose: &Whose,
        asking: &Asking,
        mode: ClientLifecycleMode,
    ) -> Result<Self, (bool, Failure)> {
        let ledger = Ledger::new(server.secrets());
        ledger.acts_for(whose.on_behalf.clone());
        match server {
            Server::Program(launch) => {
                let running = launch.spawn().map_err(|why| (false, Failure::server(why)))?;
                let pipe = Pipe::new(Box::new(running.stdin), Box::new(running.stdout), ledger.clone());
                Self::shake_hands(server, pipe, Some(Program::Process(running.process)), (ledger, asking), mode).await
            }
            Server::Hosted(hosted) => {
                let started = hosted.host.start(whose.clone()).await;
                let started = started.map_err(|(code, words)| (false, Failure::new(code, words)))?;
                let pipe = Pipe::new(started.stdin, started.stdout, ledger.clone());
                let held = Held::new(started.life);
                Self::shake_hands(server, pipe, Some(Program::Hosted(held)), (ledger, asking), mode).await
            }
            Server::Url(remote) => {
                let transport = remote.transport(&ledger);
                Self::shake_hands(server, transport, None, (ledger, asking), mode).await
            }
        }
    }

    async fn shake_hands(
        server: &Server,
        transport: impl Transport<RoleClient> + 'static,
        process: Option<Program>,
        (ledger, asking): (Ledger, &Asking),
        mode: ClientLifecycleMode,
    ) -> Result<Self, (bool, Failure)> {
        let changed = Arc::new(AtomicBool::new(false));
        let asking = asking.over(&ledger);
        let client = Client { asking: asking.clone(), changed: Arc::clone(&changed) };
        match client.serve_with_lifecycle(transport, mode).await {
            Ok(service) => {
                Ok(Self { name: server.name(), service, process, ledger, changed, asking, patience: server.patience() })
            }
            Err(e) => {
                if let Some(process) = &process {
                    process.kill();
                    process.silence().await;
                }
                let refused = matches!(e, ClientInitializeError::JsonRpcError(_));
                let why = match ledger.fault() {
                    Some(fault) => Failure::new(fault.code, format!("{}: {}", fault.code, fault.words)),
                    None => {
                        ledger.last_failure().unwrap_or_else(|| Failure::server(greeting_error(&ledger.secrets(), &e)))
                    }
                };
                let stderr = process.as_ref().map(Program::stderr).unwrap_or_default();
                let words = redact(&ledger.secrets(), blame(&server.name(), &why.words, &stderr));
                Err((refused, Failure::new(why.code, words)))
            }
        }
    }

    /// For whom it is used from now on.
    pub(super) fn acts_for(&self, whose: &Whose) {
        self.ledger.acts_for(whose.on_behalf.clone());
    }

    fn secrets(&self) -> Vec<Secret> {
        self.ledger.secrets()
    }

    /// Whether it cannot be used any more.
    pub(super) fn is_closed(&self) -> bool {
        let ended = self.service.is_closed() || self.service.peer().is_transport_closed();
        ended || self.ledger.is_expired() || self.ledger.fault().is_some()
    }

    /// Whether the server has forgotten it.
    pub(super) fn is_expired(&self) -> bool {
        self.ledger.is_expired()
    }

    /// Whether its tools may have changed since they were last listed: it said so, or it has no way to say so.
    pub(super) fn may_have_changed(&self) -> bool {
        let told = self.changed.swap(false, Ordering::AcqRel);
        told || (self.process.is_none() && !self.ledger.is_watched())
    }

    /// All tools of the server, without secrets in their words.
    pub(super) async fn tools(&self) -> Result<Vec<Discovered>, Failure> {
        match timeout(self.patience, self.list()).await {
            Ok(result) => result,
            Err(_) => Err(self.failed("it did not list its tools in time")),
        }
    }

    async fn list(&self) -> Result<Vec<Discovered>, Failure> {
        let mut found: Vec<Discovered> = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor.take());
            let page = self.service.peer().list_tools(Some(params)).await.map_err(|e| {
                let known = self.ledger.fault().or_else(|| self.ledger.last_failure());
                let why = known.unwrap_or_else(|| Failure::server(words(&self.secrets(), &e)));
                Failure::new(why.code, self.blame(&why.words))
            })?;
            found.extend(page.tools.into_iter().map(|tool| Discovered::new(tool, &self.secrets())));
            if found.len() > MAX_TOOLS {
                return Err(self.failed(&format!("it lists more than {MAX_TOOLS} tools")));
            }
            let mut names: Vec<_> = found.iter().map(|d| &d.operation).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                let name = excerpt(&self.secrets(), twice[0], 100);
                return Err(self.failed(&format!("it lists the tool `{name}` twice")));
            }
            if names.iter().any(|name| self.secrets().iter().any(|secret| secret.is_in(name.as_bytes()))) {
                return Err(self.failed("it lists a tool whose name holds a secret that it was given"));
            }
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(found),
            }
        }
        Err(self.failed(&format!("its list of tools has more than {MAX_PAGES} pages")))
    }

    /// Calls a tool. Dropping the future tells the server that nobody waits any more. What the server wants to know first is asked of
    /// whoever runs the call, and the call is sent again with the answers (MCP 2026-07-28, "Multi Round-Trip Requests").
    pub(super) async fn call(&self, asked: Asked<'_>, arguments: Map<String, Value>, max: usize) -> Outcome<Output> {
        let mut params = CallToolRequestParams::new(asked.operation.to_owned()).with_arguments(arguments);
        if let Some(trace) = asked.trace {
            let meta = &mut params.meta.get_or_insert_default().0.0;
            meta.insert("traceparent".to_owned(), trace.parent().into());
            meta.extend(trace.state.as_deref().map(|state| ("tracestate".to_owned(), state.into())));
        }
        let mut pause = AGAIN;
        for round in 0..=MAX_ROUNDS {
            let wanted = match self.once(&asked, params.clone(), max).await {
                Ok(wanted) => wanted,
                // The server has looked at the call before, so it may have begun.
                Err(Outcome::NotSent(output)) if round > 0 => return Outcome::Unknown(output),
                Err(outcome) => return outcome,
            };
            if round == MAX_ROUNDS {
                break;
            }
            let state = wanted.request_state;
            let requests = wanted.input_requests.unwrap_or_default();
            if requests.is_empty() && state.is_none() || state.as_ref().is_some_and(|s| s.len() > MAX_STATE) {
                let words = format!("{}: it wants to know more and does not say what", code::TOOL_SERVER);
                return Outcome::Refused(Output::error(words));
            }
            if requests.is_empty() {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            let mut responses = InputResponses::new();
            for (key, request) in requests {
                let response = match request {
                    InputRequest::Elicitation(request) if self.asking.is_open() => {
                        serde_json::to_value(self.asking.ask(request.params, Some(asked.operation)).await)
                    }
                    _ => return Outcome::Refused(Output::error("the tool asks for further input, which is not given")),
                };
                responses.insert(key, response.unwrap_or_default());
            }
            params.input_responses = (!responses.is_empty()).then_some(responses);
            params.request_state = state;
        }
        let words =
            format!("{}: it has been told more {MAX_ROUNDS} times, and still wants to know more", code::TOOL_SERVER);
        Outcome::Unknown(Output::error(words))
    }

    /// Sends a call once: what it came to, or what the server wants to know first.
    async fn once(
        &self,
        Asked { effect, structured, .. }: &Asked<'_>,
        params: CallToolRequestParams,
        max: usize,
    ) -> Result<InputRequiredResult, Outcome<Output>> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = match self.service.peer().send_cancellable_request(request, PeerRequestOptions::no_options()).await
        {
            Ok(handle) => handle,
            Err(e) => return Err(Outcome::NotSent(self.failure(&e).await)),
        };
        let id = handle.id.clone();
        let mut abandoned =
            Abandoned { peer: self.service.peer().clone(), ledger: self.ledger.clone(), id: Some(id.clone()) };
        let answer = handle.await_response().await;
        abandoned.id = None;
        let fate = self.ledger.settle(&id);
        Err(match answer {
            Ok(ServerResult::CallToolResult(result)) => {
                self.ledger.answered();
                let error = result.is_error.unwrap_or(false);
                let (content, files) = self.shown(*effect, &result, (max, *structured));
                Outcome::Returned(Output { content, error, files, ..Output::default() })
            }
            Ok(ServerResult::InputRequiredResult(wanted)) => return Ok(wanted),
            Ok(_) => {
                Outcome::Unknown(Output::error(format!("{}: the server's answer is no result", code::TOOL_SERVER)))
            }
            Err(ServiceError::McpError(e)) if is_refusal(e.code) => {
                Outcome::Refused(self.failure(&ServiceError::McpError(e)).await)
            }
            Err(e @ ServiceError::McpError(_)) => Outcome::Unknown(self.failure(&e).await),
            Err(e) => match fate {
                Fate::Refused(why) => Outcome::Refused(self.told(&why)),
                Fate::NotSent(why) => Outcome::NotSent(self.told(&why)),
                Fate::Left(Some(why)) => Outcome::Unknown(self.told(&why)),
                Fate::Left(None) => Outcome::Unknown(self.failure(&e).await),
                Fate::Kept => Outcome::NotSent(self.failure(&e).await),
            },
        })
    }

    /// What its box has used since this was asked last; see [`super::Life::used`].
    pub(super) async fn used(&self, wall: Duration) -> Option<BoxUse> {
        match &self.process {
            Some(process) => process.used(wall).await,
            None => None,
        }
    }

    /// Ends it: closes its input, gives it a moment, kills what is left.
    pub(super) async fn close(self) {
        let _ = self.service.cancel().await;
        if let Some(process) = self.process {
            process.finish().await;
        }
    }

    async fn failure(&self, e: &ServiceError) -> Output {
        if let ServiceError::McpError(e) = e {
            let words = excerpt(&self.secrets(), &e.message, 2_000);
            return Output::error(format!("{}: {words} [{}]", code::TOOL_ERROR, e.code.0));
        }
        // Nothing more can come of it, and it may still be writing.
        if let Some(process) = &self.process
            && (self.is_closed() || matches!(e, ServiceError::TransportClosed | ServiceError::TransportSend(_)))
        {
            process.kill();
            process.silence().await;
        }
        self.told(&self.ledger.fault().unwrap_or_else(|| Failure::server(words(&self.secrets(), e))))
    }

    fn told(&self, why: &Failure) -> Output {
        Output::error(format!("{}: {}", why.code, self.blame(&why.words)))
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::server(self.blame(why))
    }

    fn blame(&self, why: &str) -> String {
        let stderr = self.process.as_ref().map(Program::stderr).unwrap_or_default();
        redact(&self.secrets(), blame(&self.name, why, &stderr))
    }

    /// A result as the model reads it, and its files. Of a tool whose schema of results is pinned the value counts, and not the
    /// words in its place: plans are drawn by that schema.
    fn shown(&self, effect: u32, result: &CallToolResult, (max, structured): (usize, bool)) -> (String, Vec<File>) {
        let (mut parts, files) = pieces(effect, &result.content, &self.secrets());
        let words_alone = result.content.iter().all(|block| matches!(block, ContentBlock::Text(_)));
        if let Some(value) =
            result.structured_content.as_ref().filter(|_| parts.is_empty() || (structured && words_alone))
        {
            parts = vec![text::json(value)];
        }
        let whole = redact(&self.secrets(), parts.join("\n"));
        if whole.len() <= max {
            return (whole, files);
        }
        let note = format!("\n[{}: cut here, the answer has {} bytes]", code::TOOL_FLOOD, whole.len());
        (format!("{}{note}", text::clip(&whole, max.saturating_sub(note.len()))), files)
    }
}

fn blame(name: &str, why: &str, stderr: &str) -> String {
    let stderr = if stderr.is_empty() { String::new() } else { format!("\nThe end of its stderr:\n{stderr}") };
    format!("the MCP server `{name}` failed: {why}{stderr}")
}

/// Tells the server, when dropped while armed, that a request is abandoned.
struct Abandoned {
    peer: Peer<RoleClient>,
    ledger: Ledger,
    id: Option<RequestId>,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) else { return };
        self.ledger.settle(&id);
        let peer = self.peer.clone();
        runtime.spawn(async move {
            let reason = Some("nobody waits any more".to_owned());
            let _ = peer.notify_cancelled(CancelledNotificationParam::new(Some(id), reason)).await;
        });
    }
}
