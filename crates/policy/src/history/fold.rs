//! The fold: events in, and for a request what each counter says.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};
use stead_core::{effect::Ended, time::Timestamp};

use super::{
    counter::{By, Counter, Counters, Measure, When},
    track::{MAX_KEYS, MAX_POINTS, Series, Values, alive},
};
use crate::json::{self, Members, decimal_text, scaled};

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The agent's name.
    pub agent: &'a str,
    /// The session.
    pub session: &'a str,
    /// The run.
    pub run: &'a str,
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
    /// Its arguments as JSON.
    pub arguments: &'a str,
    /// What.
    pub happened: Happened,
}

/// What a counter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Bool(bool),
    Long(i64),
    Decimal(i64),
    Text(&'static str),
}

/// What one counter remembers of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Track {
    Series(Series),
    Values(Values),
    Last(Ended, Timestamp),
}

/// The scopes of one counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scopes {
    tracks: BTreeMap<(String, String), Track>,
    points: usize,
    /// Whether there were more than [`MAX_KEYS`] at once.
    overflowed: bool,
}

/// What has happened, as far as the counters of a policy set ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    counters: Arc<Counters>,
    scopes: BTreeMap<String, Scopes>,
    /// The latest time of all events: times never go back.
    latest: Timestamp,
}

impl History {
    /// Nothing has happened.
    pub fn new(counters: Counters) -> Self {
        Self { counters: Arc::new(counters), ..Self::default() }
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adds what happened. Events of one run come in their order; those of different runs nearly.
    pub fn apply(&mut self, event: &Event<'_>) {
        self.latest = self.latest.max(event.at);
        let counters = Arc::clone(&self.counters);
        for (name, counter) in counters.iter().filter(|(_, counter)| counter.counts(event)) {
            let scopes = self.scopes.entry(name.clone()).or_default();
            scopes.add(counter, event, self.latest);
        }
    }

    /// Forgets what no window will show again, and what counters of runs remember of runs that `ended` names.
    pub fn sweep(&mut self, now: Timestamp, ended: impl Fn(&str) -> bool) {
        for (name, scopes) in &mut self.scopes {
            if let Some(counter) = self.counters.get(name) {
                scopes.sweep(counter, now, &ended);
            }
        }
    }

    /// What a counter says to a call; the error is what is wrong with asking.
    pub(crate) fn read(&self, name: &str, scope: &Scope<'_>, now: Timestamp, arguments: &str) -> Result<Said, String> {
        let counter = self.counters.get(name).ok_or("is no counter of this history")?;
        let scopes = self.scopes.get(name);
        let track = scopes.and_then(|scopes| scopes.tracks.get(&key(counter.by, scope)));
        if track.is_none() && scopes.is_some_and(|scopes| scopes.overflowed) {
            return Err(format!("is not known: it has more than {MAX_KEYS} scopes"));
        }
        let series = || match track {
            Some(Track::Series(series)) => series.read(now, counter.within),
            _ => (0, 0),
        };
        match &counter.measure {
            Measure::Count => Ok(Said::Long(series().0)),
            Measure::Sum { decimal: true, .. } => Ok(Said::Decimal(series().1)),
            Measure::Sum { decimal: false, .. } => Ok(Said::Long(series().1)),
            Measure::Seen { argument } => {
                let value = value_at(arguments, argument).ok_or("is not known: this call has no such argument")?;
                let seen = match track {
                    Some(Track::Values(values)) => values.read(value, now, counter.within),
                    _ => Some(false),
                };
                seen.map(Said::Bool).ok_or_else(|| format!("is not known: there were more than {MAX_KEYS} values"))
            }
            Measure::Last => Ok(Said::Text(match track {
                Some(Track::Last(ended, at)) if alive(*at, now, counter.within) => word(*ended),
                _ => "never",
            })),
        }
    }
}

impl Counter {
    fn counts(&self, event: &Event<'_>) -> bool {
        let happened = match (&self.measure, event.happened) {
            (Measure::Last, happened) => matches!(happened, Happened::Ended(_)),
            (_, Happened::Sent { approved }) => self.when == When::Sent || (self.when == When::Approved && approved),
            (_, Happened::Ended(Ended::Returned)) => self.when == When::Returned,
            (_, Happened::Ended(Ended::Denied)) => self.when == When::Denied,
            (_, Happened::Ended(_)) => false,
        };
        happened && (self.tools.is_empty() || self.tools.iter().any(|tool| tool == event.tool))
    }
}

impl Scopes {
    fn add(&mut self, counter: &Counter, event: &Event<'_>, now: Timestamp) {
        let key = key(counter.by, &event.scope);
        if !self.tracks.contains_key(&key) && self.tracks.len() >= MAX_KEYS {
            self.sweep(counter, now, &|_| false);
            if self.tracks.len() >= MAX_KEYS {
                self.overflowed = true;
                return;
            }
        }
        if self.points >= MAX_POINTS {
            self.sweep(counter, now, &|_| false);
        }
        let room = self.points < MAX_POINTS;
        let empty = || match counter.measure {
            Measure::Count | Measure::Sum { .. } => Track::Series(Series::default()),
            Measure::Seen { .. } => Track::Values(Values::default()),
            Measure::Last => Track::Last(Ended::Withdrawn, Timestamp(i64::MIN)),
        };
        match (self.tracks.entry(key).or_insert_with(empty), &counter.measure) {
            (Track::Series(series), measure) => {
                let amount = match measure {
                    Measure::Sum { argument, decimal } => amount_at(event.arguments, argument, *decimal),
                    _ => 0,
                };
                let before = series.len();
                series.add(event.at, amount, counter.within, room);
                self.points = self.points + series.len() - before;
            }
            (Track::Values(values), Measure::Seen { argument }) => {
                if let Some(value) = value_at(event.arguments, argument) {
                    values.add(value, event.at, now, counter.within);
                }
            }
            (Track::Last(ended, at), _) => {
                if let Happened::Ended(how) = event.happened
                    && event.at >= *at
                {
                    (*ended, *at) = (how, event.at);
                }
            }
            (Track::Values(_), _) => {}
        }
    }

