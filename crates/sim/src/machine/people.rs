//! People and accidents: approvers, operators, crashes, takeovers, clock jumps; and the calm at the end, in which
//! whoever is waited for answers.

use stead_core::{
    fact::{Fact, StopMode},
    id::{EffectId, RunId},
    record::{Payload, Source},
    ruling::Person,
    run::{CallPhase, Command, Life, owes},
    sandbox::BoxTotals,
};

use super::{
    event::Event,
    history::Sim,
    node::{Node, Task},
    store::Append,
};
use crate::check::gate::{BOSS, ROLE};
use crate::failure::Check;
use crate::plan::{Disturbance, MAX_OFFSET, PERSON, SECOND};

impl Sim {
    /// A human is asked: one looks at it some time later, or never.
    pub(super) fn people_see(&mut self, run: RunId, facts: &[Fact]) {
        for fact in facts {
            if let Fact::ApprovalRequested(f) = fact
                && !self.rng.chance(self.plan.human_never)
            {
                let id = EffectId { run, n: f.effect };
                let at = self.now + self.rng.below(15 * SECOND);
                self.agenda.add(at, Event::Human { id, force: self.rng.chance(100) });
                if self.rng.chance(100) {
                    self.agenda.add(at + self.rng.below(5 * SECOND), Event::Human { id, force: true });
                }
            }
        }
    }

    /// A human answers, if they are still asked; some answer though they are not.
    pub(super) fn human(&mut self, id: EffectId, force: bool) -> Check {
        let asked = self
            .store
            .state(id.run)
            .and_then(|s| s.call(id.n))
            .is_some_and(|c| matches!(c.phase, CallPhase::Asking { .. }));
        let renewing = self.store.state(id.run).is_some_and(|s| s.renewing.is_some_and(|r| r.effect == id.n));
        if !asked && !renewing && !force {
            return Ok(());
        }
        // The answer may be lost with the process: they look again.
        self.agenda.add(self.now + 10 * SECOND, Event::Human { id, force: false });
        let approved = !self.rng.chance(self.plan.human_denies);
        let name = *self.rng.pick(&["ada", "grace", "joan", "bob", "max"]);
        // Now and then somebody else says yes in the person's place.
        let name = if renewing && self.rng.chance(800) { PERSON } else { name };
        let roles = match name {
            "bob" => Vec::new(),
            "max" => vec![BOSS.into()],
            _ => vec![ROLE.into()],
        };
        let name = name.into();
        let command = Command::Approve { effect: id.n, approved, by: Person { name, roles }, note: None, signed: None };
        if self.nodes[self.current].alive { self.command(self.current, id.run, command, None) } else { Ok(()) }
    }

    pub(super) fn disturb(&mut self, what: Disturbance) -> Check {
        self.trace(|_| format!("-- {what:?}"));
        match what {
            Disturbance::Crash => {
                self.crashes += 1;
                self.kill_node(self.current);
                self.agenda.add(self.now + self.rng.below(2 * SECOND), Event::Restart);
            }
            Disturbance::Drain => {
                self.nodes[self.current].draining = true;
                self.agenda.add(self.now + self.rng.below(3 * SECOND), Event::Disturb(Disturbance::Crash));
            }
            Disturbance::Takeover => {
                self.crashes += 1;
                return self.new_node();
            }
            Disturbance::Jump(by) => {
                let far = MAX_OFFSET as i64;
                self.offset = (self.offset + by).clamp(-far, far);
                let n = self.current;
                let runs = if self.nodes[n].alive { self.unfinished() } else { Vec::new() };
                for run in runs {
                    self.load(n, run)?;
                    if let Some(loaded) = self.nodes[n].runs.get_mut(&run) {
                        loaded.wake = None;
                    }
                    self.look_again(n, run);
                }
            }
            Disturbance::Evict => {
                let (now, wall) = (self.now, self.wall());
                let node = &mut self.nodes[self.current];
                let n = self.current;
                // A run with a live dispatch, or that is owed one, is never evicted.
                node.runs.retain(|run, l| {
                    let idle = l.queue.is_empty()
                        && l.pending.is_none()
                        && l.state.as_ref().is_some_and(|s| !s.held() && owes(s, l.activation, wall).next().is_none());
                    if idle && let Some(target) = l.wake {
                        self.agenda.add(now + SECOND, Event::Wake { node: n, run: *run, target });
                    }
                    !idle
                });
            }
            Disturbance::Apply => self.policies.epoch += 1,
            Disturbance::Backup => self.back_up(),
            Disturbance::Restore => return self.restore(),
            Disturbance::Pause(run) => return self.operator(run, Op::Command(Box::new(Command::Pause))),
            Disturbance::Resume(run) => return self.operator(run, Op::Command(Box::new(Command::Resume))),
            Disturbance::Cancel(run) => return self.operator(run, Op::Stop(StopMode::Cancel)),
            Disturbance::Kill(run) => return self.operator(run, Op::Stop(StopMode::Kill)),
        }
        Ok(())
    }

