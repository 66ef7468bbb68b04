//! Paying debts: what a node begins when the machine says it is owed, and how answers come back.

use stead_core::{
    budget::Usage,
    code,
    effect::{EffectClass, Outcome, Reconciled},
    fact::{CallHead, Held, Parent, Precondition},
    grant::Granted,
    id::{EffectId, RunId, TreeId},
    record::{Payload, Source},
    ruling::{Above, Behalf},
    run::{CallIn, CallPhase, Command, Debt, ModelFailure, NewRun, Retry, State, owes, wake_at},
    sandbox::{Action, BoxUse, Property, Tier, Traffic, TreeChange},
    time::Span,
};

use super::{
    event::{Begun, Event},
    history::Sim,
    node::Task,
};
use crate::check::workspace::writes;
use crate::failure::{Check, violation};
use crate::{
    plan::{MAX_TRANSIT, SECOND},
    world::{Request, text},
};

/// How long an engine waits for a tool, and for a model.
const TOOL_TIMEOUT: u64 = 5 * SECOND;
const MODEL_TIMEOUT: u64 = 8 * SECOND;

impl Sim {
    /// Begins what is owed and not begun. Nothing is begun that the decision under way (not durable yet) has closed.
    pub(super) fn pay(&mut self, n: usize, run: RunId) -> Check {
        let wall = self.wall();
        let (current, draining) = (self.nodes[n].epoch == self.store.epoch, self.nodes[n].draining);
        let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
        let Some(state) = &loaded.state else { return Ok(()) };
        let attempt = |d: &Debt| match d {
            Debt::Dispatch { effect } => state.call(*effect).map_or(0, |c| c.attempt),
            _ => 0,
        };
        let owed: Vec<Begun> = owes(state, loaded.activation, wall).map(|d| (d.clone(), attempt(&d))).collect();
        loaded.begun.retain(|b| owed.contains(b));
        if state.held() && !draining && loaded.pending.is_none() && loaded.queue.is_empty() {
            return self.command(n, run, Command::Tick, None);
        }
        let (mut later, mut unsent) = (false, Vec::new());
        for debt in owed {
            let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
            if loaded.begun.contains(&debt) {
                continue;
            }
            if let Debt::Recover { .. } = debt.0 {
                if !loaded.has_recover() {
                    self.command(n, run, Command::Recover, None)?;
                }
                continue;
            }
            if draining {
                unsent.push(debt.0);
                continue;
            }
            let still = loaded.decided().is_some_and(|s| owes(s, loaded.activation, wall).any(|d| d == debt.0));
            if !still || self.rng.chance(100) {
                later = true;
                continue;
            }
            // The last thing before the world is touched: is the lease still ours?
            if !current {
                return Ok(());
            }
            loaded.begun.push(debt.clone());
            self.begin(n, run, debt)?;
        }
        if later {
            let at = self.now + self.rng.below(SECOND);
            self.agenda.add(at, Event::Pay { node: n, run });
        }
        self.give_back(n, run, &unsent)
    }

    /// A process that is about to end gives back what it has promised and not begun, if it comes to it.
    fn give_back(&mut self, n: usize, run: RunId, unsent: &[Debt]) -> Check {
        let Some(loaded) = self.nodes[n].runs.get(&run) else { return Ok(()) };
        let Some(state) = loaded.state.as_ref().filter(|_| loaded.pending.is_none() && loaded.queue.is_empty()) else {
            return Ok(());
        };
        let intended = |e: u32| state.call(e).is_some_and(|c| matches!(c.phase, CallPhase::Intended { .. }));
        let effects: Vec<u32> = unsent
            .iter()
            .filter_map(|d| match d {
                Debt::Dispatch { effect } if intended(*effect) => Some(*effect),
                _ => None,
            })
            .collect();
        let model = unsent.iter().any(|d| matches!(d, Debt::CallModel { .. }));
        if (!model && effects.is_empty()) || self.rng.chance(300) {
            return Ok(());
        }
        self.command(n, run, Command::Unsent { model, effects, why: Held::Draining }, None)
    }

