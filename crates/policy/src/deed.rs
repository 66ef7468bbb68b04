//! What is to be done: over which edge it goes, what it is done to, what it has of its own.

use std::{borrow::Cow, sync::Arc};

use cedar_policy::EntityUid;
use cedar_policy_core::ast::Value;
use stead_core::sandbox::Tier;

use crate::{
    edge::{Edge, OPERATE, TOOLS},
    entity::{Asker, Resource, uid},
    principal::Principal,
    provenance::Provenance,
    value,
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
        /// Where each argument comes from, by its name; none of them when that is not followed.
        provenance: &'a [(String, Provenance)],
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

/// A value of an attribute that is no argument.
pub(crate) enum Plain<'a> {
    Bool(bool),
    Long(u64),
    Text(&'a str),
}

impl Plain<'_> {
    /// As Cedar has it; a number beyond 64 bits with sign counts as the largest there is.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Bool(said) => value::plain(*said),
            Self::Long(said) => value::plain(i64::try_from(*said).unwrap_or(i64::MAX)),
            Self::Text(said) => value::plain(*said),
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

    /// The type of what it is done to.
    fn kind(&self) -> &'static str {
        match self {
            Self::CallTool { .. } => "Tool",
            Self::CallModel { .. } => "Model",
            Self::Memory { .. } => "Memory",
            Self::SendMessage { .. } | Self::StartAgent { .. } | Self::OperateAgent(..) => "Agent",
            Self::CreateSandbox { .. } => "Sandbox",
            Self::Connect { .. } => "Host",
            Self::UseSecret { .. } => "Secret",
            Self::ExportArtifact { .. } => "Artifact",
            Self::Operate(_) => "Tenant",
            Self::OperateRun(..) => "Run",
        }
    }

    /// Whether the edge, the deed and who asks belong together.
    pub(crate) fn fits(&self, principal: &Principal) -> bool {
        let edge = self.edge();
        edge.resources().contains(&self.kind()) && edge.is_operators() == (principal.kind == "User")
    }

    /// What tells it from other deeds over its edge: of two with one name, in one tenant, all that is not told by
    /// [`Deed::own_resource`] is the same.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        match self {
            Self::CallTool { tool: name, .. }
            | Self::CallModel { model: name, .. }
            | Self::SendMessage { agent: name, .. }
            | Self::StartAgent { agent: name, .. }
            | Self::OperateAgent(_, name)
            | Self::Connect { host: name, .. }
            | Self::UseSecret { secret: name, .. }
            | Self::ExportArtifact { name, .. } => Cow::Borrowed(name),
            // With the length, for a slash may stand in both.
            Self::Memory { project, collection, .. } => format!("{}:{project}/{collection}", project.len()).into(),
            Self::CreateSandbox { tier, .. } => tier.to_string().into(),
            Self::Operate(_) => Cow::Borrowed(""),
            Self::OperateRun(_, run) => Cow::Borrowed(&run.run),
        }
    }

    /// What it is done to, where that depends on more than its name.
    pub(crate) fn own_resource(&self, principal: &Principal) -> Option<Arc<Resource>> {
        matches!(self, Self::CallTool { .. } | Self::OperateRun(..)).then(|| self.resource(principal))
    }

    /// What it is done to.
    pub(crate) fn resource(&self, principal: &Principal) -> Arc<Resource> {
        let tenant = principal.scope().tenant;
        Arc::new(match self {
            Self::CallTool { tool, .. } => match principal.tools.get(*tool) {
                Some(known) => return Arc::clone(&known.resource),
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
        })
    }

    /// An attribute of its context that it has of its own.
    pub(crate) fn attribute(&self, name: &str) -> Option<Plain<'a>> {
        self.attributes().into_iter().find(|(own, _)| *own == name).map(|(_, value)| value)
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
