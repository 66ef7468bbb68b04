//! Logging in at an identity provider, as a public client: by a browser on this machine (RFC 8252, with PKCE, RFC 7636), or by any
//! other device (RFC 8628). What a provider says is bounded, and secrets of its answers are not printed.

use std::{future::Future, pin::Pin, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use oauth2::{
    AuthUrl, AuthorizationCode, Client as Protocol, ClientId, CsrfToken, DeviceAuthorizationUrl, EmptyExtraTokenFields,
    EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, RequestTokenError, RevocationErrorResponseType, Scope,
    StandardDeviceAuthorizationResponse, StandardErrorResponse, StandardRevocableToken,
    StandardTokenIntrospectionResponse, StandardTokenResponse, TokenResponse as _, TokenUrl,
    basic::{BasicErrorResponse, BasicTokenType},
};
use reqwest::{Url, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stead_api::login::Login;
use stead_core::code;

use crate::{client::read, error::ClientError};

/// How long an answer of the provider may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const MAX_DOCUMENT: usize = 1 << 20;

/// What a token answer of OpenID Connect has besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct WithId {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

impl ExtraTokenFields for WithId {}

type Answer = StandardTokenResponse<WithId, BasicTokenType>;
type Spoken = Protocol<
    BasicErrorResponse,
    Answer,
    StandardTokenIntrospectionResponse<EmptyExtraTokenFields, BasicTokenType>,
    StandardRevocableToken,
    StandardErrorResponse<RevocationErrorResponseType>,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What a provider says of itself, as far as a login needs it.
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
}

/// An identity provider that somebody logs in at.
#[derive(Clone)]
pub struct Provider {
    login: Login,
    metadata: Metadata,
    http: reqwest::Client,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.login.issuer).finish_non_exhaustive()
    }
}

/// What a login comes to. Whoever has it is that person.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    /// What a server is shown.
    pub bearer: String,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// What another one is got with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A login by a browser that has begun.
pub struct Begun {
    /// Where the person goes.
    pub url: Url,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    nonce: String,
    redirect: String,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("redirect", &self.redirect).finish_non_exhaustive()
    }
}

/// A login by another device that has begun.
pub struct Device(StandardDeviceAuthorizationResponse);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("uri", &self.uri()).finish_non_exhaustive()
    }
}

impl Device {
    /// Where the person goes.
    pub fn uri(&self) -> String {
        self.0.verification_uri().to_string()
    }

    /// What they enter there.
    pub fn code(&self) -> String {
        self.0.user_code().secret().clone()
    }

    /// Where they go when they need enter nothing.
    pub fn whole_uri(&self) -> Option<String> {
        self.0.verification_uri_complete().map(|uri| uri.secret().clone())
    }
}

fn failed(why: impl std::fmt::Display) -> ClientError {
    ClientError::of(code::LOGIN, format!("the login did not succeed: {why}"))
}

