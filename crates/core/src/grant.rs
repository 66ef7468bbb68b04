//! Rights that are handed on: what a person lets a run do on their behalf and until when, and what an agent lets another one do that it
//! starts. A grant only narrows: what a run may do is what **every** grant above it lets it do, so that nobody below can widen it.
//!
//! Nothing here knows a clock or a manifest: when it is, comes in; grants are facts of the run that gives them.

mod all;

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    id::Name,
    ruling::Behalf,
    time::{Span, Timestamp},
};

pub use all::Held;

/// Most names in one list of a grant.
pub const MAX_NAMES: usize = 64;

/// What the manifest says of the grant with which an agent is started. Every list that is silent grants everything of its kind; an
/// empty one grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct GrantRule {
    /// Tools by the names that models use; one that ends with `*` stands for all that begin so.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Name>>,
    /// Hosts: a name, or `*.` and a domain for everything below that.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<Name>>,
    /// Scopes of the delegated tokens that may be made.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Name>>,
    /// How long it lasts from the moment in which the agent is started.
    #[n(3)]
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// How many agents deep whoever holds it may start others: 0 for none.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u8>,
}

/// A grant as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Grant {
    /// See [`GrantRule::tools`].
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Name>>,
    /// See [`GrantRule::hosts`].
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<Name>>,
    /// See [`GrantRule::scopes`].
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Name>>,
    /// From then on it lets nothing begin.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// See [`GrantRule::depth`].
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u8>,
}

/// A grant, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Granted {
    /// The place of the run that gave it among those above ([`Behalf::callers`] and [`Behalf::above`]), from 0.
    #[n(0)]
    pub by: u8,
    /// What it grants.
    #[n(1)]
    pub grant: Grant,
}

/// How long a person lets runs work on their behalf before they are asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Delegated {
    /// From then on nothing begins on their behalf until they say that it may.
    #[n(0)]
    pub until: Timestamp,
    /// For how long they say so each time.
    #[n(1)]
    pub lasts: Span,
}

/// Something that is looked up in a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use<'a> {
    /// A call of a tool, by its full name.
    Tool(&'a str),
    /// Speaking to a host.
    Host(&'a str),
    /// A scope of a delegated token.
    Scope(&'a str),
    /// Starting an agent.
    Agent,
    /// Nothing but that it holds still.
    Anything,
}

/// Why a grant does not let something be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The agent that gave the grant.
    pub by: Name,
    /// Whether it has ended; else it does not hold what was wanted.
    pub ended: Option<Timestamp>,
    /// What was wanted, in words.
    pub what: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, ended, what } = self;
        match ended {
            Some(_) => write!(f, "the grant that the agent `{by}` gave for this task has ended, so {what}"),
            None => write!(f, "the grant that the agent `{by}` gave for this task does not hold it, so {what}"),
        }
    }
}

impl GrantRule {
    /// The grant that is given at a time.
    pub fn at(&self, now: Timestamp) -> Grant {
        let Self { tools, hosts, scopes, lasts, depth } = self.clone();
        Grant { tools, hosts, scopes, until: lasts.map(|lasts| now.after(lasts)), depth }
    }
}

impl Grant {
    /// Whether it lets that be done, so many agents below the one that it was given to.
    fn holds(&self, wanted: Use<'_>, below: u8) -> bool {
        let listed = |list: &Option<Vec<Name>>, fits: &dyn Fn(&str) -> bool| {
            list.as_ref().is_none_or(|list| list.iter().any(|entry| fits(entry)))
        };
        match wanted {
            Use::Tool(name) => listed(&self.tools, &|entry| tool_fits(entry, name)),
            Use::Host(name) => listed(&self.hosts, &|entry| host_fits(entry, name)),
            Use::Scope(name) => listed(&self.scopes, &|entry| entry == name),
            Use::Agent => self.depth.is_none_or(|depth| below < depth),
            Use::Anything => true,
        }
    }
}

fn tool_fits(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => entry == name,
    }
}

fn host_fits(entry: &str, name: &str) -> bool {
    // A host may be written with the dot of the root, and in any case.
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match entry.strip_prefix("*.") {
        Some(domain) => name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
        None => *entry == *name,
    }
}

impl Behalf {
    /// Whether every grant above lets that be done now.
    ///
    /// # Errors
    /// The first one, from the top of the chain, that does not.
    pub fn allows(&self, wanted: Use<'_>, now: Timestamp) -> Result<(), Denied> {
        for Granted { by, grant } in &self.grants {
            let ended = grant.until.filter(|until| *until <= now);
            if ended.is_none() && grant.holds(wanted, self.below(*by)) {
                continue;
            }
            let by = self.callers.get(usize::from(*by)).cloned().unwrap_or_default();
            let what = match wanted {
                Use::Tool(name) => format!("`{name}` is not called"),
                Use::Host(name) => format!("nothing is sent to `{name}`"),
                Use::Scope(name) => format!("no token with the scope `{name}` is made"),
                Use::Agent => "no further agent is started".to_owned(),
                Use::Anything => "nothing more is done".to_owned(),
            };
            return Err(Denied { by, ended, what });
        }
        Ok(())
    }

    /// The run that holds a grant is the one after its giver; how far below that one the run of this `Behalf` is.
    fn below(&self, by: u8) -> u8 {
        let below = self.callers.len().saturating_sub(usize::from(by) + 1);
        u8::try_from(below).unwrap_or(u8::MAX)
    }

    /// When the next of the times comes at which less is allowed than before.
    pub fn narrows_at(&self, now: Timestamp) -> Option<Timestamp> {
        let grants = self.grants.iter().filter_map(|granted| granted.grant.until);
        let delegated = self.user.as_ref().and(self.delegated).map(|d| d.until);
        grants.chain(delegated).filter(|until| *until > now).min()
    }

    /// Whether the person on whose behalf it is has to be asked before anything more begins.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.user.is_some() && self.delegated.is_some_and(|d| d.until <= now)
    }
}

#[cfg(test)]
mod tests;
