//! Cases of a policy set: questions and what the answer must be, in a file beside it, for people and for CI.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Deserialize;
use serde_json::Value;
use stead_core::{effect::Ended, sandbox::Tier, time::Timestamp};

use crate::{
    decision::{Decision, Verdict},
    edge::Edge,
    entity::{Asker, Operator, User},
    history::{Event, Happened, History},
    policies::Policies,
    principal::Principal,
    problem::Problem,
    request::{Approval, Confidence, Deed, Facts, Request},
    tool::{Risk, ToolSpec},
};

/// The file of a policy set with its cases.
pub const CASES: &str = "tests.yaml";
/// When a case is asked, unless it says otherwise: 2026-01-01T12:00:00Z.
const NOON: Timestamp = Timestamp(1_767_268_800_000_000);

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
    name: String,
    #[serde(default, rename = "as")]
    who: Who,
    /// A tool call, with `args`.
    call: Option<String>,
    #[serde(default)]
    args: Arguments,
    /// Any other edge.
    #[serde(rename = "do")]
    other: Option<Other>,
    #[serde(default)]
    given: Given,
    #[serde(default)]
    before: Vec<Before>,
    #[serde(default)]
    approvals: Vec<By>,
    expect: Outcome,
    /// Ids of policies that must be among those that decided.
    #[serde(default)]
    by: Vec<String>,
}

/// What a decision comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may be done.
    Allow,
    /// It may not.
    Deny,
    /// Humans are asked.
    Ask,
}

impl Outcome {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }
}

impl From<&Verdict> for Outcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Deny(_) => Self::Deny,
            Verdict::Ask(_) => Self::Ask,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Who {
    tenant: String,
    agent: String,
    session: String,
    run: String,
    user: Option<String>,
    roles: BTreeSet<String>,
    callers: BTreeSet<String>,
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
        }
    }
}

/// Arguments as YAML, or as a text of JSON where the bytes matter.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Arguments {
    Written(String),
    Value(Value),
}

impl Default for Arguments {
    fn default() -> Self {
        Self::Written("{}".to_owned())
    }
}

impl Arguments {
    fn text(&self) -> String {
        match self {
            Self::Written(text) => text.clone(),
            Self::Value(value) => value.to_string(),
        }
    }
}

/// An edge that is no tool call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Other {
    CallModel {
        model: String,
        #[serde(default)]
        max_output_tokens: u64,
    },
    ReadMemory {
        project: String,
        collection: String,
    },
    WriteMemory {
        project: String,
        collection: String,
        #[serde(default)]
        bytes: u64,
    },
    SendMessage {
        agent: String,
        #[serde(default)]
        bytes: u64,
        #[serde(default)]
        hops: u32,
    },
    StartAgent {
        agent: String,
        #[serde(default)]
        hops: u32,
    },
    CreateSandbox {
        tier: Tier,
        #[serde(default)]
        cpu_millis: u64,
        #[serde(default)]
        memory_bytes: u64,
        #[serde(default)]
        network: bool,
    },
    Connect {
        host: String,
        #[serde(default = "https")]
        port: u16,
        #[serde(default)]
        method: String,
        #[serde(default)]
        path: String,
    },
    UseSecret {
        secret: String,
        #[serde(default)]
        tool: String,
        #[serde(default)]
        host: String,
    },
    ExportArtifact {
        name: String,
        #[serde(default)]
        media_type: String,
        #[serde(default)]
        bytes: u64,
    },
    Read {},
    StartRun {
        agent: String,
    },
    ControlRun {},
    AnswerApproval {},
    ApplyAgent {
        agent: String,
    },
    ApplyPolicy {},
    UseSandbox {},
    ReadMetrics {},
    Administer {},
}

const fn https() -> u16 {
    443
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    granted: bool,
    risk: Risk,
    confidence: Option<f64>,
    ask_below: Option<f64>,
    taint: bool,
    plan: bool,
    provenance: BTreeMap<String, String>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            granted: true,
            risk: Risk::Normal,
            confidence: None,
            ask_below: None,
            taint: false,
            plan: false,
            provenance: BTreeMap::new(),
        }
    }
}