impl Provider {
    /// Asks a provider what it offers.
    ///
    /// # Errors
    /// When it cannot be asked, or speaks for another issuer.
    pub async fn discover(login: Login) -> Result<Self, ClientError> {
        let plain = login.issuer.starts_with("http://");
        let builder =
            reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).retry(reqwest::retry::never());
        let builder = if plain { builder.no_proxy().tls_certs_only([]) } else { builder };
        let http = builder.build()?;
        let at = format!("{}/.well-known/openid-configuration", login.issuer.trim_end_matches('/'));
        let answer = http.get(&at).send().await.map_err(|e| failed(e.without_url()))?;
        if !answer.status().is_success() {
            return Err(failed(format!("{at} answered {}", answer.status())));
        }
        let metadata: Metadata = serde_json::from_slice(&read(answer, MAX_DOCUMENT).await?).map_err(failed)?;
        if metadata.issuer != login.issuer {
            return Err(failed(format!("{at} describes another issuer")));
        }
        let safe = |url: &String| plain || url.starts_with("https://");
        let all = [Some(&metadata.authorization_endpoint), Some(&metadata.token_endpoint)];
        let more = [metadata.device_authorization_endpoint.as_ref(), metadata.revocation_endpoint.as_ref()];
        if !all.into_iter().chain(more).flatten().all(safe) {
            return Err(failed("the provider names an endpoint without TLS"));
        }
        Ok(Self { login, metadata, http })
    }

    fn spoken(&self) -> Result<Spoken, ClientError> {
        let client = Protocol::new(ClientId::new(self.login.client_id.clone()));
        let client = client.set_auth_uri(AuthUrl::new(self.metadata.authorization_endpoint.clone()).map_err(failed)?);
        Ok(client.set_token_uri(TokenUrl::new(self.metadata.token_endpoint.clone()).map_err(failed)?))
    }

    fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        self.login.scopes.iter().cloned().map(Scope::new)
    }

    /// Begins a login by a browser, which comes back to `redirect` on this machine.
    ///
    /// # Errors
    /// When the provider's addresses cannot be used.
    pub fn begin(&self, redirect: &str) -> Result<Begun, ClientError> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (client, nonce) = (self.spoken()?, CsrfToken::new_random().secret().clone());
        let client = client.set_redirect_uri(RedirectUrl::new(redirect.to_owned()).map_err(failed)?);
        let mut asked = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(self.scopes())
            .set_pkce_challenge(challenge)
            .add_extra_param("nonce", nonce.clone());
        if self.login.scopes.iter().any(|scope| scope == "offline_access") {
            // OpenID Connect Core 1.0, section 11: without the person's consent there is no refresh token.
            asked = asked.add_extra_param("prompt", "consent");
        }
        if let Some(resource) = &self.login.resource {
            asked = asked.add_extra_param("resource", resource.clone());
        }
        let (url, state) = asked.url();
        Ok(Begun { url, state, verifier, nonce, redirect: redirect.to_owned() })
    }

    /// Ends it with what the browser brought back: the query of the redirect.
    ///
    /// # Errors
    /// When it is an answer to another login, or a refusal.
    pub async fn finish(&self, begun: Begun, query: &str) -> Result<Tokens, ClientError> {
        let brought = Url::parse(&format!("http://localhost/?{query}")).map_err(failed)?;
        let of = |name: &str| brought.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
        if of("state").as_ref() != Some(begun.state.secret()) {
            return Err(failed("the browser came back from another login"));
        }
        // RFC 9207: an answer of another provider is none.
        if of("iss").is_some_and(|issuer| issuer != self.login.issuer) {
            return Err(failed("the browser came back from another provider"));
        }
        if let Some(error) = of("error") {
            let why = of("error_description").unwrap_or_default();
            return Err(failed(
                format!("{error} {why}").chars().filter(|c| !c.is_control()).take(300).collect::<String>(),
            ));
        }
        let code = of("code").ok_or_else(|| failed("the browser brought no code"))?;
        let client = self.spoken()?.set_redirect_uri(RedirectUrl::new(begun.redirect).map_err(failed)?);
        let mut asked = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(begun.verifier);
        if let Some(resource) = &self.login.resource {
            asked = asked.add_extra_param("resource", resource.clone());
        }
        let answer = asked.request_async(&self.http()).await.map_err(refusal)?;
        let said = answer.extra_fields().id_token.as_deref().and_then(claims);
        if said.is_some_and(|claims| claims.get("nonce").and_then(Value::as_str) != Some(&*begun.nonce)) {
            return Err(failed("the provider's token is of another login"));
        }
        self.tokens(&answer, None)
    }

    /// Begins a login by another device.
    ///
    /// # Errors
    /// When the provider offers none.
    pub async fn device(&self) -> Result<Device, ClientError> {
        let at = self.metadata.device_authorization_endpoint.clone();
        let at = at.ok_or_else(|| failed("the provider has no login by another device"))?;
        let client = self.spoken()?.set_device_authorization_url(DeviceAuthorizationUrl::new(at).map_err(failed)?);
        let mut asked = client.exchange_device_code().add_scopes(self.scopes());
        if let Some(resource) = &self.login.resource {
            asked = asked.add_extra_param("resource", resource.clone());
        }
        Ok(Device(asked.request_async(&self.http()).await.map_err(refusal)?))
    }

    /// Waits until the person has logged in there.
    ///
    /// # Errors
    /// When they refuse, or their time is over.
    pub async fn wait(&self, device: &Device) -> Result<Tokens, ClientError> {
        let client = self.spoken()?;
        let asked = client.exchange_device_access_token(&device.0);
        let answer = asked.request_async(&self.http(), tokio::time::sleep, None).await.map_err(refusal)?;
        self.tokens(&answer, None)
    }

    /// Another token in the place of one that ends.
    ///
    /// # Errors
    /// When the provider gives none: the person must log in again.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, ClientError> {
        let (client, refresh) = (self.spoken()?, RefreshToken::new(token.to_owned()));
        let mut asked = client.exchange_refresh_token(&refresh);
        if let Some(resource) = &self.login.resource {
            asked = asked.add_extra_param("resource", resource.clone());
        }
        let answer = asked.request_async(&self.http()).await.map_err(refusal)?;
        self.tokens(&answer, Some(token))
    }

    /// Tells the provider that a refresh token is not to be taken any more (RFC 7009); false when it has no place for that.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn revoke(&self, token: &str) -> Result<bool, ClientError> {
        let Some(at) = &self.metadata.revocation_endpoint else { return Ok(false) };
        let form = [("token", token), ("token_type_hint", "refresh_token"), ("client_id", &self.login.client_id)];
        let mut body = Url::parse("http://localhost/").map_err(failed)?;
        body.query_pairs_mut().extend_pairs(form);
        let request = self.http.post(at).header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(body.query().unwrap_or_default().to_owned()).send().await;
        let answer = answer.map_err(|e| failed(e.without_url()))?;
        match answer.status().is_success() {
            true => Ok(true),
            false => Err(failed(format!("the provider did not revoke the login: {}", answer.status()))),
        }
    }

    /// What a server is shown: an access token that is meant for it, else the ID token.
    fn tokens(&self, answer: &Answer, before: Option<&str>) -> Result<Tokens, ClientError> {
        let access = answer.access_token().secret();
        let id = answer.extra_fields().id_token.as_ref();
        let meant = |token: &&String| claims(token).is_some_and(|claims| self.is_meant(&claims));
        let bearer = [Some(access), id].into_iter().flatten().find(meant);
        let bearer = bearer.ok_or_else(|| {
            let audience = self.login.audience.join("`, `");
            failed(format!("the provider gave no token that is meant for `{audience}`"))
        })?;
        let expires = claims(bearer).and_then(|claims| claims.get("exp").and_then(Value::as_u64));
        let refresh = answer.refresh_token().map(|token| token.secret().clone());
        let refresh = refresh.or_else(|| before.map(str::to_owned));
        Ok(Tokens { bearer: bearer.clone(), expires: expires.unwrap_or(0), refresh })
    }

    fn is_meant(&self, claims: &Value) -> bool {
        let known = |aud: &Value| aud.as_str().is_some_and(|aud| self.login.audience.iter().any(|known| known == aud));
        match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(known),
            Some(one) => known(one),
            None => false,
        }
    }

    fn http(&self) -> impl Fn(HttpRequest) -> Exchange {
        let http = self.http.clone();
        move |request| {
            let http = http.clone();
            Box::pin(async move { exchange(&http, request).await })
        }
    }
}

/// An exchange with the provider.
type Exchange = Pin<Box<dyn Future<Output = Result<HttpResponse, Trouble>> + Send>>;

/// Why there is no answer.
#[derive(Debug)]
struct Trouble(String);

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

async fn exchange(http: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, Trouble> {
    let told = |e: reqwest::Error| Trouble(e.without_url().to_string());
    let request = reqwest::Request::try_from(request).map_err(told)?;
    let answer = http.execute(request).await.map_err(told)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = read(answer, MAX_DOCUMENT).await.map_err(|e| Trouble(e.to_string()))?;
    let mut response = HttpResponse::new(body.to_vec());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What the provider said, in words.
fn refusal<E: oauth2::ErrorResponse + std::fmt::Display>(error: RequestTokenError<Trouble, E>) -> ClientError {
    let why = match error {
        RequestTokenError::ServerResponse(said) => said.to_string(),
        RequestTokenError::Request(trouble) => trouble.to_string(),
        RequestTokenError::Parse(..) => "the provider's answer cannot be read".to_owned(),
        RequestTokenError::Other(why) => why,
    };
    failed(why.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
}

/// The claims of a token, believed by nobody: the server verifies it.
fn claims(token: &str) -> Option<Value> {
    let part = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
