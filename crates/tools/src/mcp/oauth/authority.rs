//! One server's token, shared by its sessions: kept, renewed before it ends, and come by anew when the server refuses it and somebody
//! can say yes.

use reqwest::{
    StatusCode, Url,
    header::{HeaderMap, WWW_AUTHENTICATE},
};
use rmcp::transport::auth::WWWAuthenticateParams;
use stead_core::code;
use tokio::sync::Mutex;

use super::{
    Authorization, Grant,
    flow::{Flow, NotRenewed},
    grant::now,
};
use crate::{mcp::ledger::Failure, reach::Reach, secret::Secret, text};

/// Most times that one request is sent again with another token.
const MAX_AGAIN: usize = 3;
/// Most bytes of a challenge that is read.
const MAX_CHALLENGE: usize = 8 << 10;

/// See the module.
pub(in crate::mcp) struct Authority {
    flow: Flow,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    grant: Option<Grant>,
    loaded: bool,
}

/// What one request was answered with so far.
#[derive(Default)]
pub(in crate::mcp) struct Answered {
    times: usize,
    renewed: bool,
    authorized: bool,
    asked_for: Vec<String>,
}

impl Authority {
    pub(in crate::mcp) fn new(url: Url, reach: &Reach, authorization: Authorization) -> Result<Self, String> {
        let registered = authorization.identity.registered.as_ref();
        if registered.is_some_and(|client| client.client_secret.is_some() && client.issuer.is_none()) {
            return Err(
                "a registered client with a secret must name its `issuer`: whichever the MCP server names would be \
                        shown the secret"
                    .into(),
            );
        }
        Ok(Self { flow: Flow::new(url, reach, authorization)?, held: Mutex::default() })
    }

    /// Has a person authorise, whatever is kept.
    pub(super) async fn login(&self) -> Result<Grant, Failure> {
        let mut held = self.held.lock().await;
        self.load(&mut held).await?;
        let consent = self.flow.authorization.consent.as_ref();
        let consent = consent.ok_or_else(|| self.wanted("nobody is there to say yes"))?;
        // A name that was registered for the last grant may not hold any more; one that was given beforehand stays with its issuer.
        let given_before = self.flow.authorization.identity.registered.is_some();
        let old = held.grant.as_ref().filter(|_| given_before);
        let given = self.flow.authorize(consent.as_ref(), None, &[], old).await?;
        self.keep(&mut held, given.clone()).await?;
        Ok(given)
    }

    /// The token to show, when there is one. Whoever needs it while it is being renewed waits for that.
    pub(in crate::mcp) async fn token(&self) -> Result<Option<Secret>, Failure> {
        let mut held = self.held.lock().await;
        self.load(&mut held).await?;
        let Some(grant) = held.grant.clone() else { return Ok(None) };
        if !grant.is_due(now()) {
            return Ok(Some(Secret::new(&grant.access_token)));
        }
        match self.renew(&mut held, &grant).await {
            Ok(token) => Ok(Some(token)),
            // It still holds; what ails the other server may have passed when it does not.
            Err(NotRenewed::Later(_)) if !grant.is_over(now()) => Ok(Some(Secret::new(&grant.access_token))),
            Err(NotRenewed::Later(why)) => Err(why),
            // The MCP server shall say what it wants; what it says of an ended token begins a new authorization.
            Err(NotRenewed::Never(_)) => Ok((!grant.is_over(now())).then(|| Secret::new(&grant.access_token))),
        }
    }

