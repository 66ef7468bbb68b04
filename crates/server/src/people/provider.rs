//! An identity provider and its keys, as far as they are known: looked up when the first token comes, again after [`LIFE`], and when a
//! token names a key that is not known yet, because keys rotate.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::Client;
use serde::Deserialize;
use stead_core::code;
use stead_identity::{
    claims::Claims,
    jwk::Keys,
    token::{Checks, Refused, verify},
};

use super::{Stranger, fetch};
use crate::config::{Oidc, is_provider_url};

/// How long keys count. A key that the provider has withdrawn signs for no longer.
const LIFE: Duration = Duration::from_secs(600);
/// The shortest time between two looks: whoever sends tokens with made-up keys causes no more.
const PAUSE: Duration = Duration::from_secs(2);

/// What a provider says of itself (OpenID Connect Discovery 1.0, section 3), as far as it is needed here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    authorization_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint: Option<String>,
}

/// Where a person logs in, and where what they bring back is exchanged.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// For the browser.
    pub(crate) authorization: String,
    /// For the server.
    pub(crate) token: String,
}

/// What is known.
#[derive(Default)]
struct Known {
    keys: Option<(Arc<Keys>, Instant)>,
    /// When the provider was asked last, with what came of it when that was nothing.
    asked: Option<Instant>,
    trouble: String,
}

/// See the module.
pub(super) struct Provider {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<String>,
    skew: u64,
    client: Client,
    known: Mutex<Known>,
    /// One looks at a time; who waits finds what it has found.
    turn: tokio::sync::Mutex<()>,
}

impl Provider {
    pub(super) fn new(config: &Oidc) -> io::Result<Self> {
        Ok(Self {
            issuer: config.issuer.clone(),
            audiences: config.audience.clone(),
            algorithms: config.algorithms.clone(),
            skew: config.skew.0.as_secs(),
            client: fetch::client(&config.issuer, config.ca.as_deref())?,
            known: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Verifies a token.
    pub(super) async fn verify(&self, token: &str, now: u64) -> Result<Claims, Stranger> {
        let (issuer, audiences, algorithms, skew) = (&*self.issuer, &*self.audiences, &*self.algorithms, self.skew);
        let checks = Checks { issuer, audiences, algorithms, skew, now };
        let keys = self.keys(None).await?;
        match verify(token, &keys, &checks) {
            // It may be younger than what is known.
            Err(Refused::Key) => {
                let newer = self.keys(Some(&keys)).await?;
                verify(token, &newer, &checks).map_err(Stranger::refused)
            }
            verified => verified.map_err(Stranger::refused),
        }
    }

    /// The provider's keys; others than `unlike` if there are any by now.
    async fn keys(&self, unlike: Option<&Arc<Keys>>) -> Result<Arc<Keys>, Stranger> {
        if let Some(keys) = self.known(unlike) {
            return Ok(keys);
        }
        let _turn = self.turn.lock().await;
        if let Some(keys) = self.known(unlike) {
            return Ok(keys);
        }
        let last = self.known.lock().asked;
        if last.is_some_and(|asked| asked.elapsed() < PAUSE) {
            let known = self.known.lock();
            return match &known.keys {
                // What is known has to do until it may be asked again.
                Some((keys, at)) if at.elapsed() < LIFE => Ok(keys.clone()),
                _ => Err(unreachable(&self.issuer, &known.trouble)),
            };
        }
        let fetched = self.fetch().await;
        let mut known = self.known.lock();
        known.asked = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                known.keys = Some((keys.clone(), Instant::now()));
                Ok(keys)
            }
            Err(why) => {
                tracing::warn!(issuer = self.issuer, why, "the keys of the identity provider cannot be had");
                known.trouble = why;
                match &known.keys {
                    Some((keys, at)) if at.elapsed() < LIFE => Ok(keys.clone()),
                    _ => Err(unreachable(&self.issuer, &known.trouble)),
                }
            }
        }
    }

    /// Keys that still count, and are not those that were tried.
    fn known(&self, unlike: Option<&Arc<Keys>>) -> Option<Arc<Keys>> {
        let known = self.known.lock();
        let (keys, at) = known.keys.as_ref()?;
        let tried = unlike.is_some_and(|tried| Arc::ptr_eq(tried, keys));
        (at.elapsed() < LIFE && !tried).then(|| keys.clone())
    }

    /// Where people log in: asked anew each time, for that is seldom.
    pub(super) async fn endpoints(&self) -> Result<Endpoints, Stranger> {
        let metadata = self.metadata().await.map_err(|why| unreachable(&self.issuer, &why))?;
        let usable = |url: Option<String>| url.filter(|url| is_endpoint(url));
        match (usable(metadata.authorization_endpoint), usable(metadata.token_endpoint)) {
            (Some(authorization), Some(token)) => Ok(Endpoints { authorization, token }),
            _ => Err(unreachable(&self.issuer, "it does not say where people log in")),
        }
    }

    /// Sends a form.
    pub(super) async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Vec<u8>, String> {
        fetch::post(&self.client, url, form).await
    }

    async fn metadata(&self) -> Result<Metadata, String> {
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata = fetch::get(&self.client, &at).await?;
        let metadata: Metadata =
            serde_json::from_slice(&metadata).map_err(|e| format!("{at} is no description of a provider: {e}"))?;
        // Section 4.3: they must be identical, or one provider could speak for another.
        if metadata.issuer != self.issuer {
            return Err(format!("{at} describes another issuer"));
        }
        Ok(metadata)
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let metadata = self.metadata().await?;
        if !is_provider_url(&metadata.jwks_uri) {
            return Err(format!("{} says that its keys are where no keys may be", self.issuer));
        }
        let keys = fetch::get(&self.client, &metadata.jwks_uri).await?;
        Keys::read(&keys).map_err(|e| format!("{}: {e}", metadata.jwks_uri))
    }
}

/// Whether people and codes may be sent there. An endpoint may have a query (RFC 6749, section 3.1), and a provider's URL has none.
fn is_endpoint(url: &str) -> bool {
    is_provider_url(url.split_once('?').map_or(url, |(before, _)| before))
}

fn unreachable(issuer: &str, why: &str) -> Stranger {
    let detail = format!("the identity provider {issuer} cannot be asked for its keys: {why}");
    Stranger { code: code::PROVIDER_UNREACHABLE, detail, known: None }
}
