//! The directory of approvers: whose keys count. Its entries are signed; the server only keeps them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::id::Name;

/// A tenant's directory of approvers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approvers {
    /// The hash of its first entry, as 64 hexadecimal digits: what to keep elsewhere. `null` when there is no directory.
    pub anchor: Option<String>,
    /// The hash of its last entry.
    pub head: Option<String>,
    /// The number that its next entry has.
    pub next: u64,
    /// The time of its last entry, in seconds since 1970; the next one is no earlier.
    pub last: u64,
    /// Whether it is one person's, who works alone and approves what they began themselves.
    pub personal: bool,
    /// How many keys of the root sign together.
    pub threshold: u32,
    /// The keys of the root.
    pub root: Vec<RootKey>,
    /// The keys of approvers, in the order in which they were enrolled.
    pub keys: Vec<ApproverKey>,
    /// What is delegated now.
    pub delegations: Vec<Delegation>,
    /// Who may approve alone now.
    pub broken: Vec<Broken>,
}

/// A key of the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RootKey {
    /// Who holds it.
    pub holder: String,
    /// The key, in the form of OpenSSH.
    pub key: String,
}

/// A key of an approver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApproverKey {
    /// Its fingerprint.
    pub id: String,
    /// The key, in the form of OpenSSH.
    pub key: String,
    /// Who vouches for the person: an OpenID provider, or `stead`.
    pub issuer: String,
    /// The person.
    pub subject: String,
    /// Their roles as an approver; empty when the directory has no say.
    pub roles: Vec<String>,
    /// Whether it is a passkey, which signs on a page of the server.
    pub passkey: bool,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// When it was revoked.
    pub revoked: Option<u64>,
}

/// One approver lets another one approve in their place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delegation {
    /// Who lets.
    pub from: String,
    /// Whom.
    pub to: String,
    /// In which roles.
    pub roles: Vec<String>,
    /// For which tools; all when it is empty.
    pub tools: Vec<String>,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

/// In an emergency one person approves what would take others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Broken {
    /// Who.
    pub subject: String,
    /// In which roles.
    pub roles: Vec<String>,
    /// In which run; any when absent.
    pub run: Option<String>,
    /// Why.
    pub reason: String,
    /// Holders of the root's keys who signed it.
    pub by: Vec<String>,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

/// An entry to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEntry {
    /// The entry with its signatures, a JSON document as `docs/approvals.md` describes it.
    #[schemars(length(max = 131_072))]
    pub entry: String,
}

/// Passkeys that wait to be enrolled, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyRequests {
    /// The requests.
    pub items: Vec<PasskeyRequest>,
}

/// A passkey that waits to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyRequest {
    /// The fingerprint of its key.
    pub id: String,
    /// Whose token asked for it.
    pub subject: String,
    /// What its owner has signed with it, as `docs/approvals.md` describes it.
    pub request: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// Entries of a directory, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entries {
    /// The entries.
    pub items: Vec<EntryRow>,
    /// The number to go on from, when there are more.
    pub next: Option<u64>,
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntryRow {
    /// Its number, from 0.
    pub seq: u64,
    /// The entry with its signatures.
    pub entry: String,
    /// Whose token brought it.
    #[schemars(with = "String")]
    pub by: Name,
}
