//! The wire of a server behind a URL: one POST a message, answers as JSON or as a stream of events (MCP, "Transports",
//! streamable HTTP). The library drives the protocol; here stands what decides between *not sent*, *refused* and
//! *unknown*, and every bound.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, RequestId, ServerJsonRpcMessage},
    transport::streamable_http_client::{
        SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::Sse;
use stead_core::code;
use stead_ports::delegate::{Delegate, Sending};

use super::{
    ledger::{Failure, Fate, Ledger},
    oauth::{Answered, Authority},
    pipe::MAX_MESSAGE,
    streams::events,
};
use crate::{
    http::{
        NoToken,
        client::chain,
        exchange::{Verdict, delegated, verdict},
    },
    reach,
    secret::Secret,
};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// Most bytes of an error answer that are read.
const MAX_ERROR: usize = 64 * 1024;
/// Most bytes of a session's id.
const MAX_SESSION: usize = 1024;

/// A failure on its way through the library, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WireError(String);

type Failed = StreamableHttpError<WireError>;
type Headers = HashMap<HeaderName, HeaderValue>;

/// One session's way to its server. The client has the credential in its headers.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
    ledger: Ledger,
    bearer: Option<Bearer>,
}

/// A token for each request: kept while it holds, so that a session outlives one.
#[derive(Clone)]
pub(super) enum Bearer {
    /// Made for the run.
    Delegate { delegate: Delegate, host: String },
    /// That a person has authorised.
    Authority(Arc<Authority>),
}

/// What a message waits for.
enum Waits {
    /// A tool call's result.
    Call(RequestId),
    /// The answer to another request.
    Answer(RequestId),
    /// Nothing.
    Nothing,
}

impl Waits {
    fn of(message: &ClientJsonRpcMessage) -> Self {
        match message {
            JsonRpcMessage::Request(r) if matches!(r.request, ClientRequest::CallToolRequest(_)) => {
                Self::Call(r.id.clone())
            }
            JsonRpcMessage::Request(r) => Self::Answer(r.id.clone()),
            _ => Self::Nothing,
        }
    }
}

impl Wire {
    pub(super) fn new(client: Client, ledger: Ledger, bearer: Option<Bearer>) -> Self {
        Self { client, ledger, bearer }
    }

    /// The request with a token, where the server is shown one. Whatever the server says, the token is blotted out of it.
    async fn bearing(&self, request: RequestBuilder) -> Result<(RequestBuilder, Option<Secret>), Fate> {
        let token = match &self.bearer {
            None => return Ok((request, None)),
            Some(Bearer::Delegate { delegate, host }) => self.made(delegate, host).await?,
            Some(Bearer::Authority(authority)) => match authority.token().await {
                Ok(Some(token)) => token,
                // The server says how it wants to be authorised when nothing is shown.
                Ok(None) => return Ok((request, None)),
                Err(why) if why.is_final() => return Err(Fate::Refused(why)),
                Err(why) => return Err(Fate::NotSent(why)),
            },
        };
        self.ledger.shows(&token);
        Ok((request.bearer_auth(token.reveal()), Some(token)))
    }

    /// A token of the run.
    async fn made(&self, delegate: &Delegate, host: &str) -> Result<Secret, Fate> {
        let (whose, refused) = self.ledger.acting();
        let (whose, may_send) = whose.unzip();
        let (may_send, refused) = (&may_send.unwrap_or_default(), refused.as_ref());
        let token = delegated(whose.as_deref(), delegate, Sending { host, may_send, refused }).await;
        match token {
            Ok((token, _)) if may_send.now() => Ok(token),
            Ok(_) => Err(Fate::NotSent(Failure::server("what lets this be sent ended while a token was made"))),
            Err(NoToken::Later(why)) => Err(Fate::NotSent(Failure::server(why))),
            Err(NoToken::Refused(why)) => Err(Fate::Refused(Failure::new(code::DELEGATED_TOKEN, why))),
        }
    }