    fn sweep(&mut self, counter: &Counter, now: Timestamp, ended: &impl Fn(&str) -> bool) {
        self.tracks.retain(|(_, id), track| {
            let over = counter.by == By::Run && ended(id);
            !over
                && match track {
                    Track::Series(series) => series.sweep(now, counter.within),
                    Track::Values(values) => values.sweep(now, counter.within),
                    Track::Last(_, at) => alive(*at, now, counter.within),
                }
        });
        let lens = self.tracks.values().map(|track| match track {
            Track::Series(series) => series.len(),
            _ => 0,
        });
        self.points = lens.sum();
    }
}

/// What is counted together: tenants never share a counter.
fn key(by: By, scope: &Scope<'_>) -> (String, String) {
    let id = match by {
        By::Run => scope.run,
        By::Session => scope.session,
        By::Agent => scope.agent,
        By::Tenant => "",
    };
    (scope.tenant.to_owned(), id.to_owned())
}

const fn word(ended: Ended) -> &'static str {
    match ended {
        Ended::Returned => "returned",
        Ended::Refused => "refused",
        Ended::NotSent => "not_sent",
        Ended::Unknown => "unknown",
        Ended::Withdrawn => "withdrawn",
        Ended::Denied => "denied",
    }
}

/// The text of an argument.
fn text_at<'a>(arguments: &'a str, path: &[String]) -> Option<&'a str> {
    let mut text = arguments;
    for name in path {
        text = Members::of(text).ok()?.get(name)?;
    }
    Some(text)
}

/// What a call adds to a sum: what is left out or negative adds nothing, what cannot be read adds all there is.
fn amount_at(arguments: &str, path: &[String], decimal: bool) -> i64 {
    match text_at(arguments, path) {
        None | Some("null") => 0,
        Some(text) => scaled(text, if decimal { json::PLACES } else { 0 }).map_or(i64::MAX, |amount| amount.max(0)),
    }
}

/// A digest of an argument by what it says, not by how it is written.
fn value_at(arguments: &str, path: &[String]) -> Option<[u8; 16]> {
    let text = text_at(arguments, path)?;
    let said = match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok().map(|said| format!("\"{said}"))?,
        b't' | b'f' => text.to_owned(),
        b'-' | b'0'..=b'9' => decimal_text(scaled(text, json::PLACES)?),
        _ => return None,
    };
    Sha256::digest(said.as_bytes())[..16].try_into().ok()
}