    fn begin(&mut self, n: usize, run: RunId, begun: Begun) -> Check {
        self.trace(|_| format!("node {n} {run}: begins {begun:?}"));
        let Some(state) = self.nodes[n].runs.get(&run).and_then(|l| l.state.clone()) else { return Ok(()) };
        if self.gates.contains(&run) && !matches!(begun.0, Debt::Reconcile { .. } | Debt::StopChild { .. }) {
            return violation("no dispatch after a cancel", format!("{run}: {begun:?}"));
        }
        match begun.0.clone() {
            Debt::CallModel { turn, attempt, .. } => self.call_model(n, &state, turn, attempt, begun),
            Debt::Dispatch { effect } => return self.dispatch(n, &state, effect, begun.1),
            Debt::Preview { effect } => {
                let faults = self.faults();
                let late = if self.rng.chance(faults.slow) { TOOL_TIMEOUT } else { 0 };
                let at = self.now + late + self.rng.below(SECOND);
                let found = match self.rng.below(4) {
                    0 => Err(text(&mut self.rng)),
                    1 => Ok((text(&mut self.rng), None)),
                    n => Ok((text(&mut self.rng), Some(Precondition::Rows(n)))),
                };
                self.agenda.add(at, Event::Looked { node: n, id: state.effect_id(effect), found });
            }
            Debt::Reconcile { effect } => {
                let (id, asked) = (state.effect_id(effect), self.wall());
                let at = self.now + self.rng.below(SECOND);
                self.agenda.add(at, Event::Ask { node: n, id, asked });
            }
            Debt::StartChild { effect, child, limits } => {
                let (_, session) = state.effect_id(effect).child();
                let behalf = handed_down(&state, effect);
                let mut config = (*state.config).clone();
                config.limits = limits;
                config.max_turns = 2;
                return self.begin_start(
                    n,
                    NewRun {
                        run: child,
                        tenant: "sim".into(),
                        session,
                        agent: "child".into(),
                        version: state.version,
                        parent: Some(Parent { run, effect }),
                        hops: state.hops + 1,
                        config,
                        input: Payload::inline("go", Source::Agent),
                        admit: Some(self.admission(session)),
                        restored: state.restored,
                        behalf,
                        label: None,
                    },
                );
            }
            Debt::StopChild { effect, child, mode } => {
                if self.store.runs.contains_key(&child) {
                    return self.submit(n, child, Task::Stop(mode));
                }
                self.store.tombstone(state.effect_id(effect), child);
                self.agenda.add(self.now, Event::Inbox(run));
            }
            Debt::Recover { .. } => {}
        }
        Ok(())
    }

    fn call_model(&mut self, n: usize, state: &State, turn: u32, attempt: u32, clears: Begun) {
        let faults = self.faults();
        let run = state.run;
        let back = self.now + self.rng.range(50_000, SECOND);
        let spread = self.rng.below(1 << 16) as u16;
        let failed = |code, retry, charged| Command::ModelFailed {
            turn,
            attempt,
            failure: ModelFailure { code, detail: Payload::inline("no", Source::Runtime), retry, charged, spread },
        };
        if self.rng.chance(faults.model) {
            let (at, command) = match self.rng.below(5) {
                4 => {
                    let until = self.wall().after(Span(self.rng.below(5 * SECOND)));
                    let why = Payload::inline("the provider takes no more now", Source::Runtime);
                    (back, Command::ModelDeferred { turn, attempt, until, why })
                }
                0 => (back, failed(code::MODEL_BUSY, Retry::After(Some(Span(self.rng.below(10 * SECOND)))), false)),
                1 => (back, failed(code::MODEL_CUT, Retry::After(None), true)),
                2 => (back, failed(code::MODEL_REFUSED, Retry::No, false)),
                _ => (self.now + MODEL_TIMEOUT, failed(code::MODEL_TIMEOUT, Retry::After(None), true)),
            };
            self.agenda.add(at, Event::Model { node: n, run, command: Box::new(command), clears });
            return;
        }
        let command = self.reply(state, turn, attempt);
        if self.rng.chance(faults.answer_twice) {
            let again = back + self.rng.below(10 * SECOND);
            let event = Event::Model { node: n, run, command: Box::new(command.clone()), clears: clears.clone() };
            self.agenda.add(again, event);
        }
        self.agenda.add(back, Event::Model { node: n, run, command: Box::new(command), clears });
    }

    /// A model's reply: up to four calls of any tools, with few different arguments so that they collide.
    fn reply(&mut self, state: &State, turn: u32, attempt: u32) -> Command {
        let calls = *self.rng.pick(&[0, 1, 1, 1, 1, 2, 2, 2, 3, 4]);
        let calls: Vec<CallIn> = (0..calls).map(|_| self.call(state)).collect();
        let misfit = (calls.is_empty() && state.config.repairs.is_some() && self.rng.chance(500))
            .then(|| Payload::inline("it does not fit", Source::Runtime));
        let output = if self.rng.chance(30) { 200 } else { self.rng.below(50) };
        Command::ModelReplied {
            turn,
            attempt,
            reply: Payload::inline("reply", Source::Model),
            usage: Usage { input: state.view_tokens + 20, cached: 0, output, reasoning: 0, cache_write: 0 },
            calls,
            misfit,
        }
    }