    /// Sends a request, again with another token where the server refuses one and there is another. Nothing was done then: a refusal
    /// of the token (401, or 403 for its scopes) comes before the message is looked at (RFC 6750, section 3.1).
    async fn sent(&self, make: impl Fn() -> RequestBuilder, leaving: impl Fn()) -> Result<Response, Fate> {
        let mut answered = Answered::default();
        loop {
            let (request, shown) = self.bearing(make()).await?;
            leaving();
            let response = request.send().await.map_err(|e| unsent(&e))?;
            let Some(Bearer::Authority(authority)) = &self.bearer else { return Ok(response) };
            if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(response);
            }
            // It may wait for a person, and what lets this be sent may have ended meanwhile.
            match authority.refused(response.status(), response.headers(), shown.as_ref(), &mut answered).await {
                Ok(false) => return Ok(response),
                Ok(true) if self.ledger.may_send() => {}
                Ok(true) => {
                    return Err(Fate::NotSent(Failure::server("what lets this be sent ended while it was authorised")));
                }
                Err(why) if why.is_final() => return Err(Fate::Refused(why)),
                Err(why) => return Err(Fate::NotSent(why)),
            }
        }
    }

    fn request(&self, method: Method, uri: &str, session: Option<&str>, headers: Headers) -> RequestBuilder {
        let mut request = self.client.request(method, uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match session {
            Some(session) => request.header(SESSION, session),
            None => request,
        }
    }

    /// Notes why a message has no answer, for whoever waits for it, and makes the error that ends its way.
    fn give_up(&self, waits: &Waits, fate: Fate) -> Failed {
        let words = match &fate {
            Fate::Kept | Fate::Left(None) => String::new(),
            Fate::Left(Some(why)) | Fate::NotSent(why) | Fate::Refused(why) => why.words.clone(),
        };
        match (waits, fate) {
            (Waits::Call(id), fate) => self.ledger.found(id, fate),
            (Waits::Answer(_), Fate::Left(Some(why)) | Fate::NotSent(why) | Fate::Refused(why)) => {
                self.ledger.failed(why);
            }
            _ => {}
        }
        StreamableHttpError::Client(WireError(words))
    }

    async fn post(
        &self,
        uri: &str,
        message: &ClientJsonRpcMessage,
        session: Option<&str>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let waits = Waits::of(message);
        let body = Bytes::from(serde_json::to_vec(message)?);
        let make = || {
            self.request(Method::POST, uri, session, headers.clone())
                .header(ACCEPT, format!("{JSON}, {EVENTS}"))
                .header(CONTENT_TYPE, JSON)
                .body(body.clone())
        };
        // Noted before the first byte: an answer may be here before the send returns.
        let leaving = || {
            if let Waits::Call(id) = &waits {
                self.ledger.leaving(id.clone());
            }
        };
        let response = self.sent(make, leaving).await.map_err(|fate| {
            // Also what kept it from leaving is told to whoever waits.
            leaving();
            self.give_up(&waits, fate)
        })?;
        let status = response.status();
        if !status.is_success() {
            return self.refused(&waits, session.is_some(), response).await;
        }
        if status == StatusCode::ACCEPTED || status == StatusCode::NO_CONTENT || matches!(waits, Waits::Nothing) {
            // Who waits for nothing reads nothing.
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let session = response.headers().get(SESSION).map(session_id).transpose();
        let session = session.map_err(|why| self.give_up(&waits, Fate::Left(Some(Failure::server(why)))))?;
        let media = media(&response);
        if media.starts_with(EVENTS) {
            return Ok(StreamableHttpPostResponse::Sse(events(response.bytes_stream(), &self.ledger, false), session));
        }
        let failed = |why: Failure| self.give_up(&waits, Fate::Left(Some(why)));
        if !media.starts_with(JSON) {
            let words = format!("it answered with `{}` instead of JSON or events", self.ledger.excerpt(&media, 100));
            return Err(failed(Failure::server(words)));
        }
        let body = read(response, MAX_MESSAGE).await.map_err(failed)?;
        match serde_json::from_slice(&body) {
            Ok(message) => Ok(StreamableHttpPostResponse::Json(message, session)),
            Err(_) => {
                let shown = self.ledger.excerpt(&String::from_utf8_lossy(&body), 200);
                Err(failed(Failure::server(format!("its answer is no message: {shown}"))))
            }
        }
    }

    /// An answer that is not 2xx: what it says of the message.
    async fn refused(
        &self,
        waits: &Waits,
        in_session: bool,
        response: Response,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let status = response.status();
        let moved = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = read(response, MAX_ERROR).await.unwrap_or_default();
        let error = match serde_json::from_slice(&body) {
            Ok(ServerJsonRpcMessage::Error(error)) => Some(error.error),
            _ => None,
        };
        if in_session && status == StatusCode::NOT_FOUND {
            self.ledger.expire();
            self.give_up(waits, Fate::NotSent(Failure::server("it does not know the session any more")));
            return Err(StreamableHttpError::SessionExpired);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.ledger.not_taken();
        }
        let credential = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if in_session && status == StatusCode::BAD_REQUEST {
            // Some servers answer so when they do not know a session; the next call begins a new one.
            self.ledger.expire();
        }
        // A refused handshake is the library's to judge: another way of greeting may be understood.
        if let (Waits::Answer(id), Some(error), false) = (waits, &error, credential || status.is_server_error()) {
            let answer = ServerJsonRpcMessage::error(error.clone(), Some(id.clone()));
            return Ok(StreamableHttpPostResponse::Json(answer, None));
        }
        let mut words = format!("it answered HTTP {status}");
        if let Some(location) = moved.filter(|_| status.is_redirection()) {
            words.push_str(&format!(": redirects to {}, which is not followed", self.ledger.excerpt(&location, 200)));
        }
        match error {
            Some(error) => words.push_str(&format!(": {}", self.ledger.excerpt(&error.message, 500))),
            None if !body.is_empty() => {
                words.push_str(&format!(": {}", self.ledger.excerpt(&String::from_utf8_lossy(&body), 500)));
            }
            None => {}
        }
        let code = if credential { code::TOOL_CREDENTIAL } else { code::TOOL_SERVER };
        let why = Failure::new(code, words);
        let fate = match verdict(&Method::POST, status) {
            Verdict::NotSent => Fate::NotSent(why),
            Verdict::Refused => Fate::Refused(why),
            Verdict::Unknown => Fate::Left(Some(why)),
        };
        Err(self.give_up(waits, fate))
    }
}

impl StreamableHttpClient for Wire {
    type Error = WireError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        self.post(&uri, &message, session_id.as_deref(), headers).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<(), Failed> {
        if self.ledger.is_expired() {
            return Ok(());
        }
        // A server may refuse to have its sessions ended; it ends them itself then.
        let request = self.request(Method::DELETE, &uri, Some(&session_id), headers);
        let Ok((request, _)) = self.bearing(request).await else { return Ok(()) };
        request.send().await.map(drop).map_err(|e| StreamableHttpError::Client(WireError(chain(&e))))
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failed> {
        if !self.ledger.may_resume() {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        let watching = last_event_id.is_none();
        let make = || {
            let request =
                self.request(Method::GET, &uri, session_id.as_deref(), headers.clone()).header(ACCEPT, EVENTS);
            match &last_event_id {
                Some(id) => request.header(LAST_EVENT, id),
                None => request,
            }
        };
        let response = self.sent(make, || {}).await.map_err(|fate| self.give_up(&Waits::Nothing, fate))?;
        match response.status() {
            status if status.is_success() && media(&response).starts_with(EVENTS) => {
                Ok(events(response.bytes_stream(), &self.ledger, watching))
            }
            // Try again only what may be different then.
            status if status.is_server_error() && !watching => {
                Err(StreamableHttpError::Client(WireError(format!("it answered HTTP {status}"))))
            }
            _ => Err(StreamableHttpError::ServerDoesNotSupportSse),
        }
    }
}

/// What a send that failed says of its request.
fn unsent(e: &reqwest::Error) -> Fate {
    if let Some(refused) = reach::refusal(e) {
        return Fate::Refused(Failure::new(code::TOOL_ADDRESS, refused.to_string()));
    }
    if e.is_connect() || e.is_builder() {
        return Fate::NotSent(Failure::server(format!("it cannot be reached: {}", chain(e))));
    }
    Fate::Left(Some(Failure::server(format!("the connection was lost: {}", chain(e)))))
}

fn media(response: &Response) -> String {
    let header = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    header.unwrap_or_default().trim().to_ascii_lowercase()
}

/// Visible ASCII, as the specification asks, and not too much of it.
fn session_id(value: &HeaderValue) -> Result<String, String> {
    match value.to_str() {
        Ok(id) if !id.is_empty() && id.len() <= MAX_SESSION => Ok(id.to_owned()),
        _ => Err(format!("its session id is not 1 to {MAX_SESSION} bytes of visible ASCII")),
    }
}

/// A body of at most so many bytes.
async fn read(mut response: Response, max: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() <= max => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(Failure::new(code::TOOL_FLOOD, format!("it sent a message of more than {max} bytes")));
            }
            Err(e) => return Err(Failure::server(format!("the answer was cut off: {}", chain(&e)))),
        }
    }
}
