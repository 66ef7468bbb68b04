//! The words of a file of cases.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use stead_core::{budget::MicroUsd, effect::Ended};

use super::{NOON, other::Other, outcome::Outcome};
use crate::{
    entity::{Asker, User},
    handed::Handed,
    problem::Problem,
    provenance::Provenance,
    tool::Risk,
};

/// The file of a policy set with its cases.
pub const CASES: &str = "tests.yaml";

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub(super) name: String,
    #[serde(default, rename = "as")]
    pub(super) who: Who,
    /// A tool call, with `args`.
    pub(super) call: Option<String>,
    #[serde(default)]
    pub(super) args: Arguments,
    /// Any other edge.
    #[serde(rename = "do")]
    pub(super) other: Option<Other>,
    #[serde(default)]
    pub(super) given: Given,
    #[serde(default)]
    pub(super) before: Vec<Before>,
    #[serde(default)]
    pub(super) approvals: Vec<By>,
    pub(super) expect: Outcome,
    /// Ids of policies that must be among those that decided.
    #[serde(default)]
    pub(super) by: Vec<String>,
}

impl Case {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// What is no case, with its place.
    pub fn read(file: &str, text: &str) -> Result<Vec<Self>, Vec<Problem>> {
        let cases = crate::yaml::read::<File>(file, text)?.cases;
        let wrong = |case: &Self| {
            let problem = |what: String| Some(Problem::whole(file, format!("case `{}`: {what}", case.name)));
            if case.call.is_some() == case.other.is_some() {
                return problem("has one of `call` and `do`".to_owned());
            }
            let before = case.before.iter().find(|b| crate::yaml::span(&b.ago).is_none()).map(|b| b.ago.as_str());
            let span = before.or_else(|| case.who.grant.as_ref()?.wrong())?;
            problem(format!("`{span}` is no span; write `90s`, `15m`, `1h` or `7d`"))
        };
        let problems: Vec<Problem> = cases.iter().filter_map(wrong).collect();
        if problems.is_empty() { Ok(cases) } else { Err(problems) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Who {
    pub(super) tenant: String,
    pub(super) agent: String,
    pub(super) session: String,
    pub(super) run: String,
    pub(super) user: Option<String>,
    pub(super) roles: BTreeSet<String>,
    pub(super) callers: BTreeSet<String>,
    pub(super) grant: Option<Grant>,
}

/// What the agent that started the run handed on to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    by: String,
    tools: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    /// How long it still lasts.
    #[serde(rename = "for")]
    lasts: Option<String>,
    depth: Option<u8>,
    tokens: Option<u64>,
    usd: Option<f64>,
    tool_calls: Option<u32>,
}

impl Grant {
    fn handed(&self) -> Handed {
        let Self { by, tools, hosts, scopes, lasts, depth, tokens, usd, tool_calls } = self;
        let lasts = lasts.as_deref().map(|lasts| crate::yaml::span(lasts).unwrap_or_default());
        Handed {
            by: by.clone(),
            tools: tools.clone(),
            hosts: hosts.clone(),
            scopes: scopes.clone(),
            until: lasts.map(|lasts| NOON.after(lasts)),
            depth: *depth,
            tokens: *tokens,
            // A number that is too large, or none, is the most that there is, or nothing.
            usd: usd.map(|usd| MicroUsd((usd * 1e6).round() as u64)),
            tool_calls: *tool_calls,
        }
    }

    fn wrong(&self) -> Option<&str> {
        self.lasts.as_deref().filter(|lasts| crate::yaml::span(lasts).is_none())
    }
}

impl Default for Who {
    fn default() -> Self {
        Self {
            tenant: "default".to_owned(),
            agent: "agent".to_owned(),
            session: "ses_1".to_owned(),
            run: "run_1".to_owned(),
            user: None,
            roles: BTreeSet::new(),
            callers: BTreeSet::new(),
            grant: None,
        }
    }
}

impl Who {
    pub(super) fn user(&self) -> Option<User> {
        self.user.clone().map(|name| User { name, roles: self.roles.clone() })
    }

    pub(super) fn asker(&self) -> Asker {
        Asker {
            tenant: self.tenant.clone(),
            agent: self.agent.clone(),
            version: format!("ver_{}", self.agent),
            session: self.session.clone(),
            run: self.run.clone(),
            user: self.user(),
            // Who started it is above it.
            callers: self.callers.iter().chain(self.grant.as_ref().map(|grant| &grant.by)).cloned().collect(),
            grant: self.grant.as_ref().map(Grant::handed),
        }
    }
}

/// Arguments as YAML, or as a text of JSON where the bytes matter.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Arguments {
    Written(String),
    Value(Value),
}

impl Default for Arguments {
    fn default() -> Self {
        Self::Written("{}".to_owned())
    }
}

impl Arguments {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Written(text) => text.clone(),
            Self::Value(value) => value.to_string(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Given {
    pub(super) granted: bool,
    pub(super) risk: Risk,
    pub(super) confidence: Option<f64>,
    pub(super) ask_below: Option<f64>,
    pub(super) traced: bool,
    pub(super) taint: bool,
    pub(super) plan: bool,
    pub(super) provenance: BTreeMap<String, Provenance>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            granted: true,
            risk: Risk::Normal,
            confidence: None,
            ask_below: None,
            traced: true,
            taint: false,
            plan: false,
            provenance: BTreeMap::new(),
        }
    }
}

/// A call that was made earlier, by whoever asks now unless it says otherwise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    pub(super) ago: String,
    pub(super) call: String,
    #[serde(default)]
    pub(super) args: Arguments,
    #[serde(rename = "as")]
    pub(super) who: Option<Who>,
    #[serde(default)]
    pub(super) happened: Came,
}

/// What became of an earlier call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Came {
    #[default]
    Returned,
    Approved,
    Refused,
    Denied,
    Unknown,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct By {
    pub(super) user: String,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// How long people had been asked when they said it: by then that much of the escalation was done.
    #[serde(default)]
    pub(super) after: Option<String>,
}

impl Came {
    pub(super) const fn ended(self) -> Ended {
        match self {
            Self::Returned | Self::Approved => Ended::Returned,
            Self::Refused => Ended::Refused,
            Self::Denied => Ended::Denied,
            Self::Unknown => Ended::Unknown,
        }
    }
}
