//! What a decision is asked for: who, what, and what the runtime knows beside it.

use cedar_policy::{EntityUid, RestrictedExpression};
use stead_core::{sandbox::Tier, time::Timestamp};

use crate::{
    edge::{Edge, OPERATE, TOOLS},
    entity::{Asker, Resource, uid},
    gate::Approver,
    history::History,
    principal::Principal,
    tool::Risk,
};

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Deed<'a> {
    /// A tool is called.
    CallTool {
        /// Its name.
        tool: &'a str,
        /// The arguments as the JSON object that the tool will get, byte for byte.
        arguments: &'a str,
        /// Who said each argument, by its name: `user`, `operator`, `model`, `tool:NAME`, `web`, `memory`.
        provenance: &'a [(String, String)],
    },
    /// A model is asked.
    CallModel {
        /// As manifests name it.
        model: &'a str,
        /// Most tokens of its answer.
        max_output_tokens: u64,
    },
    /// Memory is read, or written when `write`.
    Memory {
        /// The project.
        project: &'a str,
        /// The collection.
        collection: &'a str,
        /// Bytes written; 0 when read.
        bytes: u64,
        /// Whether it is written.
        write: bool,
    },
    /// A message goes to an agent.
    SendMessage {
        /// To whom.
        agent: &'a str,
        /// Its length.
        bytes: u64,
        /// How many agents lie between it and the first of the chain.
        hops: u32,
    },
    /// An agent is started as a child.
    StartAgent {
        /// Which.
        agent: &'a str,
        /// How many agents lie between it and the first of the chain.
        hops: u32,
    },
    /// A box is made.
    CreateSandbox {
        /// Of which tier.
        tier: Tier,
        /// Thousandths of a processor.
        cpu_millis: u64,
        /// Bytes of memory.
        memory_bytes: u64,
        /// Whether it reaches anything outside.
        network: bool,
    },
    /// Something speaks to a host.
    Connect {
        /// The host.
        host: &'a str,
        /// The port.
        port: u16,
        /// The HTTP method; empty when it is not HTTP.
        method: &'a str,
        /// The path; empty when it is not known.
        path: &'a str,
    },
    /// A secret is used.
    UseSecret {
        /// `NAME` or `NAME#FIELD`.
        secret: &'a str,
        /// The tool that uses it.
        tool: &'a str,
        /// The host that gets it; empty when it goes to none.
        host: &'a str,
    },
    /// A file leaves as an artifact.
    ExportArtifact {
        /// Its name.
        name: &'a str,
        /// Its media type.
        media_type: &'a str,
        /// Its length.
        bytes: u64,
    },
    /// An operator does something to the whole tenant: one of [`Edge::Read`], [`Edge::ApplyPolicy`],
    /// [`Edge::UseSandbox`], [`Edge::ReadMetrics`], [`Edge::Administer`].
    Operate(Edge),
    /// An operator does something with an agent: [`Edge::StartRun`] or [`Edge::ApplyAgent`].
    OperateAgent(Edge, &'a str),
    /// An operator does something with a run: [`Edge::ControlRun`] or [`Edge::AnswerApproval`].
    OperateRun(Edge, &'a Asker),
}

/// How sure the model says it is: ten-thousandths from 0 to 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Confidence(u16);

impl Confidence {
    /// From a share of one; what is no number from 0 to 1 is no confidence at all.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then(|| Self((share * 10_000.0).floor() as u16))
    }

    pub(crate) fn ten_thousandths(self) -> i64 {
        i64::from(self.0)
    }
}

/// A human's yes that has been given, verified by whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub user: String,
    /// Their roles when they gave it.
    pub roles: Vec<String>,
}

impl Approval {
    /// Whether this is one of those who may approve.
    pub fn is_of(&self, approver: &Approver) -> bool {
        match approver {
            Approver::Role(role) => self.roles.contains(role),
            Approver::User(user) => self.user == *user,
        }
    }
}

/// What the runtime knows beside the deed.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The time, as the journal will have it.
    pub now: Timestamp,
    /// Whether the manifest (for operators: the token) grants it. What is not granted is not done.
    pub granted: bool,
    /// How bad a mistake is, as the model or a rule reports it. Below the tool's own risk it counts for nothing.
    pub risk: Risk,
    /// How sure the model says it is. `None` counts as not at all.
    pub confidence: Option<Confidence>,
    /// Below which confidence the manifest asks a human.
    pub ask_below: Option<Confidence>,
    /// Whether something untrusted has been read in this window.
    pub taint: bool,
    /// Whether an unused slot of the run's plan is for exactly this.
    pub plan: bool,
    /// What happened before.
    pub history: &'a History,
    /// The approvals that have been given for exactly this.
    pub approvals: &'a [Approval],
}

/// A question.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What is to be done.
    pub deed: Deed<'a>,
    /// What else is known.
    pub facts: Facts<'a>,
}

/// A value of an attribute that is no argument.
pub(crate) enum Plain<'a> {
    Bool(bool),
    Long(u64),
    Text(&'a str),
}

