//! Whose what is, by the keys that a store has: what was found out before the first row of a backup is sent. In memory are 32 bytes of each
//! run, and of each session, long text and object of a workspace some 120, or up to 400 where as many share it as may; of a directory or a
//! list 90 more for each person who has it.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use stead_core::id::{BlobId, Name, RunId};
use stead_ports::objects::{Lead, Leads};

use super::{NOBODY, SubjectKey};
use crate::{backup::chunk::KeyUse, blob::BlobKey};

/// Persons for whom one thing is sealed; what more of them share is sealed under the tenant's key.
const SHARED_MAX: usize = 64;
/// Objects that are read at once.
const AT_ONCE: usize = 64;
/// The tenant that no request can name: what belongs to no tenant is sealed under its key.
const NO_TENANT: &str = "";

/// A key's place in the list of all.
type Slot = u32;

/// A run, as far as it matters whose it is.
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) session: [u8; 16],
    pub(crate) tenant: String,
    /// The person on whose behalf it works.
    pub(crate) person: Option<String>,
    /// When it began, in microseconds since 1970.
    pub(crate) created: i64,
    /// It has no texts any more.
    pub(crate) erased: bool,
}

/// The keys of one thing's owners.
enum Few {
    One(Slot),
    Some(Vec<Slot>),
    TooMany,
}

/// See the module.
pub(crate) struct Owners {
    digests: BlobKey,
    keys: Vec<SubjectKey>,
    /// Keys of each person, those that are for earlier runs first.
    of: HashMap<(String, [u8; 32]), Vec<Slot>>,
    people: HashMap<(String, String), [u8; 32]>,
    /// In the order of their ids, and whether they have no texts any more.
    runs: Vec<(u128, Slot, bool)>,
    used: Vec<u64>,
    /// Who has snapshots of sandboxes.
    trees: Vec<bool>,
    sessions: HashMap<[u8; 16], Few>,
    blobs: HashMap<[u8; 32], Few>,
    objects: HashMap<[u8; 32], Few>,
    /// Directories and lists that were read for a person, or are to be.
    seen: HashSet<([u8; 32], Slot)>,
    ahead: Vec<(Slot, [u8; 32], Lead)>,
    missing: BTreeSet<(String, [u8; 32])>,
}

impl Owners {
    /// With the keys that there are.
    pub(crate) fn new(digests: BlobKey, keys: Vec<SubjectKey>) -> Self {
        let mut of: HashMap<_, Vec<Slot>> = HashMap::new();
        for (slot, key) in keys.iter().enumerate() {
            of.entry((key.tenant.clone(), key.subject)).or_default().push(slot as Slot);
        }
        for slots in of.values_mut() {
            slots.sort_by_key(|slot| keys[*slot as usize].until.unwrap_or(i64::MAX));
        }
        let (used, trees) = (vec![0; keys.len()], vec![false; keys.len()]);
        let mut owners = Self {
            digests,
            keys,
            of,
            people: HashMap::new(),
            runs: Vec::new(),
            used,
            trees,
            sessions: HashMap::new(),
            blobs: HashMap::new(),
            objects: HashMap::new(),
            seen: HashSet::new(),
            ahead: Vec::new(),
            missing: BTreeSet::new(),
        };
        owners.needs(NO_TENANT, NOBODY, i64::MAX);
        owners
    }

    /// Looks at the next run, in the order of their ids.
    pub(crate) fn add(&mut self, run: &Run) {
        let nobodys = self.needs(&run.tenant, NOBODY, i64::MAX);
        let slot = match &run.person {
            Some(person) if !run.erased => {
                let subject = self.digest(&run.tenant, person);
                self.needs(&run.tenant, subject, run.created)
            }
            _ => nobodys,
        };
        // Whose key is missing is asked for, and all are looked at anew.
        let Some(slot) = slot else { return };
        self.runs.push((run.id.0, slot, run.erased));
        if !run.erased {
            self.used[slot as usize] += 1;
            add(&mut self.sessions, run.session, slot);
        }
    }

    /// Whose keys are needed and missing: tenant and digest.
    pub(crate) fn missing(&self) -> Vec<(String, [u8; 32])> {
        self.missing.iter().cloned().collect()
    }

    /// The keys under which something may be sealed, and how many runs are.
    pub(crate) fn uses(&self) -> Vec<KeyUse> {
        let all = self.keys.iter().zip(self.used.iter().zip(&self.trees));
        let uses =
            all.map(|(key, used)| (KeyUse { id: key.id, runs: *used.0, person: key.subject != NOBODY }, *used.1));
        uses.filter(|(one, trees)| one.runs > 0 || !one.person || *trees).map(|(one, _)| one).collect()
    }

    /// A run's record names this long text.
    pub(super) fn names(&mut self, run: RunId, blob: [u8; 32]) {
        if let Some(slot) = self.slot(run) {
            add(&mut self.blobs, blob, slot);
        }
    }

