//! One counter with all that it remembers, and what it says.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use stead_core::{effect::Ended, ruling, time::Timestamp};

use super::{
    counter::{By, Counter, Measure},
    mark::Mark,
    track::{KeptValues, MAX_KEYS, MAX_POINTS, Point, Series, Values, alive, clamped},
};

/// What a counter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Of a `seen`.
    Bool(bool),
    /// Of a `count`, or of a `sum` of whole numbers.
    Long(i64),
    /// Of a `sum` of numbers with places: ten-thousandths.
    Decimal(i64),
    /// Of a `last`.
    Text(&'static str),
}

impl From<&Said> for ruling::Counted {
    fn from(said: &Said) -> Self {
        match said {
            Said::Bool(seen) => Self::Seen(*seen),
            Said::Long(number) => Self::Number(*number),
            Said::Decimal(sum) => Self::Sum(*sum),
            Said::Text(word) => Self::Last((*word).into()),
        }
    }
}

/// What one counter remembers of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Track {
    Series(Series),
    Values(Values),
    Last(Ended, Timestamp),
}

/// The same as it is kept.
#[derive(Clone, Debug, Encode, Decode)]
enum KeptTrack {
    #[n(0)]
    Series(#[n(0)] Vec<Point>),
    #[n(1)]
    Values(#[n(0)] KeptValues),
    #[n(2)]
    Last(#[n(0)] Ended, #[n(1)] Timestamp),
}

/// A [`Tally`] as it is kept.
#[derive(Clone, Debug, Encode, Decode)]
pub struct Kept {
    #[n(0)]
    counter: Counter,
    #[n(1)]
    overflowed: bool,
    #[n(2)]
    scopes: Vec<KeptScope>,
}

#[derive(Clone, Debug, Encode, Decode)]
struct KeptScope {
    #[n(0)]
    id: String,
    #[n(1)]
    track: KeptTrack,
}

/// See the module. Scopes are named by whoever tells it of marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    counter: Counter,
    scopes: BTreeMap<String, Track>,
    points: usize,
    /// Whether there were more than [`MAX_KEYS`] scopes at once.
    overflowed: bool,
}

impl Tally {
    /// Nothing has happened.
    pub const fn new(counter: Counter) -> Self {
        Self { counter, scopes: BTreeMap::new(), points: 0, overflowed: false }
    }

    /// The counter.
    pub const fn counter(&self) -> &Counter {
        &self.counter
    }

    /// How much is remembered: scopes, with their events and values.
    pub fn size(&self) -> usize {
        self.scopes.len() + self.points
    }

    /// Adds a mark of this counter. Marks of one run come in their order; those of different runs nearly.
    pub fn add(&mut self, scope: &str, at: Timestamp, mark: Mark) {
        if !self.scopes.contains_key(scope) {
            if self.scopes.len() >= MAX_KEYS {
                self.sweep(at, &|_| false);
            }
            if self.scopes.len() >= MAX_KEYS {
                self.overflowed = true;
                return;
            }
            let track = match self.counter.measure {
                Measure::Count | Measure::Sum { .. } => Track::Series(Series::default()),
                Measure::Seen { .. } => Track::Values(Values::default()),
                Measure::Last => Track::Last(Ended::Withdrawn, Timestamp(i64::MIN)),
            };
            self.scopes.insert(scope.to_owned(), track);
        }
        if self.points >= MAX_POINTS {
            self.sweep(at, &|_| false);
        }
        let (room, within) = (self.points < MAX_POINTS, self.counter.within);
        match (self.scopes.get_mut(scope), mark) {
            (Some(Track::Series(series)), Mark::Call(amount)) => {
                let before = series.len();
                series.add(at, amount, within, room);
                self.points = self.points + series.len() - before;
            }
            (Some(Track::Values(values)), Mark::Value(value)) => values.add(value, at, at, within),
            (Some(Track::Values(values)), Mark::Unknown) => values.add_unknown(at),
            (Some(Track::Last(last, when)), Mark::Ended(ended)) if at >= *when => (*last, *when) = (ended, at),
            _ => {}
        }
    }

    /// What it says in a scope, when so many calls with that sum, and `more`, are added to what it remembers. A `seen` asks
    /// about `value`.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn read<'m>(
        &self,
        scope: &str,
        now: Timestamp,
        value: Option<[u8; 16]>,
        (calls, amount): (i128, i128),
        more: impl Iterator<Item = &'m (Timestamp, Mark)>,
    ) -> Result<Said, String> {
        let within = self.counter.within;
        let track = self.scopes.get(scope);
        if track.is_none() && self.overflowed {
            return Err(format!("is not known: it has more than {MAX_KEYS} scopes"));
        }
        let more = more.filter(|(at, _)| alive(*at, now, within));
        match &self.counter.measure {
            Measure::Count | Measure::Sum { .. } => {
                let known = match track {
                    Some(Track::Series(series)) => series.read(now, within),
                    _ => (0, 0),
                };
                let known = (known.0 + calls, known.1 + amount);
                let (count, sum) = more.fold(known, |(count, sum), (_, mark)| match mark {
                    Mark::Call(amount) => (count + 1, sum + i128::from(*amount)),
                    _ => (count, sum),
                });
                Ok(match self.counter.measure {
                    Measure::Sum { decimal: true, .. } => Said::Decimal(clamped(sum)),
                    Measure::Sum { .. } => Said::Long(clamped(sum)),
                    _ => Said::Long(clamped(count)),
                })
            }
            Measure::Seen { .. } => {
                let value = value.ok_or("is not known: this call has no such argument")?;
                let known = match track {
                    Some(Track::Values(values)) => values.read(value, now, within),
                    _ => Some(false),
                };
                let seen = more.fold(known, |seen, (_, mark)| match mark {
                    Mark::Value(other) if *other == value => Some(true),
                    Mark::Unknown => seen.filter(|seen| *seen),
                    _ => seen,
                });
                seen.map(Said::Bool).ok_or_else(|| "is not known: not every value is remembered".to_owned())
            }
            Measure::Last => {
                let known = match track {
                    Some(Track::Last(ended, at)) if alive(*at, now, within) => Some((*ended, *at)),
                    _ => None,
                };
                let last = more.fold(known, |last, (at, mark)| match mark {
                    Mark::Ended(ended) if last.is_none_or(|(_, when)| *at >= when) => Some((*ended, *at)),
                    _ => last,
                });
                Ok(Said::Text(last.map_or("never", |(ended, _)| word(ended))))
            }
        }
    }

    /// Forgets what no window will show again, and, of a counter of runs, the runs that `ended` names.
    pub fn sweep(&mut self, now: Timestamp, ended: &dyn Fn(&str) -> bool) {
        let (by, within) = (self.counter.by, self.counter.within);
        self.scopes.retain(|id, track| {
            let over = by == By::Run && ended(id);
            !over
                && match track {
                    Track::Series(series) => series.sweep(now, within),
                    Track::Values(values) => values.sweep(now, within),
                    Track::Last(_, at) => alive(*at, now, within),
                }
        });
        self.count_points();
    }

    /// Forgets a scope, of which nothing more will be asked.
    pub fn forget(&mut self, scope: &str) {
        if let Some(Track::Series(series)) = self.scopes.remove(scope) {
            self.points -= series.len();
        }
    }

    fn count_points(&mut self) {
        let lens = self.scopes.values().map(|track| match track {
            Track::Series(series) => series.len(),
            _ => 0,
        });
        self.points = lens.sum();
    }

    /// As it is kept.
    pub fn keep(&self) -> Kept {
        let scope = |(id, track): (&String, &Track)| KeptScope {
            id: id.clone(),
            track: match track {
                Track::Series(series) => KeptTrack::Series(series.points()),
                Track::Values(values) => KeptTrack::Values(values.keep()),
                Track::Last(ended, at) => KeptTrack::Last(*ended, *at),
            },
        };
        Kept {
            counter: self.counter.clone(),
            overflowed: self.overflowed,
            scopes: self.scopes.iter().map(scope).collect(),
        }
    }

    /// From what was kept.
    pub fn of(kept: Kept) -> Self {
        let Kept { counter, overflowed, scopes } = kept;
        let within = counter.within;
        let scope = |KeptScope { id, track }| {
            let track = match track {
                KeptTrack::Series(points) => Track::Series(Series::of(points, within)),
                KeptTrack::Values(values) => Track::Values(Values::of(values)),
                KeptTrack::Last(ended, at) => Track::Last(ended, at),
            };
            (id, track)
        };
        let mut tally = Self { counter, scopes: scopes.into_iter().map(scope).collect(), points: 0, overflowed };
        tally.count_points();
        tally
    }
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
