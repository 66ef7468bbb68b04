//! The steps to a grant: discovery, the client's name, a person's consent, the exchange; and its renewal.

use std::sync::Arc;

use oauth2::TokenResponse as _;
use reqwest::Url;
use rmcp::transport::auth::{
    AuthError, AuthorizationManager, AuthorizationMetadata, OAuthClientConfig, OAuthTokenResponse, StoredCredentials,
};
use stead_core::code;

use super::{
    Authorization, Consent, Grant,
    fetch::{Bounds, Fetch},
    grant::{is_sendable, now},
    redirect,
};
use crate::{mcp::ledger::Failure, reach::Reach, text};

/// Most scopes that are asked for.
const MAX_SCOPES: usize = 64;

/// What one server's authorization goes by.
pub(super) struct Flow {
    url: Url,
    bounds: Bounds,
    fetch: Arc<Fetch>,
    pub(super) authorization: Authorization,
}

/// Where an authorization server is, checked.
struct Discovered {
    manager: AuthorizationManager,
    metadata: AuthorizationMetadata,
    issuer: String,
}

/// Why a grant was not renewed.
pub(super) enum NotRenewed {
    /// It may succeed later.
    Later(Failure),
    /// A person has to authorise again.
    Never(String),
}

impl Flow {
    pub(super) fn new(url: Url, reach: &Reach, authorization: Authorization) -> Result<Self, String> {
        let bounds = Bounds::new(&url, reach, authorization.private);
        let fetch = Arc::new(Fetch::new(bounds.clone())?);
        Ok(Self { url, bounds, fetch, authorization })
    }

    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Finds the authorization server. `challenge` is the `WWW-Authenticate` of the server's refusal.
    async fn discover(&self, challenge: Option<&str>) -> Result<Discovered, Failure> {
        let fetch = Arc::clone(&self.fetch);
        let manager = AuthorizationManager::new_with_oauth_http_client(self.url.clone(), fetch).await;
        let mut manager = manager.map_err(|e| failed(&e))?;
        let found = manager.resolve_metadata_from_challenge(challenge).await.map_err(|e| failed(&e))?;
        if !found.source.is_discovered() {
            return Err(refused(
                "neither the server nor its host says who may authorise (no metadata of RFC 9728 or RFC 8414)",
            ));
        }
        let metadata = found.metadata;
        // MCP, "Authorization Code Protection": silence means that it cannot.
        if !metadata.code_challenge_methods_supported.iter().flatten().any(|method| method == "S256") {
            return Err(refused("the authorization server does not say that it checks PKCE with S256"));
        }
        let Some(issuer) = metadata.issuer.clone() else {
            return Err(refused("the authorization server does not tell its issuer"));
        };
        let urls = [
            Some(&metadata.authorization_endpoint),
            Some(&metadata.token_endpoint),
            metadata.registration_endpoint.as_ref(),
        ];
        for url in urls.into_iter().flatten() {
            let url = Url::parse(url)
                .map_err(|e| refused(format!("an endpoint of the authorization server is no URL: {e}")))?;
            self.bounds.check(&url).map_err(refused)?;
        }
        manager.set_metadata(metadata.clone());
        Ok(Discovered { manager, metadata, issuer })
    }

