//! One run's journal, checked record by record as it is written: the chain, the clock, the owner, the order of facts,
//! the budget, and that folding gives the state that was decided.

use std::collections::{BTreeMap, BTreeSet};

use stead_core::{
    budget::{Limits, Spend},
    code,
    effect::{Ended, Recovery},
    fact::{AfterUnknown, AnswerRejected, AskReason, CallHead, Fact, StopMode, Verdict},
    id::{ActivationId, EffectId, LeafHash, RunId},
    record::{Header, Record},
    run::{Carry, GENESIS, KeyMark, State, UnknownMark, fold},
    time::Timestamp,
};

use super::{call::CallAudit, delegation::Delegation, gate::Gated, machine, patience::Patience, workspace::Workspace};
use crate::failure::{Check, Violation, violation};

/// The audit of one run.
#[derive(Clone, Debug)]
pub struct RunAudit {
    /// The run.
    pub run: RunId,
    /// What its records fold to.
    pub state: Option<State>,
    /// Hash of the last record.
    pub leaf: LeafHash,
    /// Children started and not finished, with what is set aside for each.
    pub children: BTreeMap<RunId, Spend>,
    limits: Limits,
    max_turns: u32,
    /// Repairs that the run was started with, and answers sent back so far.
    repairs: (Option<u8>, u32),
    model: Spend,
    epoch: u64,
    activations: Vec<ActivationId>,
    calls: BTreeMap<u32, CallAudit>,
    turns: Vec<Vec<u32>>,
    own: usize,
    /// Effects of the session that nobody knows the outcome of.
    unknown: Vec<UnknownMark>,
    /// Business keys that the session has used.
    keys: Vec<KeyMark>,
    spent: Spend,
    tool_calls: u32,
    started: u32,
    paused: bool,
    stop: Option<StopMode>,
    ended: bool,
    snapshot: Option<State>,
    /// When the earliest backup was taken that it was restored from, and the first effect that no such backup had.
    restored: Option<(Timestamp, u32)>,
    workspace: Workspace,
    /// What it tells of policies.
    pub gated: Gated,
    /// What people are asked, reminded of, and by whom it may be answered.
    patience: Patience,
    /// On whose behalf it works.
    pub delegation: Delegation,
}

