//! One exchange with a service, and what it came to.
//!
//! | what happened | outcome |
//! |---|---|
//! | no connection (name, refusal, TLS, time-out of the connection) | not sent |
//! | 2xx with a whole answer | returned |
//! | 429, 425 | not sent: the service says that it did not process the request (RFC 6585, RFC 8470) |
//! | 3xx of a safe method, 307, 308 | refused: redirects are not followed |
//! | other 3xx | unknown: a service may redirect to the result of what it did |
//! | 408, 5xx, a cut or late answer | unknown |
//! | 412 | refused: the service says that it did nothing (RFC 9110, section 13.1.1) |
//! | other 4xx | refused |

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, Method, Request, Response, StatusCode, Url,
    header::{AUTHORIZATION, ETAG, HeaderValue, IF_MATCH, LOCATION, RETRY_AFTER},
};
use serde_json::Value;
use stead_core::{
    code,
    effect::{Outcome, Reconciled},
    fact::Precondition,
    trace::TraceContext,
};
use stead_ports::{
    connect::{Barred, To},
    delegate::{self, Delegate, OnBehalf, Sending},
    tool::{Invocation, MaySend, Output},
};

use super::{
    answer::{Answer, read},
    client::{self, CONNECT, chain},
    credential::Credential,
    oauth::{NoToken, Tokens},
};
use crate::{
    reach::{self, Reach},
    secret::Secret,
    text,
};

/// Most bytes of an error answer that the model is shown.
const MAX_ERROR: usize = 4 * 1024;
/// Longest entity tag that is kept.
const MAX_ETAG: usize = 256;

/// A service that requests go to.
pub(super) struct Service {
    pub(super) base: Url,
    client: Client,
    signer: Signer,
}

/// How requests to a service are signed.
pub(super) enum Signer {
    /// Not at all.
    Nobody,
    /// With the same credential each time.
    Credential(Credential),
    /// With a bearer token that is fetched.
    Tokens(Arc<Tokens>),
    /// With a bearer token of the run that calls, which says on whose behalf.
    Delegate(Delegate),
}

impl Service {
    pub(super) fn new(base: Url, signer: Signer, timeout: Duration, reach: &Reach) -> Result<Self, String> {
        let client = client::builder(&base, reach)
            .connect_timeout(CONNECT.min(timeout))
            .timeout(timeout)
            .build()
            .map_err(|e| format!("the HTTP client cannot be made: {}", chain(&e)))?;
        Ok(Self { base, client, signer })
    }

    /// Adds the credential, if the service has one that is at hand. A token is added when the request is sent.
    pub(super) fn sign(&self, request: &mut Request) -> Result<(), String> {
        match &self.signer {
            Signer::Credential(credential) => credential.sign(request),
            Signer::Nobody | Signer::Tokens(_) | Signer::Delegate(_) => Ok(()),
        }
    }

    /// Sends a request, with a token if the service wants one, and tells what must not be seen in the answer. A token that was
    /// kept and is refused is fetched anew, once: 401 says that nothing was done (RFC 9110, section 15.5.2).
    async fn send(
        &self,
        request: Request,
        invocation: &Invocation,
    ) -> Result<(reqwest::Result<Response>, Vec<Secret>), NoToken> {
        let may_send = &invocation.may_send;
        let tokens = match &self.signer {
            Signer::Nobody => return Ok((self.client.execute(request).await, Vec::new())),
            Signer::Credential(c) => return Ok((self.client.execute(request).await, c.secrets.clone())),
            Signer::Delegate(delegate) => return self.send_delegated(request, invocation, delegate).await,
            Signer::Tokens(tokens) => tokens,
        };
        let (token, kept) = tokens.token(None).await.and_then(|token| in_time(token, may_send))?;
        let again = if kept { request.try_clone() } else { None };
        let answer = self.client.execute(bearing(request, &token)).await;
        match (again, &answer) {
            (Some(again), Ok(response)) if response.status() == StatusCode::UNAUTHORIZED => {
                let (fresh, _) = tokens.token(Some(&token)).await.and_then(|token| in_time(token, may_send))?;
                Ok((self.client.execute(bearing(again, &fresh)).await, tokens.secrets(&fresh)))
            }
            _ => Ok((answer, tokens.secrets(&token))),
        }
    }

    /// The same with a token of the run.
    async fn send_delegated(
        &self,
        request: Request,
        invocation: &Invocation,
        delegate: &Delegate,
    ) -> Result<(reqwest::Result<Response>, Vec<Secret>), NoToken> {
        let (may_send, host) = (&invocation.may_send, self.base.host_str().unwrap_or_default());
        let whose = invocation.on_behalf.as_deref();
        let token = delegated(whose, delegate, Sending { host, may_send, refused: None }).await;
        let (token, kept) = token.and_then(|token| in_time(token, may_send))?;
        let again = if kept { request.try_clone() } else { None };
        let answer = self.client.execute(bearing(request, &token)).await;
        match (again, &answer) {
            (Some(again), Ok(response)) if response.status() == StatusCode::UNAUTHORIZED => {
                let refused = stead_ports::secret::Secret::new(token.reveal());
                let fresh = delegated(whose, delegate, Sending { host, may_send, refused: Some(&refused) }).await;
                let (fresh, _) = fresh.and_then(|token| in_time(token, may_send))?;
                let answer = self.client.execute(bearing(again, &fresh)).await;
                Ok((answer, [parts_of(&token), parts_of(&fresh)].concat()))
            }
            _ => Ok((answer, parts_of(&token))),
        }
    }

