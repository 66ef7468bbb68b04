//! Tokens by the client credentials grant (RFC 6749, section 4.4): fetched when the first request needs one, kept until shortly
//! before it expires, fetched anew once when a service refuses one that was kept. A token is a secret of this process's memory.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Client, Request, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;
use stead_core::code;
use stead_ports::secret;
use tokio::sync::Mutex;

use super::{
    client::{self, CONNECT, chain},
    request::JSON,
    template::percent_encode,
};
use crate::{
    error::ToolSetupError,
    reach::{self, Reach},
    secret::Secret,
};

/// How long a token endpoint may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of its answer.
const MAX_ANSWER: usize = 64 << 10;
/// Most bytes of a token.
const MAX_TOKEN: usize = 16 << 10;
/// How long before its end a token is not used any more; of a short one, half of its life.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a token is kept whose end nobody has told.
const UNTOLD: Duration = Duration::from_secs(300);
/// The longest that any is kept.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Where the client's name and secret go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendAs {
    /// `Authorization: Basic …` (RFC 6749, section 2.3.1).
    Header,
    /// The form.
    Body,
}

/// A client of an authorization server.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The token endpoint: `https://`, or `http://` on this machine.
    pub token_url: String,
    /// The client's name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// What the token shall allow; the server's choice when there is none.
    pub scopes: Vec<String>,
    /// Where name and secret go.
    pub send: SendAs,
}

/// Why there is no token. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoToken {
    /// The server may give one later.
    Later(String),
    /// It will not, as things are.
    Refused(String),
}

struct Token {
    value: Secret,
    until: Instant,
}

/// A token endpoint (RFC 6749, section 3.2).
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: Url,
    client: Client,
}

/// What an endpoint gave.
pub struct Given {
    /// The token.
    pub token: secret::Secret,
    /// What kind of token it says it is (RFC 8693, section 2.2.1).
    pub issued_type: Option<String>,
    /// How long it is used.
    pub lasts: Duration,
}

/// See the module.
pub(super) struct Tokens {
    endpoint: Endpoint,
    form: String,
    basic: Option<HeaderValue>,
    /// What is blotted out of answers, tokens aside.
    secrets: Vec<Secret>,
    kept: Mutex<Option<Token>>,
}

/// The part of an answer that counts (RFC 6749, sections 5.1 and 5.2).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    expires_in: Option<Value>,
    issued_token_type: Option<String>,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
}

impl Endpoint {
    /// The endpoint at a URL: `https://`, or `http://` on this machine, because secrets are sent there. `key` names the URL in errors.
    ///
    /// # Errors
    /// `ST0103` for a URL that will not do, `ST0054` for a guarded address.
    pub fn new(key: &str, url: &str, reach: &Reach) -> Result<Self, ToolSetupError> {
        let wrong = |why: String| ToolSetupError::value(format!("`{key}` {why}"));
        let url = Url::parse(url).map_err(|e| wrong(format!("is not a URL: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.fragment().is_some() {
            return Err(wrong("must be an `https://` URL with a host and without `#`".into()));
        }
        if url.scheme() == "http" && !reach::is_loopback(&url) {
            return Err(wrong("leads off this machine, so it must be `https://`: a secret is sent there".into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold credentials".into()));
        }
        reach::check_url(reach, &url)?;
        let client = client::builder(&url, reach).connect_timeout(CONNECT).timeout(PATIENCE).build();
        let client = client.map_err(|e| wrong(format!("has no HTTP client: {}", chain(&e))))?;
        Ok(Self { url, client })
    }

    /// Asks for a bearer token by a form, with a client's name and secret as basic authentication where it has them.
    ///
    /// # Errors
    /// Whether it may help to ask again. Never a secret, nor anything that the endpoint says but a word of RFC 6749, section 5.2.
    pub async fn ask(&self, form: String, basic: Option<HeaderValue>) -> Result<Given, NoToken> {
        let mut request = Request::new(reqwest::Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, JSON);
        if let Some(basic) = basic {
            headers.insert(AUTHORIZATION, basic);
        }
        *request.body_mut() = Some(form.into());
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(e) => {
                return Err(match reach::refusal(&e) {
                    Some(why) => NoToken::Refused(why.to_string()),
                    None => NoToken::Later(format!("no token: the token endpoint does not answer: {}", chain(&e))),
                });
            }
        };
        let status = response.status();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if body.len() + piece.len() <= MAX_ANSWER => body.extend_from_slice(&piece),
                Ok(Some(_)) => return Err(refused(format!("its answer has more than {MAX_ANSWER} bytes"))),
                Ok(None) => break,
                Err(e) => return Err(NoToken::Later(format!("no token: the answer was cut off: {}", chain(&e)))),
            }
        }
        if !status.is_success() {
            return Err(denied(status, &body));
        }
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| refused("its answer is no JSON with `access_token` and `token_type`".into()))?;
        let value = Secret::new(&granted.access_token);
        let sendable = value.reveal().bytes().all(|b| b.is_ascii_graphic()) && !value.reveal().is_empty();
        if !granted.token_type.eq_ignore_ascii_case("bearer") || !sendable || value.reveal().len() > MAX_TOKEN {
            return Err(refused("it gives no bearer token".into()));
        }
        let token = secret::Secret::new(value.reveal());
        Ok(Given { token, issued_type: granted.issued_token_type, lasts: kept_for(granted.expires_in.as_ref()) })
    }
}