/// A call that was made earlier, by whoever asks now unless it says otherwise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    ago: String,
    call: String,
    #[serde(default)]
    args: Arguments,
    #[serde(rename = "as")]
    who: Option<Who>,
    #[serde(default)]
    happened: Came,
}

/// What became of an earlier call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Came {
    #[default]
    Returned,
    Approved,
    Refused,
    Denied,
    Unknown,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct By {
    user: String,
    #[serde(default)]
    roles: Vec<String>,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// What the answer must be.
    pub expected: Outcome,
    /// What it is, with all values.
    pub decision: Decision,
    /// Policies that had to decide and did not.
    pub missing: Vec<String>,
}

impl CaseResult {
    /// Whether the answer is as it must be.
    pub fn passed(&self) -> bool {
        Outcome::from(&self.decision.verdict) == self.expected && self.missing.is_empty()
    }
}

/// In a line: what was expected and what came, and by which policies.
impl fmt::Display for CaseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = Outcome::from(&self.decision.verdict);
        write!(f, "case `{}`: expected {}, got {}", self.name, self.expected.name(), came.name())?;
        let why = &self.decision.why;
        let decided = match came {
            Outcome::Allow => [&why.permitted, &why.transformed],
            Outcome::Ask => [&why.gated, &why.transformed],
            Outcome::Deny => [&why.forbade, &why.erred],
        };
        let decided: Vec<&str> = decided.into_iter().flatten().map(|reason| &*reason.policy).collect();
        if !decided.is_empty() {
            write!(f, " by `{}`", decided.join("`, `"))?;
        }
        match self.missing.is_empty() {
            true => Ok(()),
            false => write!(f, "; `{}` had to decide", self.missing.join("`, `")),
        }
    }
}

impl Case {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

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
            let before = case.before.iter().find(|b| crate::yaml::span(&b.ago).is_none())?;
            problem(format!("`{}` is no span; write `90s`, `15m`, `1h` or `7d`", before.ago))
        };
        let problems: Vec<Problem> = cases.iter().filter_map(wrong).collect();
        if problems.is_empty() { Ok(cases) } else { Err(problems) }
    }

    /// Asks a policy set.
    pub fn ask(&self, policies: &Policies) -> CaseResult {
        let tools: Vec<ToolSpec> = policies.world().tools().cloned().collect();
        let asker = self.who.asker();
        let operates = self.other.as_ref().is_some_and(Other::is_operators);
        let principal = if operates {
            let user = self.who.user().unwrap_or_else(|| User { name: "operator".to_owned(), roles: BTreeSet::new() });
            Principal::operator(Operator { tenant: self.who.tenant.clone(), user })
        } else {
            Principal::run(asker.clone(), &tools)
        };
        let history = self.history(policies);
        let arguments = self.args.text();
        let provenance: Vec<(String, String)> = self.given.provenance.clone().into_iter().collect();
        let deed = match (&self.call, &self.other) {
            (_, Some(other)) => other.deed(&asker),
            (call, None) => Deed::CallTool {
                tool: call.as_deref().unwrap_or_default(),
                arguments: &arguments,
                provenance: &provenance,
            },
        };
        let approvals: Vec<Approval> =
            self.approvals.iter().map(|by| Approval { user: by.user.clone(), roles: by.roles.clone() }).collect();
        let facts = Facts {
            now: NOON,
            granted: self.given.granted,
            risk: self.given.risk,
            confidence: self.given.confidence.and_then(Confidence::new),
            ask_below: self.given.ask_below.and_then(Confidence::new),
            taint: self.given.taint,
            plan: self.given.plan,
            history: &history,
            approvals: &approvals,
        };
        let decision = policies.explain(&Request { principal: &principal, deed, facts });
        let why = &decision.why;
        let decided = [&why.permitted, &why.forbade, &why.gated, &why.transformed, &why.erred];
        let decided: BTreeSet<&str> = decided.into_iter().flatten().map(|reason| &*reason.policy).collect();
        let missing = self.by.iter().filter(|id| !decided.contains(id.as_str())).cloned().collect();
        CaseResult { name: self.name.clone(), expected: self.expect, decision, missing }
    }

    fn history(&self, policies: &Policies) -> History {
        let mut history = History::new(policies.world().counters().clone());
        let mut before: Vec<(Timestamp, &Before)> = self
            .before
            .iter()
            .map(|b| {
                let ago = crate::yaml::span(&b.ago).unwrap_or_default();
                (Timestamp(NOON.0.saturating_sub_unsigned(ago.0)), b)
            })
            .collect();
        before.sort_by_key(|(at, _)| *at);
        for (at, before) in before {
            let who = before.who.as_ref().unwrap_or(&self.who);
            let arguments = before.args.text();
            let event = Event {
                at,
                scope: crate::history::Scope {
                    tenant: &who.tenant,
                    agent: &who.agent,
                    session: &who.session,
                    run: &who.run,
                },
                tool: &before.call,
                arguments: &arguments,
                happened: Happened::Ended(before.happened.ended()),
            };
            if before.happened != Came::Denied {
                let approved = before.happened == Came::Approved;
                history.apply(&Event { happened: Happened::Sent { approved }, ..event });
            }
            history.apply(&event);
        }
        history
    }
}

