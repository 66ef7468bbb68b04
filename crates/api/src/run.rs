//! Runs: starting, listing, showing, stopping.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{MicroUsd, Spend},
    code::Code,
    id::{Name, RunId, SessionId, VersionId},
    sandbox::BoxLimits,
    time::{Span, Timestamp},
};

pub use stead_core::status::Status;

use crate::{approval::Approval, artifact::Attachment, schema};

/// Hard limits of a run; an absent one does not limit. They can only tighten those of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Model tokens, input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money for model calls, in millionths of a dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::MicroUsd>")]
    pub usd: Option<MicroUsd>,
    /// Tool calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<u32>,
    /// Working time, in microseconds: a model call or an effect is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub active: Option<Span>,
    /// Calendar time from the start of the run, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub deadline: Option<Span>,
    /// Child runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<u32>,
    /// Processor time in sandboxes, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub cpu: Option<Span>,
    /// Bytes between sandboxes and hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<u64>,
    /// Bytes by which the session's workspace may grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

/// Limits for the sandboxes of a run, in the place of its agent's; what is absent stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxLimits {
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_048_576))]
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10))]
    pub cpu_milli: Option<u32>,
    /// Processes and threads at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4))]
    pub pids: Option<u32>,
    /// Bytes of private folders; for sandboxes that start from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_048_576))]
    pub disk: Option<u64>,
    /// Wall-clock time of an action, in microseconds; for sandboxes that start from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub wall: Option<Span>,
    /// Files and folders that may be written; for sandboxes that start from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16))]
    pub inodes: Option<u64>,
    /// Open files of one process; for sandboxes that start from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16))]
    pub open_files: Option<u32>,
    /// Bytes that are kept of each output of an action; for those that start from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4_096))]
    pub output: Option<u64>,
    /// Hosts of which the agent's rules of egress stay in force, as the rules write them; `*` is all of them, an empty list is none. At once:
    /// what is under way to others is cut. No host is reached that the agent does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub egress: Option<Vec<String>>,
}

impl From<SandboxLimits> for BoxLimits {
    fn from(l: SandboxLimits) -> Self {
        Self {
            memory: l.memory,
            cpu_milli: l.cpu_milli,
            pids: l.pids,
            disk: l.disk,
            wall: l.wall,
            inodes: l.inodes,
            open_files: l.open_files,
            output: l.output,
            egress: l.egress.map(|hosts| hosts.into_iter().map(Name::from).collect()),
        }
    }
}

impl From<BoxLimits> for SandboxLimits {
    fn from(l: BoxLimits) -> Self {
        Self {
            memory: l.memory,
            cpu_milli: l.cpu_milli,
            pids: l.pids,
            disk: l.disk,
            wall: l.wall,
            inodes: l.inodes,
            open_files: l.open_files,
            output: l.output,
            egress: l.egress.map(|hosts| hosts.iter().map(ToString::to_string).collect()),
        }
    }
}

/// Starts a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// The agent's name; after an `@` an alias, a version, or the beginning of one (`refund-desk@canary`).
    #[schemars(with = "String")]
    pub agent: Name,
    /// The version to run; without it, and without an `@` in `agent`, the live one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::VersionId>")]
    pub version: Option<VersionId>,
    /// The session to run in. Without it and without `session_key` the run gets a session of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::SessionId>")]
    pub session: Option<SessionId>,
    /// The session to run in, by the caller's own name for it; made if it does not exist. Excludes `session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1, max = 200))]
    pub session_key: Option<Name>,
    /// The input's text.
    pub input: String,
    /// Files that come with it, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub attachments: Vec<Attachment>,
    /// Tightens the agent's limits.
    #[serde(default)]
    pub limits: Limits,
    /// Keeps what goes over the wire between the run and its models; see `/v1/runs/{run}/cassette`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record: bool,
}

/// An accepted run; its first record is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The run.
    #[schemars(with = "schema::RunId")]
    pub run: RunId,
    /// Its session.
    #[schemars(with = "schema::SessionId")]
    pub session: SessionId,
    /// Whether it waits for the session's foreground run to end.
    pub queued: bool,
    /// Whether an earlier request with the same idempotency key had already started it.
    pub existing: bool,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSummary {
    /// The run.
    #[schemars(with = "schema::RunId")]
    pub id: RunId,
    /// Its session.
    #[schemars(with = "schema::SessionId")]
    pub session: SessionId,
    /// The caller's own name for the session, when it has one.
    #[schemars(with = "Option<String>")]
    pub session_key: Option<Name>,
    /// The agent's name.
    #[schemars(with = "String")]
    pub agent: Name,
    /// The agent's version.
    #[schemars(with = "schema::VersionId")]
    pub version: VersionId,
    /// The run that started this one.
    #[schemars(with = "Option<schema::RunId>")]
    pub parent: Option<RunId>,
    /// Where it stands.
    #[schemars(with = "schema::Status")]
    pub status: Status,
    /// The beginning of the input.
    pub title: String,
    /// When it was created.
    #[schemars(with = "schema::Timestamp")]
    pub created: Timestamp,
    /// When this summary last changed.
    #[schemars(with = "schema::Timestamp")]
    pub updated: Timestamp,
    /// When it goes on by itself, while it waits for a timer.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub wake_at: Option<Timestamp>,
    /// Model turns so far.
    pub turns: u32,
    /// Effects so far.
    pub effects: u32,
    /// Used so far.
    #[schemars(with = "schema::Spend")]
    pub spent: Spend,
    /// Why it failed.
    #[schemars(with = "Option<schema::Code>")]
    pub code: Option<Code>,
}

/// A run with what people ask first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// What lists show of it.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The answer, when it completed.
    pub output: Option<String>,
    /// What went wrong, in words, when it failed.
    pub error: Option<String>,
    /// What a human is asked.
    pub approvals: Vec<Approval>,
}

/// Until when a `wait` waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum WaitUntil {
    /// The run has ended.
    #[default]
    Ended,
    /// The run has ended, or waits for a human.
    Waiting,
}

/// First line of an export; every further line is a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportHeader {
    /// Version of the export's form: 1.
    pub stead_export: u8,
    /// The run as it stood when the export began.
    pub run: Run,
}
