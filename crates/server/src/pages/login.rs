//! Signing in to the page at the identity provider: authorization code with PKCE (RFC 6749, section 4.1; RFC 7636) as a public client. What
//! has begun is in a cookie of the browser that began it, so that nobody else can end it, and costs the server nothing.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use stead_core::code;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::sessions::secret;
use crate::{
    auth::Principal,
    http::failure::{Answer, Failure},
    people::People,
};

/// How long a login may take, in seconds.
pub(crate) const TIME: u64 = 600;
/// Longest query that a browser may come back with, in bytes.
const MAX_QUERY: usize = 8 << 10;

/// A login that has begun.
pub(crate) struct Attempt {
    state: String,
    nonce: String,
    verifier: String,
}

/// What a provider answers a code with (RFC 6749, section 5.1; OpenID Connect Core 1.0, section 3.1.3.3).
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    #[serde(default)]
    id_token: Option<String>,
}

fn failed(why: impl std::fmt::Display) -> Failure {
    Failure::new(code::PAGE_LINK, format!("the login did not succeed: {why}"))
        .hint("begin it again on the approval page")
}

impl Attempt {
    /// Begins one.
    pub(crate) fn new() -> Self {
        Self { state: secret(), nonce: secret(), verifier: secret() }
    }

    /// What the browser keeps of it.
    pub(crate) fn to_cookie(&self) -> String {
        format!("{}.{}.{}", self.state, self.nonce, self.verifier)
    }

    /// The one that a browser has kept.
    pub(crate) fn of_cookie(cookie: &str) -> Option<Self> {
        let parts: Vec<&str> = cookie.split('.').collect();
        let [state, nonce, verifier] = <[&str; 3]>::try_from(parts).ok()?;
        let whole =
            |part: &str| part.len() == 43 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let all = [state, nonce, verifier].into_iter().all(whole);
        all.then(|| Self { state: state.into(), nonce: nonce.into(), verifier: verifier.into() })
    }

    /// Where the browser goes.
    ///
    /// # Errors
    /// The provider cannot be asked where that is.
    pub(crate) async fn url(&self, people: &People, client: &str, redirect: &str) -> Answer<String> {
        let endpoints = people.endpoints().await?;
        let mut url = Url::parse(&endpoints.authorization).map_err(failed)?;
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier));
        // Nothing that outlives the session: no refresh token is asked for.
        let scopes: Vec<&str> = people.scopes().filter(|scope| *scope != "offline_access").collect();
        let scopes = scopes.join(" ");
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", redirect),
            ("scope", &*scopes),
            ("state", &*self.state),
            ("nonce", &*self.nonce),
            ("code_challenge", &*challenge),
            ("code_challenge_method", "S256"),
        ]);
        if let Some(resource) = people.resource() {
            url.query_pairs_mut().append_pair("resource", resource);
        }
        Ok(url.into())
    }

    /// Ends it with what the browser brought back: who they are, and the token that says so.
    ///
    /// # Errors
    /// It is an answer to another login, a refusal, or the provider's token counts for nothing here.
    pub(crate) async fn finish(
        self,
        people: &People,
        client: &str,
        redirect: &str,
        query: &str,
        now: u64,
    ) -> Answer<(Principal, Zeroizing<String>)> {
        if query.len() > MAX_QUERY {
            return Err(failed("what the browser brought is too long"));
        }
        let brought = Url::parse(&format!("http://localhost/?{}", query.trim_start_matches('?'))).map_err(failed)?;
        let brought: HashMap<_, _> = brought.query_pairs().collect();
        let of = |name: &str| brought.get(name).map(|value| &**value);
        if !bool::from(of("state").unwrap_or_default().as_bytes().ct_eq(self.state.as_bytes())) {
            return Err(failed("the browser came back from another login"));
        }
        // RFC 9207: an answer of another provider is none.
        if of("iss").is_some_and(|issuer| issuer != people.issuer()) {
            return Err(failed("the browser came back from another provider"));
        }
        if let Some(error) = of("error") {
            let why = format!("{error} {}", of("error_description").unwrap_or_default());
            return Err(failed(why.chars().filter(|c| !c.is_control()).take(300).collect::<String>().trim_end()));
        }
        let code = of("code").ok_or_else(|| failed("the browser brought no code"))?;
        let endpoints = people.endpoints().await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("client_id", client),
            ("code_verifier", &*self.verifier),
        ];
        form.extend(people.resource().map(|resource| ("resource", resource)));
        let answer = Zeroizing::new(people.post(&endpoints.token, &form).await.map_err(failed)?);
        let tokens: Tokens =
            serde_json::from_slice(&answer).map_err(|_| failed("the provider's answer cannot be read"))?;
        let (access, id) = (Zeroizing::new(tokens.access_token), tokens.id_token.map(Zeroizing::new));
        // OpenID Connect Core 1.0, section 3.1.3.7: what comes straight from the token endpoint is its own.
        let nonce = id.as_ref().and_then(|token| claim(token, "nonce"));
        if id.is_some() && nonce.as_deref() != Some(&*self.nonce) {
            return Err(failed("the provider's token is of another login"));
        }
        let mut refused = None;
        for token in [Some(access), id].into_iter().flatten() {
            match people.find(&token, now).await {
                Ok(who) => return Ok((who, token)),
                // Why the one that is made for servers was refused says more.
                Err(e) => refused = refused.or(Some(e)),
            }
        }
        Err(refused.map_or_else(|| failed("the provider gave no token"), Failure::from))
    }
}

/// A claim of a token, believed because of where the token came from.
fn claim(token: &str, name: &str) -> Option<String> {
    let part = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    claims.get(name)?.as_str().map(str::to_owned)
}
