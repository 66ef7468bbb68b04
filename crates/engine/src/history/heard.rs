//! What a decision hears of the past. It is told twice, with the calls whose appends are under way and without them: where
//! that makes a difference nothing is decided until they are settled.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use stead_core::{message::Reply, run::State, time::Timestamp};
use stead_policy::{Ask, Event, Happened, Mark, Measure, Past, Said};
use stead_ports::journal::Journal;

use super::{
    book::{Book, Inside, Names, Place, UnderWay},
    calls::{Calls, let_go},
};

/// What there is to hear while a decision is made; nothing is added meanwhile.
pub(crate) struct Heard<'a> {
    pub(crate) book: &'a Book,
    pub(crate) inside: &'a Inside,
    pub(crate) names: &'a Names,
    pub(crate) journal: &'a dyn Journal,
    /// The run before the decision.
    pub(crate) before: Option<&'a State>,
    /// Whether something was asked whose answer hangs on calls under way.
    pub(crate) split: AtomicBool,
}

/// One of two tellings.
pub(crate) struct View<'a> {
    heard: &'a Heard<'a>,
    /// What this very decision has let go before: counter, scope, mark.
    own: Vec<(u64, String, (Timestamp, Mark))>,
    /// Whether calls count whose appends are under way.
    under_way: bool,
    /// Whether there were such calls where somebody looked.
    hangs: AtomicBool,
}

impl<'a> Heard<'a> {
    /// What is to be told about calls of a run in this state, whose open reply this is.
    pub(crate) fn view(&'a self, state: &State, reply: Option<&Reply>, now: Timestamp) -> View<'a> {
        let fresh = |effect: u32| {
            let before = self.before.and_then(|before| before.call(effect));
            !before.is_some_and(let_go)
        };
        let mut own = Vec::new();
        if state.calls.iter().any(|call| let_go(call) && fresh(call.head.effect)) {
            let (calls, place) = (Calls::open(state, reply), Place::of(state));
            for call in state.calls.iter().filter(|call| let_go(call) && fresh(call.head.effect)) {
                let Some(called) = calls.get(call.head.effect) else { continue };
                let event = Event {
                    at: now,
                    scope: place.scope(&state.tenant),
                    tool: &called.tool,
                    arguments: called.arguments.as_deref(),
                    happened: Happened::Sent { approved: call.approved || !call.given.is_empty() },
                };
                own.extend(self.inside.counters().filter_map(|(id, counter)| {
                    let mark = self.book.mark(self.journal, counter, &event)?;
                    Some((id, counter.by.of(&event.scope).to_owned(), (now, mark)))
                }));
            }
        }
        View { heard: self, own, under_way: true, hangs: AtomicBool::new(false) }
    }
}

impl View<'_> {
    /// Whether what was told hangs on calls under way.
    pub(crate) fn hangs(&self) -> bool {
        self.hangs.load(Relaxed)
    }

    /// The same without them.
    pub(crate) fn settled(&self) -> Self {
        Self { heard: self.heard, own: self.own.clone(), under_way: false, hangs: AtomicBool::new(false) }
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("under_way", &self.under_way).finish_non_exhaustive()
    }
}

impl Past for View<'_> {
    fn read(&self, ask: &Ask<'_>) -> Result<Said, String> {
        let Heard { book, inside, names, journal, .. } = self.heard;
        let id = *names.get(ask.name).ok_or("is no counter of this set")?;
        let scope = ask.counter.by.of(&ask.scope);
        let (live, under_way) = inside.look(id, scope).ok_or("is not known yet: ask again")?;
        if live.since.is_some() {
            return Err("is not known yet: the recorded history is still being read".to_owned());
        }
        if under_way.is_some() {
            self.hangs.store(true, Relaxed);
        }
        let under_way = if self.under_way { under_way } else { None };
        // Calls are counted together; of values and ends each is looked at.
        let calls = under_way.map_or((0, 0), |under_way| under_way.calls);
        let each = under_way.filter(|_| matches!(ask.counter.measure, Measure::Seen { .. } | Measure::Last));
        let own = self.own.iter().filter(|(of, at, _)| *of == id && at == scope).map(|(_, _, mark)| mark);
        let more = each.into_iter().flat_map(UnderWay::marks).chain(own);
        let value = ask.counter.value(ask.arguments).map(|value| book.sealed(*journal, value));
        live.tally.read(scope, ask.now, value, calls, more)
    }
}
