//! The requests of the HTTP API (Vault's and OpenBao's documentation, "KV secrets engine, version 2 (API)", "AppRole auth method
//! (API)", "Token auth method (API)") and what their answers mean. No answer is ever repeated in an error: it may hold a value.

use std::{collections::HashMap, fs, time::Duration};

use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode, Url, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};
use stead_ports::secret::{Secret, SecretError};
use zeroize::Zeroizing;

use super::{VaultOptions, wrong};

/// Bytes of an answer.
const MAX_ANSWER: usize = 1 << 20;
/// Bytes of a file of authorities.
const MAX_CA: u64 = 1 << 20;

/// Why an answer is none.
pub(super) enum Refused {
    /// The token is not good for it, or not any more.
    Denied,
    /// Anything else.
    Other(SecretError),
}

/// A token that was given, and for how long it is good: for ever when it has no lease.
pub(super) struct Granted {
    pub(super) token: Option<Secret>,
    pub(super) lease: Option<Duration>,
    pub(super) renewable: bool,
}

/// See the module.
pub(super) struct Api {
    client: Client,
    base: Url,
    options: VaultOptions,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: Option<T>,
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Version {
    /// Nothing when this version was deleted or destroyed.
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Option<String>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct SelfToken {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl Api {
    pub(super) fn new(options: VaultOptions) -> Result<Self, SecretError> {
        let bad = |why: &str| wrong(format!("the vault's address: {why}"));
        let base = Url::parse(&options.address).map_err(|e| bad(&e.to_string()))?;
        let loopback = match base.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match base.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(bad("off this machine it must be https: the token would travel in the clear")),
            _ => return Err(bad("write https://HOST:PORT")),
        }
        // A redirect would take the token elsewhere.
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(options.timeout);
        let client = match &options.ca_file {
            None if base.scheme() == "http" => client.tls_certs_only([]),
            None => client,
            Some(path) => {
                let failed = |why: String| wrong(format!("{}: {why}", path.display()));
                let size = fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
                if size > MAX_CA {
                    return Err(failed(format!("it is longer than {MAX_CA} bytes")));
                }
                let pem = fs::read(path).map_err(|e| failed(e.to_string()))?;
                let all = Certificate::from_pem_bundle(&pem).map_err(|e| failed(e.to_string()))?;
                if all.is_empty() {
                    return Err(failed("it has no certificate".into()));
                }
                client.tls_certs_only(all)
            }
        };
        let client = client.build().map_err(|e| bad(&e.to_string()))?;
        Ok(Self { client, base, options })
    }

    pub(super) fn place(&self) -> String {
        let VaultOptions { mount, path, .. } = &self.options;
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port().map(|p| format!(":{p}")).unwrap_or_default();
        format!("{}://{host}{port} {}", self.base.scheme(), [mount, path.as_str()].join("/").trim_end_matches('/'))
    }

    /// A secret of the engine.
    pub(super) async fn read(&self, token: &Secret, name: &str) -> Result<Option<Secret>, Refused> {
        let path = [self.options.mount.as_str(), "data", &self.options.path, name];
        let request = self.request(Method::GET, self.url(&path), Some(token));
        let Some(answer) = self.answer::<Version>(request).await? else { return Ok(None) };
        let Some(fields) = answer.data.and_then(|version| version.data) else { return Ok(None) };
        let fields = Zeroizing::new(Box::<str>::from(fields).into_string());
        let odd = || Refused::Other(wrong(format!("{}: the secret `{name}` is no object", self.place())));
        let all: HashMap<&str, &RawValue> = serde_json::from_str(&fields).map_err(|_| odd())?;
        if let (1, Some(value)) = (all.len(), all.get("value"))
            && let Ok(text) = serde_json::from_str::<String>(value.get())
        {
            return Ok(Some(Secret::new(text)));
        }
        Ok(Some(Secret::new(fields.as_str())))
    }

    /// Names below the path.
    pub(super) async fn list(&self, token: &Secret) -> Result<Vec<String>, Refused> {
        let path = [self.options.mount.as_str(), "metadata", &self.options.path];
        let mut url = self.url(&path);
        url.query_pairs_mut().append_pair("list", "true");
        let request = self.request(Method::GET, url, Some(token));
        let found = self.answer::<Keys>(request).await?.and_then(|answer| answer.data);
        Ok(found.map(|keys| keys.keys).unwrap_or_default())
    }

    /// A token for a role.
    pub(super) async fn log_in(&self, mount: &str, role_id: &str, secret_id: &Secret) -> Result<Granted, Refused> {
        let body = json!({ "role_id": role_id, "secret_id": secret_id.expose() });
        let request = self.request(Method::POST, self.url(&["auth", mount, "login"]), None).json(&body);
        match self.answer::<serde::de::IgnoredAny>(request).await?.and_then(|answer| answer.auth) {
            Some(Auth { client_token: Some(token), lease_duration, renewable }) => {
                Ok(Granted { token: Some(Secret::new(token)), lease: lease(lease_duration), renewable })
            }
            _ => Err(Refused::Other(wrong(format!("{}: the login gave no token", self.place())))),
        }
    }

    /// How long a token is good for.
    pub(super) async fn look_up(&self, token: &Secret) -> Result<Granted, Refused> {
        let request = self.request(Method::GET, self.url(&["auth", "token", "lookup-self"]), Some(token));
        let found = self.answer::<SelfToken>(request).await?.and_then(|answer| answer.data);
        let SelfToken { ttl, renewable } = found.unwrap_or(SelfToken { ttl: 0, renewable: false });
        Ok(Granted { token: None, lease: lease(ttl), renewable })
    }

    /// Makes a token good for longer.
    pub(super) async fn renew(&self, token: &Secret) -> Result<Granted, Refused> {
        let request =
            self.request(Method::POST, self.url(&["auth", "token", "renew-self"]), Some(token)).json(&json!({}));
        let auth = self.answer::<serde::de::IgnoredAny>(request).await?.and_then(|answer| answer.auth);
        let (seconds, renewable) = auth.map_or((0, false), |auth| (auth.lease_duration, auth.renewable));
        Ok(Granted { token: None, lease: lease(seconds), renewable })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1");
            // Mounts and paths have slashes of their own.
            segments.extend(path.iter().flat_map(|part| part.split('/')).filter(|part| !part.is_empty()));
        }
        url
    }

    fn request(&self, method: Method, url: Url, token: Option<&Secret>) -> RequestBuilder {
        let mut request = self.client.request(method, url).header("X-Vault-Request", "true");
        if let Some(namespace) = &self.options.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        match token {
            Some(token) => {
                let mut value = reqwest::header::HeaderValue::from_str(token.expose().trim())
                    .unwrap_or_else(|_| reqwest::header::HeaderValue::from_static(""));
                value.set_sensitive(true);
                request.header("X-Vault-Token", value)
            }
            None => request,
        }
    }

    /// The answer; `None` when there is nothing there.
    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<Answer<T>>, Refused> {
        let other = |why: String| Refused::Other(wrong(format!("{}: {why}", self.place())));
        let mut response = request.send().await.map_err(|e| {
            let why = if e.is_timeout() {
                format!("it does not answer within {:?}", self.options.timeout)
            } else if e.is_connect() {
                "it cannot be reached, or its certificate is not trusted".into()
            } else {
                "the request failed".into()
            };
            other(why)
        })?;
        let status = response.status();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|_| other("its answer was cut off".into()))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(other(format!("its answer is longer than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK => {
                serde_json::from_slice(&body).map(Some).map_err(|_| other("its answer makes no sense".into()))
            }
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(None),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(Refused::Denied),
            StatusCode::SERVICE_UNAVAILABLE => Err(other("it is sealed, or in maintenance".into())),
            s if s.is_redirection() => {
                Err(other(format!("it answers with {s}: name the address of the active server")))
            }
            s => Err(other(format!("it answers with {s}"))),
        }
    }
}

fn lease(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
