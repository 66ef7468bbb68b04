//! The chain, folded: what holds after its entries. An entry that nobody had the right to make is refused, and so is the whole
//! chain that has it.

use std::collections::BTreeSet;

use super::{
    entry::{Break, Delegation, Enrolment, Entry, MAX_BREAK, MAX_DELEGATION, Root, RootKey, What, hash},
    envelope::{Envelope, Signed},
};
use crate::{action::Hash, fields::BadForm, key::KeyId, statement::Human, verify::verify};

/// Most entries of a directory.
pub const MAX_ENTRIES: u64 = 100_000;

/// A key that was enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The key and whose it is.
    pub of: Enrolment,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// When it was revoked.
    pub revoked: Option<u64>,
}

/// Why an entry cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// It cannot be read.
    #[error("the entry cannot be read: {0}")]
    Form(#[from] BadForm),
    /// It does not follow the last one.
    #[error("the entry does not follow the last one: {0}")]
    Order(&'static str),
    /// Not signed by those who may.
    #[error("the entry is not signed by those who may make it: {0}")]
    Authority(&'static str),
    /// What it says does not fit what there is.
    #[error("the entry says what cannot be: {0}")]
    Content(&'static str),
}

/// A directory: all entries up to one, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    tenant: String,
    root: Root,
    anchor: Hash,
    head: Hash,
    next: u64,
    last: u64,
    keys: Vec<Enrolled>,
    delegations: Vec<Delegation>,
    breaks: Vec<Broken>,
}

/// A break-glass, and the holders of the root's keys who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What it says.
    pub of: Break,
    /// Who signed it.
    pub by: Vec<String>,
}

impl Directory {
    /// The directory that begins with this entry.
    ///
    /// # Errors
    /// It is no root that is signed by as many of its keys as it names.
    pub fn begin(envelope: &Envelope) -> Result<Self, BadEntry> {
        let entry = Entry::from_text(&envelope.entry)?;
        let What::Root(root) = entry.what else { return Err(BadEntry::Order("the first entry is the root")) };
        if entry.seq != 0 || entry.previous.is_some() {
            return Err(BadEntry::Order("the root has the number 0 and none before it"));
        }
        let signers = root_signers(&root, envelope)?;
        if signers < root.threshold as usize {
            return Err(BadEntry::Authority("a root is signed by as many of its keys as it names"));
        }
        let head = hash(&envelope.entry);
        Ok(Self {
            tenant: entry.tenant,
            root,
            anchor: head,
            head,
            next: 1,
            last: entry.at,
            keys: Vec::new(),
            delegations: Vec::new(),
            breaks: Vec::new(),
        })
    }

    /// The directory of all these entries, in order.
    ///
    /// # Errors
    /// One of them may not follow, with its number; or there is none.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, (u64, BadEntry)> {
        let mut directory: Option<Self> = None;
        for (n, text) in (0..).zip(entries) {
            let envelope = Envelope::from_text(text).map_err(|e| (n, e.into()))?;
            match &mut directory {
                None => directory = Some(Self::begin(&envelope).map_err(|e| (n, e))?),
                Some(directory) => directory.add(&envelope).map_err(|e| (n, e))?,
            }
        }
        directory.ok_or((0, BadEntry::Order("there is no entry")))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// It does not follow, says what cannot be, or is not signed by those who may make it. The directory is then as before.
    pub fn add(&mut self, envelope: &Envelope) -> Result<(), BadEntry> {
        let entry = Entry::from_text(&envelope.entry)?;
        if entry.tenant != self.tenant {
            return Err(BadEntry::Order("it is another tenant's"));
        }
        if entry.seq != self.next || entry.previous != Some(self.head) {
            return Err(BadEntry::Order("another entry came first; make it anew"));
        }
        if entry.at < self.last {
            return Err(BadEntry::Order("its time is before that of the last one"));
        }
        if self.next >= MAX_ENTRIES {
            return Err(BadEntry::Order("the directory is full"));
        }
        self.fits(&entry)?;
        self.authorised(&entry, envelope)?;
        (self.head, self.last, self.next) = (hash(&envelope.entry), entry.at, self.next + 1);
        self.apply(entry, envelope);
        Ok(())
    }

    /// Whether what an entry says can be.
    fn fits(&self, entry: &Entry) -> Result<(), BadEntry> {
        let no = |why| Err(BadEntry::Content(why));
        match &entry.what {
            What::Root(_) => {}
            What::Enrol(e) | What::Recover(e) => {
                let id = e.key.id();
                if self.keys.iter().any(|k| k.of.key.id() == id) {
                    return no("the key is or was in the directory already: one key, one person, once");
                }
                if self.root.keys.iter().any(|k| k.key.id() == id) && !self.root.personal {
                    return no("a key of the root signs no approvals");
                }
            }
            What::Revoke { key, .. } => {
                if !self.keys.iter().any(|k| k.of.key.id() == *key && k.revoked.is_none()) {
                    return no("there is no such key, or it is revoked already");
                }
            }
            What::Delegate(d) => {
                if d.from == d.to {
                    return no("nobody delegates to themselves");
                }
                if d.until <= entry.at || d.until - entry.at > MAX_DELEGATION {
                    return no("a delegation ends within 90 days");
                }
                if d.roles.is_empty() {
                    return no("a delegation names the roles that it is for");
                }
            }
            What::BreakGlass(b) => {
                if b.until <= entry.at || b.until - entry.at > MAX_BREAK {
                    return no("a break-glass ends within 24 hours");
                }
            }
        }
        Ok(())
    }

    /// Whether it is signed by those who may make it.
    fn authorised(&self, entry: &Entry, envelope: &Envelope) -> Result<(), BadEntry> {
        let roots = root_signers(&self.root, envelope)?;
        let by_root = roots >= self.root.threshold as usize;
        let no = |why| Err(BadEntry::Authority(why));
        match &entry.what {
            What::Root(root) => {
                if !by_root {
                    return no("a new root is signed by the old one");
                }
                // Who holds the new keys has them at hand.
                if root_signers(root, envelope)? < root.threshold as usize {
                    return no("a new root is signed by as many of its own keys as it names, too");
                }
                Ok(())
            }
            What::Delegate(d) if self.approvers(envelope).contains(&d.from) => Ok(()),
            What::Delegate(_) => no("a delegation is signed by who delegates"),
            What::BreakGlass(_) if roots >= 2 && by_root => Ok(()),
            What::BreakGlass(_) => no("a break-glass is signed by two keys of the root"),
            What::Enrol(_) | What::Revoke { .. } | What::Recover(_) => {
                let mut approvers = self.approvers(envelope);
                match (&entry.what, entry.about()) {
                    (What::Revoke { key, .. }, _) => {
                        let whose = self.key(key).map(|k| k.of.human.clone());
                        approvers.retain(|a| Some(a) != whose.as_ref());
                    }
                    (_, Some(about)) => _ = approvers.remove(about),
                    _ => {}
                }
                if by_root || approvers.len() >= 2 {
                    return Ok(());
                }
                no("it takes the root, or two approvers who are not the person that it is about")
            }
        }
    }

    /// The people whose keys signed an entry.
    fn approvers(&self, envelope: &Envelope) -> BTreeSet<Human> {
        let signed = |s: &Signed| {
            let known = self.key(&s.key.id()).filter(|k| k.revoked.is_none())?;
            let right = verify(&envelope.entry, &known.of.key, known.of.passkey.as_ref(), &s.signature).is_ok();
            right.then(|| known.of.human.clone())
        };
        envelope.signatures.iter().filter_map(signed).collect()
    }

    fn apply(&mut self, entry: Entry, envelope: &Envelope) {
        let at = entry.at;
        let enrolled = |of| Enrolled { of, since: at, revoked: None };
        match entry.what {
            What::Root(root) => self.root = root,
            What::Enrol(e) => self.keys.push(enrolled(e)),
            What::Revoke { key, .. } => self.revoke(at, |k| k.of.key.id() == key),
            What::Recover(e) => {
                self.revoke(at, |k| k.of.human == e.human);
                // What was delegated with the lost keys is lost with them.
                self.delegations.retain(|d| d.from != e.human);
                self.keys.push(enrolled(e));
            }
            What::Delegate(d) => {
                self.delegations.retain(|known| known.until > at && (known.from != d.from || known.to != d.to));
                self.delegations.push(d);
            }
            What::BreakGlass(b) => {
                let signed = |k: &&RootKey| envelope.signatures.iter().any(|s| s.key == k.key);
                let by = self.root.keys.iter().filter(signed).map(|k| k.holder.clone()).collect();
                self.breaks.retain(|known| known.of.until > at);
                self.breaks.push(Broken { of: b, by });
            }
        }
    }

    fn revoke(&mut self, at: u64, which: impl Fn(&Enrolled) -> bool) {
        for key in self.keys.iter_mut().filter(|k| k.revoked.is_none()) {
            if which(key) {
                key.revoked = Some(at);
            }
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The root.
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The hash of the first entry: what to keep elsewhere.
    pub const fn anchor(&self) -> Hash {
        self.anchor
    }

    /// Whether that is its last entry.
    pub fn is_head(&self, envelope: &Envelope) -> bool {
        hash(&envelope.entry) == self.head
    }

    /// The hash of the last entry.
    pub const fn head(&self) -> Hash {
        self.head
    }

    /// The number of the next entry.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The time of the last entry.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// All keys that were enrolled, in order.
    pub fn keys(&self) -> &[Enrolled] {
        &self.keys
    }

    /// A key that was enrolled.
    pub fn key(&self, id: &KeyId) -> Option<&Enrolled> {
        self.keys.iter().find(|k| k.of.key.id() == *id)
    }

    /// Whether any key counts.
    pub fn has_keys(&self) -> bool {
        self.keys.iter().any(|k| k.revoked.is_none())
    }

    /// What was delegated and has not ended at a time.
    pub fn delegations(&self, now: u64) -> impl Iterator<Item = &Delegation> {
        self.delegations.iter().filter(move |d| now < d.until)
    }

    /// Break-glasses that have not ended at a time.
    pub fn breaks(&self, now: u64) -> impl Iterator<Item = &Broken> {
        self.breaks.iter().filter(move |b| now < b.of.until)
    }
}

/// How many different keys of a root signed an entry.
fn root_signers(root: &Root, envelope: &Envelope) -> Result<usize, BadEntry> {
    let mut signers = BTreeSet::new();
    for Signed { key, signature } in &envelope.signatures {
        if root.keys.iter().any(|k| k.key == *key) {
            if verify(&envelope.entry, key, None, signature).is_err() {
                return Err(BadEntry::Authority("a signature of the root is wrong"));
            }
            signers.insert(key.id());
        }
    }
    Ok(signers.len())
}