    /// This client's name and secret at the authorization server.
    async fn client(
        &self,
        at: &mut Discovered,
        redirect_uri: &str,
        scopes: &[&str],
        old: Option<&Grant>,
    ) -> Result<OAuthClientConfig, Failure> {
        let identity = &self.authorization.identity;
        let config = |id: &str, secret: Option<&str>| {
            let config = OAuthClientConfig::new(id, redirect_uri);
            secret.map_or_else(|| config.clone(), |secret| config.clone().with_client_secret(secret))
        };
        if let Some(registered) = &identity.registered {
            let elsewhere = old.filter(|old| old.client_id == registered.client_id).map(|old| &old.issuer);
            if let Some(issuer) = registered.issuer.as_ref().or(elsewhere).filter(|issuer| **issuer != at.issuer) {
                let why = format!("this client is registered with `{issuer}`, and the server names `{}`", at.issuer);
                return Err(refused(text::ellipsis(&why, 500)));
            }
            return Ok(config(&registered.client_id, registered.client_secret.as_ref().map(|secret| secret.reveal())));
        }
        let documents = at.metadata.additional_fields.get("client_id_metadata_document_supported");
        if let Some(url) = &identity.metadata_url
            && documents.and_then(serde_json::Value::as_bool) == Some(true)
        {
            return Ok(config(url, None));
        }
        // A name that this issuer gave for this very redirect is good for another round.
        if let Some(old) = old.filter(|old| old.issuer == at.issuer && old.redirect_uri == redirect_uri) {
            return Ok(config(&old.client_id, old.client_secret.as_deref()));
        }
        let name = identity.name.as_deref().unwrap_or("Stead");
        at.manager.register_client(name, redirect_uri, scopes).await.map_err(|e| failed(&e))
    }

    /// Has a person authorise. `more` are scopes that the server asked for beyond those of `old`.
    pub(super) async fn authorize(
        &self,
        consent: &dyn Consent,
        challenge: Option<&str>,
        more: &[String],
        old: Option<&Grant>,
    ) -> Result<Grant, Failure> {
        // What the operator names is a bound: a server that wants more does not get it by asking a person.
        if let Some(allowed) = &self.authorization.scopes
            && let Some(beyond) = more.iter().find(|scope| !allowed.contains(*scope))
        {
            let beyond = text::ellipsis(beyond, 100);
            let why = format!(
                "the server wants an authorisation: it asks for `{beyond}`, which is not among the allowed scopes"
            );
            return Err(Failure::new(code::MCP_UNAUTHORIZED, why));
        }
        let mut at = self.discover(challenge).await?;
        let mut scopes = match &self.authorization.scopes {
            Some(scopes) => scopes.clone(),
            None if more.is_empty() => at.manager.select_initial_scopes(&[]).await,
            None => old.map(|old| old.scopes.clone()).unwrap_or_default(),
        };
        for scope in more {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        if scopes.len() > MAX_SCOPES {
            return Err(refused(format!("the server asks for more than {MAX_SCOPES} scopes")));
        }
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let redirect_uri = consent.redirect_uri();
        let config = self.client(&mut at, &redirect_uri, &scopes, old).await?;
        at.manager.configure_client(config.clone()).map_err(|e| failed(&e))?;
        let page = at.manager.get_authorization_url(&scopes).await.map_err(|e| failed(&e))?;
        let state = Url::parse(&page).ok().and_then(|page| redirect::state_of(&page));
        let state = state.ok_or_else(|| refused("the request for authorization has no `state`"))?;
        let back = consent.authorize(page).await.map_err(refused)?;
        let answer = redirect::read(&back, &redirect_uri, &state).map_err(refused)?;
        let given =
            at.manager.exchange_code_for_token_with_issuer(&answer.code, &answer.state, answer.issuer.as_deref());
        let given = given.await.map_err(|e| failed(&e))?;
        let asked: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.grant(at.issuer, &config, &given, asked).map_err(refused)
    }

    /// A new token for a grant, from the issuer that gave it and from no other.
    pub(super) async fn renew(&self, grant: &Grant) -> Result<Grant, NotRenewed> {
        if grant.refresh_token.is_none() {
            return Err(NotRenewed::Never("its token has ended and there is none to renew it with".into()));
        }
        let mut at = self.discover(None).await.map_err(|why| match why.code {
            code::MCP_AUTHORIZATION => NotRenewed::Never(why.words),
            _ => NotRenewed::Later(why),
        })?;
        if at.issuer != grant.issuer {
            return Err(NotRenewed::Never("the server has another authorization server now".into()));
        }
        let mut config = OAuthClientConfig::new(&grant.client_id, &grant.redirect_uri);
        if let Some(secret) = &grant.client_secret {
            config = config.with_client_secret(secret);
        }
        let later = |e: &AuthError| NotRenewed::Later(failed(e));
        at.manager.configure_client(config.clone()).map_err(|e| later(&e))?;
        let kept = rmcp::transport::auth::InMemoryCredentialStore::new();
        let stored = StoredCredentials::new(grant.client_id.clone(), Some(response(grant)), grant.scopes.clone(), None);
        rmcp::transport::auth::CredentialStore::save(&kept, stored).await.map_err(|e| later(&e))?;
        at.manager.set_credential_store(kept);
        match at.manager.refresh_token().await {
            Ok(given) => self.grant(at.issuer, &config, &given, grant.scopes.clone()).map_err(NotRenewed::Never),
            Err(AuthError::TokenRefreshRejected(_) | AuthError::AuthorizationRequired) => {
                Err(NotRenewed::Never("the authorization server renews it no more".into()))
            }
            Err(e) => Err(later(&e)),
        }
    }

    fn grant(
        &self,
        issuer: String,
        config: &OAuthClientConfig,
        given: &OAuthTokenResponse,
        asked: Vec<String>,
    ) -> Result<Grant, String> {
        let access_token = given.access_token().secret().clone();
        if !is_sendable(&access_token) || *given.token_type() != oauth2::basic::BasicTokenType::Bearer {
            return Err("the authorization server gives no bearer token".into());
        }
        let scopes = given.scopes().map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect());
        Ok(Grant {
            issuer,
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            redirect_uri: config.redirect_uri.clone(),
            access_token,
            refresh_token: given.refresh_token().map(|token| token.secret().clone()),
            received: now(),
            lasts: given.expires_in().map(|lasts| lasts.as_secs()),
            scopes: scopes.unwrap_or(asked),
        })
    }
}