    /// A run's record leads there. Of a run that is erased the hashes of trees stay, and nothing that they lead to is its own any more.
    pub(super) fn leads(&mut self, run: RunId, objects: Vec<(BlobId, Lead)>) {
        if let Some((_, slot, false)) = self.found_run(run) {
            objects.into_iter().for_each(|(id, lead)| self.note(slot, id, lead));
        }
    }

    /// A snapshot of a sandbox, which no record names: whose it is. An erasure takes all that there are, whenever they were taken.
    pub(crate) fn keeps(&mut self, tenant: &str, person: &str, tree: [u8; 32]) {
        let subject = self.digest(tenant, person);
        if let Some(slot) = self.needs(tenant, subject, i64::MIN) {
            self.trees[slot as usize] = true;
            self.note(slot, BlobId(tree), Lead::Directory);
        }
    }

    /// Objects of a tenant that are to be read next; nothing when all are known.
    pub(super) fn wanted(&self) -> Option<(&str, Vec<[u8; 32]>)> {
        let tenant = |slot: &Slot| self.keys[*slot as usize].tenant.as_str();
        let (last, ..) = self.ahead.last()?;
        let part = self.ahead.iter().rev().take(AT_ONCE).take_while(|(slot, ..)| tenant(slot) == tenant(last));
        Some((tenant(last), part.map(|(_, id, _)| *id).collect()))
    }

    /// What they are, by their addresses; what is not there leads to nothing.
    pub(super) fn found(&mut self, leads: &Leads, objects: &HashMap<[u8; 32], Bytes>) {
        let Some((_, part)) = self.wanted() else { return };
        let part = self.ahead.split_off(self.ahead.len() - part.len());
        for (slot, id, lead) in part {
            let Some(content) = objects.get(&id) else { continue };
            (leads.0)(lead, content).into_iter().for_each(|(id, lead)| self.note(slot, id, lead));
        }
    }

    fn note(&mut self, slot: Slot, BlobId(id): BlobId, lead: Lead) {
        add(&mut self.objects, id, slot);
        if lead != Lead::Bytes && self.seen.insert((id, slot)) {
            self.ahead.push((slot, id, lead));
        }
    }

    /// The keys of whose an object is.
    pub(super) fn object(&self, object: &[u8; 32], tenant: &str) -> Vec<&SubjectKey> {
        self.few(self.objects.get(object), tenant)
    }

    /// The key of whose a run is.
    pub(super) fn run(&self, run: RunId) -> &SubjectKey {
        self.slot(run).map_or_else(|| self.nobody(NO_TENANT), |slot| &self.keys[slot as usize])
    }

    /// The keys of whose a session is.
    pub(super) fn session(&self, session: &[u8; 16], tenant: &str) -> Vec<&SubjectKey> {
        self.few(self.sessions.get(session), tenant)
    }

    /// The keys of whose a long text is.
    pub(super) fn blob(&self, blob: &[u8; 32], tenant: &str) -> Vec<&SubjectKey> {
        self.few(self.blobs.get(blob), tenant)
    }

    fn few(&self, few: Option<&Few>, tenant: &str) -> Vec<&SubjectKey> {
        match few {
            Some(Few::One(slot)) => vec![&self.keys[*slot as usize]],
            Some(Few::Some(slots)) => slots.iter().map(|slot| &self.keys[*slot as usize]).collect(),
            Some(Few::TooMany) | None => vec![self.nobody(tenant)],
        }
    }

    fn nobody(&self, tenant: &str) -> &SubjectKey {
        let found = self.key_at(tenant, NOBODY, i64::MAX).or_else(|| self.key_at(NO_TENANT, NOBODY, i64::MAX));
        &self.keys[found.expect("rows are sealed when no key is missing") as usize]
    }

    fn slot(&self, run: RunId) -> Option<Slot> {
        self.found_run(run).map(|(_, slot, _)| slot)
    }

    fn found_run(&self, run: RunId) -> Option<(u128, Slot, bool)> {
        let found = self.runs.binary_search_by_key(&run.0, |(id, ..)| *id).ok()?;
        Some(self.runs[found])
    }

    fn needs(&mut self, tenant: &str, subject: [u8; 32], created: i64) -> Option<Slot> {
        let found = self.key_at(tenant, subject, created);
        if found.is_none() {
            self.missing.insert((tenant.to_owned(), subject));
        }
        found
    }

    /// The key of a person for a run of that time: one that an erasure destroys is for those that began before it.
    fn key_at(&self, tenant: &str, subject: [u8; 32], created: i64) -> Option<Slot> {
        let slots = self.of.get(&(tenant.to_owned(), subject))?;
        slots.iter().copied().find(|slot| self.keys[*slot as usize].until.is_none_or(|until| until >= created))
    }

