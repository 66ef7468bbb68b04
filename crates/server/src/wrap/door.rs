//! The door between the two pipes: what passes, passes as it is; calls of tools are held back and made by
//! [`super::call`].

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, value::RawValue};
use stead_core::id::Name;
use stead_engine::Engine;
use stead_tools::schema;
use tokio::{
    io::{AsyncBufRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{
    agent::{Versions, WrapAgents},
    call::{self, UnderWay},
    effect::{Pending, Wire},
    envelope::{CallParams, CancelParams, Envelope, Id, Kind, error_line, tool_error_line},
    options::WrapOptions,
    past::{self, Unknown},
    tools::{MAX_PAGES, Reading, list_params},
    upstream::{Lines, Sent, next_line},
};

/// Most calls under way at once; more are refused.
pub(super) const MAX_CALLS: usize = 256;
/// How long the server may take to list its tools.
const LIST: Duration = Duration::from_secs(60);
/// Ids of the door's own requests begin so; a client's may not.
const OWN: &str = "\"stead-wrap-";
/// JSON-RPC 2.0, section 5.1.
const INVALID_REQUEST: i64 = -32_600;
const INVALID_PARAMS: i64 = -32_602;

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client closed its end.
    Client,
    /// The wrapped server ended.
    Server,
    /// This process was told to stop.
    Told,
}

/// Where lines for the client go.
pub(super) type ClientPipe = Box<dyn AsyncWrite + Send + Unpin>;

/// See the module.
pub(super) struct Door {
    pub(super) options: Arc<WrapOptions>,
    pub(super) engine: Engine,
    pub(super) tenant: Name,
    pub(super) who: Name,
    /// How the user calls this program on this folder.
    pub(super) stead: String,
    pub(super) wire: Arc<Wire>,
    pub(super) client: Lines<ClientPipe>,
    /// Calls made so far.
    pub(super) made: AtomicU32,
    /// Calls of unknown outcome, of this session and of the one before.
    pub(super) unknown: Mutex<Vec<Unknown>>,
    pub(super) agents: Arc<WrapAgents>,
    /// What the client is told with the handshake.
    pub(super) notice: Option<String>,
    pub(super) listed: tokio::sync::Mutex<Option<Versions>>,
    /// Whether the server said that its tools changed.
    pub(super) stale: AtomicBool,
    pub(super) own_ids: AtomicU64,
    pub(super) under_way: Mutex<HashMap<Id, Arc<UnderWay>>>,
    pub(super) greetings: Mutex<HashSet<Id>>,
    pub(super) places: Arc<Semaphore>,
}

impl Door {
    /// Reads the client's lines until it closes its end.
    pub(super) async fn from_client(self: &Arc<Self>, mut pipe: impl AsyncBufRead + Unpin) -> io::Result<Ended> {
        let mut line = Vec::new();
        while next_line(&mut pipe, &mut line).await?.is_some() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if !self.client_said(&line).await {
                return Ok(Ended::Server);
            }
        }
        Ok(Ended::Client)
    }

    /// False when the server takes nothing any more.
    async fn client_said(self: &Arc<Self>, line: &[u8]) -> bool {
        let envelope = match Envelope::read(line) {
            Ok(envelope) => envelope,
            Err(why) => {
                self.client.write(&error_line(None, INVALID_REQUEST, &format!("not passed on: {why}"))).await;
                return true;
            }
        };
        let key = envelope.key();
        if let Some(id) = key.as_ref().filter(|_| envelope.kind() == Kind::Request) {
            if id.0.starts_with(OWN) || self.wire.expects(id) || self.under_way.lock().contains_key(id) {
                self.client.write(&error_line(Some(id), INVALID_REQUEST, "this id is taken")).await;
                return true;
            }
            if envelope.is("tools/call") {
                self.called(id.clone(), envelope.params).await;
                return true;
            }
            if self.notice.is_some() && (envelope.is("initialize") || envelope.is("server/discover")) {
                self.greetings.lock().insert(id.clone());
            }
        } else if envelope.is("tools/call") {
            // Without an id nobody could be answered, and a server might do it all the same.
            tracing::warn!("a call without an id was not passed on");
            return true;
        } else if envelope.is("notifications/cancelled") && !self.cancelled(envelope.params) {
            return true;
        }
        self.wire.stdin.write(line).await == Sent::Whole
    }

    /// Takes a call, and answers it in a task of its own.
    async fn called(self: &Arc<Self>, id: Id, params: Option<&RawValue>) {
        let params = serde_json::from_str::<CallParams>(params.map_or("null", RawValue::get));
        let mut params = match params {
            Ok(params) => params,
            Err(e) => {
                self.client.write(&error_line(Some(&id), INVALID_PARAMS, &format!("not passed on: {e}"))).await;
                return;
            }
        };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let why = format!("{}: {MAX_CALLS} calls are under way; try again later", stead_core::code::OVERLOADED);
            self.client.write(&tool_error_line(&id, &why)).await;
            return;
        };
        let pending = Arc::new(Pending::new(id.clone(), &mut params));
        let call = Arc::new(UnderWay { cancelled: CancellationToken::new(), pending });
        self.under_way.lock().insert(id.clone(), call.clone());
        let door = self.clone();
        tokio::spawn(async move {
            let answer = call::make(&door, params, &call).await;
            door.under_way.lock().remove(&id);
            if let Some(line) = answer {
                door.client.write(&line).await;
            }
            drop(place);
        });
    }

    /// The client takes a request back; whether the server is to hear of it.
    fn cancelled(&self, params: Option<&RawValue>) -> bool {
        let params = params.and_then(|params| serde_json::from_str::<CancelParams>(params.get()).ok());
        let Some(id) = params.and_then(|params| params.request_id) else { return true };
        let Some(call) = self.under_way.lock().get(&Id(id.get().into())).cloned() else { return true };
        call.cancelled.cancel();
        call.pending.sent.load(Ordering::Acquire)
    }

    /// Reads the server's lines until it ends.
    pub(super) async fn from_server(self: &Arc<Self>, mut pipe: impl AsyncBufRead + Unpin) -> Ended {
        let mut line = Vec::new();
        loop {
            match next_line(&mut pipe, &mut line).await {
                Ok(Some(())) => self.server_said(&line).await,
                Ok(None) => break,
                Err(e) => {
                    tracing::error!("the wrapped MCP server is left: {e}");
                    break;
                }
            }
        }
        // What was sent and not answered is unknown from here on.
        self.wire.close();
        Ended::Server
    }

    async fn server_said(&self, line: &[u8]) {
        let envelope = match Envelope::read(line) {
            Ok(envelope) => envelope,
            // What is no message at all is noise, and passes as it did before; what a client might read as an answer that
            // this process did not see does not.
            Err(why) if line.trim_ascii_start().starts_with(b"{") || line.trim_ascii_start().starts_with(b"[") => {
                tracing::warn!("a message of the wrapped MCP server was not passed on: {why}");
                return;
            }
            Err(_) => {
                self.client.write(line).await;
                return;
            }
        };
        if envelope.kind() == Kind::Answer
            && let Some(id) = envelope.key()
        {
            if self.wire.answered(&id, line) {
                return;
            }
            if self.greetings.lock().remove(&id)
                && let Some(greeting) = self.greeting(line)
            {
                self.client.write(&greeting).await;
                return;
            }
        }
        if envelope.is("notifications/tools/list_changed") {
            self.stale.store(true, Ordering::Release);
        }
        self.client.write(line).await;
    }

    /// The handshake's answer, with what nobody knows added to the server's instructions, which reach the model.
    fn greeting(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut answer: Value = serde_json::from_slice(line).ok()?;
        let result = answer.get_mut("result")?.as_object_mut()?;
        let own = result.get("instructions").and_then(Value::as_str).map(|text| format!("{text}\n\n"));
        let text = format!("{}{}", own.unwrap_or_default(), self.notice.as_deref()?);
        result.insert("instructions".into(), text.into());
        serde_json::to_vec(&answer).ok()
    }

    /// The versions of the agent for the tools as they are now.
    pub(super) async fn versions(&self, meta: Option<&RawValue>) -> Result<Versions, String> {
        let mut listed = self.listed.lock().await;
        if self.stale.swap(false, Ordering::AcqRel) {
            *listed = None;
        }
        if let Some(versions) = *listed {
            return Ok(versions);
        }
        let read = tokio::time::timeout(LIST, self.list(meta)).await;
        let read = read.unwrap_or_else(|_| Err(format!("it did not list its tools within {} s", LIST.as_secs())));
        let blame = |why| format!("{}: the wrapped MCP server: {why}; nothing was sent", stead_core::code::TOOL_SERVER);
        Ok(*listed.insert(read.map_err(blame)?))
    }

    async fn list(&self, meta: Option<&RawValue>) -> Result<Versions, String> {
        let (mut reading, mut cursor) = (Reading::default(), None);
        for _ in 0..MAX_PAGES {
            let id = Id(format!("{OWN}{}\"", self.own_ids.fetch_add(1, Ordering::Relaxed)).into());
            let answer = self.wire.expect(&id).ok_or("it has ended")?;
            let params = list_params(cursor.as_deref(), meta);
            let line = format!(r#"{{"jsonrpc":"2.0","id":{},"method":"tools/list","params":{params}}}"#, id.0);
            self.wire.stdin.write(line.as_bytes()).await;
            let line = answer.await.map_err(|_| "it has ended")?;
            let envelope = Envelope::read(&line)?;
            let Some(result) = envelope.result else {
                return Err(format!("it does not list its tools: {}", envelope.error.map_or("", RawValue::get)));
            };
            cursor = reading.page(result.get())?;
            if cursor.is_none() {
                return self.agents.make(&reading.end()?);
            }
        }
        Err(format!("its list of tools has more than {MAX_PAGES} pages"))
    }

    /// Whether an equal call is among those of which nobody knows whether they happened.
    pub(super) fn is_unknown(&self, tool: &str, arguments: &RawValue) -> bool {
        let unknown = self.unknown.lock();
        if !unknown.iter().any(|call| call.tool == tool) {
            return false;
        }
        let value: Value = serde_json::from_str(arguments.get()).unwrap_or_default();
        let digest = schema::digest(&value);
        unknown.iter().any(|call| call.tool == tool && call.args == digest)
    }

    /// Ends what has not been sent, and waits for what has.
    pub(super) async fn finish(&self, patience: Duration) {
        for call in self.under_way.lock().values().filter(|call| !call.pending.sent.load(Ordering::Acquire)) {
            call.cancelled.cancel();
        }
        let all = u32::try_from(MAX_CALLS).unwrap_or(u32::MAX);
        // What is still under way then is unknown to the next session.
        let _ = tokio::time::timeout(patience, self.places.acquire_many(all)).await;
    }

    /// What the client is told of an earlier session.
    pub(super) fn notice(unknown: &[Unknown]) -> Option<String> {
        past::notice(unknown)
    }
}
