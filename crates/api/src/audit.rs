//! The audit log: where logs stand, what is in them, and what proves it. Hashes of the tree are base64, as in checkpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stead_core::{
    id::{EffectId, LeafHash, RunId},
    time::Timestamp,
};

use crate::schema;

/// The path of the log of the caller's tenant.
pub const TENANT: &str = "tenant";
/// The path of the log of the operators.
pub const OPERATORS: &str = "operators";
/// Leaves of a bundle at most.
pub const MAX_BUNDLE: u64 = 65_536;
/// The media type of a bundle.
pub const BUNDLE: &str = "application/vnd.stead.audit-bundle";

/// The logs that a caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLogs {
    /// The tenant's first.
    pub items: Vec<AuditLog>,
    /// Why nothing is integrated now, when that is so. What was written stays, and is integrated later.
    pub failing: Option<String>,
}

/// Where a log stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLog {
    /// Its name in paths: `tenant` or `operators`.
    pub log: String,
    /// Its name in checkpoints and leaves.
    pub origin: String,
    /// The key by which others verify it.
    pub key: String,
    /// Its leaves.
    pub size: u64,
    /// The root of their tree.
    pub root: String,
    /// When the checkpoint was made; null when there is none yet.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub at: Option<Timestamp>,
    /// The size of the last checkpoint that witnesses have signed too.
    pub cosigned: Option<u64>,
    /// Records that could not be read, and are in no log.
    pub unread: u64,
}

/// Leaves of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntries {
    /// By index.
    pub items: Vec<AuditEntry>,
    /// Pass as `from` for the next page; null at the end of the log.
    pub next: Option<u64>,
    /// Leaves of the log.
    pub size: u64,
}

/// A leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its place in the log.
    pub index: u64,
    /// When it happened.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// Its hash in the tree.
    pub hash: String,
    /// The record of a run that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<AuditRecord>,
    /// What an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<AuditAct>,
}

/// What a leaf says of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// The run.
    #[schemars(with = "schema::RunId")]
    pub run: RunId,
    /// Its position in the run, from 0.
    pub seq: u64,
    /// The kinds of its facts.
    pub kinds: Vec<String>,
    /// What was decided about effects, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<AuditDecision>,
    /// What people answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<AuditApproval>,
    /// The hash of the record.
    #[schemars(with = "schema::LeafHash")]
    pub leaf: LeafHash,
}

/// A decision about an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditDecision {
    /// The effect.
    #[schemars(with = "schema::EffectId")]
    pub effect: EffectId,
    /// `allow`, `deny` or `ask`.
    pub verdict: String,
    /// The epoch of the policy set that was asked.
    pub epoch: Option<u64>,
}

/// An answer about an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditApproval {
    /// The effect.
    #[schemars(with = "schema::EffectId")]
    pub effect: EffectId,
    /// Approved, or denied.
    pub approved: bool,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditAct {
    /// Its id.
    pub id: String,
    /// What kind of thing, in a word.
    pub topic: String,
    /// All of it; null when it is not kept any more.
    pub body: Option<Value>,
}

/// An inclusion proof (RFC 9162, section 2.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InclusionProof {
    /// The leaf's place.
    pub index: u64,
    /// Leaves of the tree.
    pub size: u64,
    /// The leaf, base64.
    pub leaf: String,
    /// The proof.
    pub path: Vec<String>,
    /// The checkpoint, when it is that of `size`.
    pub checkpoint: Option<String>,
}

/// A consistency proof (RFC 9162, section 2.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsistencyProof {
    /// Leaves of the smaller tree.
    pub old: u64,
    /// Its root.
    pub old_root: String,
    /// Leaves of the greater tree.
    pub new: u64,
    /// Its root.
    pub new_root: String,
    /// The proof.
    pub path: Vec<String>,
}

/// Whether a run's journal is what the log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunVerification {
    /// The run.
    #[schemars(with = "schema::RunId")]
    pub run: RunId,
    /// Whether everything holds: this is what happened.
    pub holds: bool,
    /// Where it breaks.
    pub breaks: Vec<RunBreak>,
    /// Records of the run.
    pub records: u64,
    /// Those that are in the log, each proven with its leaf.
    pub proven: u64,
    /// Whether the run has ended, and the log has all of it.
    pub whole: bool,
    /// Decisions of policies that were compared with the policy set of their epoch.
    pub decisions: u64,
    /// Answers of people, each held against the question and what followed.
    pub approvals: u64,
    /// Effects that signed answers let go: each signature verified with the directory of that time, and what began compared with what was
    /// signed.
    #[serde(default)]
    pub signed: u64,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
    /// The checkpoint that all of this was proven against.
    pub checkpoint: Option<String>,
    /// The key of the log.
    pub key: String,
}

/// Where a run's journal does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunBreak {
    /// The position of the record; null when it is about the whole.
    pub seq: Option<u64>,
    /// What does not hold: `chain`, `fold`, `leaf`, `log`, `decision`, `approval`, `signature` or `directory`.
    pub what: String,
    /// In words.
    pub why: String,
}
