//! The journal's data in memory, changed in one step or not at all. When it audits, every record is checked as it is
//! written.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use stead_core::{
    budget::{Amounts, Spend},
    fact::Fact,
    id::{BlobId, EffectId, LeafHash, Name, RunId, SessionId, VersionId},
    record::Record,
    run::{CallPhase, GENESIS, Life},
    time::Timestamp,
};
use stead_ports::journal::{
    AliasEvent, AliasMove, AliasMoved, Append, AppendError, InboxRow, LIVE, MAX_ALIASES, MovedBy, Question, RunRow,
    RunState, SessionChange, SessionRow, Snapshot, Status, Step, Used, VersionRow,
};

use super::uppers::Uppers;
use crate::{check::journal::RunAudit, failure::Violation};

/// A run with its records.
pub(super) struct MemRun {
    pub row: RunRow,
    pub records: Vec<(Bytes, LeafHash)>,
    pub audit: RunAudit,
}

/// See the module.
#[derive(Default)]
pub(super) struct Mem {
    pub epoch: u64,
    /// Whether somebody holds the lease.
    pub held: bool,
    pub runs: BTreeMap<RunId, MemRun>,
    pub sessions: BTreeMap<SessionId, SessionRow>,
    pub keys: BTreeMap<(Name, Name), (RunId, [u8; 32])>,
    pub inbox: BTreeMap<RunId, Vec<InboxRow>>,
    /// Messages that were ever sent: a second one of the same name is no new one.
    sent: BTreeSet<(RunId, RunId, u32)>,
    /// Open questions, and when each was asked.
    pub asked: BTreeMap<EffectId, Timestamp>,
    pub blobs: BTreeMap<(Name, BlobId), Bytes>,
    pub snapshots: BTreeMap<RunId, Snapshot>,
    pub versions: BTreeMap<(Name, VersionId), VersionRow>,
    /// By tenant, agent and alias.
    pub aliases: BTreeMap<(Name, Name, Name), VersionId>,
    /// How they moved, by tenant and agent, oldest first.
    pub moves: Vec<(Name, Name, AliasEvent)>,
    /// What was used, by run, hour and model.
    pub used: BTreeMap<(RunId, i64, Name), Used>,
    /// Budgets above runs, which never begin anew.
    pub(super) uppers: Uppers,
    /// Who started each run.
    pub users: BTreeMap<RunId, Option<Name>>,
    /// What appends added to counters, in their order, and what is kept of them.
    pub counted: BTreeMap<u64, (Name, Bytes)>,
    pub counters: BTreeMap<Name, Bytes>,
    pub audits: bool,
    /// The audit of a run whose first record is being kept.
    first_audit: Option<RunAudit>,
    pub fenced: u64,
}

impl Mem {
    /// An empty journal with these budgets.
    pub(super) fn with(uppers: Uppers) -> Self {
        Self { uppers, ..Self::default() }
    }

    pub(super) fn parent(&self, run: RunId) -> Option<RunId> {
        self.runs.get(&run).and_then(|r| r.row.parent)
    }

    /// Takes an append or refuses it. The outer error is a broken promise, not a refusal.
    pub(super) fn append(&mut self, append: &Append) -> Result<Result<(), AppendError>, Violation> {
        if let Err(refused) = self.may_append(append) {
            self.fenced += u64::from(matches!(refused, AppendError::Fenced { .. }));
            return Ok(Err(refused));
        }
        if self.audits {
            self.audit(append)?;
        }
        self.keep(append);
        if self.audits {
            self.audit_questions(append.run)?;
            self.audit_usage(append.run)?;
            super::uppers::audit(self, append)?;
        }
        Ok(Ok(()))
    }