impl Tokens {
    pub(super) fn new(config: &ClientCredentials, reach: &Reach) -> Result<Self, ToolSetupError> {
        let wrong = |why: String| ToolSetupError::value(format!("`auth.oauth2`: {why}"));
        let endpoint = Endpoint::new("auth.oauth2.token_url", &config.token_url, reach)?;
        let secret = config.client_secret.reveal();
        if secret.is_empty() {
            return Err(wrong("`client_secret` is empty".into()));
        }
        let (id, encoded) = (percent_encode(&config.client_id), percent_encode(secret));
        let mut secrets = vec![config.client_secret.clone(), Secret::new(&encoded)];
        let mut form = "grant_type=client_credentials".to_owned();
        if !config.scopes.is_empty() {
            form.push_str(&format!("&scope={}", percent_encode(&config.scopes.join(" "))));
        }
        let basic = match config.send {
            SendAs::Header => {
                let pair = STANDARD.encode(format!("{id}:{encoded}"));
                secrets.push(Secret::new(&pair));
                let value = HeaderValue::try_from(format!("Basic {pair}"));
                let mut value = value.map_err(|_| wrong("the client's name and secret cannot be sent".into()))?;
                value.set_sensitive(true);
                Some(value)
            }
            SendAs::Body => {
                form.push_str(&format!("&client_id={id}&client_secret={encoded}"));
                None
            }
        };
        Ok(Self { endpoint, form, basic, secrets, kept: Mutex::new(None) })
    }

    /// What is blotted out of answers to a request with this token.
    pub(super) fn secrets(&self, token: &Secret) -> Vec<Secret> {
        self.secrets.iter().chain([token]).cloned().collect()
    }

    /// A token, and whether it was kept from before. Whoever needs one while it is being fetched waits for that one. `refused`
    /// is one that a service did not take.
    pub(super) async fn token(&self, refused: Option<&Secret>) -> Result<(Secret, bool), NoToken> {
        let mut kept = self.kept.lock().await;
        let good = kept
            .as_ref()
            .filter(|t| Instant::now() < t.until && refused.is_none_or(|r| r.reveal() != t.value.reveal()));
        if let Some(token) = good {
            return Ok((token.value.clone(), true));
        }
        *kept = None;
        let token = self.fetch().await?;
        let value = token.value.clone();
        *kept = Some(token);
        Ok((value, false))
    }

    async fn fetch(&self) -> Result<Token, NoToken> {
        let asked = Instant::now();
        let given = self.endpoint.ask(self.form.clone(), self.basic.clone()).await?;
        Ok(Token { value: Secret::new(given.token.expose()), until: asked + given.lasts })
    }
}

/// How long a token is used. Some servers write the number as text.
fn kept_for(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(n)) => n.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let life = seconds.map_or(UNTOLD, Duration::from_secs).min(LONGEST);
    life - MARGIN.min(life / 2)
}

fn refused(why: String) -> NoToken {
    NoToken::Refused(format!("{}: no token: the token endpoint was asked, and {why}", code::TOOL_CREDENTIAL))
}

/// An error answer. Only the word for the error is repeated: a description may hold anything.
fn denied(status: StatusCode, body: &[u8]) -> NoToken {
    let word = serde_json::from_slice::<Denied>(body).ok().map(|d| d.error);
    let word = word.filter(|w| w.len() <= 64 && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let told = word.map_or(String::new(), |word| format!(" ({word})"));
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => {
            NoToken::Later(format!("no token: the token endpoint answers HTTP {status}{told}"))
        }
        _ => refused(format!("answers HTTP {status}{told}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_used_until_a_minute_before_its_end() {
        let kept = |expires: Option<Value>| kept_for(expires.as_ref()).as_secs();
        assert_eq!(kept(Some(json!(3600))), 3_540);
        assert_eq!(kept(Some(json!("3600"))), 3_540);
        assert_eq!(kept(Some(json!(10))), 5);
        assert_eq!(kept(Some(json!(0))), 0);
        assert_eq!(kept(None), 240);
        assert_eq!(kept(Some(json!(-5))), 240);
        assert_eq!(kept(Some(json!(1e300))), 24 * 3_600 - 60);
    }
}
