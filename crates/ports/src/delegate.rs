//! The port of delegated tokens: what a run shows a service so that it acts there for a person, and for nobody else. Who makes such a
//! token, and for which services one may be made, is the wiring's; a tool only says what it wants.

use std::sync::Arc;

use stead_core::{
    code::Code,
    id::{Name, RunId, VersionId},
    ruling::Behalf,
};

use crate::{BoxFuture, secret::Secret, tool::MaySend};

/// A run, and on whose behalf it works: what a delegated token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnBehalf {
    /// The tenant.
    pub tenant: Name,
    /// The agent.
    pub agent: Name,
    /// Its version; `None` where an agent is only being made ready.
    pub version: Option<VersionId>,
    /// The run; `None` likewise.
    pub run: Option<RunId>,
    /// The person, and the runs above with what they granted.
    pub behalf: Behalf,
}

/// What is wanted of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The one audience that may take it (RFC 8707; `aud`).
    pub audience: String,
    /// What it shall allow; nothing in particular when empty.
    pub scopes: Vec<String>,
    /// The resource that an authorization server is asked for, when it knows the audience by another name.
    pub resource: Option<String>,
}

/// Where a token goes, and whether it may.
#[derive(Clone, Debug)]
pub struct Sending<'a> {
    /// The host that is shown it.
    pub host: &'a str,
    /// Asked last before one is made.
    pub may_send: &'a MaySend,
    /// One that the service did not take: not to be used again.
    pub refused: Option<&'a Secret>,
}

/// A token.
#[derive(Clone, Debug)]
pub struct Token {
    /// It.
    pub value: Secret,
    /// Whether it was made for an effect before.
    pub kept: bool,
}

/// Why there is none. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoToken {
    /// There may be one later.
    Later(String),
    /// There will be none, as things are.
    Refused(Code, String),
}

/// Makes delegated tokens.
pub trait Delegates: Send + Sync + 'static {
    /// A token for an effect of a run, made or kept from an effect before.
    fn token<'a>(
        &'a self,
        whose: &'a OnBehalf,
        wanted: &'a Wanted,
        sending: Sending<'a>,
    ) -> BoxFuture<'a, Result<Token, NoToken>>;
}

/// What a tool asks: who makes tokens, and which one it wants.
#[derive(Clone)]
pub struct Delegate {
    /// Who makes them.
    pub by: Arc<dyn Delegates>,
    /// What is wanted.
    pub wanted: Wanted,
}

impl std::fmt::Debug for Delegate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Delegate").field(&self.wanted).finish()
    }
}