    fn may_append(&self, append: &Append) -> Result<(), AppendError> {
        if !self.held || append.epoch != self.epoch {
            return Err(AppendError::Fenced { current: self.epoch });
        }
        let next = self.runs.get(&append.run).map_or(0, |r| r.records.len() as u64);
        let create = append.index.as_ref().and_then(|i| i.create.as_ref());
        if append.seq != next || (next == 0) != create.is_some() {
            return Err(AppendError::Conflict { next });
        }
        if let Some(create) = create
            && let Some((key, digest)) = &create.idempotency
            && let Some((run, other)) = self.keys.get(&(create.tenant.clone(), key.clone()))
        {
            return Err(AppendError::Exists { run: *run, same: digest == other });
        }
        if let Some(SessionChange::Claim) = append.index.as_ref().and_then(|i| i.session.as_ref()) {
            let session = create.map(|c| c.session).or_else(|| self.runs.get(&append.run).map(|r| r.row.session));
            let active = session.and_then(|s| self.sessions.get(&s)).and_then(|s| s.active);
            if let Some(active) = active.filter(|a| *a != append.run) {
                return Err(AppendError::SessionBusy { active });
            }
        }
        self.uppers.may_move(append)
    }

    fn audit(&mut self, append: &Append) -> Result<(), Violation> {
        let mut audit = match self.runs.get_mut(&append.run) {
            Some(run) => std::mem::replace(&mut run.audit, RunAudit::new(append.run)),
            None => RunAudit::new(append.run),
        };
        let seen = audit.observe(&append.record, append.leaf, |base| {
            self.runs.get(&base).and_then(|r| r.audit.state.as_ref()).map(|s| s.carry()).unwrap_or_default()
        });
        if let Some(run) = self.runs.get_mut(&append.run) {
            run.audit = audit;
        } else {
            self.first_audit = Some(audit);
        }
        seen.map(drop)
    }

    fn keep(&mut self, append: &Append) {
        for blob in &append.blobs {
            self.blobs.entry((blob.tenant.clone(), blob.id)).or_insert_with(|| blob.content.clone());
        }
        let index = append.index.as_deref();
        if let Some(create) = index.and_then(|i| i.create.as_ref()) {
            let session = self.sessions.entry(create.session).or_insert_with(|| SessionRow {
                id: create.session,
                tenant: create.tenant.clone(),
                agent: create.agent.clone(),
                key: None,
                active: None,
                head: None,
                spent: Spend::ZERO,
                used: Amounts::default(),
                created: append.at,
            });
            let row = RunRow {
                id: append.run,
                tenant: create.tenant.clone(),
                session: create.session,
                session_key: session.key.clone(),
                agent: create.agent.clone(),
                version: create.version,
                parent: create.parent,
                title: create.title.clone(),
                created: append.at,
                updated: append.at,
                state: RunState {
                    status: Status::Queued,
                    wake_at: None,
                    turns: 0,
                    effects: 0,
                    spent: Spend::ZERO,
                    code: None,
                },
            };
            if let Some((key, digest)) = &create.idempotency {
                self.keys.insert((create.tenant.clone(), key.clone()), (append.run, *digest));
            }
            let user = create.parent.map_or(create.user.clone(), |p| self.users.get(&p).cloned().flatten());
            self.users.insert(append.run, user);
            let audit = self.first_audit.take().unwrap_or_else(|| RunAudit::new(append.run));
            self.runs.insert(append.run, MemRun { row, records: Vec::new(), audit });
        }
        let Some(run) = self.runs.get_mut(&append.run) else { return };
        run.records.push((append.record.clone(), append.leaf));
        let Some(index) = index else { return };
        if let Some(state) = &index.run {
            run.row.state = state.clone();
            run.row.updated = append.at;
        }
        if let Some(session) = self.sessions.get_mut(&run.row.session) {
            match &index.session {
                Some(SessionChange::Claim) => session.active = Some(append.run),
                Some(SessionChange::Release { head, spent, used }) => {
                    if session.active == Some(append.run) {
                        session.active = None;
                    }
                    if *head {
                        session.head = Some(append.run);
                    }
                    session.spent = session.spent.plus(*spent);
                    session.used = session.used.plus(*used);
                }
                None => {}
            }
        }
        for row in &index.send {
            if self.sent.insert((row.to, row.from, row.effect)) {
                self.inbox.entry(row.to).or_default().push(row.clone());
            }
        }
        if let Some(rows) = self.inbox.get_mut(&append.run) {
            rows.retain(|r| !index.taken.contains(&(r.from, r.effect)));
        }
        if let Some(body) = &index.counted {
            let n = self.counted.last_key_value().map_or(1, |(n, _)| n + 1);
            self.counted.insert(n, (append.tenant.clone(), body.clone()));
        }
        for settled in &index.settled {
            let sum = self.used.entry((append.run, settled.hour, settled.model.clone())).or_default();
            *sum = sum.plus(settled.used);
        }
        self.uppers.moved(&index.budgets);
        for n in &index.closed {
            self.asked.remove(&EffectId { run: append.run, n: *n });
        }
        let of_run = |q: &Question| (EffectId { run: append.run, n: q.effect }, q.asked);
        self.asked.extend(index.asked.iter().map(of_run));
    }