    /// An operator lets a restored run go on.
    pub(super) fn go_on(&mut self, run: RunId) -> Check {
        let paused = self.store.state(run).is_some_and(|s| s.paused);
        if paused && self.nodes[self.current].alive {
            return self.command(self.current, run, Command::Resume, None);
        }
        Ok(())
    }

    fn operator(&mut self, run: usize, op: Op) -> Check {
        let run = self.run_id(run);
        if !self.nodes[self.current].alive || !self.store.runs.contains_key(&run) {
            return Ok(());
        }
        match op {
            Op::Command(command) => self.command(self.current, run, *command, None),
            Op::Stop(mode) => self.submit(self.current, run, Task::Stop(mode)),
        }
    }

    /// The process is gone, with everything in memory. What it has sent is on its way.
    pub(super) fn kill_node(&mut self, n: usize) {
        self.nodes[n].alive = false;
        self.nodes[n].runs.clear();
    }

    /// A new process takes the lease (the old one may not know it yet) and loads what is unfinished.
    pub(super) fn new_node(&mut self) -> Check {
        self.store.epoch += 1;
        self.nodes.push(Node::new(self.store.epoch, self.world.life));
        self.current = self.nodes.len() - 1;
        let n = self.current;
        self.trace(|_| format!("node {n} takes over"));
        for run in self.unfinished() {
            self.load(n, run)?;
        }
        let sessions: Vec<_> = self.store.sessions.keys().copied().collect();
        for session in sessions {
            self.promote(n, session)?;
        }
        Ok(())
    }

    /// Runs that are in the foreground and have not ended.
    fn unfinished(&self) -> Vec<RunId> {
        let live = self.store.runs.iter().filter(|(_, log)| log.state().life == Life::Live);
        live.map(|(run, _)| *run).collect()
    }

    /// A child's end is in its parent's inbox: ring the bell, which may be lost, so ring again.
    pub(super) fn bell(&mut self, append: &Append) {
        if let Some(parent) = append.expected.parent.filter(|_| append.expected.life.ended()) {
            for reach in [SECOND, 20 * SECOND] {
                self.agenda.add(self.now + self.rng.below(reach), Event::Inbox(parent.run));
            }
        }
    }

    pub(super) fn read_inbox(&mut self, n: usize, run: RunId) -> Check {
        let rows = self.store.inbox.get(&run).cloned().unwrap_or_default();
        for row in rows {
            let content = Payload::inline("the child is done", Source::Agent);
            let command = Command::ChildFinished {
                effect: row.effect,
                ended: row.ended,
                content,
                spent: row.spent,
                boxes: BoxTotals::default(),
                label: None,
                used: row.used,
            };
            self.command(n, run, command, None)?;
        }
        Ok(())
    }

    /// After the faults: paused runs are resumed, humans answer, lost promotions are found, until all has ended.
    pub(super) fn calm(&mut self) -> Check {
        self.calm = true;
        if self.all_ended() {
            return Ok(());
        }
        self.agenda.add(self.now + 5 * SECOND, Event::Calm);
        if !self.nodes[self.current].alive {
            self.new_node()?;
        }
        let n = self.current;
        for run in self.unfinished() {
            let Some(state) = self.store.state(run) else { continue };
            let asked: Vec<u32> = state
                .calls
                .iter()
                .filter(|c| matches!(c.phase, CallPhase::Asking { .. }))
                .map(|c| c.head.effect)
                .chain(state.renewing.map(|r| r.effect))
                .collect();
            if state.paused {
                self.command(n, run, Command::Resume, None)?;
            }
            for effect in asked {
                self.human(EffectId { run, n: effect }, false)?;
            }
            self.read_inbox(n, run)?;
            self.look_again(n, run);
        }
        let sessions: Vec<_> = self.store.sessions.keys().copied().collect();
        for session in sessions {
            let paused = self.store.sessions[&session].queued.iter().copied().collect::<Vec<_>>();
            for run in paused {
                if self.store.state(run).is_some_and(|s| s.paused) {
                    self.command(n, run, Command::Resume, None)?;
                }
            }
            self.promote(n, session)?;
        }
        Ok(())
    }
}

enum Op {
    Command(Box<Command>),
    Stop(StopMode),
}
