//! One entry: what it says, and its text.

use sha2::{Digest as _, Sha256};

use crate::{
    action::Hash,
    fields::{BadForm, Fields},
    hex,
    json::Value,
    key::{KeyId, PublicKey},
    statement::Human,
    verify::Passkey,
};

const KIND: &str = "directory/v1";
/// Longest text of an entry, in bytes.
const MAX_ENTRY: usize = 16 << 10;
/// Most keys of a root.
const MAX_ROOT_KEYS: usize = 16;
/// Most names in a list.
const MAX_NAMES: usize = 64;
/// Longest name of a person, a role or a provider, in bytes.
const MAX_NAME: usize = 256;
/// Longest time of a break-glass, in seconds.
pub const MAX_BREAK: u64 = 24 * 3_600;
/// Longest time of a delegation, in seconds.
pub const MAX_DELEGATION: u64 = 90 * 24 * 3_600;

/// A key of the root, with who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKey {
    /// Who holds it.
    pub holder: String,
    /// The key.
    pub key: PublicKey,
}

/// The root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// How many of its keys sign together.
    pub threshold: u32,
    /// Its keys.
    pub keys: Vec<RootKey>,
    /// Whether it is one person's, who works alone: what they began themselves they may approve.
    pub personal: bool,
}

/// A key of an approver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The key.
    pub key: PublicKey,
    /// Whose it is.
    pub human: Human,
    /// Their roles as an approver, as far as the directory has a say: who has some here has no others.
    pub roles: Vec<String>,
    /// Where the key may be used, if it is a passkey.
    pub passkey: Option<Passkey>,
}

/// One approver lets another one approve in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Who lets.
    pub from: Human,
    /// Whom.
    pub to: Human,
    /// In which of their roles.
    pub roles: Vec<String>,
    /// For which tools; all when it is empty.
    pub tools: Vec<String>,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

/// In an emergency one person approves what would take others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// Who.
    pub human: Human,
    /// In which roles.
    pub roles: Vec<String>,
    /// In which run; any when absent.
    pub run: Option<String>,
    /// Why.
    pub reason: String,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This is the root from now on.
    Root(Root),
    /// This key is that person's.
    Enrol(Enrolment),
    /// This key counts no longer.
    Revoke {
        /// The key.
        key: KeyId,
        /// Why.
        reason: String,
    },
    /// That person has lost their keys: none of them counts, but this one does.
    Recover(Enrolment),
    /// See [`Delegation`].
    Delegate(Delegation),
    /// See [`Break`].
    BreakGlass(Break),
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tenant.
    pub tenant: String,
    /// Its place, from 0.
    pub seq: u64,
    /// The hash of the one before; absent in the first.
    pub previous: Option<Hash>,
    /// When it was written, in seconds since 1970.
    pub at: u64,
    /// What it says.
    pub what: What,
}

/// The hash of an entry's text.
pub(super) fn hash(text: &str) -> Hash {
    Sha256::new().chain_update(b"stead-directory-v1\0").chain_update(text).finalize().into()
}

impl Entry {
    /// The text that is signed.
    pub fn to_text(&self) -> String {
        let (kind, what) = match &self.what {
            What::Root(root) => ("root", root_value(root)),
            What::Enrol(e) => ("enrol", enrolment_value(e)),
            What::Revoke { key, reason } => {
                ("revoke", vec![("key", Value::text(key.to_string())), ("reason", Value::text(reason))])
            }
            What::Recover(e) => ("recover", enrolment_value(e)),
            What::Delegate(d) => ("delegate", delegation_value(d)),
            What::BreakGlass(b) => ("break-glass", break_value(b)),
        };
        let head = [
            ("stead", Value::text(KIND)),
            ("tenant", Value::text(&self.tenant)),
            ("seq", Value::int(self.seq)),
            ("previous", Value::maybe(self.previous.map(|p| hex::encode(&p)))),
            ("at", Value::int(self.at)),
            ("do", Value::text(kind)),
        ];
        Value::object(head.into_iter().chain(what)).to_string()
    }

    /// Reads the text that was signed.
    ///
    /// # Errors
    /// It is not canonical, or something is missing, of another kind, too much, or unknown.
    pub fn from_text(text: &str) -> Result<Self, BadForm> {
        if text.len() > MAX_ENTRY {
            return Err(BadForm::Member("entry"));
        }
        let mut f = Fields::of_text(text, KIND)?;
        let previous = f.maybe_text("previous")?;
        let previous = previous.map(|p| hex::decode(&p).ok_or(BadForm::Member("previous"))).transpose()?;
        let (tenant, seq, at) = (name(&mut f, "tenant")?, f.int("seq")?, f.int("at")?);
        let what = match &*f.text("do")? {
            "root" => What::Root(root_of(&mut f)?),
            "enrol" => What::Enrol(enrolment_of(&mut f)?),
            "revoke" => What::Revoke {
                key: f.text("key")?.parse().map_err(|_| BadForm::Member("key"))?,
                reason: name(&mut f, "reason")?,
            },
            "recover" => What::Recover(enrolment_of(&mut f)?),
            "delegate" => What::Delegate(delegation_of(&mut f)?),
            "break-glass" => What::BreakGlass(break_of(&mut f)?),
            _ => return Err(BadForm::Member("do")),
        };
        f.done()?;
        Ok(Self { tenant, seq, previous, at, what })
    }

