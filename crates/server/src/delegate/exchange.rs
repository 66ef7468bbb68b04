//! A token service that is asked to exchange what this server says about a person for a token of its own (RFC 8693).

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Url, header::HeaderValue};
use stead_core::code::{self, Code};
use stead_identity::{
    delegated::{Signed, client_assertion},
    keys::{KeyError, Signer},
};
use stead_ports::{
    delegate::{NoToken, Wanted},
    secret::{Secret, Secrets},
};
use stead_tools::{
    http::{Endpoint, NoToken as Unmade},
    reach::Reach,
};

use crate::config::{Audience, ClientAuth, Exchange};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What the service gave.
pub(super) struct Given {
    pub(super) token: Secret,
    pub(super) lasts: Duration,
}

/// See the module.
pub(super) struct Exchanger {
    endpoint: Endpoint,
    config: Exchange,
    secrets: Arc<dyn Secrets>,
}

impl Exchanger {
    pub(super) fn new(config: &Exchange, secrets: Arc<dyn Secrets>, reach: &Reach) -> Result<Self, String> {
        let endpoint = Endpoint::new("identity.exchange.token_url", &config.token_url, reach);
        Ok(Self { endpoint: endpoint.map_err(|e| e.detail)?, config: config.clone(), secrets })
    }

    /// For whom is meant what it is shown.
    pub(super) fn audience(&self) -> &str {
        self.config.audience.as_deref().unwrap_or(&self.config.token_url)
    }

    /// The assertion that says which client this server is, where it says so by one.
    pub(super) fn assertion(&self, now: u64, signer: &Signer) -> Result<Option<Signed>, KeyError> {
        match self.config.client_auth {
            ClientAuth::PrivateKeyJwt => {
                client_assertion(&self.config.client_id, self.audience(), now, signer).map(Some)
            }
            ClientAuth::SecretHeader | ClientAuth::SecretBody => Ok(None),
        }
    }

    /// Exchanges the token about a person, with that of who acts.
    pub(super) async fn exchange(
        &self,
        wanted: &Wanted,
        audience: &Audience,
        (subject, actor, assertion): (Signed, Option<Signed>, Option<Signed>),
    ) -> Result<Given, NoToken> {
        let mut pairs = vec![
            ("grant_type", GRANT.to_owned()),
            ("subject_token", subject.token),
            ("subject_token_type", self.config.subject_token_type.clone()),
            ("requested_token_type", ACCESS.to_owned()),
            ("audience", audience.known_as.clone().unwrap_or_else(|| wanted.audience.clone())),
        ];
        if let Some(resource) = wanted.resource.as_ref().or(audience.resource.as_ref()) {
            pairs.push(("resource", resource.clone()));
        }
        if !wanted.scopes.is_empty() {
            pairs.push(("scope", wanted.scopes.join(" ")));
        }
        if let Some(actor) = actor.filter(|_| self.config.actor) {
            pairs.extend([("actor_token", actor.token), ("actor_token_type", JWT.to_owned())]);
        }
        let mut basic = None;
        match (self.config.client_auth, assertion) {
            (ClientAuth::PrivateKeyJwt, Some(assertion)) => {
                let client = self.config.client_id.clone();
                let assertion =
                    [("client_assertion_type", ASSERTION.to_owned()), ("client_assertion", assertion.token)];
                pairs.extend(assertion.into_iter().chain([("client_id", client)]));
            }
            (ClientAuth::SecretHeader, _) => basic = Some(self.basic(self.secret().await?.expose())?),
            (ClientAuth::SecretBody | ClientAuth::PrivateKeyJwt, _) => {
                let secret = self.secret().await?.expose().to_owned();
                pairs.extend([("client_id", self.config.client_id.clone()), ("client_secret", secret)]);
            }
        }
        let given = self.endpoint.ask(form(&pairs), basic).await.map_err(told)?;
        // RFC 8693, section 2.2.1: it must be said, and a token of another kind is no access token.
        if given.issued_type.as_deref().is_none_or(|kind| kind != ACCESS && kind != JWT) {
            let why = "the token service was asked to exchange, and says not that it gave an access token";
            return Err(NoToken::Refused(code::DELEGATED_TOKEN, format!("{why} (`issued_token_type`)")));
        }
        Ok(Given { token: given.token, lasts: given.lasts })
    }

    /// The client's secret, as it is now.
    async fn secret(&self) -> Result<Secret, NoToken> {
        let reference = self.config.client_secret.as_deref().unwrap_or_default();
        let named = reference.strip_prefix("secret://").unwrap_or(reference);
        let missing = |code: Code, why: &str| {
            NoToken::Refused(code, format!("no token: `identity.exchange.client_secret` cannot be had: {why}"))
        };
        match self.secrets.get(named).await {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(missing(code::DELEGATED_TOKEN, "there is no such secret")),
            Err(e) => Err(missing(e.code, &e.detail)),
        }
    }

    /// RFC 6749, section 2.3.1: both encoded as in a form, then as basic authentication.
    fn basic(&self, secret: &str) -> Result<HeaderValue, NoToken> {
        let word = |text: &str| form(&[("x", text.to_owned())])[2..].to_owned();
        let pair = BASE64_STANDARD.encode(format!("{}:{}", word(&self.config.client_id), word(secret)));
        let unsendable =
            |_| NoToken::Refused(code::DELEGATED_TOKEN, "the client's name and secret cannot be sent".to_owned());
        let mut value = HeaderValue::try_from(format!("Basic {pair}")).map_err(unsendable)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn form(pairs: &[(&str, String)]) -> String {
    let Ok(mut url) = Url::parse("http://form/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

/// Why the service gave no token: it may later, or it will not as things are.
fn told(unmade: Unmade) -> NoToken {
    match unmade {
        Unmade::Later(why) => NoToken::Later(why),
        Unmade::Refused(why) => {
            let why = why.strip_prefix(&format!("{}: ", code::TOOL_CREDENTIAL)).unwrap_or(&why).to_owned();
            NoToken::Refused(code::DELEGATED_TOKEN, why)
        }
    }
}
