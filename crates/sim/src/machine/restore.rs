//! A backup, and the loss of the store after it: what DESIGN's restore rule is about. A backup is one moment of the store. What was
//! acknowledged after it is gone; what was sent after it is on its way, or has happened. Each run of the restored store that had
//! not ended gets its `Restored` before anything works on it, as `stead restore` does it.

use std::collections::{BTreeMap, BTreeSet};

use stead_core::{
    fact::Fact,
    id::{ActivationId, EffectId, RunId},
    record::{Actor, Header, Record, VERSION},
    run::{Command, Inputs, Shut, decide},
    time::Timestamp,
};

use super::{
    event::Event,
    history::Sim,
    store::{Append, Store},
};
use crate::{
    check,
    failure::{Check, violation},
    plan::SECOND,
};

/// One moment of a store.
#[derive(Debug)]
pub(super) struct Backup {
    store: Store,
    taken: Timestamp,
    /// Runs whose stop had been acknowledged.
    gates: BTreeSet<RunId>,
}

impl Sim {
    pub(super) fn back_up(&mut self) {
        self.backup = Some(Backup { store: self.store.clone(), taken: self.wall(), gates: self.gates.clone() });
    }

    /// The store and every process are gone; the backup takes the store's place, and a new process begins.
    pub(super) fn restore(&mut self) -> Check {
        let Some(Backup { store, taken, gates }) = &self.backup else { return Ok(()) };
        let (taken, mut store) = (*taken, store.clone());
        self.gates.clone_from(gates);
        self.restores += 1;
        // What the lost life did is judged by its own journals, before they are gone.
        let audit = |id: EffectId| self.store.runs.get(&id.run).map(|r| &r.audit);
        check::world::never_repeated(&self.world.ledger, audit)?;
        check::world::one_key(&self.world.ledger, audit)?;
        (0..self.nodes.len()).for_each(|n| self.kill_node(n));
        // Above all that the lost store has had; what its processes have sent is refused.
        store.epoch = self.store.epoch + 1;
        store.fenced = self.store.fenced;
        let lost = std::mem::replace(&mut self.store, store);
        self.forget(&lost);
        let open: Vec<RunId> =
            self.store.runs.iter().filter(|(_, log)| !log.audit.ended()).map(|(run, _)| *run).collect();
        for run in open {
            self.mark(run, taken)?;
        }
        self.new_node()
    }

    /// What a lost life promised is not promised any more, and what humans allowed in it was allowed.
    fn forget(&mut self, lost: &Store) {
        let kept = |run: &RunId| self.store.runs.get(run);
        let gone = lost.runs.keys().filter(|run| kept(run).is_none());
        self.lost.extend(gone.copied());
        // What the backup has was started, whatever an earlier restore lost.
        self.lost.retain(|run| !self.store.runs.contains_key(run));
        let store = &self.store;
        self.acknowledged.retain(|(run, seq, leaf)| {
            let records = store.runs.get(run).map(|log| &log.records);
            records.and_then(|r| r.get(*seq as usize)).is_some_and(|(_, kept)| kept == leaf)
        });
        let known: BTreeMap<RunId, u32> =
            self.store.runs.iter().map(|(run, log)| (*run, log.state().next_effect)).collect();
        self.world.restored(known);
        let of = |store: &Store, id: &EffectId| {
            let call = store.runs.get(&id.run).and_then(|log| log.audit.call(id.n));
            call.map_or((0, 0), |call| (call.intents, call.repeat_approved))
        };
        for (id, seen) in &mut self.world.ledger.effects {
            let ((then, approved_then), (now, approved_now)) = (of(lost, id), of(&self.store, id));
            seen.intended_before += then.saturating_sub(now);
            seen.approved_before += approved_then.saturating_sub(approved_now);
        }
        // What was sent in the lost life and has not arrived yet was intended as well.
        for (run, log) in &self.store.runs {
            for call in log.audit.calls() {
                let id = EffectId { run: *run, n: call.head.effect };
                let (then, now) = (of(lost, &id).0, call.intents);
                if then > now && !self.world.ledger.effects.contains_key(&id) {
                    self.world.ledger.of(id).intended_before += then - now;
                }
            }
        }
    }

    /// The record that a restore writes for a run.
    fn mark(&mut self, run: RunId, taken: Timestamp) -> Check {
        let (state, prev) = self.store.load(run)?;
        self.activations += 1;
        let activation = ActivationId(self.activations);
        let inputs = Inputs { now: self.wall(), activation, gate: &Shut };
        let command = Command::Restore { generation: self.world.life + 1, taken };
        let decision = match decide(&state, command, inputs) {
            Ok(decision) => decision,
            Err(refusal) => return violation("a restored run is paused", format!("{run}: {refusal}")),
        };
        let header = Header {
            v: VERSION,
            run,
            seq: state.next_seq,
            at: decision.at,
            activation,
            epoch: self.store.epoch,
            tenant: "sim".into(),
            actor: Actor::Runtime,
            salt: self.salts.bytes16(),
            subject_key: None,
        };
        let record = Record { header, facts: decision.facts.clone(), payloads: decision.payloads };
        let encoded = record.encode(prev);
        self.trace(|_| format!("restored {run}: {:?}", record.facts));
        let append = Append {
            run,
            seq: state.next_seq,
            epoch: self.store.epoch,
            bytes: encoded.bytes,
            leaf: encoded.leaf,
            claims: record.facts.iter().any(|f| matches!(f, Fact::RunAdmitted(_))),
            policies: self.policies,
            expected: decision.state,
        };
        if let Err(refused) = self.store.append(&append)? {
            return violation("a restored run is paused", format!("{run}: {refused:?}"));
        }
        self.bell(&append);
        self.people_see(run, &decision.facts);
        if self.rng.chance(900) {
            let at = self.now + self.rng.below(6 * SECOND);
            self.agenda.add(at, Event::Resume(run));
        }
        Ok(())
    }
}