    /// Keeps a version, when there is one, and moves an alias.
    pub(super) fn name_version(&mut self, version: Option<VersionRow>, wanted: &AliasMove) -> AliasMoved {
        let AliasMove { tenant, agent, alias, to, expect, at, by, why, step } = wanted.clone();
        let key = (tenant.clone(), agent.clone(), alias.clone());
        let was = self.aliases.get(&key).copied();
        if expect.is_some_and(|expected| expected != was) {
            return AliasMoved::Elsewhere(was);
        }
        let of_agent = self.aliases.keys().filter(|(t, a, _)| *t == tenant && *a == agent).count();
        if was.is_none() && to.is_some() && of_agent >= MAX_ALIASES as usize {
            return AliasMoved::TooMany;
        }
        if let Some(row) = version {
            self.versions.entry((row.tenant.clone(), row.version)).or_insert(row);
        }
        let why = match step {
            Step::Confirmed => match self.proposed(wanted) {
                Ok(why) => why,
                Err(not) => return not,
            },
            Step::Moved | Step::Proposed => why,
        };
        if to == was {
            return AliasMoved::Same;
        }
        match to {
            Some(to) if self.versions.get(&(tenant.clone(), to)).is_none_or(|v| v.agent != agent) => {
                return AliasMoved::NoVersion;
            }
            _ if step == Step::Proposed => {}
            Some(to) => drop(self.aliases.insert(key, to)),
            None => drop(self.aliases.remove(&key)),
        }
        self.moves.push((tenant, agent, AliasEvent { alias, was, version: to, at, by, why, step }));
        if step == Step::Proposed { AliasMoved::Proposed } else { AliasMoved::Done }
    }

    /// Why somebody else proposed a move since the alias moved last, or why it is not confirmed.
    fn proposed(&self, wanted: &AliasMove) -> Result<MovedBy, AliasMoved> {
        let of = |(tenant, agent, event): &&(Name, Name, AliasEvent)| {
            *tenant == wanted.tenant && *agent == wanted.agent && event.alias == wanted.alias
        };
        let since = self.moves.iter().rev().filter(of).map(|(.., event)| event);
        let since = since.take_while(|event| event.step == Step::Proposed).filter(|event| event.version == wanted.to);
        let mut not = AliasMoved::NotProposed;
        for event in since {
            if event.by != wanted.by {
                return Ok(event.why);
            }
            not = AliasMoved::Own;
        }
        Err(not)
    }

    /// A version as it stands.
    pub(super) fn version(&self, tenant: &Name, version: VersionId) -> Option<VersionRow> {
        let row = self.versions.get(&(tenant.clone(), version))?.clone();
        let live = self.aliases.get(&(tenant.clone(), row.agent.clone(), LIVE.into())) == Some(&version);
        Some(VersionRow { live, ..row })
    }