    fn call(&mut self, state: &State) -> CallIn {
        let tool = self.rng.pick(&self.plan.tools).clone();
        let args = self.rng.below(4) as u8;
        let deep = tool.rules.child.is_some() && state.hops >= 1;
        let invalid = (deep || self.rng.chance(40))
            .then(|| (code::TOOL_ARGUMENTS, Payload::inline("these arguments do not fit", Source::Runtime)));
        let head = CallHead {
            effect: 0,
            tool: tool.name,
            class: tool.class,
            args: [args; 16],
            schema: [0; 16],
            // Two different arguments share a key.
            key: tool.business_key.then(|| format!("k{}", args / 2).into()),
            rules: tool.rules,
        };
        CallIn { head, invalid }
    }

    fn dispatch(&mut self, n: usize, state: &State, effect: u32, attempt: u8) -> Check {
        let Some(call) = state.call(effect) else { return Ok(()) };
        let id = state.effect_id(effect);
        let durable = self.store.runs.get(&state.run).and_then(|r| r.audit.call(effect)).map_or(0, |c| c.intents);
        if call.head.class != EffectClass::Pure && durable < u32::from(attempt) {
            return violation("intent before effect", format!("{id} attempt {attempt}, {durable} intents are durable"));
        }
        if writes(&call.head) {
            self.trees.insert((id, attempt), state.tree);
        }
        let faults = self.faults();
        if self.rng.chance(faults.not_sent) {
            let at = self.now + self.rng.below(SECOND);
            let outcome = Box::new(Outcome::NotSent(text(&mut self.rng)));
            if self.rng.chance(faults.answer_twice) {
                let again = at + self.rng.below(5 * SECOND);
                self.agenda.add(again, Event::Answer { node: n, id, attempt, outcome: outcome.clone() });
            }
            self.agenda.add(at, Event::Answer { node: n, id, attempt, outcome });
            return Ok(());
        }
        let request = Request {
            id,
            attempt,
            tool: call.head.tool.clone(),
            class: call.head.class,
            key: call.head.key.clone().unwrap_or_else(|| id.to_string().into()),
            args: call.head.args,
            key_ttl: call.head.rules.key_ttl.map(|s| s.0),
            life: self.nodes[n].life,
        };
        let transit = if self.rng.chance(faults.slow) { self.rng.below(MAX_TRANSIT) } else { self.rng.below(50_000) };
        self.agenda.add(self.now + transit, Event::Request { node: n, request: Box::new(request) });
        self.agenda.add(self.now + TOOL_TIMEOUT, Event::Timeout { node: n, id, attempt });
        Ok(())
    }

    pub(super) fn request(&mut self, n: usize, request: &Request) {
        let faults = self.faults();
        let outcome = Box::new(self.world.arrive(request, self.now, &faults, &mut self.rng));
        self.trace(|_| format!("{} attempt {} arrives: {outcome:?}", request.id, request.attempt));
        let (id, attempt) = (request.id, request.attempt);
        let back = |rng: &mut crate::rng::Rng| {
            if rng.chance(faults.slow) { rng.below(30 * SECOND) } else { rng.below(200_000) }
        };
        if !self.rng.chance(faults.answer_lost) {
            let at = self.now + back(&mut self.rng);
            self.agenda.add(at, Event::Answer { node: n, id, attempt, outcome: outcome.clone() });
        }
        if self.rng.chance(faults.answer_twice) {
            let at = self.now + back(&mut self.rng);
            self.agenda.add(at, Event::Answer { node: n, id, attempt, outcome });
        }
    }

    /// An answer finds the process that asked; if that is gone, perhaps the one that took over.
    pub(super) fn answered(&mut self, n: usize, id: EffectId, attempt: u8, outcome: Outcome<Payload>) -> Check {
        let node = if self.nodes[n].alive {
            n
        } else if self.rng.chance(400) && self.nodes[self.current].alive && self.nodes[n].life == self.world.life {
            self.current
        } else {
            return Ok(());
        };
        let error = self.rng.chance(100);
        let action = self.left_behind(id, attempt);
        let command = Command::Outcome { effect: id.n, attempt, outcome, error, action };
        self.command(node, id.run, command, Some((Debt::Dispatch { effect: id.n }, attempt)))
    }

