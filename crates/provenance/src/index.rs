//! What trusted and attested sources have said in a run, by key. It grows by the new text of each step, and is bounded: a value that
//! found no place is one that nobody has said.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    normal::{self, Key},
    trust::Label,
};

/// Keys of what operator and user say.
pub(crate) const MAX_SPOKEN: usize = 32_768;
/// Keys of what results say.
pub(crate) const MAX_FOUND: usize = 65_536;
/// Bytes up to which a value is compared by its looks.
const MAX_LOOK: usize = 256;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Entry of the conversation, from 0; `None` for the instructions.
    pub entry: Option<u32>,
    /// Path in the entry's JSON; `None` for a text.
    pub path: Option<Arc<str>>,
}

/// A value that a source has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) label: Label,
    pub(crate) place: Place,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    spoken: Section,
    found: Section,
    looks: BTreeMap<Box<str>, Key>,
}

#[derive(Clone, Debug, Default)]
struct Section {
    known: BTreeMap<Key, Known>,
    full: bool,
}

impl Index {
    /// A token of what operator or user say, with its keys.
    pub(crate) fn say(&mut self, token: &str, keys: &[Key], known: &Known) {
        let new = keys.iter().fold(false, |new, key| self.spoken.enter(key, known, MAX_SPOKEN) | new);
        self.look(token, keys, new);
    }

    /// A token of what a result says, with its keys.
    pub(crate) fn find(&mut self, token: &str, keys: &[Key], known: &Known) {
        let new = keys.iter().fold(false, |new, key| self.found.enter(key, known, MAX_FOUND) | new);
        self.look(token, keys, new);
    }

    fn look(&mut self, token: &str, keys: &[Key], new: bool) {
        if let Some(first) = keys.first().filter(|_| new && looks_like_something(token)) {
            for look in normal::skeletons(token) {
                self.looks.entry(look.into()).or_insert_with(|| first.clone());
            }
        }
    }

    /// The best that is known of a value with these keys.
    pub(crate) fn get(&self, keys: &[Key]) -> Option<&Known> {
        let all = keys.iter().flat_map(|k| [self.spoken.known.get(k), self.found.known.get(k)]).flatten();
        // Of equals the first: who said it before.
        all.reduce(|best, k| if k.label.trust > best.label.trust { k } else { best })
    }

    /// Whether operator or user have said it.
    pub(crate) fn is_trusted(&self, key: &Key) -> bool {
        self.spoken.known.get(key).is_some_and(|known| known.label.is_trusted())
    }

    /// The trusted value that a text looks like.
    pub(crate) fn look_alike(&self, text: &str) -> Option<&Key> {
        if !looks_like_something(text) {
            return None;
        }
        normal::skeletons(text).iter().find_map(|look| self.looks.get(look.as_str()))
    }

    /// Whether something found no place any more.
    pub(crate) const fn is_full(&self) -> bool {
        self.spoken.full || self.found.full
    }

    /// How many keys it has.
    pub(crate) fn len(&self) -> usize {
        self.spoken.known.len() + self.found.known.len()
    }
}

/// A look-alike imitates something that has letters.
fn looks_like_something(text: &str) -> bool {
    text.len() <= MAX_LOOK && text.chars().filter(|c| c.is_alphabetic()).count() >= 3
}

impl Section {
    /// Whether it was not known, or counts further now.
    fn enter(&mut self, key: &Key, known: &Known, most: usize) -> bool {
        if let Some(old) = self.known.get_mut(key) {
            let higher = old.label.trust < known.label.trust;
            if higher {
                *old = known.clone();
            }
            return higher;
        }
        if self.known.len() >= most {
            self.full = true;
            return false;
        }
        self.known.insert(key.clone(), known.clone());
        true
    }
}
