//! What a decision hears of the past. It is told twice, with the calls whose appends are under way and without them: where
//! that makes a difference nothing is decided until they are settled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use stead_core::{
    message::Reply,
    run::{Call, State},
    time::Timestamp,
};
use stead_policy::{Ask, Counter, Event, Happened, Mark, Measure, Past, Said};
use stead_ports::journal::Journal;

use super::{
    book::{Book, Inside, Names, Place, UnderWay},
    calls::Calls,
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
    /// The marks of the call that is decided, when it was let go before: it does not count against itself.
    itself: Vec<(u64, Timestamp, Mark)>,
    /// What is told of a value that the call itself may have been the first to have.
    seen: bool,
    /// Whether that was asked.
    doubtful: AtomicBool,
    /// Whether calls count whose appends are under way.
    under_way: bool,
    /// Whether there were such calls where somebody looked; shared with [`Self::unseen`].
    hangs: Arc<AtomicBool>,
}

impl<'a> Heard<'a> {
    /// What is to be told about calls of a run in this state, whose open reply this is, to a decision about one of them.
    pub(crate) fn view(
        &'a self,
        state: &State,
        decided: Option<usize>,
        reply: Option<&Reply>,
        now: Timestamp,
    ) -> View<'a> {
        let fresh = |call: &Call| {
            let before = self.before.and_then(|before| before.call(call.head.effect));
            call.let_go.is_some() && before.is_none_or(|before| before.let_go.is_none())
        };
        let (mut own, mut itself) = (Vec::new(), Vec::new());
        let again = decided.map(|i| &state.calls[i]).filter(|call| call.let_go.is_some());
        if again.is_some() || state.calls.iter().any(fresh) {
            let (calls, place) = (Calls::open(state, reply), Place::of(state));
            let marks = |call: &Call, at: Timestamp, approved: bool| -> Vec<(u64, String, (Timestamp, Mark))> {
                let Some(called) = calls.get(call.head.effect) else { return Vec::new() };
                let event = Event {
                    at,
                    scope: place.scope(&state.tenant),
                    tool: &called.tool,
                    arguments: called.arguments.as_deref(),
                    happened: Happened::Sent { approved },
                };
                let mark = |(id, counter): (u64, &Counter)| {
                    let mark = self.book.mark(self.journal, counter, &event)?;
                    Some((id, counter.by.of(&event.scope).to_owned(), (at, mark)))
                };
                self.inside.counters().filter_map(mark).collect()
            };
            for call in state.calls.iter().filter(|call| fresh(call)) {
                own.extend(marks(call, now, call.approved || !call.given.is_empty()));
            }
            if let Some(call) = again {
                let at = call.let_go.unwrap_or(now);
                // Whether it had been approved then is not known any more: of a count it is only taken off what surely is in it.
                let sent = marks(call, at, false).into_iter();
                let values = marks(call, at, true).into_iter().filter(|(.., (_, mark))| !matches!(mark, Mark::Call(_)));
                itself = sent.chain(values).map(|(id, _, (at, mark))| (id, at, mark)).collect();
            }
        }
        let (doubtful, hangs) = (AtomicBool::new(false), Arc::default());
        View { heard: self, own, itself, seen: true, doubtful, under_way: true, hangs }
    }
}

impl View<'_> {
    /// Whether what was told hangs on calls under way.
    pub(crate) fn hangs(&self) -> bool {
        self.hangs.load(Relaxed)
    }

    /// Whether what was told hangs on whether the call itself was the first with its value.
    pub(crate) fn doubtful(&self) -> bool {
        self.doubtful.load(Relaxed)
    }

    /// The same without calls under way.
    pub(crate) fn settled(&self) -> Self {
        Self { under_way: false, ..self.clone() }
    }

    /// The same, as if nobody else had had the call's values. Either answer may be the one that counts, so what this one hangs on the
    /// first hangs on too.
    pub(crate) fn unseen(&self) -> Self {
        Self { seen: false, hangs: self.hangs.clone(), ..self.clone() }
    }
}

impl Clone for View<'_> {
    fn clone(&self) -> Self {
        let (own, itself) = (self.own.clone(), self.itself.clone());
        let (doubtful, hangs) = (AtomicBool::new(false), Arc::default());
        Self { heard: self.heard, own, itself, seen: self.seen, doubtful, under_way: self.under_way, hangs }
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
        let itself = || self.itself.iter().filter(|(of, ..)| *of == id);
        let within = |at: Timestamp| ask.counter.within.is_none_or(|within| ask.now < at.after(within));
        let calls = itself().fold(calls, |(count, sum), (_, at, mark)| match mark {
            Mark::Call(amount) if within(*at) => (count - 1, sum - i128::from(*amount)),
            _ => (count, sum),
        });
        let said = live.tally.read(scope, ask.now, value, calls, more)?;
        // It cannot be told from others that had the same value.
        if said == Said::Bool(true) && itself().any(|(.., mark)| value.is_some_and(|v| *mark == Mark::Value(v))) {
            self.doubtful.store(true, Relaxed);
            return Ok(Said::Bool(self.seen));
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_policy::{By, Scope, When};
    use stead_store::{SqliteOptions, SqliteStore};

    use super::{super::book::Books, *};

    #[test]
    fn what_only_the_stricter_answer_looked_at_is_waited_for_too() {
        let dir = tempfile::TempDir::new().unwrap();
        let journal = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
        let book = Books::default().of(&"acme".into());
        let tools = vec!["mail".to_owned()];
        let mails = Counter { measure: Measure::Count, tools, by: By::Tenant, within: None, when: When::Sent };
        let mut inside = book.lock();
        inside.pretend(&mails);
        let names = Names::from([("mails".to_owned(), mails.id())]);
        let (journal, split): (&dyn Journal, _) = (&journal, AtomicBool::new(false));
        let heard = Heard { book: &book, inside: &inside, names: &names, journal, before: None, split };
        let (doubtful, hangs) = (AtomicBool::new(false), Arc::default());
        let (own, itself) = (Vec::new(), Vec::new());
        let view = View { heard: &heard, own, itself, seen: true, doubtful, under_way: true, hangs };
        let scope = Scope { tenant: "acme", agent: "desk", session: "s", run: "r" };
        let ask = Ask { name: "mails", counter: &mails, scope, now: Timestamp(2), arguments: "{}" };
        // Without those under way there is nothing to wait for, and this says so of itself alone.
        assert_eq!(view.settled().read(&ask), Ok(Said::Long(0)));
        assert!(!view.hangs());
        assert_eq!(view.unseen().read(&ask), Ok(Said::Long(1)));
        assert!(view.hangs());
    }
}
