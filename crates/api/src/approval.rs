//! Questions that wait for a human, and their answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    effect::EffectClass,
    fact::AskReason,
    id::{EffectId, Name, RunId, SessionId},
    time::Timestamp,
};

use crate::schema;

/// A question that waits for a human.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The effect it is about; also the approval's name.
    #[schemars(with = "schema::EffectId")]
    pub id: EffectId,
    /// The run.
    #[schemars(with = "schema::RunId")]
    pub run: RunId,
    /// The session.
    #[schemars(with = "schema::SessionId")]
    pub session: SessionId,
    /// The agent.
    #[schemars(with = "String")]
    pub agent: Name,
    /// The tool.
    #[schemars(with = "String")]
    pub tool: Name,
    /// What the tool promises about repetition.
    #[schemars(with = "schema::EffectClass")]
    pub class: EffectClass,
    /// The exact JSON text of the arguments: what will be sent, byte for byte.
    pub arguments: String,
    /// The question in words, when it is about a limit of a budget and not about a call: which budget has too little of what, how much of
    /// it is used and what the next step may use, and what each answer does. No answer until `expires` counts as a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What a look at what it would do found, before people were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// Why a human is asked.
    #[schemars(with = "schema::AskReason")]
    pub reason: AskReason,
    /// Since when.
    #[schemars(with = "schema::Timestamp")]
    pub since: Timestamp,
    /// Until when; then it counts as denied.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub expires: Option<Timestamp>,
    /// What gates of policies ask for; empty when one yes of anybody who may approve is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateAsks>,
    /// No fewer different people than this.
    #[serde(default = "one")]
    pub quorum: u32,
    /// How often people were reminded.
    #[serde(default, skip_serializing_if = "is_none")]
    pub reminders: u32,
    /// Who has said yes so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub given: Vec<Name>,
}

/// What a look at an action found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// In words, as the tool that looked told it: untrusted. Or that there is none, and why.
    pub text: String,
    /// What must still hold when the action is done, or else it is refused; absent when the preview binds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precondition: Option<String>,
    /// When it was looked at.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
}

/// What one gate asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateAsks {
    /// Its policy.
    #[schemars(with = "String")]
    pub policy: Name,
    /// Who may approve: roles, and people as `user:NAME`.
    #[schemars(with = "Vec<String>")]
    pub approvers: Vec<Name>,
    /// How many of them.
    pub quorum: u32,
    /// Whether each must have been verified as a person by their authenticator.
    #[serde(default, skip_serializing_if = "is_false")]
    pub verified: bool,
    /// Whether the answers must come over two channels: a page of the server, and a program of a signer's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub channels: bool,
    /// After so long without an answer people are reminded, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind: Option<u64>,
    /// From when on others may approve too, and whether that is so by now; the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<EscalateTo>,
}

/// A step of a gate's escalation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EscalateTo {
    /// From when on.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// Who may approve too: a role, or a person as `user:NAME`.
    #[schemars(with = "String")]
    pub to: Name,
    /// Whether the step was taken: until then their answer does not count.
    pub taken: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
const fn is_none(it: &u32) -> bool {
    *it == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
const fn is_false(it: &bool) -> bool {
    !*it
}

/// A question as it is signed: for who signs, and for who verifies later what was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedQuestion {
    /// The question as a JSON document, as `docs/approvals.md` describes it. Whoever signs makes the text that they are shown from it.
    pub question: String,
    /// Whether people are asked now; or else it was asked last.
    pub open: bool,
    /// Whether a yes counts only when it is signed.
    pub signed: bool,
    /// The signed answers that it has, each a receipt.
    pub receipts: Vec<String>,
    /// Now, by the clock of the server, in seconds since 1970.
    pub now: u64,
}

const fn one() -> u32 {
    1
}

/// A human's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What the human says to it, at most 4,096 bytes; with a denial the model reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub note: Option<String>,
    /// The receipt of the signed statement, as `docs/approvals.md` describes it; absent for an answer that is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub receipt: Option<String>,
}

/// Something that happened to a question: the data of an event of `GET /v1/approvals` as a stream, whose name says what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalEvent {
    /// The effect that the question is about; also the approval's name.
    #[schemars(with = "schema::EffectId")]
    pub id: EffectId,
    /// When.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// The agent.
    #[schemars(with = "String")]
    pub agent: Name,
    /// Who answered, of `approved` and `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub by: Option<Name>,
    /// Who may answer too, of `escalated`: a role, or a person as `user:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub to: Option<Name>,
    /// How often people were reminded, of `reminded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reminders: Option<u32>,
    /// The question as it is now, when it is still open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// The names of events of the stream of approvals.
pub mod event {
    /// A question was asked.
    pub const OPENED: &str = "opened";
    /// People were reminded.
    pub const REMINDED: &str = "reminded";
    /// Others may answer too.
    pub const ESCALATED: &str = "escalated";
    /// Somebody said yes.
    pub const APPROVED: &str = "approved";
    /// Somebody said no.
    pub const DENIED: &str = "denied";
    /// Nobody answered in time.
    pub const EXPIRED: &str = "expired";
    /// Nobody is asked any more.
    pub const CLOSED: &str = "closed";
    /// Something was missed, or this is the beginning: what is open now follows as `opened`.
    pub const RESET: &str = "reset";
}

/// A notice as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeInfo {
    /// Its name.
    pub name: String,
    /// How it goes: `json`, `slack`, `teams` or `mail`.
    pub kind: String,
    /// Whether it shows what the action is.
    pub details: bool,
    /// Whether it also tells that nobody is asked any more.
    pub resolved: bool,
}

/// All notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeList {
    /// Each.
    pub items: Vec<NoticeInfo>,
}

/// A notice that was sent to try it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeTested {
    /// Its name.
    pub name: String,
}
