//! What differs between two policy sets: policies by their id, whatever their place in the files.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::policies::{Policies, Rule};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A policy is new.
    Added {
        /// Its id.
        policy: Arc<str>,
        /// Its text.
        text: String,
    },
    /// A policy is gone.
    Removed {
        /// Its id.
        policy: Arc<str>,
        /// Its text.
        text: String,
    },
    /// A policy says something else.
    Changed {
        /// Its id.
        policy: Arc<str>,
        /// What it said.
        before: String,
        /// What it says.
        after: String,
    },
    /// A counter is new, gone, or counts otherwise: decisions that read it start from nothing.
    Counter(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, name) = match self {
            Self::Added { policy, .. } => ("added", &**policy),
            Self::Removed { policy, .. } => ("removed", &**policy),
            Self::Changed { policy, .. } => ("changed", &**policy),
            Self::Counter(name) => ("counter", name.as_str()),
        };
        write!(f, "{word} {name}")?;
        let mut lines = |sign: char, text: &str| text.lines().try_for_each(|line| write!(f, "\n{sign} {line}"));
        match self {
            Self::Added { text, .. } => lines('+', text),
            Self::Removed { text, .. } => lines('-', text),
            Self::Changed { before, after, .. } => {
                lines('-', before)?;
                lines('+', after)
            }
            Self::Counter(_) => Ok(()),
        }
    }
}

/// What is in `after` and not in `before`, gone, or otherwise. A policy without an `@id` that only moved is no difference.
pub fn diff(before: &Policies, after: &Policies) -> Vec<Change> {
    let mut gone: BTreeMap<&str, &Rule> = before.rules.iter().map(|rule| (&*rule.id, rule)).collect();
    let mut new: Vec<&Rule> = Vec::new();
    let mut changes = Vec::new();
    for rule in &after.rules {
        match gone.get(&*rule.id) {
            Some(other) if text(other) == text(rule) => drop(gone.remove(&*rule.id)),
            _ => new.push(rule),
        }
    }
    new.retain(|rule| {
        let moved = gone.iter().find(|(_, other)| text(other) == text(rule)).map(|(id, _)| *id);
        moved.is_none_or(|id| gone.remove(id).is_none())
    });
    for rule in new {
        changes.push(match gone.remove(&*rule.id) {
            Some(other) => Change::Changed { policy: rule.id.clone(), before: text(other), after: text(rule) },
            None => Change::Added { policy: rule.id.clone(), text: text(rule) },
        });
    }
    changes.extend(gone.into_values().map(|rule| Change::Removed { policy: rule.id.clone(), text: text(rule) }));
    let (a, b) = (before.world.counters(), after.world.counters());
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    changes.extend(names.into_iter().filter(|n| a.get(*n) != b.get(*n)).map(|n| Change::Counter(n.clone())));
    changes
}

fn text(rule: &Rule) -> String {
    rule.policy.to_cedar().unwrap_or_else(|| rule.policy.to_string())
}