    /// What an attempt leaves behind beside its answer. An adapter that tells of a tree with an answer that says nothing was done is
    /// not believed.
    fn left_behind(&mut self, id: EffectId, attempt: u8) -> Option<Box<Action>> {
        let place = self.store.runs.get(&id.run)?.audit.call(id.n)?.head.rules.place?;
        let workspace = self.trees.get(&(id, attempt)).copied().map(|before| TreeChange {
            before,
            after: TreeId(std::array::from_fn(|_| self.rng.below(256) as u8)),
            added: self.rng.below(10),
            changed: 0,
            removed: 0,
            bytes: 1,
        });
        let sandbox = place.boxed.then(|| BoxUse {
            tier: Tier::Namespace,
            held: Property::ALL.to_vec(),
            not_held: Vec::new(),
            cpu: self.rng.chance(800).then(|| Span(self.rng.below(3 * SECOND))),
            memory_peak: Some(self.rng.below(1 << 20)),
            wall: Span(self.rng.below(5 * SECOND)),
            traffic: self.rng.chance(300).then(|| Traffic { sent: self.rng.below(4_000), ..Traffic::default() }),
            evidence: Vec::new(),
            begun: None,
        });
        Some(Box::new(Action { workspace, sandbox }))
    }

    pub(super) fn timed_out(&mut self, n: usize, id: EffectId, attempt: u8) -> Check {
        let waiting = (Debt::Dispatch { effect: id.n }, attempt);
        let still = self.nodes[n].runs.get(&id.run).is_some_and(|l| l.begun.contains(&waiting));
        if !still {
            return Ok(());
        }
        let outcome = Outcome::Unknown(text(&mut self.rng));
        self.answered(n, id, attempt, outcome)
    }

    pub(super) fn asked(&mut self, n: usize, id: EffectId, asked: stead_core::time::Timestamp) {
        let faults = self.faults();
        let mut answer = self.world.ask(id, &faults, &mut self.rng);
        let mut at = self.now + self.rng.below(200_000);
        if self.rng.chance(faults.answer_lost) {
            (answer, at) = (Reconciled::StillUnknown, self.now + TOOL_TIMEOUT);
        } else if self.rng.chance(faults.slow) {
            at += self.rng.below(20 * SECOND);
        }
        if self.rng.chance(faults.answer_twice) {
            let again = at + self.rng.below(20 * SECOND);
            self.agenda.add(again, Event::AskBack { node: n, id, asked, answer: Box::new(answer.clone()) });
        }
        self.agenda.add(at, Event::AskBack { node: n, id, asked, answer: Box::new(answer) });
    }

    /// A wait may be over. A due wait must lead to something, or the run would be woken for ever.
    pub(super) fn woken(&mut self, n: usize, run: RunId, target: stead_core::time::Timestamp) -> Check {
        // One that is about to end begins nothing, whatever the time.
        if !self.nodes[n].alive || self.nodes[n].draining {
            return Ok(());
        }
        let wall = self.wall();
        if !self.nodes[n].runs.contains_key(&run) {
            // It was evicted while it waited.
            return self.load(n, run);
        }
        let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
        if loaded.wake != Some(target) {
            return Ok(());
        }
        loaded.wake = None;
        if target > wall {
            self.look_again(n, run);
            return Ok(());
        }
        self.pay(n, run)?;
        let Some(loaded) = self.nodes[n].runs.get(&run) else { return Ok(()) };
        let records = self.store.runs.get(&run).map_or(0, |r| r.records.len());
        let idle = loaded.pending.is_none() && loaded.queue.is_empty();
        self.command(n, run, Command::Tick, None)?;
        let Some(loaded) = self.nodes[n].runs.get(&run) else { return Ok(()) };
        let Some(state) = &loaded.state else { return Ok(()) };
        let came_to_nothing = idle && loaded.pending.is_none() && wake_at(state, wall) == Some(target);
        if came_to_nothing {
            return violation(
                "a due wait makes progress",
                format!("{run} after {records} records: {:?} {:?}", state.phase, state.calls),
            );
        }
        Ok(())
    }
}

/// On whose behalf a child works, as an engine says it.
fn handed_down(state: &State, effect: u32) -> Behalf {
    let mut behalf = state.behalf.clone();
    let by = u8::try_from(behalf.callers.len()).unwrap_or(u8::MAX);
    if let Some(CallPhase::Child { grant: Some(grant), .. }) = state.call(effect).map(|c| &c.phase) {
        behalf.grants.push(Granted { by, grant: (**grant).clone() });
    }
    behalf.callers.push(state.agent.clone());
    behalf.above.push(Above { run: state.run, version: state.version });
    behalf
}