/// A grant as the library holds one.
fn response(grant: &Grant) -> OAuthTokenResponse {
    let mut response = OAuthTokenResponse::new(
        oauth2::AccessToken::new(grant.access_token.clone()),
        oauth2::basic::BasicTokenType::Bearer,
        Default::default(),
    );
    response.set_refresh_token(grant.refresh_token.clone().map(oauth2::RefreshToken::new));
    response
}

/// The authorization cannot be had as things are (`ST0431`).
pub(super) fn refused(why: impl Into<String>) -> Failure {
    Failure::new(code::MCP_AUTHORIZATION, why.into())
}

/// Words of RFC 6749, 7591 and 8707 that may be told; nothing else of what a token endpoint says is, which may be an echo.
const KNOWN: &[&str] = &[
    "invalid_grant",
    "invalid_client_metadata",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "invalid_redirect_uri",
    "unapproved_software_statement",
    "invalid_request",
    "access_denied",
];

fn failed(e: &AuthError) -> Failure {
    let word = |said: &str| {
        let word = KNOWN.iter().find(|word| said.contains(**word));
        word.map_or_else(String::new, |word| format!(": {word}"))
    };
    match e {
        AuthError::DiscoveryRequestFailed { url, source } => {
            let words = format!("its authorization cannot be looked up at `{url}`: {source}");
            let words = text::ellipsis(&words, 500);
            // A guarded address stays one.
            match source.to_string().contains(&code::TOOL_ADDRESS.to_string()) {
                true => Failure::new(code::TOOL_ADDRESS, words),
                false => Failure::server(words),
            }
        }
        AuthError::TokenExchangeFailed(said) => refused(format!("the token endpoint gives no token{}", word(said))),
        AuthError::TokenRefreshFailed(said) => Failure::server(format!("its token cannot be renewed{}", word(said))),
        AuthError::RegistrationFailed(said) => {
            refused(format!("the authorization server does not register this client{}", word(said)))
        }
        e => refused(text::ellipsis(&e.to_string(), 500)),
    }
}