impl Plain<'_> {
    /// As Cedar has it; a number beyond 64 bits with sign counts as the largest there is.
    pub(crate) fn expression(&self) -> RestrictedExpression {
        match self {
            Self::Bool(value) => RestrictedExpression::new_bool(*value),
            Self::Long(value) => RestrictedExpression::new_long(i64::try_from(*value).unwrap_or(i64::MAX)),
            Self::Text(value) => RestrictedExpression::new_string((*value).to_owned()),
        }
    }
}

impl<'a> Deed<'a> {
    /// The edge that it crosses.
    pub fn edge(&self) -> Edge {
        match self {
            Self::CallTool { .. } => Edge::CallTool,
            Self::CallModel { .. } => Edge::CallModel,
            Self::Memory { write: false, .. } => Edge::ReadMemory,
            Self::Memory { write: true, .. } => Edge::WriteMemory,
            Self::SendMessage { .. } => Edge::SendMessage,
            Self::StartAgent { .. } => Edge::StartAgent,
            Self::CreateSandbox { .. } => Edge::CreateSandbox,
            Self::Connect { .. } => Edge::Connect,
            Self::UseSecret { .. } => Edge::UseSecret,
            Self::ExportArtifact { .. } => Edge::ExportArtifact,
            Self::Operate(edge) | Self::OperateAgent(edge, _) | Self::OperateRun(edge, _) => *edge,
        }
    }

    /// The arguments of a tool call.
    pub(crate) fn arguments(&self) -> Option<&'a str> {
        match self {
            Self::CallTool { arguments, .. } => Some(arguments),
            _ => None,
        }
    }

    /// The tool that is called.
    pub(crate) fn tool(&self) -> Option<&'a str> {
        match self {
            Self::CallTool { tool, .. } => Some(tool),
            _ => None,
        }
    }

    pub(crate) fn action(&self) -> EntityUid {
        match self {
            Self::CallTool { tool, .. } => uid("Action", tool),
            other => uid("Action", other.edge().name()),
        }
    }

    pub(crate) fn group(&self) -> Option<&'static str> {
        match self {
            Self::CallTool { .. } => Some(TOOLS),
            other => other.edge().is_operators().then_some(OPERATE),
        }
    }

    /// What it is done to; `None` when the edge and the deed do not fit.
    pub(crate) fn resource(&self, principal: &Principal) -> Option<Resource> {
        let tenant = principal.scope().tenant;
        let resource = match self {
            Self::CallTool { tool, .. } => match principal.tools.get(*tool) {
                Some(known) => known.resource.clone(),
                None => Resource::unknown_tool(tool),
            },
            Self::CallModel { model, .. } => Resource::model(model),
            Self::Memory { project, collection, .. } => Resource::memory(project, collection),
            Self::SendMessage { agent, .. } | Self::StartAgent { agent, .. } | Self::OperateAgent(_, agent) => {
                Resource::agent(tenant, agent)
            }
            Self::CreateSandbox { tier, .. } => Resource::sandbox(*tier),
            Self::Connect { host, .. } => Resource::host(host),
            Self::UseSecret { secret, .. } => Resource::secret(secret),
            Self::ExportArtifact { name, .. } => Resource::artifact(name),
            Self::Operate(_) => Resource::tenant(tenant),
            Self::OperateRun(_, run) => Resource::run((*run).clone()),
        };
        let fits = self.edge().resources().contains(&resource.kind)
            && self.edge().is_operators() == (principal.kind == "User");
        fits.then_some(resource)
    }

    /// The attributes of its context beside those of every edge.
    pub(crate) fn attributes(&self) -> Vec<(&'static str, Plain<'a>)> {
        match *self {
            Self::CallModel { max_output_tokens, .. } => vec![("max_output_tokens", Plain::Long(max_output_tokens))],
            Self::Memory { bytes, .. } => vec![("bytes", Plain::Long(bytes))],
            Self::SendMessage { bytes, hops, .. } => {
                vec![("bytes", Plain::Long(bytes)), ("hops", Plain::Long(hops.into()))]
            }
            Self::StartAgent { hops, .. } => vec![("hops", Plain::Long(hops.into()))],
            Self::CreateSandbox { cpu_millis, memory_bytes, network, .. } => vec![
                ("cpu_millis", Plain::Long(cpu_millis)),
                ("memory_bytes", Plain::Long(memory_bytes)),
                ("network", Plain::Bool(network)),
            ],
            Self::Connect { port, method, path, .. } => {
                vec![("port", Plain::Long(port.into())), ("method", Plain::Text(method)), ("path", Plain::Text(path))]
            }
            Self::UseSecret { tool, host, .. } => vec![("tool", Plain::Text(tool)), ("host", Plain::Text(host))],
            Self::ExportArtifact { media_type, bytes, .. } => {
                vec![("media_type", Plain::Text(media_type)), ("bytes", Plain::Long(bytes))]
            }
            Self::CallTool { .. } | Self::Operate(_) | Self::OperateAgent(..) | Self::OperateRun(..) => Vec::new(),
        }
    }
}
