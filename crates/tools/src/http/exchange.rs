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
//! | other 4xx | refused |

use std::{error::Error, time::Duration};

use reqwest::{
    Client, Method, Request, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
    redirect,
};
use serde_json::Value;
use stead_core::{
    code,
    effect::{Outcome, Reconciled},
};
use stead_ports::tool::Output;

use crate::{secret::Secret, text};

/// Most bytes of an error answer that the model is shown.
const MAX_ERROR: usize = 4 * 1024;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A service that requests go to.
pub(super) struct Service {
    pub(super) base: Url,
    client: Client,
    auth: Option<Secret>,
}

impl Service {
    pub(super) fn new(base: Url, auth: Option<Secret>, timeout: Duration) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(secret) = &auth {
            let mut value = HeaderValue::try_from(format!("Bearer {}", secret.reveal()))
                .map_err(|_| "`auth` holds characters that cannot stand in a header")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // Without TLS (and no redirect is followed) there is no need to read this host's certificates, which takes
        // longer than a request.
        let builder = if base.scheme() == "http" { Client::builder().tls_certs_only([]) } else { Client::builder() };
        let client = builder
            .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            // A connection that another call left open may be dead already, and then nobody knows what was sent.
            .pool_max_idle_per_host(0)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT.min(timeout))
            .timeout(timeout)
            .build()
            .map_err(|e| format!("the HTTP client cannot be made: {}", chain(&e)))?;
        Ok(Self { base, client, auth })
    }

    /// Sends a request and reports honestly.
    pub(super) async fn call(&self, request: Request, max_output: usize) -> Outcome<Output> {
        let method = request.method().clone();
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(e) if e.is_connect() || e.is_builder() => {
                return Outcome::NotSent(self.error(format!("the service cannot be reached: {}", chain(&e))));
            }
            Err(e) if e.is_timeout() => {
                return Outcome::Unknown(
                    self.error(format!("{}: the service did not answer in time", code::TOOL_TIMEOUT)),
                );
            }
            Err(e) => {
                return Outcome::Unknown(self.error(format!(
                    "{}: the connection was lost: {}",
                    code::EFFECT_UNKNOWN,
                    chain(&e)
                )));
            }
        };
        let status = response.status();
        if status.is_success() {
            return match read(response, max_output, self.auth.as_ref()).await {
                Ok(body) => Outcome::Returned(Self::ok(body, status)),
                Err(e) => {
                    Outcome::Unknown(self.error(format!("{}: the answer was cut off: {e}", code::EFFECT_UNKNOWN)))
                }
            };
        }
        let outcome = verdict(&method, status);
        let told = self.error(describe(response, self.auth.as_ref()).await);
        match outcome {
            Verdict::NotSent => Outcome::NotSent(told),
            Verdict::Refused => Outcome::Refused(told),
            Verdict::Unknown => Outcome::Unknown(Output::error(format!("{}: {}", code::EFFECT_UNKNOWN, told.content))),
        }
    }

    /// Asks whether an effect happened: 2xx means yes, 404 no, and everything else nothing. An empty answer, an empty
    /// list and null mean nothing either: a search may answer 2xx and have found nothing yet.
    pub(super) async fn ask(&self, request: Request, max_output: usize) -> Reconciled<Output> {
        let head = request.method() == Method::HEAD;
        let Ok(response) = self.client.execute(request).await else { return Reconciled::StillUnknown };
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Reconciled::Absent;
        }
        if !status.is_success() {
            return Reconciled::StillUnknown;
        }
        match read(response, max_output, self.auth.as_ref()).await {
            Ok(_) if head => Reconciled::Happened(Self::ok(String::new(), status)),
            Ok(body) if !says_nothing(&body) => Reconciled::Happened(Self::ok(body, status)),
            _ => Reconciled::StillUnknown,
        }
    }

    fn ok(body: String, status: StatusCode) -> Output {
        Output::ok(if body.is_empty() { format!("HTTP {status}, without content") } else { body })
    }

    fn error(&self, text: String) -> Output {
        Output::error(match &self.auth {
            Some(secret) => secret.redact(text),
            None => text,
        })
    }
}

enum Verdict {
    NotSent,
    Refused,
    Unknown,
}

/// What a status that is not 2xx says of the effect.
fn verdict(method: &Method, status: StatusCode) -> Verdict {
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
async fn describe(response: Response, auth: Option<&Secret>) -> String {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(|v| text::ellipsis(v, 200));
    let mut words = format!("HTTP {status}");
    if let Some(location) = header(LOCATION).filter(|_| status.is_redirection()) {
        words.push_str(&format!(": redirects to {location}, which is not followed"));
    }
    if let Some(after) = header(RETRY_AFTER) {
        words.push_str(&format!(" (retry after {after})"));
    }
    // What the status says stands, whether or not the rest arrives.
    match read(response, MAX_ERROR, auth).await {
        Ok(body) if !body.is_empty() => format!("{words}: {body}"),
        _ => words,
    }
}

/// The body as text, up to `max` bytes of it; beyond that nothing is read. A secret in it is blotted out before the cut,
/// so that no part of one is left.
async fn read(mut response: Response, max: usize, auth: Option<&Secret>) -> Result<String, String> {
    let wanted = max + auth.map_or(0, |secret| secret.reveal().len());
    let mut body = Vec::new();
    let mut cut = false;
    while let Some(chunk) = response.chunk().await.map_err(|e| chain(&e))? {
        let room = wanted.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            cut = true;
            break;
        }
    }
    let mut text = String::from_utf8(body).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    if let Some(secret) = auth {
        text = secret.redact(text);
    }
    if cut || text.len() > max {
        let note = format!("\n[{}: cut here, the answer has more than {max} bytes]", code::TOOL_FLOOD);
        text = format!("{}{note}", text::clip(&text, max.saturating_sub(note.len())));
    }
    Ok(text)
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

/// An error with its causes; without the URL, whose query may be private.
fn chain(e: &reqwest::Error) -> String {
    let mut words = String::new();
    let mut next: Option<&dyn Error> = e.source();
    while let Some(cause) = next {
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&cause.to_string());
        next = cause.source();
    }
    if words.is_empty() { "no cause given".into() } else { text::ellipsis(&words, 300) }
}
