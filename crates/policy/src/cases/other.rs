//! Edges that are no tool calls, as a case names them.

use serde::Deserialize;
use stead_core::sandbox::Tier;

use super::words::Who;
use crate::{deed::Deed, edge::Edge, entity::Asker};

/// An edge that is no tool call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Other {
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

impl Other {
    pub(super) fn is_operators(&self) -> bool {
        let nobody = Who::default().asker();
        self.deed(&nobody).edge().is_operators()
    }

    pub(super) fn deed<'a>(&'a self, run: &'a Asker) -> Deed<'a> {
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