impl RunAudit {
    /// The audit of a run without records.
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            state: None,
            leaf: GENESIS,
            children: BTreeMap::new(),
            limits: Limits::default(),
            max_turns: 0,
            repairs: (None, 0),
            model: Spend::ZERO,
            epoch: 0,
            activations: Vec::new(),
            calls: BTreeMap::new(),
            turns: Vec::new(),
            own: 0,
            unknown: Vec::new(),
            keys: Vec::new(),
            spent: Spend::ZERO,
            tool_calls: 0,
            started: 0,
            paused: false,
            stop: None,
            ended: false,
            snapshot: None,
            restored: None,
            workspace: Workspace::default(),
            gated: Gated::default(),
            patience: Patience::default(),
            delegation: Delegation::default(),
        }
    }

    /// What is known of a call.
    pub fn call(&self, effect: u32) -> Option<&CallAudit> {
        self.calls.get(&effect)
    }

    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = &CallAudit> {
        self.calls.values()
    }

    /// Whether the run's last record has been seen.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether a fact is about the question whether the run may go on for somebody: it is about no call.
    fn asks_the_person(&self, fact: &Fact) -> bool {
        match fact {
            Fact::ApprovalRequested(f) => f.reason == AskReason::Delegation,
            Fact::ApprovalGiven(f) => self.delegation.asks(f.effect),
            Fact::ApprovalExpired(f) => self.delegation.asks(f.effect),
            _ => false,
        }
    }

    /// Takes in the next record as it stands in the journal.
    ///
    /// # Errors
    /// The check that the record breaks.
    pub fn observe(
        &mut self,
        bytes: &[u8],
        leaf: LeafHash,
        mut carry: impl FnMut(RunId) -> Carry,
    ) -> Result<Record, Violation> {
        let record = self.chained(bytes, leaf)?;
        self.header(&record.header)?;
        if self.ended {
            return violation("nothing after the end", format!("record {}", record.header.seq));
        }
        let admitted = record.facts.iter().find_map(|f| if let Fact::RunAdmitted(a) = f { a.base } else { None });
        if let Some(base) = admitted {
            let carry = carry(base);
            self.workspace.inherit(carry.tree);
            (self.own, self.unknown, self.keys) = (carry.transcript.len(), carry.unknown, carry.keys);
        }
        let before = self.state.take();
        self.patience.record();
        for fact in &record.facts {
            if !self.asks_the_person(fact) {
                self.fact(&record.header, fact)?;
            }
            let about = match fact {
                Fact::EffectIntended(f) => self.calls.get(&f.effect).map(|call| &call.head),
                Fact::ChildStarted(f) => self.calls.get(&f.effect).map(|call| &call.head),
                _ => None,
            };
            self.delegation.fact(record.header.at, fact, about)?;
            self.workspace.fact(fact)?;
            let head = match fact {
                Fact::EffectDecided(f) => self.calls.get(&f.effect).map(|call| &call.head),
                _ => None,
            };
            self.gated.fact(fact, head)?;
            self.patience.fact(record.header.at, fact)?;
        }
        let after = match &before {
            Some(state) => {
                let mut state = state.clone();
                state.apply_record(&record, &mut carry);
                state
            }
            None => match fold([&record], &mut carry) {
                Some(state) => state,
                None => return violation("a journal begins with a start", format!("{:?}", record.facts)),
            },
        };
        self.restored_waits(&record)?;
        self.state_checks(before.as_ref(), &after)?;
        self.snapshot_check(&record, &after, &mut carry)?;
        self.state = Some(after);
        Ok(record)
    }

    /// Decode gives back what was encoded, byte for byte, and the chain holds.
    fn chained(&mut self, bytes: &[u8], leaf: LeafHash) -> Result<Record, Violation> {
        const NAME: &str = "records round-trip and chain";
        let (record, found) =
            Record::decode(bytes, self.leaf).map_err(|e| Violation { check: NAME, detail: e.to_string() })?;
        if found != leaf {
            return violation(NAME, format!("record {} has leaf {leaf}, computed {found}", record.header.seq));
        }
        let again = record.encode(self.leaf);
        if again.bytes != bytes || again.leaf != leaf {
            return violation(NAME, format!("record {} does not encode to its own bytes", record.header.seq));
        }
        self.leaf = leaf;
        Ok(record)
    }

    fn header(&mut self, h: &Header) -> Check {
        let next = self.state.as_ref().map_or(0, |s| s.next_seq);
        if h.run != self.run || h.seq != next {
            return violation("positions have no gaps", format!("wanted {} of {}, found {}", next, self.run, h.seq));
        }
        if self.state.as_ref().is_some_and(|s| h.at < s.last_at) {
            return violation("time never decreases", format!("record {} at {:?}", h.seq, h.at));
        }
        if h.epoch < self.epoch {
            return violation("a replaced owner writes nothing", format!("epoch {} after {}", h.epoch, self.epoch));
        }
        if self.activations.last() != Some(&h.activation) {
            if self.activations.contains(&h.activation) {
                return violation("a replaced owner writes nothing", format!("{:?} came back", h.activation));
            }
            self.activations.push(h.activation);
        }
        self.epoch = h.epoch;
        Ok(())
    }

    fn state_checks(&mut self, before: Option<&State>, after: &State) -> Check {
        machine::all(after)?;
        self.workspace.agrees(after)?;
        if let Some(before) = before {
            machine::gate_stays_closed(before, after)?;
        }
        if after.budget.spent != self.spent {
            let detail = format!("facts say {:?}, the fold {:?}", self.spent, after.budget.spent);
            return violation("spending adds up", detail);
        }
        let late = after.budget.limits.deadline.is_some_and(|d| after.last_at >= after.started_at.after(d))
            || after.budget.limits.active.is_some_and(|a| after.budget.active >= a);
        if late && after.may_dispatch() {
            return violation("limits of time stop the run", format!("at {:?}, {:?}", after.last_at, after.budget));
        }
        let listed = |marks: &[UnknownMark]| marks.iter().map(|u| (u.run, u.effect)).collect::<BTreeSet<_>>();
        if listed(&after.unknown) != listed(&self.unknown) {
            let detail = format!("facts say {:?}, the fold {:?}", self.unknown, after.unknown);
            return violation("late answers correct the ledger", detail);
        }
        if self.ended {
            machine::view_adds_up(after)?;
            machine::one_result_per_call(after, self.own, &self.turns)?;
            if let Some(child) = self.children.first_key_value() {
                return violation("children end before their parent", format!("{child:?} is still under way"));
            }
        }
        Ok(())
    }

    /// A snapshot round-trips, and with the records after it gives the same state as the whole journal.
    fn snapshot_check(&mut self, record: &Record, after: &State, carry: impl FnMut(RunId) -> Carry) -> Check {
        const NAME: &str = "snapshot and tail give the fold";
        if let Some(state) = &mut self.snapshot {
            state.apply_record(record, carry);
            if self.ended && state != after {
                return violation(NAME, format!("from the snapshot {state:?}, from the start {after:?}"));
            }
        } else if self.leaf.0[0] < 24 {
            match State::from_snapshot(&after.to_snapshot()) {
                Ok(state) if state == *after => self.snapshot = Some(state),
                Ok(state) => return violation(NAME, format!("decoded {state:?}, encoded {after:?}")),
                Err(e) => return violation(NAME, e.to_string()),
            }
        }
        Ok(())
    }

    fn fact(&mut self, h: &Header, fact: &Fact) -> Check {
        match fact {
            Fact::RunStarted(f) => {
                self.limits = f.config.limits.clone();
                self.max_turns = f.config.max_turns;
                self.repairs = (f.config.repairs, 0);
            }
            Fact::RunAdmitted(f) => self.limits = self.limits.tighten(&f.grant),
            Fact::ModelRequested(f) => {
                self.nothing_new_while_closed(fact)?;
                self.model = f.reserved;
                self.model_within_limits(f.turn)?;
            }
            Fact::ModelReplied(f) => {
                self.model = Spend::ZERO;
                self.spent = self.spent.plus(f.spent);
                self.turns.push(f.calls.iter().map(|c| c.effect).collect());
                for head in &f.calls {
                    let mut call = CallAudit::new(head);
                    if let Some((taken, _)) = self.restored {
                        call.doubt(taken, false);
                    }
                    if self.calls.insert(head.effect, call).is_some() {
                        return violation("effects have their own numbers", format!("{} twice", head.effect));
                    }
                }
            }
            Fact::ModelFailed(f) => {
                let lost = f.code == code::MODEL_LOST || f.code == code::STOPPED;
                if (lost && !f.estimated) || (f.estimated && f.spent != self.model) {
                    let detail = format!("{fact:?}, {:?} set aside", self.model);
                    return violation("a lost attempt is settled at its reservation", detail);
                }
                self.model = Spend::ZERO;
                self.spent = self.spent.plus(f.spent);
            }
            Fact::AnswerRejected(f) => self.repair(f)?,
            Fact::ChildStarted(f) => {
                self.nothing_new_while_closed(fact)?;
                let used = self.spent.plus(self.set_aside());
                let left = self.limits.tokens.map(|l| l.saturating_sub(used.tokens));
                self.children.insert(f.child, f.reserved);
                self.started += 1;
                if self.limits.children.is_some_and(|l| self.started > l) || left.is_some_and(|l| f.reserved.tokens > l)
                {
                    return violation("limits hold", format!("{fact:?} crosses {:?}, {used:?} used", self.limits));
                }
            }
            Fact::ChildFinished(f) => {
                self.spent = self.spent.plus(f.spent);
                self.children.remove(&EffectId { run: self.run, n: f.effect }.child().0);
                self.end(f.effect, f.ended, false)?;
            }
            Fact::Restored(f) => self.restore(f.taken),
            Fact::Paused => self.paused = true,
            Fact::Resumed => self.paused = false,
            Fact::CancelRequested(f) => {
                self.stop = Some(f.mode);
                self.paused = false;
            }
            Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled => self.ended = true,
            _ => self.effect_fact(h, fact)?,
        }
        Ok(())
    }

    /// Restore: what the backup's journal has may have been done since, and what humans were asked is void.
    fn restore(&mut self, taken: Timestamp) {
        let next = self.calls.last_key_value().map_or(1, |(effect, _)| effect + 1);
        let (taken, known) = self.restored.map_or((taken, next), |(t, k)| (t.min(taken), k.min(next)));
        self.restored = Some((taken, known));
        for call in self.calls.values_mut() {
            call.lost = true;
            call.doubt(taken, call.head.effect < known);
            call.asking = None;
        }
    }

    /// Restore: a run that lived on after its backup waits for an operator. A child that is started anew does not.
    fn restored_waits(&self, record: &Record) -> Check {
        let restored = record.header.seq > 0 && record.facts.iter().any(|f| matches!(f, Fact::Restored(_)));
        if restored && !self.paused && self.stop.is_none() {
            return violation("a restored run is paused", format!("{:?}", record.facts));
        }
        Ok(())
    }

    /// An answer is sent back as often as the run was started with, and then no more.
    fn repair(&mut self, f: &AnswerRejected) -> Check {
        let (allowed, so_far) = &mut self.repairs;
        let next = *so_far + 1;
        let right = allowed.is_some_and(|most| f.repair == (next <= u32::from(most)).then_some(next as u8));
        *so_far = next;
        if right { Ok(()) } else { violation("repairs are bounded", format!("{f:?} of {allowed:?}")) }
    }

    fn effect_fact(&mut self, h: &Header, fact: &Fact) -> Check {
        match fact {
            Fact::EffectDecided(f) if f.verdict == Verdict::Deny => {
                let call = self.get(f.effect)?;
                // Denied before anything could be sent, in any life: a doubt about a lost one is not about this call.
                call.maybe &= call.decided || call.lost;
                let ended = if call.maybe { Ended::Unknown } else { Ended::Denied };
                self.end(f.effect, ended, false)?;
            }
            // Decided again: enough people have approved it, or the policies are others.
            Fact::EffectDecided(f) if self.get(f.effect)?.decided => {
                let call = self.get(f.effect)?;
                if f.verdict == Verdict::Allow
                    && let Some((reason, _)) = call.asking.take()
                    // A yes to the action itself says nothing about what may have been done before.
                    && !matches!(reason, AskReason::Manifest | AskReason::Policy)
                    && call.may_have_been(reason)
                {
                    call.repeat_approved += 1;
                    // From here on the key is this call's, whatever a lost life used it for.
                    (call.maybe, call.key_in_doubt, call.key_settled) = (false, false, true);
                }
            }
            Fact::EffectDecided(f) => {
                self.get(f.effect)?.decided = true;
                let head = self.get(f.effect)?.head.clone();
                let equal = |u: &UnknownMark| {
                    u.tool == head.tool && (u.args == head.args || (u.key.is_some() && u.key == head.key))
                };
                let unknown = self.unknown.iter().find(|u| equal(u));
                if let Some(mark) = unknown.filter(|_| head.class.needs_intent() && f.verdict != Verdict::Ask) {
                    return violation("an equal unknown needs approval", format!("{f:?} while {mark:?}"));
                }
                self.workspace.boxed(&head, &self.limits)?;
                self.tool_calls += 1;
                if self.limits.tool_calls.is_some_and(|l| self.tool_calls > l) {
                    return violation("limits hold", format!("{} tool calls of {:?}", self.tool_calls, self.limits));
                }
            }
            Fact::EffectIntended(f) => {
                self.nothing_new_while_closed(fact)?;
                if f.activation != h.activation {
                    return violation("an intent names its writer", format!("{fact:?} by {:?}", h.activation));
                }
                let call = self.get(f.effect)?;
                call.may_be_intended(h.at)?;
                call.intents += 1;
                call.first_intended = call.first_intended.or(Some(h.at));
                call.open = true;
                let head = call.head.clone();
                self.key_has_one_meaning(head)?;
            }
            Fact::EffectReturned(f) => self.end(f.effect, Ended::Returned, f.late)?,
            Fact::EffectRefused(f) => self.end(f.effect, Ended::Refused, f.late)?,
            Fact::EffectNotSent(f) => {
                let call = self.get(f.effect)?;
                call.open = false;
                call.tries += u32::from(f.held.is_none());
                if f.retry_at.is_none() {
                    self.end(f.effect, Ended::NotSent, false)?;
                }
            }
            Fact::EffectUnknown(f) => {
                let call = self.get(f.effect)?;
                call.open = false;
                // What changes nothing outside may simply be done again, and not done is not done.
                call.maybe |= call.head.class.recovery() != Recovery::Repeat;
                match f.then {
                    AfterUnknown::Tell => self.end(f.effect, Ended::Unknown, false)?,
                    AfterUnknown::Repeat(at) | AfterUnknown::Reconcile(at) => call.tries += u32::from(at > h.at),
                    AfterUnknown::Ask => {}
                }
            }
            Fact::EffectReconciled(f) if f.happened => self.end(f.effect, Ended::Returned, false)?,
            Fact::EffectReconciled(f) => {
                let call = self.get(f.effect)?;
                call.maybe &= f.again.is_some();
                if f.again.is_none() && f.payload.is_some() {
                    self.end(f.effect, Ended::NotSent, false)?;
                }
            }
            Fact::EffectWithdrawn(f) => self.end(f.effect, Ended::Withdrawn, false)?,
            // A look at what a call would do counts as a call.
            Fact::PreviewDecided(f) if f.verdict == Verdict::Allow => {
                self.tool_calls += 1;
                if self.limits.tool_calls.is_some_and(|l| self.tool_calls > l) {
                    return violation("limits hold", format!("{} tool calls of {:?}", self.tool_calls, self.limits));
                }
            }
            Fact::ApprovalRequested(f) => self.get(f.effect)?.asking = Some((f.reason, f.expires)),
            Fact::ApprovalGiven(f) => {
                let call = self.get(f.effect)?;
                let Some((reason, expires)) = call.asking else {
                    return violation("approvals are asked for", format!("{fact:?}"));
                };
                if expires.is_some_and(|e| e <= h.at) {
                    return violation("approvals expire", format!("{fact:?} at {:?}", h.at));
                }
                // A yes opens nothing by itself: the decision that follows does.
                if !f.approved {
                    call.asking = None;
                    let ended = call.left_alone(reason);
                    self.end(f.effect, ended, false)?;
                }
            }
            Fact::ApprovalExpired(f) => {
                let call = self.get(f.effect)?;
                let Some((reason, _)) = call.asking.take() else {
                    return violation("approvals are asked for", format!("{fact:?}"));
                };
                let ended = call.left_alone(reason);
                self.end(f.effect, ended, false)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn get(&mut self, effect: u32) -> Result<&mut CallAudit, Violation> {
        let run = self.run;
        self.calls.get_mut(&effect).ok_or_else(|| Violation {
            check: "effects have their own numbers",
            detail: format!("a fact names effect {effect} of {run}, which no reply asked for"),
        })
    }

    /// An effect ends once; only a late answer may correct an unknown one. What may have happened is never said not to
    /// have.
    fn end(&mut self, effect: u32, ended: Ended, late: bool) -> Check {
        let call = self.get(effect)?;
        let ok = match call.ended {
            None => !late,
            Some(Ended::Unknown) => late,
            Some(_) => false,
        };
        if !ok {
            return violation("an effect ends once", format!("{effect} ended {:?}, then {ended:?}", call.ended));
        }
        let harmless = call.head.class.recovery() == Recovery::Repeat;
        if call.maybe && !harmless && matches!(ended, Ended::Withdrawn | Ended::NotSent | Ended::Denied) {
            return violation("the ledger is true", format!("{effect} may have happened, and ended {ended:?}"));
        }
        call.ended = Some(ended);
        call.asking = None;
        let head = call.head.clone();
        self.unknown.retain(|u| u.run != self.run || u.effect != effect);
        if ended == Ended::Unknown {
            let CallHead { tool, args, key, .. } = head;
            self.unknown.push(UnknownMark { run: self.run, effect, tool, args, key, attempt: 0 });
        }
        Ok(())
    }

    /// A business key is used with the same arguments only, over all runs of a session.
    fn key_has_one_meaning(&mut self, head: CallHead) -> Check {
        let Some(key) = head.key else { return Ok(()) };
        let mark = KeyMark { tool: head.tool, key, args: head.args };
        if let Some(other) = self.keys.iter().find(|k| k.tool == mark.tool && k.key == mark.key && k.args != mark.args)
        {
            return violation("a business key has one meaning", format!("{mark:?} after {other:?}"));
        }
        if !self.keys.contains(&mark) {
            self.keys.push(mark);
        }
        Ok(())
    }

    /// Pause and stop: nothing new starts.
    fn nothing_new_while_closed(&self, fact: &Fact) -> Check {
        if let Some(mode) = self.stop {
            return violation("nothing new after a stop", format!("{fact:?} after {mode:?}"));
        }
        if self.paused {
            return violation("nothing new while paused", format!("{fact:?}"));
        }
        Ok(())
    }

    /// Promise 9: what is spent and set aside stays within the limits with each new call.
    fn model_within_limits(&self, turn: u32) -> Check {
        let total = self.spent.plus(self.set_aside());
        let over = self.limits.tokens.is_some_and(|l| total.tokens > l)
            || self.limits.usd.is_some_and(|l| total.usd.is_none_or(|u| u > l));
        if over || turn > self.max_turns {
            return violation("limits hold", format!("turn {turn}: {total:?} crosses {:?}", self.limits));
        }
        Ok(())
    }

    fn set_aside(&self) -> Spend {
        self.children.values().fold(self.model, |sum, c| sum.plus(*c))
    }
}
