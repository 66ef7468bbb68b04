//! A connection to a started server: the handshake, its tools, calls.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rmcp::{
    RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientRequest,
        ContentBlock, ErrorCode, PaginatedRequestParams, ProtocolVersion, RequestId, ResourceContents, ServerResult,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, Peer, PeerRequestOptions, RunningService,
        ServiceError,
    },
};
use serde_json::{Map, Value};
use stead_core::{code, effect::Outcome};
use stead_ports::tool::Output;
use tokio::time::timeout;

use super::{
    client::Client,
    pin::Discovered,
    pipe::{Ledger, Pipe},
    process::{Launch, Process},
};
use crate::{secret::Secret, text};

/// Most tools of a server.
const MAX_TOOLS: usize = 256;
/// Most pages of its list.
const MAX_PAGES: usize = 32;

/// A server that has shaken hands.
pub(super) struct Session {
    name: String,
    secrets: Vec<Secret>,
    service: RunningService<RoleClient, Client>,
    process: Process,
    ledger: Ledger,
    changed: Arc<AtomicBool>,
    patience: std::time::Duration,
}

impl Session {
    /// Starts a server. The error says what happened, with the end of its stderr.
    pub(super) async fn start(launch: &Launch) -> Result<Self, String> {
        match timeout(launch.start_timeout, Self::greet(launch)).await {
            Ok(result) => result,
            Err(_) => Err(format!(
                "the MCP server `{}` did not answer within {} ms of its start",
                launch.name(),
                launch.start_timeout.as_millis()
            )),
        }
    }

    async fn greet(launch: &Launch) -> Result<Self, String> {
        match Self::greet_as(launch, ClientLifecycleMode::Initialize).await {
            // A server of the newer protocol knows no `initialize`; a fresh process asked the newer way may answer.
            Err((true, old)) => {
                let preferred_versions = vec![ProtocolVersion::LATEST];
                let newer = Self::greet_as(launch, ClientLifecycleMode::Discover { preferred_versions }).await;
                newer.map_err(|(_, new)| format!("{old}\nAsked with `server/discover` instead: {new}"))
            }
            result => result.map_err(|(_, why)| why),
        }
    }

    /// The error tells whether the server answered, and refused.
    async fn greet_as(launch: &Launch, mode: ClientLifecycleMode) -> Result<Self, (bool, String)> {
        let running = launch.spawn().map_err(|why| (false, why))?;
        let (ledger, changed) = (Ledger::default(), Arc::new(AtomicBool::new(false)));
        let pipe = Pipe::new(running.stdin, running.stdout, ledger.clone());
        let client = Client { changed: Arc::clone(&changed) };
        match client.serve_with_lifecycle(pipe, mode).await {
            Ok(service) => Ok(Self {
                name: launch.name(),
                secrets: launch.secrets(),
                service,
                process: running.process,
                ledger,
                changed,
                patience: launch.start_timeout,
            }),
            Err(e) => {
                running.process.kill();
                running.process.silence().await;
                let refused = matches!(e, ClientInitializeError::JsonRpcError(_));
                let why = ledger.fault().map_or_else(|| greeting_error(&e), |(code, words)| format!("{code}: {words}"));
                let why = blame(&launch.name(), &why, &running.process.stderr());
                Err((refused, redact(&launch.secrets(), why)))
            }
        }
    }