    /// Whether the index of open questions says of a run what its journal says.
    fn audit_questions(&self, run: RunId) -> Result<(), Violation> {
        let state = self.runs.get(&run).and_then(|r| r.audit.state.as_ref());
        let state = state.filter(|s| s.life == Life::Live);
        let calls = state.map_or(&[][..], |s| &s.calls);
        let mut asks: Vec<_> = calls
            .iter()
            .filter_map(|c| match c.phase {
                CallPhase::Asking { since, .. } => Some((EffectId { run, n: c.head.effect }, since)),
                _ => None,
            })
            .collect();
        // Of the whole run: whether it may go on on somebody's behalf, or beyond a limit.
        let whole = state.and_then(|s| s.renewing).map(|r| (r.effect, r.since));
        let limit = state.and_then(|s| s.asking.as_ref()).map(|a| (a.effect, a.since));
        asks.extend(whole.into_iter().chain(limit).map(|(n, since)| (EffectId { run, n }, since)));
        asks.sort_unstable();
        let of_run = EffectId { run, n: 0 }..=EffectId { run, n: u32::MAX };
        let listed: Vec<_> = self.asked.range(of_run).map(|(effect, asked)| (*effect, *asked)).collect();
        if asks == listed {
            return Ok(());
        }
        let detail = format!("{run} asks {asks:?} and the index has {listed:?}");
        Err(Violation { check: "the index of open questions follows the journal", detail })
    }

    /// Whether the index of usage says of a run what its journal says; while the run works, it may lag behind.
    fn audit_usage(&self, run: RunId) -> Result<(), Violation> {
        let Some(kept) = self.runs.get(&run) else { return Ok(()) };
        let works = kept.audit.state.as_ref().is_some_and(|state| state.working());
        if works && kept.row.state.status == Status::Running {
            return Ok(());
        }
        let violated = |detail| Violation { check: "the index of usage follows the journal", detail };
        let mut journal = Spend::ZERO;
        for (bytes, _) in &kept.records {
            let (record, _) = Record::decode(bytes, GENESIS).map_err(|e| violated(e.to_string()))?;
            journal = record.facts.iter().fold(journal, |sum, fact| match fact {
                Fact::ModelReplied(f) => sum.plus(f.spent),
                Fact::ModelFailed(f) => sum.plus(f.spent),
                _ => sum,
            });
        }
        let of_run = (run, i64::MIN, Name::default())..;
        let used = self.used.range(of_run).take_while(|((of, ..), _)| *of == run);
        let index = used.map(|(_, used)| used.spent()).fold(Spend::ZERO, Spend::plus);
        if journal == index {
            return Ok(());
        }
        Err(violated(format!("{run} has settled {journal:?} and the index was told {index:?}")))
    }

    /// Sessions whose foreground is free while runs wait.
    pub(super) fn stranded(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.values().filter(|s| s.active.is_none() && self.queued(s.id).next().is_some()).map(|s| s.id)
    }

    /// A session's waiting runs, oldest first.
    pub(super) fn queued(&self, session: SessionId) -> impl Iterator<Item = RunId> + '_ {
        let waits = move |r: &&MemRun| r.row.session == session && r.row.state.status == Status::Queued;
        self.runs.values().filter(waits).map(|r| r.row.id)
    }

    /// All `wake_at`s, earliest first.
    pub(super) fn wakes(&self) -> Vec<(Timestamp, RunId)> {
        let mut all: Vec<_> = self.runs.values().filter_map(|r| r.row.state.wake_at.map(|at| (at, r.row.id))).collect();
        all.sort_unstable();
        all
    }

    /// Whether every run that exists has ended.
    pub(super) fn all_ended(&self) -> bool {
        self.runs.values().all(|r| r.row.state.status.ended())
    }
}
