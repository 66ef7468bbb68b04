//! Erasing the texts of a person, and legal holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    id::{Name, RunId},
    time::Timestamp,
};

use crate::schema;

/// Erases the texts of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// The person on whose behalf runs work: the name in `started_by` of usage, and `subject` of their token.
    #[schemars(with = "String")]
    pub subject: Name,
    /// Only tells what would be erased, and what stands against it.
    #[serde(default)]
    pub dry_run: bool,
    /// Stops runs of the person that have not ended, and waits for their end.
    #[serde(default)]
    pub stop: bool,
    /// The id of an erasure that another person has proposed, which begins with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Why; it stays in the log of operators, so name nobody in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The tenant; that of the token when absent. Another one only by the data directory's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tenant: Option<Name>,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ErasureState {
    /// Nothing was done: it was asked what would be.
    Planned,
    /// It waits for a second person.
    Proposed,
    /// It is begun, and goes on by itself until it is done.
    Begun,
    /// All is erased; `certificate` says so.
    Done,
}

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erasure {
    /// Its id, which is that of its act in the operators' log; empty when it is only planned.
    pub id: String,
    /// The tenant.
    #[schemars(with = "String")]
    pub tenant: Name,
    /// Who it is about: a keyed digest of the name, which says it only to whoever has the key and tries names.
    pub subject: String,
    /// Who asked for it.
    #[schemars(with = "String")]
    pub by: Name,
    /// The second person, where one was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub confirmed_by: Option<Name>,
    /// When: it is about all runs that there were then.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// How far it is.
    pub state: ErasureState,
    /// Runs.
    pub runs: u64,
    /// Texts, of one that is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<u64>,
    /// What stands against one that is planned, or what one that is begun waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// The signed certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// All erasures of a tenant, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erasures {
    /// They.
    pub erasures: Vec<Erasure>,
}

/// What a legal hold is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum HeldWhat {
    /// Everything of the tenant.
    Tenant,
    /// A person: the runs that work on their behalf.
    Subject,
    /// All runs of a session.
    Session,
    /// One run, with its children.
    Run,
}

/// Places a legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceHold {
    /// What it is about.
    pub what: HeldWhat,
    /// Which one of these: a person's name, a session's or run's id, the tenant's name.
    #[schemars(with = "String")]
    pub name: Name,
    /// Why.
    pub reason: String,
    /// The tenant; that of the token when absent. Another one only by the data directory's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tenant: Option<Name>,
}

/// Ends a legal hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseHold {
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The tenant; that of the token when absent. Another one only by the data directory's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tenant: Option<Name>,
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegalHold {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// The tenant.
    #[schemars(with = "String")]
    pub tenant: Name,
    /// What it is about.
    pub what: HeldWhat,
    /// Which one of these; of a person whose texts were erased since it was released a digest.
    #[schemars(with = "String")]
    pub name: Name,
    /// Who placed it.
    #[schemars(with = "String")]
    pub by: Name,
    /// When.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Who released it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub released_by: Option<Name>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Timestamp>")]
    pub released_at: Option<Timestamp>,
}

/// Legal holds, the last one first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegalHolds {
    /// They.
    pub holds: Vec<LegalHold>,
}

/// A run that stands against an erasure, for messages.
#[must_use]
pub fn at_work(run: RunId, status: &str, theirs: bool) -> String {
    let whose = if theirs { "works on behalf of the person" } else { "goes on in a session of the person" };
    format!("{run} {whose} and is {status}")
}
