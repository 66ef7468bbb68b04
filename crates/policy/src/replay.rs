//! Recorded history, decided again under another policy set: every decision that would turn out otherwise.

use crate::{
    cases::Outcome,
    decision::Decision,
    history::{Event, History},
    policies::Policies,
    request::{Facts, Request},
};

/// Something recorded, in the order of the journal.
#[derive(Clone, Debug)]
pub enum Recorded<'a> {
    /// A call went out or ended.
    Happened(Event<'a>),
    /// A decision was made. The history that stands in its facts is not used: the new set counts for itself.
    Decided {
        /// How it is told of: the effect's id.
        id: &'a str,
        /// The question.
        request: Request<'a>,
        /// What came of it.
        was: Outcome,
    },
}

/// A decision that would turn out otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip {
    /// Which.
    pub id: String,
    /// What it was.
    pub was: Outcome,
    /// What it would be, with all values.
    pub now: Decision,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Decisions that were made again.
    pub decided: u64,
    /// Those that would turn out otherwise.
    pub flips: Vec<Flip>,
}

/// Decides a recorded history again. What followed in the record is taken as it was, also after a flip.
pub fn replay<'a>(policies: &Policies, recorded: impl IntoIterator<Item = Recorded<'a>>) -> Replay {
    let mut history = History::new(policies.world().counters().clone());
    let mut replay = Replay::default();
    for entry in recorded {
        match entry {
            Recorded::Happened(event) => history.apply(&event),
            Recorded::Decided { id, request, was } => {
                let Request { principal, deed, facts } = request;
                let request = Request { principal, deed, facts: Facts { history: &history, ..facts } };
                let now = policies.explain(&request);
                replay.decided += 1;
                if Outcome::from(&now.verdict) != was {
                    replay.flips.push(Flip { id: id.to_owned(), was, now });
                }
            }
        }
    }
    replay
}