    fn digest(&mut self, tenant: &str, person: &str) -> [u8; 32] {
        let digests = &self.digests;
        *self
            .people
            .entry((tenant.to_owned(), person.to_owned()))
            .or_insert_with(|| digests.pseudonym(&Name::from(tenant), &Name::from(person)))
    }
}

fn add<const N: usize>(all: &mut HashMap<[u8; N], Few>, id: [u8; N], slot: Slot) {
    let few = all.entry(id).or_insert(Few::One(slot));
    match few {
        Few::One(one) if *one == slot => {}
        Few::One(one) => *few = Few::Some(vec![*one, slot]),
        Few::Some(slots) if slots.contains(&slot) => {}
        Few::Some(slots) if slots.len() < SHARED_MAX => slots.push(slot),
        Few::Some(_) | Few::TooMany => *few = Few::TooMany,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn run(id: u128, person: Option<&str>, created: i64) -> Run {
        let person = person.map(str::to_owned);
        Run { id: RunId(id), session: [9; 16], tenant: "acme".into(), person, created, erased: false }
    }

    fn keys_for(owners: &Owners, until: Option<i64>) -> Vec<SubjectKey> {
        owners.missing().iter().map(|(t, s)| SubjectKey::fresh(t, *s, 1, until).unwrap()).collect()
    }

    #[test]
    fn runs_of_before_an_erasure_are_sealed_under_the_key_that_it_destroys_and_later_ones_are_not() {
        let digests = BlobKey::from_bytes([7; 32]);
        let mut first = Owners::new(digests.clone(), Vec::new());
        first.add(&run(1, Some("ada"), 10));
        assert_eq!(first.missing().len(), 3, "hers, the tenant's, and that of no tenant");
        let current = keys_for(&first, None);
        let ada = digests.pseudonym(&"acme".into(), &"ada".into());
        let old = SubjectKey::fresh("acme", ada, 1, Some(10)).unwrap();
        let all = [current.clone(), vec![old.clone()]].concat();
        let mut owners = Owners::new(digests, all);
        for (id, created) in [(1, 10), (2, 11)] {
            owners.add(&run(id, Some("ada"), created));
        }
        owners.add(&run(3, None, 1));
        owners.add(&Run { erased: true, ..run(4, Some("gone"), 1) });
        assert!(owners.missing().is_empty(), "who has nothing left needs no key");
        assert_eq!(owners.run(RunId(1)).id, old.id);
        assert_eq!(owners.run(RunId(2)).until, None);
        assert_eq!((owners.run(RunId(2)).subject, owners.run(RunId(3)).subject), (ada, NOBODY));
        assert_eq!(owners.run(RunId(99)).tenant, NO_TENANT);
    }

    #[test]
    fn content_that_a_run_of_nobody_has_too_is_opened_without_the_persons_key() {
        let digests = BlobKey::from_bytes([7; 32]);
        let all = |owners: &mut Owners| {
            owners.add(&run(1, Some("ada"), 1));
            owners.add(&run(2, None, 1));
            owners.add(&Run { erased: true, ..run(3, Some("bob"), 1) });
        };
        let mut first = Owners::new(digests.clone(), Vec::new());
        all(&mut first);
        let mut owners = Owners::new(digests.clone(), keys_for(&first, None));
        all(&mut owners);
        let (both, hers) = (BlobId([1; 32]), BlobId([2; 32]));
        owners.leads(RunId(1), vec![(both, Lead::Bytes), (hers, Lead::Bytes)]);
        owners.leads(RunId(2), vec![(both, Lead::Bytes)]);
        owners.leads(RunId(3), vec![(hers, Lead::Bytes)]);
        let ada = digests.pseudonym(&"acme".into(), &"ada".into());
        let whose = |id: BlobId| owners.object(&id.0, "acme").iter().map(|key| key.subject).collect::<Vec<_>>();
        assert_eq!(whose(both), [ada, NOBODY]);
        assert_eq!(whose(hers), [ada], "what is erased leads nowhere");
    }

    #[test]
    fn what_very_many_share_is_the_tenants() {
        let digests = BlobKey::from_bytes([7; 32]);
        let all = |owners: &mut Owners| {
            for n in 0..=SHARED_MAX as u128 {
                owners.add(&run(n, Some(&format!("p{n}")), 1));
            }
        };
        let mut first = Owners::new(digests.clone(), Vec::new());
        all(&mut first);
        let mut owners = Owners::new(digests, keys_for(&first, None));
        all(&mut owners);
        for n in 0..=SHARED_MAX as u128 {
            let whose = owners.blob(&[1; 32], "acme");
            assert_eq!(whose.len(), (n as usize).max(1));
            owners.names(RunId(n), [1; 32]);
        }
        let whose = owners.blob(&[1; 32], "acme");
        assert_eq!(whose.iter().map(|key| key.subject).collect::<Vec<_>>(), [NOBODY]);
    }
}
