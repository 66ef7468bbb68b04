//! People whom an identity provider knows (OpenID Connect): whose token that is, and what its groups may do here.
//!
//! Not here: how a person gets a token (`stead login`), and tokens of the configuration ([`crate::auth`]).

mod fetch;
mod provider;

use std::collections::BTreeSet;

use stead_api::right::Right;
use stead_core::{
    code::{self, Code},
    id::Name,
};
use stead_identity::{claims::Claims, token};

pub(crate) use self::provider::Endpoints;
use self::provider::Provider;
use crate::{auth::Principal, config::Oidc};

/// Longest name of a person, with its prefix, in bytes.
const MAX_SUBJECT: usize = 200;

/// Why nobody is let in by a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Stranger {
    /// `ST0341` for the token, `ST0342` for the provider, `ST0209` for somebody who may do nothing here.
    pub(crate) code: Code,
    /// Why.
    pub(crate) detail: String,
    /// Who it is, when the provider knows them: somebody who may do nothing here.
    pub(crate) known: Option<Name>,
}

impl Stranger {
    fn refused(why: impl std::fmt::Display) -> Self {
        Self { code: code::TOKEN_REFUSED, detail: format!("the identity token is refused: {why}"), known: None }
    }

    fn nobody(known: Name, detail: String) -> Self {
        Self { code: code::FORBIDDEN, detail, known: Some(known) }
    }
}

/// Those whom the provider knows.
pub(crate) struct People {
    config: Oidc,
    provider: Provider,
    /// Subjects of the configuration's tokens: nobody at the provider may bear one of these names.
    taken: BTreeSet<Name>,
}

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("People").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}

impl People {
    /// Knows nobody yet; the provider is asked when the first comes.
    ///
    /// # Errors
    /// When the provider's certificates cannot be read.
    pub(crate) fn new(config: Oidc, taken: BTreeSet<Name>) -> std::io::Result<Self> {
        let provider = Provider::new(&config)?;
        Ok(Self { config, provider, taken })
    }

    /// What `stead login` needs to know.
    pub(crate) fn login(&self) -> Option<stead_api::login::Login> {
        let Oidc { issuer, client_id, scopes, resource, audience, .. } = self.config.clone();
        Some(stead_api::login::Login { issuer, client_id: client_id?, scopes, resource, audience })
    }

    /// The client that the approval page is there, when it is one.
    pub(crate) fn page_client(&self) -> Option<&str> {
        self.config.page_client_id.as_deref()
    }

    /// The provider, as its tokens say it.
    pub(crate) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// What a login asks for.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.config.scopes.iter().map(String::as_str)
    }

    /// The resource that an access token is asked for (RFC 8707).
    pub(crate) fn resource(&self) -> Option<&str> {
        self.config.resource.as_deref()
    }

    /// Where a person logs in.
    ///
    /// # Errors
    /// `ST0342` when the provider does not say.
    pub(crate) async fn endpoints(&self) -> Result<Endpoints, Stranger> {
        self.provider.endpoints().await
    }

    /// Sends the provider a form; gives the document that it answers.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Vec<u8>, String> {
        self.provider.post(url, form).await
    }

    /// Whose token that is.
    pub(crate) async fn find(&self, token: &str, now: u64) -> Result<Principal, Stranger> {
        // Another issuer's keys would not help.
        if token::says_issuer(token).as_deref() != Some(self.config.issuer.as_str()) {
            return Err(Stranger::refused(token::Refused::Issuer));
        }
        let claims = self.provider.verify(token, now).await?;
        self.principal(&claims)
    }

    fn principal(&self, claims: &Claims) -> Result<Principal, Stranger> {
        let subject = self.subject(claims)?;
        let theirs = claims.texts(&self.config.groups_claim);
        let of = |name: &str| name == "*" || theirs.contains(&name);
        let entries: Vec<_> = self.config.groups.iter().filter(|group| of(&group.name)).collect();
        let tenants: BTreeSet<&Name> = entries.iter().map(|group| &group.tenant).collect();
        let tenant = match tenants.len() {
            1 => entries[0].tenant.clone(),
            0 => {
                let why = format!("{subject} is in no group that may do anything here");
                return Err(Stranger::nobody(subject, why));
            }
            _ => {
                let why = format!("the groups of {subject} belong to more than one tenant");
                return Err(Stranger::nobody(subject, why));
            }
        };
        let has = |right: &Right| entries.iter().any(|group| group.rights.contains(right));
        let rights = Right::ALL.into_iter().filter(has).collect();
        let roles: BTreeSet<Name> = entries.iter().flat_map(|group| group.roles.iter().cloned()).collect();
        Ok(Principal { subject, tenant, rights, roles: roles.into_iter().collect(), mends: false, bound: None })
    }

    /// Whether that is the name of somebody of the provider.
    pub(crate) fn knows(&self, name: &Name) -> bool {
        name.starts_with(self.config.prefix.as_str()) && !self.taken.contains(name)
    }

    /// The person's name here.
    fn subject(&self, claims: &Claims) -> Result<Name, Stranger> {
        let claim = self.config.subject.as_str();
        let name = claims.text(claim).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Stranger::refused(format!("it has no claim `{claim}`")))?;
        // RFC-less but known: an address that anybody may type in names nobody.
        if claim == "email" && !claims.is_true("email_verified") {
            return Err(Stranger::refused("the provider has not verified the e-mail address"));
        }
        let subject = format!("{}{name}", self.config.prefix);
        if subject.len() > MAX_SUBJECT || subject.chars().any(char::is_control) {
            return Err(Stranger::refused(format!("its claim `{claim}` can name nobody here")));
        }
        let subject = Name::from(subject);
        if self.taken.contains(&subject) {
            return Err(Stranger::refused("it bears the name of somebody of the server's configuration"));
        }
        Ok(subject)
    }
}