    /// The person that it is about.
    pub(super) fn about(&self) -> Option<&Human> {
        match &self.what {
            What::Enrol(e) | What::Recover(e) => Some(&e.human),
            What::Delegate(d) => Some(&d.from),
            What::BreakGlass(b) => Some(&b.human),
            What::Root(_) | What::Revoke { .. } => None,
        }
    }
}

type Members = Vec<(&'static str, Value)>;

fn root_value(root: &Root) -> Members {
    let key =
        |k: &RootKey| Value::object([("holder", Value::text(&k.holder)), ("key", Value::text(k.key.to_string()))]);
    vec![
        ("threshold", Value::int(root.threshold.into())),
        ("keys", Value::List(root.keys.iter().map(key).collect())),
        ("personal", Value::Bool(root.personal)),
    ]
}

fn root_of(f: &mut Fields) -> Result<Root, BadForm> {
    let bad = BadForm::Member("keys");
    let listed = f.list("keys")?;
    if listed.is_empty() || listed.len() > MAX_ROOT_KEYS {
        return Err(bad);
    }
    let mut keys: Vec<RootKey> = Vec::new();
    for value in listed {
        let mut k = Fields::of(value, "keys")?;
        let key = RootKey { holder: name(&mut k, "holder")?, key: key_of(&mut k)? };
        k.done()?;
        if keys.iter().any(|known| known.key == key.key || known.holder == key.holder) {
            return Err(bad);
        }
        keys.push(key);
    }
    let (threshold, personal) = (f.small("threshold")?, f.bool("personal")?);
    let fits = threshold >= 1 && threshold as usize <= keys.len() && (!personal || keys.len() == 1);
    if fits { Ok(Root { threshold, keys, personal }) } else { Err(BadForm::Member("threshold")) }
}

fn enrolment_value(e: &Enrolment) -> Members {
    let passkey = e.passkey.as_ref().map_or(Value::Null, crate::passkey::place_value);
    vec![
        ("key", Value::text(e.key.to_string())),
        ("issuer", Value::text(&e.human.issuer)),
        ("subject", Value::text(&e.human.subject)),
        ("roles", Value::texts(&e.roles)),
        ("passkey", passkey),
    ]
}

fn enrolment_of(f: &mut Fields) -> Result<Enrolment, BadForm> {
    let passkey = match f.maybe("passkey")? {
        None => None,
        Some(value) => Some(crate::passkey::place_of(value)?),
    };
    let human = Human { issuer: name(f, "issuer")?, subject: name(f, "subject")? };
    Ok(Enrolment { key: key_of(f)?, human, roles: names(f, "roles")?, passkey })
}

fn delegation_value(d: &Delegation) -> Members {
    vec![
        ("from", human_value(&d.from)),
        ("to", human_value(&d.to)),
        ("roles", Value::texts(&d.roles)),
        ("tools", Value::texts(&d.tools)),
        ("until", Value::int(d.until)),
    ]
}

fn delegation_of(f: &mut Fields) -> Result<Delegation, BadForm> {
    let (from, to) = (human_of(f, "from")?, human_of(f, "to")?);
    Ok(Delegation { from, to, roles: names(f, "roles")?, tools: names(f, "tools")?, until: f.int("until")? })
}

fn break_value(b: &Break) -> Members {
    vec![
        ("human", human_value(&b.human)),
        ("roles", Value::texts(&b.roles)),
        ("run", Value::maybe(b.run.as_deref())),
        ("reason", Value::text(&b.reason)),
        ("until", Value::int(b.until)),
    ]
}

fn break_of(f: &mut Fields) -> Result<Break, BadForm> {
    let (human, roles, run) = (human_of(f, "human")?, names(f, "roles")?, f.maybe_text("run")?);
    Ok(Break { human, roles, run, reason: name(f, "reason")?, until: f.int("until")? })
}

fn human_value(human: &Human) -> Value {
    Value::object([("issuer", Value::text(&human.issuer)), ("subject", Value::text(&human.subject))])
}

fn human_of(f: &mut Fields, member: &'static str) -> Result<Human, BadForm> {
    let mut h = f.object(member)?;
    let human = Human { issuer: name(&mut h, "issuer")?, subject: name(&mut h, "subject")? };
    h.done()?;
    Ok(human)
}

fn key_of(f: &mut Fields) -> Result<PublicKey, BadForm> {
    let text = f.text("key")?;
    let key: PublicKey = text.parse().map_err(|_| BadForm::Member("key"))?;
    // One way to write each key: no comment, no other form.
    if key.to_string() == text { Ok(key) } else { Err(BadForm::Member("key")) }
}

fn name(f: &mut Fields, member: &'static str) -> Result<String, BadForm> {
    Some(f.text(member)?).filter(|n| is_name(n)).ok_or(BadForm::Member(member))
}

fn names(f: &mut Fields, member: &'static str) -> Result<Vec<String>, BadForm> {
    let names = f.texts(member)?;
    let right = names.len() <= MAX_NAMES && names.iter().all(|n| is_name(n));
    if right { Ok(names) } else { Err(BadForm::Member(member)) }
}

pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}
