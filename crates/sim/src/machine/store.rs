//! The journal of a history: records, sessions, inboxes and the owner's epoch, changed together or not at all. Every
//! record that is written is audited at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use stead_core::{
    budget::{Amounts, Limits, Spend},
    effect::Ended,
    fact::{Fact, Parent},
    id::{EffectId, LeafHash, RunId, SessionId},
    record::Record,
    run::{Carry, GENESIS, State, fold},
};

use super::gate::Policies;
use crate::{
    check::journal::RunAudit,
    failure::{Violation, violation},
};

/// One append.
#[derive(Clone, Debug)]
pub(super) struct Append {
    pub run: RunId,
    pub seq: u64,
    pub epoch: u64,
    pub bytes: Bytes,
    pub leaf: LeafHash,
    /// Whether the run becomes its session's foreground run.
    pub claims: bool,
    /// The policies in force when it was decided.
    pub policies: Policies,
    /// What the writer thinks the run's state is with it.
    pub expected: Box<State>,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Conflict,
    Fenced,
    SessionBusy,
    Tombstone,
}

/// A child's end, waiting for its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChildEnd {
    pub effect: u32,
    pub ended: Ended,
    pub spent: Spend,
    /// What the child used beside.
    pub used: Amounts,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub active: Option<RunId>,
    pub head: Option<RunId>,
    pub spent: u64,
    pub queued: VecDeque<RunId>,
}

#[derive(Clone, Debug)]
pub(super) struct RunLog {
    pub records: Vec<(Bytes, LeafHash)>,
    pub audit: RunAudit,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub epoch: u64,
    pub runs: BTreeMap<RunId, RunLog>,
    pub sessions: BTreeMap<SessionId, Session>,
    pub inbox: BTreeMap<RunId, Vec<ChildEnd>>,
    pub tombstones: BTreeSet<RunId>,
    pub fenced: u64,
}

impl Store {
    /// Writes, or refuses. A violation is a broken promise, not a refusal.
    pub(super) fn append(&mut self, append: &Append) -> Result<Result<(), Refused>, Violation> {
        if append.epoch != self.epoch {
            self.fenced += 1;
            return Ok(Err(Refused::Fenced));
        }
        let next = self.runs.get(&append.run).map_or(0, |r| r.records.len() as u64);
        if append.seq != next {
            return Ok(Err(Refused::Conflict));
        }
        if next == 0 && self.tombstones.contains(&append.run) {
            return Ok(Err(Refused::Tombstone));
        }
        let session = self.sessions.entry(append.expected.session).or_default();
        if append.claims && session.active.is_some_and(|a| a != append.run) {
            return Ok(Err(Refused::SessionBusy));
        }
        let mut log = self
            .runs
            .remove(&append.run)
            .unwrap_or_else(|| RunLog { records: Vec::new(), audit: RunAudit::new(append.run) });
        (log.audit.gated.rules, log.audit.gated.in_force) = (Some(append.policies.rules), Some(append.policies.epoch));
        let record = log.audit.observe(&append.bytes, append.leaf, |base| self.carry(base))?;
        let folded = log.state().clone();
        if folded != *append.expected {
            let detail = format!("{} record {next}: folded {folded:?}, decided {:?}", append.run, append.expected);
            return violation("fold gives the decided state", detail);
        }
        log.records.push((append.bytes.clone(), append.leaf));
        self.runs.insert(append.run, log);
        self.index(&record, &folded);
        Ok(Ok(()))
    }

    /// Sessions and inboxes change in the same transaction as the record.
    fn index(&mut self, record: &Record, state: &State) {
        let run = state.run;
        let session = self.sessions.entry(state.session).or_default();
        for fact in &record.facts {
            match fact {
                Fact::RunStarted(_) => session.queued.push_back(run),
                Fact::RunAdmitted(_) => {
                    session.queued.retain(|r| *r != run);
                    session.active = Some(run);
                }
                Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled => {
                    session.queued.retain(|r| *r != run);
                    if session.active == Some(run) {
                        session.active = None;
                        session.head = Some(run);
                    }
                    session.spent += state.budget.spent.tokens;
                }
                _ => {}
            }
        }
        for fact in &record.facts {
            match fact {
                Fact::ChildFinished(f) => {
                    if let Some(rows) = self.inbox.get_mut(&run) {
                        rows.retain(|r| r.effect != f.effect);
                    }
                }
                Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled => {
                    if let Some(Parent { run: parent, effect }) = state.parent {
                        let ended = match fact {
                            Fact::RunCompleted(_) => Ended::Returned,
                            Fact::RunCancelled => Ended::Withdrawn,
                            _ => Ended::Refused,
                        };
                        self.inbox.entry(parent).or_default().push(ChildEnd {
                            effect,
                            ended,
                            spent: state.budget.spent,
                            used: state.budget.counted(),
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// A child that was told to stop before it existed will never exist; its parent is told so.
    pub(super) fn tombstone(&mut self, effect: EffectId, child: RunId) {
        if self.tombstones.insert(child) {
            let (spent, used) = (Spend::ZERO, Amounts::default());
            let row = ChildEnd { effect: effect.n, ended: Ended::Withdrawn, spent, used };
            self.inbox.entry(effect.run).or_default().push(row);
        }
    }

    /// What an ended run hands over.
    pub(super) fn carry(&self, base: RunId) -> Carry {
        self.runs.get(&base).map(|r| r.state().carry()).unwrap_or_default()
    }

    /// What the session still grants.
    pub(super) fn grant(&self, session: SessionId, limits: &Limits) -> Limits {
        let spent = self.sessions.get(&session).map_or(0, |s| s.spent);
        Limits { tokens: limits.tokens.map(|l| l.saturating_sub(spent)), ..limits.clone() }
    }

    /// Loads a run from its bytes, as a process does that knows nothing else.
    pub(super) fn load(&self, run: RunId) -> Result<(State, LeafHash), Violation> {
        const NAME: &str = "fold gives the decided state";
        let Some(log) = self.runs.get(&run) else { return violation(NAME, format!("{run} does not exist")) };
        let mut leaf = GENESIS;
        let mut records = Vec::with_capacity(log.records.len());
        for (bytes, _) in &log.records {
            let (record, next) =
                Record::decode(bytes, leaf).map_err(|e| Violation { check: NAME, detail: e.to_string() })?;
            leaf = next;
            records.push(record);
        }
        match fold(&records, |base| self.carry(base)) {
            Some(state) if state == *log.state() => Ok((state, leaf)),
            other => violation(NAME, format!("from the bytes {other:?}, live {:?}", log.state())),
        }
    }

    /// The durable state of a run.
    pub(super) fn state(&self, run: RunId) -> Option<&State> {
        self.runs.get(&run).and_then(|r| r.audit.state.as_ref())
    }
}

impl RunLog {
    /// The folded state.
    pub(super) fn state(&self) -> &State {
        self.audit.state.as_ref().expect("a log has its first record")
    }
}