    /// Whether it cannot be used any more.
    pub(super) fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.peer().is_transport_closed()
    }

    /// Whether the server said, since the last question, that its tools changed.
    pub(super) fn tools_changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// All tools of the server.
    pub(super) async fn tools(&self) -> Result<Vec<Discovered>, String> {
        match timeout(self.patience, self.list()).await {
            Ok(result) => result,
            Err(_) => Err(self.blame("it did not list its tools in time")),
        }
    }

    async fn list(&self) -> Result<Vec<Discovered>, String> {
        let mut found: Vec<Discovered> = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor.take());
            let page = self.service.peer().list_tools(Some(params)).await.map_err(|e| self.blame(&words(&e)))?;
            found.extend(page.tools.into_iter().map(Discovered::new));
            if found.len() > MAX_TOOLS {
                return Err(self.blame(&format!("it lists more than {MAX_TOOLS} tools")));
            }
            let mut names: Vec<_> = found.iter().map(|d| &d.operation).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(self.blame(&format!("it lists the tool `{}` twice", text::ellipsis(twice[0], 100))));
            }
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(found),
            }
        }
        Err(self.blame(&format!("its list of tools has more than {MAX_PAGES} pages")))
    }

    /// Calls a tool. Dropping the future tells the server that nobody waits any more.
    pub(super) async fn call(&self, operation: &str, arguments: Map<String, Value>, max: usize) -> Outcome<Output> {
        let params = CallToolRequestParams::new(operation.to_owned()).with_arguments(arguments);
        let request = CallToolRequest::new(params);
        let request = ClientRequest::CallToolRequest(request);
        let handle = match self.service.peer().send_cancellable_request(request, PeerRequestOptions::no_options()).await
        {
            Ok(handle) => handle,
            Err(e) => return Outcome::NotSent(self.failure(&e).await),
        };
        let id = handle.id.clone();
        let mut abandoned =
            Abandoned { peer: self.service.peer().clone(), ledger: self.ledger.clone(), id: Some(id.clone()) };
        let answer = handle.await_response().await;
        abandoned.id = None;
        let left = self.ledger.settle(&id);
        match answer {
            Ok(ServerResult::CallToolResult(result)) => {
                let error = result.is_error.unwrap_or(false);
                Outcome::Returned(Output { content: self.shown(&result, max), error })
            }
            Ok(ServerResult::InputRequiredResult(_)) => {
                Outcome::Refused(Output::error("the tool asks for further input, which is not given"))
            }
            Ok(_) => {
                Outcome::Unknown(Output::error(format!("{}: the server's answer is no result", code::TOOL_SERVER)))
            }
            Err(ServiceError::McpError(e)) if is_refusal(e.code) => {
                Outcome::Refused(self.failure(&ServiceError::McpError(e)).await)
            }
            Err(e @ ServiceError::McpError(_)) => Outcome::Unknown(self.failure(&e).await),
            Err(e) if left => Outcome::Unknown(self.failure(&e).await),
            Err(e) => Outcome::NotSent(self.failure(&e).await),
        }
    }

    /// Ends it: closes its input, gives it a moment, kills what is left.
    pub(super) async fn close(self) {
        let _ = self.service.cancel().await;
        self.process.finish().await;
    }

    async fn failure(&self, e: &ServiceError) -> Output {
        if let ServiceError::McpError(e) = e {
            let words = text::ellipsis(&e.message, 2_000);
            return Output::error(redact(&self.secrets, format!("{}: {words} [{}]", code::TOOL_ERROR, e.code.0)));
        }
        // Nothing more can come of it, and it may still be writing.
        if self.is_closed() || matches!(e, ServiceError::TransportClosed | ServiceError::TransportSend(_)) {
            self.process.kill();
            self.process.silence().await;
        }
        let (code, why) = self.ledger.fault().unwrap_or_else(|| (code::TOOL_SERVER, words(e)));
        Output::error(format!("{code}: {}", self.blame(&why)))
    }

    fn blame(&self, why: &str) -> String {
        redact(&self.secrets, blame(&self.name, why, &self.process.stderr()))
    }

    /// A result as the model reads it.
    fn shown(&self, result: &CallToolResult, max: usize) -> String {
        let mut parts: Vec<String> = result.content.iter().map(block).collect();
        if parts.is_empty() {
            parts.extend(result.structured_content.as_ref().map(text::json));
        }
        let whole = redact(&self.secrets, parts.join("\n"));
        if whole.len() <= max {
            return whole;
        }
        let note = format!("\n[{}: cut here, the answer has {} bytes]", code::TOOL_FLOOD, whole.len());
        format!("{}{note}", text::clip(&whole, max.saturating_sub(note.len())))
    }
}

fn block(content: &ContentBlock) -> String {
    match content {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image {}, {} bytes as base64]", image.mime_type, image.data.len()),
        ContentBlock::Audio(audio) => format!("[audio {}, {} bytes as base64]", audio.mime_type, audio.data.len()),
        ContentBlock::ResourceLink(link) => format!("[resource {}]", link.uri),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            _ => "[a binary resource]".into(),
        },
        _ => "[content of an unknown kind]".into(),
    }
}

/// Whether an error says that the request was not even begun (JSON-RPC 2.0 section 5.1). An internal error says nothing
/// about what happened before it.
fn is_refusal(code: ErrorCode) -> bool {
    [ErrorCode::PARSE_ERROR, ErrorCode::INVALID_REQUEST, ErrorCode::METHOD_NOT_FOUND, ErrorCode::INVALID_PARAMS]
        .contains(&code)
}

fn words(e: &ServiceError) -> String {
    match e {
        ServiceError::TransportClosed | ServiceError::TransportSend(_) | ServiceError::Cancelled { .. } => {
            "it has ended or closed its pipes".into()
        }
        ServiceError::McpError(e) => format!("it answered: {}", text::ellipsis(&e.message, 500)),
        other => text::ellipsis(&other.to_string(), 500),
    }
}

fn greeting_error(e: &ClientInitializeError) -> String {
    match e {
        ClientInitializeError::JsonRpcError(e) => {
            format!("it refused the handshake: {}", text::ellipsis(&e.message, 500))
        }
        ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. } => {
            "it ended before the handshake was done".into()
        }
        other => format!("the handshake failed: {}", text::ellipsis(&other.to_string(), 500)),
    }
}

fn blame(name: &str, why: &str, stderr: &str) -> String {
    let stderr = if stderr.is_empty() { String::new() } else { format!("\nThe end of its stderr:\n{stderr}") };
    format!("the MCP server `{name}` failed: {why}{stderr}")
}

fn redact(secrets: &[Secret], text: String) -> String {
    secrets.iter().fold(text, |text, secret| secret.redact(text))
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
