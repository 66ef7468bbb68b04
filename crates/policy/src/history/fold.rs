//! The fold of events into all counters of a set at once.

use std::collections::BTreeMap;

use stead_core::{effect::Ended, time::Timestamp};

use super::{
    counter::{By, Counter, Counters},
    past::{Ask, Past},
    tally::{Said, Tally},
};

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The agent's name.
    pub agent: &'a str,
    /// The session; of a run that another one started, the session that it works for.
    pub session: &'a str,
    /// The run.
    pub run: &'a str,
}

impl By {
    /// What of a place is counted together.
    pub const fn of<'a>(self, scope: &Scope<'a>) -> &'a str {
        match self {
            Self::Run => scope.run,
            Self::Session => scope.session,
            Self::Agent => scope.agent,
            Self::Tenant => "",
        }
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was let go: from here on it counts as sent, so that calls under way at once see each other.
    Sent {
        /// Whether a human had approved it.
        approved: bool,
    },
    /// It ended.
    Ended(Ended),
}

/// Something that happened to a call.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub scope: Scope<'a>,
    /// The tool.
    pub tool: &'a str,
    /// Its arguments as JSON; `None` when nobody can read them any more.
    pub arguments: Option<&'a str>,
    /// What.
    pub happened: Happened,
}

/// What has happened, as far as the counters of a policy set ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    counters: Counters,
    tallies: BTreeMap<String, Tally>,
}

impl History {
    /// Nothing has happened.
    pub fn new(counters: Counters) -> Self {
        Self { counters, tallies: BTreeMap::new() }
    }

    /// The counters.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adds what happened. Events of one run come in their order; those of different runs nearly.
    pub fn apply(&mut self, event: &Event<'_>) {
        for (name, counter) in &self.counters {
            if let Some(mark) = counter.mark(event) {
                let tally = self.tallies.entry(name.clone()).or_insert_with(|| Tally::new(counter.clone()));
                tally.add(&key(counter, &event.scope), event.at, mark);
            }
        }
    }

    /// What a counter remembers.
    #[cfg(test)]
    pub(crate) fn tally(&self, name: &str) -> &Tally {
        &self.tallies[name]
    }

    /// What a counter says to a call; the error is what is wrong with asking.
    pub(crate) fn read(&self, name: &str, scope: &Scope<'_>, now: Timestamp, arguments: &str) -> Result<Said, String> {
        let counter = self.counters.get(name).ok_or("is no counter of this history")?;
        let value = counter.value(arguments);
        let key = key(counter, scope);
        match self.tallies.get(name) {
            Some(tally) => tally.read(&key, now, value, (0, 0), [].iter()),
            None => Tally::new(counter.clone()).read(&key, now, value, (0, 0), [].iter()),
        }
    }
}

impl Past for History {
    fn read(&self, ask: &Ask<'_>) -> Result<Said, String> {
        // A history that was folded for other counters says nothing about these.
        if self.counters.get(ask.name) != Some(ask.counter) {
            return Err("is not what this history counts".to_owned());
        }
        Self::read(self, ask.name, &ask.scope, ask.now, ask.arguments)
    }
}

/// What is counted together: tenants never share a counter.
fn key(counter: &Counter, scope: &Scope<'_>) -> String {
    format!("{}\0{}", scope.tenant, counter.by.of(scope))
}
