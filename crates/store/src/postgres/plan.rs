//! What a batch of appends comes to: which are refused, and which rows the others write. No I/O here: all that must be
//! known has been looked up before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use stead_core::{
    budget::{Amounts, Spend},
    id::{Name, RunId, SessionId},
    time::Timestamp,
};
use stead_ports::journal::{Append, AppendError, InboxRow, NewRun, RunState, SessionChange, Status};

use super::{
    budgets::{self, Book, Change, Window},
    usage::Sums,
};
use crate::{
    blob::Packed,
    check::{Known, Recent, Slot, Slots, Stop, check},
};

/// An append on its way, its record and blobs already packed.
pub(crate) struct Pending {
    pub(crate) append: Append,
    pub(crate) blobs: Vec<Packed>,
    pub(crate) ack: stead_ports::journal::AckSender,
}

impl Pending {
    /// Bytes that it writes.
    pub(crate) fn size(&self) -> usize {
        self.append.record.len() + self.blobs.iter().map(|b| b.body.len()).sum::<usize>()
    }
}

/// What the flusher keeps in memory, so that a run that goes on costs no look into the database.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Valid under this epoch: another owner may have written before it.
    pub(crate) epoch: u64,
    /// Runs, with their sessions.
    pub(crate) slots: Slots<SessionId>,
    /// The foreground runs of sessions.
    pub(crate) active: Recent<SessionId, Option<RunId>>,
}

impl Memory {
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.active.clear();
    }
}

/// Idempotency keys that are taken, as far as a batch asks for them.
pub(crate) type Keys = HashMap<(Name, Name), (RunId, [u8; 32])>;

/// What was looked up for one batch.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) keys: Keys,
    pub(crate) book: Book,
}

/// What must be looked up before a batch can be planned.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) runs: BTreeSet<RunId>,
    pub(crate) sessions: BTreeSet<SessionId>,
    pub(crate) keys: BTreeSet<(Name, Name)>,
    pub(crate) windows: BTreeSet<Window>,
}

impl Questions {
    pub(crate) fn of(batch: &[Pending], memory: &mut Memory) -> Self {
        let mut questions = Self::default();
        for Pending { append, .. } in batch {
            let slot = memory.slots.get(append.run);
            if slot.is_none() {
                questions.runs.insert(append.run);
            }
            let Some(index) = &append.index else { continue };
            questions.windows.extend(index.budgets.iter().map(budgets::window));
            let session = index.create.as_ref().map(|new| new.session).or(slot.map(|s| s.home));
            if let (Some(_), Some(session)) = (&index.session, session)
                && memory.active.get(session).is_none()
            {
                questions.sessions.insert(session);
            }
            if let Some(NewRun { tenant, idempotency: Some((key, _)), .. }) = &index.create {
                questions.keys.insert((tenant.clone(), key.clone()));
            }
        }
        questions
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.sessions.is_empty() && self.keys.is_empty() && self.windows.is_empty()
    }
}

/// How a session changes over a batch.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) active: Option<RunId>,
    pub(crate) head: Option<RunId>,
    pub(crate) spent: Spend,
    pub(crate) used: Amounts,
}

/// A run as it is created.
pub(crate) struct Created<'b> {
    pub(crate) run: RunId,
    pub(crate) new: &'b NewRun,
    pub(crate) at: Timestamp,
    pub(crate) state: RunState,
}

/// What a batch writes, in the order of its appends. Sessions and states are in the order of their ids, so that two
/// transactions never wait for each other in a circle.
#[derive(Default)]
pub(crate) struct Plan<'b> {
    /// What became of each append before the commit; `None` waits for it.
    pub(crate) refused: Vec<Option<AppendError>>,
    pub(crate) fence: BTreeSet<(u16, u64)>,
    pub(crate) records: Vec<&'b Append>,
    pub(crate) blobs: Vec<(&'b stead_ports::journal::NewBlob, &'b Packed)>,
    pub(crate) created: Vec<Created<'b>>,
    pub(crate) states: BTreeMap<RunId, (Timestamp, &'b RunState)>,
    pub(crate) handed: BTreeMap<SessionId, Handed>,
    pub(crate) sent: Vec<&'b InboxRow>,
    pub(crate) taken: Vec<(RunId, RunId, u32)>,
    /// Questions that are open after the batch with their time and round, and those that are not, as (run, effect).
    pub(crate) asked: BTreeMap<(RunId, u32), Option<(Timestamp, u32)>>,
    /// What is settled.
    pub(super) settled: Sums,
    /// What is added to the counters of policies.
    pub(super) counted: Vec<(&'b Name, &'b Bytes)>,
    /// Windows of budgets that change.
    pub(super) booked: BTreeMap<Window, Change>,
    /// Windows of budgets that begin.
    pub(super) begun: BTreeSet<Window>,
}