    /// The server refused `shown`, or that there was nothing. Whether to ask again: there is another token now.
    pub(in crate::mcp) async fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        shown: Option<&Secret>,
        answered: &mut Answered,
    ) -> Result<bool, Failure> {
        let challenge = challenge(headers);
        let said = challenge.as_deref().zip(Url::parse(self.flow.url()).ok());
        let said = said.map(|(header, url)| WWWAuthenticateParams::parse(header, &url)).unwrap_or_default();
        let wants_more = said.is_insufficient_scope();
        if status != StatusCode::UNAUTHORIZED && !(status == StatusCode::FORBIDDEN && wants_more) {
            return Ok(false);
        }
        answered.times += 1;
        if answered.times > MAX_AGAIN {
            return Err(self.wanted("it refuses one token after the other"));
        }
        let mut held = self.held.lock().await;
        self.load(&mut held).await?;
        let grant = held.grant.clone();
        let is_shown = |grant: &Grant| shown.is_some_and(|shown| shown.reveal() == grant.access_token);
        // Another session has a token by now that this request was not sent with.
        if grant.as_ref().is_some_and(|grant| !is_shown(grant) && !grant.is_over(now())) {
            return Ok(true);
        }
        if let Some(grant) =
            grant.as_ref().filter(|grant| !wants_more && !answered.renewed && grant.refresh_token.is_some())
        {
            answered.renewed = true;
            match self.renew(&mut held, grant).await {
                Ok(_) => return Ok(true),
                Err(NotRenewed::Later(why)) => return Err(why),
                Err(NotRenewed::Never(_)) => {}
            }
        }
        let asked: Vec<String> = said.scope.iter().flat_map(|s| s.split_whitespace()).map(str::to_owned).collect();
        let more = match wants_more {
            true if asked.is_empty() || asked.iter().all(|scope| answered.asked_for.contains(scope)) => {
                return Err(self.wanted("it asks for scopes that it was given, or names none"));
            }
            true => asked,
            false if answered.authorized => return Err(self.wanted("it refuses a token that was just given for it")),
            false => Vec::new(),
        };
        answered.authorized = true;
        answered.asked_for.extend(more.iter().cloned());
        let Some(consent) = &self.flow.authorization.consent else {
            return Err(self.wanted(&match more.is_empty() {
                true => "nobody has authorised this server's use, or no longer".to_owned(),
                false => format!("it asks for more: {}", text::ellipsis(&more.join(" "), 300)),
            }));
        };
        let given = self.flow.authorize(consent.as_ref(), challenge.as_deref(), &more, grant.as_ref()).await?;
        self.keep(&mut held, given).await?;
        Ok(true)
    }

    async fn load(&self, held: &mut Held) -> Result<(), Failure> {
        // What another process has renewed meanwhile is found when this one's is due or refused.
        if held.loaded && held.grant.as_ref().is_some_and(|grant| !grant.is_due(now())) {
            return Ok(());
        }
        let found = self.flow.authorization.grants.load(self.flow.url()).await;
        held.grant = found.map_err(|why| Failure::server(format!("the kept authorization cannot be read: {why}")))?;
        held.loaded = true;
        Ok(())
    }

    async fn renew(&self, held: &mut Held, grant: &Grant) -> Result<Secret, NotRenewed> {
        let renewed = match self.flow.renew(grant).await {
            Ok(renewed) => renewed,
            Err(NotRenewed::Never(why)) => {
                // Another process may have used the token that renews, which then holds no more.
                let found = self.flow.authorization.grants.load(self.flow.url()).await;
                match found {
                    Ok(Some(other)) if other != *grant && !other.is_over(now()) => {
                        let token = Secret::new(&other.access_token);
                        held.grant = Some(other);
                        return Ok(token);
                    }
                    _ => return Err(NotRenewed::Never(why)),
                }
            }
            Err(later) => return Err(later),
        };
        let token = Secret::new(&renewed.access_token);
        self.keep(held, renewed).await.map_err(NotRenewed::Later)?;
        Ok(token)
    }

    /// Holds it even when it cannot be kept: the old one may hold no more.
    async fn keep(&self, held: &mut Held, grant: Grant) -> Result<(), Failure> {
        held.grant = Some(grant.clone());
        held.loaded = true;
        let kept = self.flow.authorization.grants.save(self.flow.url(), grant).await;
        kept.map_err(|why| Failure::server(format!("the authorization cannot be kept: {why}")))
    }

    /// A person has to do something (`ST0430`).
    fn wanted(&self, why: &str) -> Failure {
        Failure::new(code::MCP_UNAUTHORIZED, format!("the server wants an authorisation: {why}"))
    }
}

/// The challenge that says most: the one with a pointer, or else the first of a bearer token.
fn challenge(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let bearer: Vec<&str> = all
        .filter(|value| value.len() <= MAX_CHALLENGE && value.trim_start().to_ascii_lowercase().starts_with("bearer"))
        .collect();
    let pointing = bearer.iter().find(|value| value.contains("resource_metadata"));
    pointing.or(bearer.first()).map(|value| (*value).to_owned())
}