impl Came {
    const fn ended(self) -> Ended {
        match self {
            Self::Returned | Self::Approved => Ended::Returned,
            Self::Refused => Ended::Refused,
            Self::Denied => Ended::Denied,
            Self::Unknown => Ended::Unknown,
        }
    }
}

impl Who {
    fn user(&self) -> Option<User> {
        self.user.clone().map(|name| User { name, roles: self.roles.clone() })
    }

    fn asker(&self) -> Asker {
        Asker {
            tenant: self.tenant.clone(),
            agent: self.agent.clone(),
            version: format!("ver_{}", self.agent),
            session: self.session.clone(),
            run: self.run.clone(),
            user: self.user(),
            callers: self.callers.clone(),
        }
    }
}

impl Other {
    fn is_operators(&self) -> bool {
        let nobody = Who::default().asker();
        self.deed(&nobody).edge().is_operators()
    }

    fn deed<'a>(&'a self, run: &'a Asker) -> Deed<'a> {
        match self {
            Self::CallModel { model, max_output_tokens } => {
                Deed::CallModel { model, max_output_tokens: *max_output_tokens }
            }
            Self::ReadMemory { project, collection } => Deed::Memory { project, collection, bytes: 0, write: false },
            Self::WriteMemory { project, collection, bytes } => {
                Deed::Memory { project, collection, bytes: *bytes, write: true }
            }
            Self::SendMessage { agent, bytes, hops } => Deed::SendMessage { agent, bytes: *bytes, hops: *hops },
            Self::StartAgent { agent, hops } => Deed::StartAgent { agent, hops: *hops },
            Self::CreateSandbox { tier, cpu_millis, memory_bytes, network } => Deed::CreateSandbox {
                tier: *tier,
                cpu_millis: *cpu_millis,
                memory_bytes: *memory_bytes,
                network: *network,
            },
            Self::Connect { host, port, method, path } => Deed::Connect { host, port: *port, method, path },
            Self::UseSecret { secret, tool, host } => Deed::UseSecret { secret, tool, host },
            Self::ExportArtifact { name, media_type, bytes } => {
                Deed::ExportArtifact { name, media_type, bytes: *bytes }
            }
            Self::Read {} => Deed::Operate(Edge::Read),
            Self::StartRun { agent } => Deed::OperateAgent(Edge::StartRun, agent),
            Self::ControlRun {} => Deed::OperateRun(Edge::ControlRun, run),
            Self::AnswerApproval {} => Deed::OperateRun(Edge::AnswerApproval, run),
            Self::ApplyAgent { agent } => Deed::OperateAgent(Edge::ApplyAgent, agent),
            Self::ApplyPolicy {} => Deed::Operate(Edge::ApplyPolicy),
            Self::UseSandbox {} => Deed::Operate(Edge::UseSandbox),
            Self::ReadMetrics {} => Deed::Operate(Edge::ReadMetrics),
            Self::Administer {} => Deed::Operate(Edge::Administer),
        }
    }
}