/// The state of a run whose creator says nothing about it.
const NEW: RunState =
    RunState { status: Status::Queued, wake_at: None, turns: 0, effects: 0, spent: Spend::ZERO, code: None };

/// What is known while a batch is planned, earlier appends of it included. What was asked for and is not there does
/// not exist.
struct Planned<'m> {
    memory: &'m mut Memory,
    keys: Keys,
}

impl Known for Planned<'_> {
    type Home = SessionId;
    type Error = std::convert::Infallible;

    fn slot(&mut self, run: RunId) -> Result<Option<Slot<SessionId>>, Self::Error> {
        Ok(self.memory.slots.get(run))
    }
    fn keyed(&mut self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, Self::Error> {
        Ok(self.keys.get(&(tenant.clone(), key.clone())).copied())
    }
    fn active(&mut self, session: SessionId) -> Result<Option<RunId>, Self::Error> {
        Ok(self.memory.active.get(session).flatten())
    }
    fn active_of(&mut self, session: SessionId) -> Result<Option<RunId>, Self::Error> {
        self.active(session)
    }
}

impl<'b> Plan<'b> {
    /// Plans a batch. From here on `memory` is as after the commit: clear it when that fails.
    pub(crate) fn new(batch: &'b [Pending], memory: &mut Memory, Found { keys, mut book }: Found) -> Self {
        let mut plan = Self::default();
        let mut known = Planned { memory, keys };
        for Pending { append, blobs, .. } in batch {
            // Refused ones too: a caller that is not the owner is told so rather than anything else.
            plan.fence.insert((append.partition, append.epoch));
            let moves = append.index.as_ref().map_or(&[][..], |i| &i.budgets);
            match check(append, &mut known).and_then(|slot| book.take(moves).map(|()| slot).map_err(Stop::Refused)) {
                Ok(slot) => {
                    plan.take(append, blobs, slot, &mut known);
                    plan.refused.push(None);
                }
                Err(Stop::Refused(refusal)) => plan.refused.push(Some(refusal)),
                Err(Stop::Failed(never)) => match never {},
            }
        }
        (plan.booked, plan.begun) = (book.after, book.begun);
        plan
    }

    fn take(
        &mut self,
        append: &'b Append,
        blobs: &'b [Packed],
        slot: Option<Slot<SessionId>>,
        known: &mut Planned<'_>,
    ) {
        self.records.push(append);
        self.blobs.extend(append.blobs.iter().zip(blobs));
        let index = append.index.as_deref();
        let new = index.and_then(|i| i.create.as_ref());
        // One of the two is there: `check` has seen to it.
        let Some(home) = slot.map(|s| s.home).or(new.map(|n| n.session)) else { return };
        known.memory.slots.put(append.run, Slot { home, next: append.seq + 1 });
        let Some(index) = index else { return };
        if let Some(new) = new {
            let state = index.run.clone().unwrap_or(NEW);
            self.created.push(Created { run: append.run, new, at: append.at, state });
            if let Some((key, digest)) = &new.idempotency {
                known.keys.insert((new.tenant.clone(), key.clone()), (append.run, *digest));
            }
        } else if let Some(state) = &index.run {
            self.states.insert(append.run, (append.at, state));
        }
        if let Some(change) = &index.session {
            self.hand(append.run, home, change, known);
        }
        self.sent.extend(&index.send);
        self.taken.extend(index.taken.iter().map(|(from, effect)| (append.run, *from, *effect)));
        self.asked.extend(index.closed.iter().map(|effect| ((append.run, *effect), None)));
        self.asked.extend(index.asked.iter().map(|q| ((append.run, q.effect), Some((q.asked, q.round)))));
        self.counted.extend(index.counted.as_ref().map(|body| (&append.tenant, body)));
        for settled in &index.settled {
            let sum = self.settled.entry((append.run, settled.hour, settled.model.clone())).or_default();
            *sum = sum.plus(settled.used);
        }
    }

    fn hand(&mut self, run: RunId, session: SessionId, change: &SessionChange, known: &mut Planned<'_>) {
        let was = known.memory.active.get(session).flatten();
        let nothing = Handed { active: was, head: None, spent: Spend::ZERO, used: Amounts::default() };
        let handed = self.handed.entry(session).or_insert(nothing);
        match change {
            SessionChange::Claim => handed.active = Some(run),
            SessionChange::Release { head, spent, used } => {
                // A run that ends while another is in the foreground leaves that one there.
                handed.active = handed.active.filter(|a| *a != run);
                handed.head = head.then_some(run).or(handed.head);
                handed.spent = handed.spent.plus(*spent);
                handed.used = handed.used.plus(*used);
            }
        }
        known.memory.active.put(session, handed.active);
    }
}