    /// Sends a request and reports honestly. `name` is that of a file, should the answer be one.
    pub(super) async fn call(&self, mut request: Request, invocation: &Invocation, name: &str) -> Outcome<Output> {
        let method = request.method().clone();
        traced(&mut request, invocation.trace.as_ref());
        if let Some(precondition) = &invocation.precondition
            && let Err(why) = only_if(&mut request, precondition)
        {
            return Outcome::Refused(Output::error(why));
        }
        if let Err(barred) = may(&request, invocation).await {
            return Outcome::Refused(Output::error(format!("{}: {}", code::POLICY, barred.why)));
        }
        let (answer, secrets) = match self.send(request, invocation).await {
            Ok(sent) => sent,
            // The request itself has not left, or came back with 401.
            Err(NoToken::Later(why)) => return Outcome::NotSent(Output::error(why)),
            Err(NoToken::Refused(why)) => return Outcome::Refused(Output::error(why)),
        };
        let error = |text: String| Output::error(secrets.iter().fold(text, |text, secret| secret.redact(text)));
        let response = match answer {
            Ok(response) => response,
            Err(e) if reach::refusal(&e).is_some() => {
                // Not "not sent": trying again would lead there again.
                let why = reach::refusal(&e).map(ToString::to_string).unwrap_or_default();
                return Outcome::Refused(Output::error(why));
            }
            Err(e) if e.is_connect() || e.is_builder() => {
                return Outcome::NotSent(error(format!("the service cannot be reached: {}", chain(&e))));
            }
            Err(e) if e.is_timeout() => {
                return Outcome::Unknown(error(format!("{}: the service did not answer in time", code::TOOL_TIMEOUT)));
            }
            Err(e) => {
                return Outcome::Unknown(error(format!(
                    "{}: the connection was lost: {}",
                    code::EFFECT_UNKNOWN,
                    chain(&e)
                )));
            }
        };
        let status = response.status();
        if status.is_success() {
            let etag = etag(&response, &secrets);
            return match read(response, invocation.max_output, &secrets, Some(name)).await {
                Ok(Answer { text, file }) => {
                    let files = file.into_iter().collect();
                    Outcome::Returned(Output { files, etag, ..Self::ok(text, status) })
                }
                Err(e) => Outcome::Unknown(error(format!("{}: the answer was cut off: {e}", code::EFFECT_UNKNOWN))),
            };
        }
        let outcome = verdict(&method, status);
        let told = error(describe(response, &secrets).await);
        if status == StatusCode::PRECONDITION_FAILED && invocation.precondition.is_some() {
            return Outcome::Refused(changed(&told.content));
        }
        match outcome {
            Verdict::NotSent => Outcome::NotSent(told),
            Verdict::Refused => Outcome::Refused(told),
            Verdict::Unknown => Outcome::Unknown(Output::error(format!("{}: {}", code::EFFECT_UNKNOWN, told.content))),
        }
    }

    /// Asks whether an effect happened: 2xx means yes, 404 no, and everything else nothing. An empty answer, an empty
    /// list and null mean nothing either: a search may answer 2xx and have found nothing yet.
    pub(super) async fn ask(&self, mut request: Request, invocation: &Invocation) -> Reconciled<Output> {
        traced(&mut request, invocation.trace.as_ref());
        let head = request.method() == Method::HEAD;
        if may(&request, invocation).await.is_err() {
            return Reconciled::StillUnknown;
        }
        let sent = self.send(request, invocation).await;
        let Ok((Ok(response), secrets)) = sent else { return Reconciled::StillUnknown };
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Reconciled::Absent;
        }
        if !status.is_success() {
            return Reconciled::StillUnknown;
        }
        match read(response, invocation.max_output, &secrets, None).await {
            Ok(_) if head => Reconciled::Happened(Self::ok(String::new(), status)),
            Ok(Answer { text, .. }) if !says_nothing(&text) => Reconciled::Happened(Self::ok(text, status)),
            _ => Reconciled::StillUnknown,
        }
    }

    fn ok(body: String, status: StatusCode) -> Output {
        Output::ok(if body.is_empty() { format!("HTTP {status}, without content") } else { body })
    }
}

/// Says which step of a trace asks, unless the manifest says so itself.
fn traced(request: &mut Request, trace: Option<&TraceContext>) {
    let Some(trace) = trace else { return };
    let headers = request.headers_mut();
    if headers.contains_key("traceparent") {
        return;
    }
    let values = [("traceparent", Some(trace.parent())), ("tracestate", trace.state.as_deref().map(str::to_owned))];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
}

