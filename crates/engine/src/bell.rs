//! What happens to questions, told to whoever follows them: asked, reminded, escalated, answered, expired. It is told from durable
//! records, and the last of it is kept in memory; who missed more begins again from the questions that are open.
//!
//! An event's name is the life of this process and a number. What another life told nobody can go on from.

use std::{collections::VecDeque, fmt, str::FromStr};

use futures_util::{Stream, stream};
use parking_lot::Mutex;
use stead_core::{
    fact::Fact,
    id::{EffectId, Name},
    run::State,
    time::Timestamp,
};
use tokio::sync::watch;

use crate::{Engine, approvals::open};

/// Events that are kept for followers who come back.
const KEPT: usize = 4_096;

/// Where a follower of questions stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedId {
    /// The life of the process that told it.
    pub life: u64,
    /// Its number, from 1.
    pub n: u64,
}

impl fmt::Display for AskedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.life, self.n)
    }
}

impl FromStr for AskedId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let (life, n) = s.split_once('.').ok_or(())?;
        let life = u64::from_str_radix(life, 16).map_err(drop)?;
        Ok(Self { life, n: n.parse().map_err(drop)? })
    }
}

/// What happened to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was asked, or asked anew.
    Opened,
    /// People were reminded, and how often so far.
    Reminded(u32),
    /// This role, or person, may answer it too.
    Escalated(Name),
    /// This person said yes.
    Approved(Name),
    /// This person said no.
    Denied(Name),
    /// Nobody answered in time.
    Expired,
    /// Nobody is asked any more: it was let go, withdrawn, or its run ended.
    Closed,
}

/// Something that happened to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedEvent {
    /// Its name.
    pub id: AskedId,
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub tenant: Name,
    /// The agent.
    pub agent: Name,
    /// The question.
    pub effect: EffectId,
    /// What happened.
    pub turn: Turn,
}

/// What a follower is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something was missed, or this is the beginning: what is open now has to be looked at. What comes after this has a later id.
    Reset(AskedId),
    /// Something happened.
    Event(AskedEvent),
}

/// See the module.
pub(crate) struct Bell {
    life: u64,
    kept: Mutex<VecDeque<AskedEvent>>,
    /// The number of the last event.
    news: watch::Sender<u64>,
}

impl Bell {
    pub(crate) fn new(random: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = random;
        let life = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self { life, kept: Mutex::default(), news: watch::Sender::new(0) }
    }

    /// Tells what a durable record did to the questions of its run.
    pub(crate) fn ring(&self, facts: &[Fact], at: Timestamp, was: Option<&State>, now: &State) {
        let turns = turns(facts, was, now);
        if turns.is_empty() {
            return;
        }
        let mut kept = self.kept.lock();
        let mut n = *self.news.borrow();
        for (effect, turn) in turns {
            n += 1;
            let (tenant, agent) = (now.tenant.clone(), now.agent.clone());
            let id = AskedId { life: self.life, n };
            kept.push_back(AskedEvent { id, at, tenant, agent, effect: now.effect_id(effect), turn });
        }
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
        self.news.send_replace(n);
    }

    /// What follows an event; `None` when something between was missed.
    fn since(&self, after: AskedId) -> Option<Vec<AskedEvent>> {
        let kept = self.kept.lock();
        let last = *self.news.borrow();
        let first = kept.front().map_or(last + 1, |event| event.id.n);
        if after.life != self.life || after.n > last || after.n + 1 < first {
            return None;
        }
        Some(kept.iter().filter(|event| event.id.n > after.n).cloned().collect())
    }

    fn here(&self) -> AskedId {
        AskedId { life: self.life, n: *self.news.borrow() }
    }
}

/// What facts say of questions, and of those that were open before and are not any more, though no fact says so.
fn turns(facts: &[Fact], was: Option<&State>, now: &State) -> Vec<(u32, Turn)> {
    let turn = |fact: &Fact| match fact {
        Fact::ApprovalRequested(f) => Some((f.effect, Turn::Opened)),
        Fact::ApprovalReminded(f) => Some((f.effect, Turn::Reminded(f.reminder))),
        Fact::ApprovalEscalated(f) => Some((f.effect, Turn::Escalated(f.to.clone()))),
        Fact::ApprovalGiven(f) if f.approved => Some((f.effect, Turn::Approved(f.by.clone()))),
        Fact::ApprovalGiven(f) => Some((f.effect, Turn::Denied(f.by.clone()))),
        Fact::ApprovalExpired(f) => Some((f.effect, Turn::Expired)),
        _ => None,
    };
    let mut turns: Vec<_> = facts.iter().filter_map(turn).collect();
    let over =
        |effect: u32| turns.iter().any(|(of, turn)| *of == effect && matches!(turn, Turn::Denied(_) | Turn::Expired));
    let closed = was.into_iter().flat_map(open).map(|question| question.effect);
    let closed = closed.filter(|effect| !open(now).any(|question| question.effect == *effect) && !over(*effect));
    let closed: Vec<_> = closed.map(|effect| (effect, Turn::Closed)).collect();
    turns.extend(closed);
    turns
}

impl Engine {
    /// What happens to the questions of a tenant, from an event on. Without one, or when something between was missed, it begins
    /// with a reset.
    pub fn asked_events(
        &self,
        tenant: Name,
        after: Option<AskedId>,
    ) -> impl Stream<Item = Told> + Send + 'static + use<> {
        let news = self.0.bell.news.subscribe();
        let begin = (self.clone(), tenant, after, news, VecDeque::new());
        stream::unfold(begin, |(engine, tenant, mut at, mut news, mut ready)| async move {
            loop {
                if let Some(told) = ready.pop_front() {
                    return Some((told, (engine, tenant, at, news, ready)));
                }
                news.borrow_and_update();
                let bell = &engine.0.bell;
                match at.and_then(|at| bell.since(at)) {
                    None => {
                        let here = bell.here();
                        at = Some(here);
                        ready.push_back(Told::Reset(here));
                        continue;
                    }
                    Some(events) => {
                        if let Some(last) = events.last() {
                            at = Some(last.id);
                        }
                        ready.extend(events.into_iter().filter(|event| event.tenant == tenant).map(Told::Event));
                    }
                }
                if ready.is_empty() && news.changed().await.is_err() {
                    return None;
                }
            }
        })
    }

    /// Changes whenever something happened to a question.
    pub fn asked_news(&self) -> watch::Receiver<u64> {
        self.0.bell.news.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = AskedId { life: u64::MAX - 3, n: 12 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", ".", "x.1", "1.x", "7"] {
            assert_eq!(bad.parse::<AskedId>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn who_comes_from_another_life_or_missed_too_much_begins_again() {
        let bell = Bell::new([7; 16]);
        let here = bell.here();
        assert_eq!(bell.since(here), Some(Vec::new()));
        assert_eq!(bell.since(AskedId { life: 1, ..here }), None, "another life");
        assert_eq!(bell.since(AskedId { n: 5, ..here }), None, "nothing that was told");
        bell.news.send_replace(9);
        assert_eq!(bell.since(here), None, "it is not kept any more");
    }
}