/// Lets a service do what it is asked only while a precondition holds (RFC 9110, section 13.1.1).
fn only_if(request: &mut Request, precondition: &Precondition) -> Result<(), String> {
    let Precondition::Etag(tag) = precondition else {
        return Err(format!("not sent: a service cannot be held to it that {precondition}"));
    };
    let tag = HeaderValue::from_str(tag).map_err(|_| "not sent: the entity tag is none".to_owned())?;
    request.headers_mut().insert(IF_MATCH, tag);
    Ok(())
}

/// The entity tag of an answer, when it is a strong one, which alone may stand in `If-Match`, and holds no secret.
fn etag(response: &Response, secrets: &[Secret]) -> Option<String> {
    let tag = response.headers().get(ETAG)?.to_str().ok()?;
    let strong = tag.len() > 2 && tag.len() <= MAX_ETAG && tag.starts_with('"') && tag.ends_with('"');
    let inside = tag.get(1..tag.len() - 1)?;
    let clean = strong && !inside.contains('"') && !secrets.iter().any(|secret| secret.is_in(tag.as_bytes()));
    clean.then(|| tag.to_owned())
}

/// What is told of an action whose precondition does not hold any more.
fn changed(words: &str) -> Output {
    Output::error(format!(
        "{}: not done, and nothing was changed: what people were shown when they were asked is not so any more ({words}). Whoever \
         still wants it has to ask anew.",
        code::PREVIEW_CHANGED
    ))
}

/// Asks policies about a request before anything of it is sent.
async fn may(request: &Request, invocation: &Invocation) -> Result<(), Barred> {
    let url = request.url();
    let to = To {
        host: url.host_str().unwrap_or_default().trim_matches(['[', ']']),
        port: url.port_or_known_default().unwrap_or_default(),
        method: request.method().as_str(),
        path: url.path(),
    };
    invocation.connects.may(to).await.map(drop)
}

/// A token of a run for a service.
pub(crate) async fn delegated(
    whose: Option<&OnBehalf>,
    delegate: &Delegate,
    sending: Sending<'_>,
) -> Result<(Secret, bool), NoToken> {
    let Some(whose) = whose else {
        let why = "no run is at hand on whose behalf a token could be made";
        return Err(NoToken::Refused(format!("{}: {why}", code::DELEGATED_TOKEN)));
    };
    match delegate.by.token(whose, &delegate.wanted, sending).await {
        Ok(token) => Ok((Secret::new(token.value.expose()), token.kept)),
        Err(delegate::NoToken::Later(why)) => Err(NoToken::Later(why)),
        Err(delegate::NoToken::Refused(code, why)) => Err(NoToken::Refused(format!("{code}: {why}"))),
    }
}

/// What of a signed token must not be seen in an answer: it, and its signature, without which the rest is worth nothing.
pub(crate) fn parts_of(token: &Secret) -> Vec<Secret> {
    let signature = token.reveal().rsplit_once('.').map(|(_, signature)| signature).filter(|s| s.len() >= 32);
    [token.clone()].into_iter().chain(signature.map(Secret::new)).collect()
}

/// A token, if there is still time to use it: a run may have got another owner while it was fetched.
fn in_time<T>(token: T, may_send: &MaySend) -> Result<T, NoToken> {
    if may_send.now() {
        return Ok(token);
    }
    Err(NoToken::Later("the lease may have lapsed while a token was fetched; the request was not sent".to_owned()))
}

/// The request with a token.
fn bearing(mut request: Request, token: &Secret) -> Request {
    // Only what can stand in a header is a token.
    if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.reveal())) {
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    request
}

/// What a status says of an effect.
pub(crate) enum Verdict {
    NotSent,
    Refused,
    Unknown,
}

/// What a status that is not 2xx says of the effect.
pub(crate) fn verdict(method: &Method, status: StatusCode) -> Verdict {
    match status.as_u16() {
        425 | 429 => Verdict::NotSent,
        307 | 308 => Verdict::Refused,
        300..=399 if method.is_safe() => Verdict::Refused,
        408 => Verdict::Unknown,
        400..=499 => Verdict::Refused,
        _ => Verdict::Unknown,
    }
}

/// An error answer in words.
async fn describe(response: Response, secrets: &[Secret]) -> String {
    let status = response.status();
    let clean = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| secret.redact(text));
    let header =
        |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(|v| text::ellipsis(&clean(v), 200));
    let mut words = format!("HTTP {status}");
    if let Some(location) = header(LOCATION).filter(|_| status.is_redirection()) {
        words.push_str(&format!(": redirects to {location}, which is not followed"));
    }
    if let Some(after) = header(RETRY_AFTER) {
        words.push_str(&format!(" (retry after {after})"));
    }
    // What the status says stands, whether or not the rest arrives.
    match read(response, MAX_ERROR, secrets, None).await {
        Ok(Answer { text, .. }) if !text.is_empty() => format!("{words}: {text}"),
        _ => words,
    }
}

fn says_nothing(body: &str) -> bool {
    match serde_json::from_str::<Value>(body) {
        Ok(Value::Null) => true,
        Ok(Value::Array(items)) => items.is_empty(),
        Ok(Value::Object(map)) => map.is_empty(),
        Ok(_) => false,
        Err(_) => body.trim().is_empty(),
    }
}
