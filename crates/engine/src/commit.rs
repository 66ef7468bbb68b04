//! From a command to a durable record. State advances only on acknowledgement; until then the actor does nothing else.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use stead_core::{
    record::{Actor as By, Record},
    run::{CallPhase, Command, Decision, Inputs, Life, Refusal, STATE_VERSION, State, decide, decide_holding},
};
use stead_policy::Policies;
use stead_ports::journal::{IndexChange, RunState, SessionChange, Snapshot, Status};
use tokio::sync::watch;

use crate::{
    actor::{Actor, Msg},
    approvals,
    durable::{OnTrouble, durable},
    gate::{self, RunGate},
    hearing::sealed,
    history::{Book, Heard, Names, Reserved},
    parent::child_end,
    record::Outgoing,
    types::EngineError,
    usage, view,
};

/// What came of deciding.
enum Decided {
    /// It hangs on calls of others whose appends are under way: told when one of them is settled.
    Split(watch::Receiver<()>),
    /// A decision, and what it counts.
    So(Decision, Reserved),
}

impl Actor {
    /// Commits what is in hand, for as long as it takes. A refusal means that the command came too late or twice, and is
    /// no error here.
    pub(crate) async fn commit(&mut self, command: Command, by: By) -> Result<(), EngineError> {
        match self.commit_with(command, by, IndexChange::default(), OnTrouble::TryAgain).await {
            Err(EngineError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    /// Commits what somebody asks for and waits for: a refusal is a conflict, and a store that cannot write is told.
    pub(crate) async fn try_commit(&mut self, command: Command, by: By) -> Result<(), EngineError> {
        self.commit_with(command, by, IndexChange::default(), OnTrouble::Tell).await
    }

    /// Commits a command together with changes to the indexes.
    pub(crate) async fn commit_with(
        &mut self,
        command: Command,
        by: By,
        index: IndexChange,
        on_trouble: OnTrouble,
    ) -> Result<(), EngineError> {
        // What policies look at must be at hand, for a decision waits for nothing.
        let weighs = matches!(command, Command::Approve { .. });
        if self.state.calls.iter().any(|c| weighs || c.phase == CallPhase::Undecided || !c.given.is_empty()) {
            self.open_reply().await?;
            self.listen(false).await?;
        }
        if matches!(command, Command::ModelReplied { .. }) {
            self.listen(true).await?;
        }
        let sets = self.engine.0.ports.policies.clone();
        let policies = gate::policies(&*sets, &self.state.tenant, &self.agent).await;
        let (book, names) = self.book(policies.as_ref()).await?;
        let mut command = Some(command);
        let decided = loop {
            // Only what reads counters may have to be asked again.
            let asked = if names.is_empty() { command.take() } else { command.clone() };
            let asked = asked.expect("it is kept as long as it may be asked again");
            match self.decide(asked, policies.as_ref(), &book, &names) {
                Ok(Decided::Split(mut settled)) => {
                    let _ = settled.changed().await;
                }
                Ok(Decided::So(decision, reserved)) => break Ok((decision, reserved)),
                Err(refusal) => break Err(refusal),
            }
        };
        let (decision, reserved) = decided.map_err(|refusal| {
            self.sealer.blobs.clear();
            EngineError::Conflict {
                why: match refusal {
                    Refusal::Conflict(why) => why.to_owned(),
                    other => other.to_string(),
                },
            }
        })?;
        if decision.facts.is_empty() {
            self.sealer.blobs.clear();
            return Ok(());
        }
        self.write((decision, reserved), by, index, on_trouble).await
    }

    /// The book of the run's tenant, and the counters that its policies ask for.
    async fn book(&mut self, policies: Option<&Arc<Policies>>) -> Result<(Arc<Book>, Arc<Names>), EngineError> {
        let book = match &self.book {
            Some(book) => book.clone(),
            None => self.book.insert(self.engine.0.books.of(&self.state.tenant)).clone(),
        };
        book.load(&self.engine).await?;
        let names = policies.map(|policies| book.names(&self.engine, policies)).unwrap_or_default();
        if !names.is_empty() {
            book.known(&names).await;
        }
        // What a call is to a counter may hang on its arguments, whatever becomes of it.
        if !self.state.calls.is_empty() && self.fresh_reply.is_none() && book.lock().looks_at_arguments() {
            self.open_reply().await?;
        }
        Ok((book, names))
    }

    /// Decides, and counts what that lets go, in one: nobody decides about the same counters meanwhile.
    fn decide(
        &self,
        command: Command,
        policies: Option<&Arc<Policies>>,
        book: &Arc<Book>,
        names: &Names,
    ) -> Result<Decided, Refusal> {
        let journal = &**self.engine.journal();
        let principal = self.principal.get_or_init(|| gate::principal(&self.state, &self.agent));
        let gate = RunGate {
            policies: policies.cloned(),
            principal,
            agent: &self.agent,
            reply: self.fresh_reply.as_ref(),
            hearing: self.hearing.as_ref(),
            heard: None,
        };
        let now = self.engine.0.ports.clock.now();
        // What begins now would not be paid for while draining; held back, it is nobody's loss.
        let decide = if self.holds() { decide_holding } else { decide };
        let by = |gate: &RunGate<'_>| {
            let inputs = Inputs { now, activation: self.activation, gate };
            decide(&self.state, command, inputs)
        };
        let reply = self.fresh_reply.as_ref();
        if names.is_empty() {
            let decision = by(&gate)?;
            let reserved = book.reserve(&mut book.lock(), journal, (&self.state, &decision), reply);
            return Ok(Decided::So(decision, reserved));
        }
        let mut inside = book.lock();
        let (before, split) = (Some(&*self.state), AtomicBool::new(false));
        let heard = Heard { book, inside: &inside, names, journal, before, split };
        let decision = by(&RunGate { heard: Some(&heard), ..gate })?;
        if heard.split.into_inner() {
            return Ok(Decided::Split(book.settled()));
        }
        let reserved = book.reserve(&mut inside, journal, (&self.state, &decision), reply);
        Ok(Decided::So(decision, reserved))
    }

    async fn write(
        &mut self,
        (decision, reserved): (Decision, Reserved),
        by: By,
        index: IndexChange,
        on_trouble: OnTrouble,
    ) -> Result<(), EngineError> {
        let outgoing = Outgoing::new(&self.engine, decision, by);
        let row = view::run_state(&outgoing.state, outgoing.at);
        let moved = row.status != self.row.status || row.wake_at != self.row.wake_at;
        let settled = usage::settled(&self.state, &outgoing.record.facts, outgoing.at);
        // One that is paused still awaits what it had sent, and is not taken up again when this process ends.
        let works = row.status == Status::Running && outgoing.state.working();
        let told = self.untold.due(works, &settled);
        let (tell, keep) = if told { (self.untold.with(settled), Vec::new()) } else { (Vec::new(), settled) };
        let index = self.indexed(
            &outgoing,
            IndexChange { settled: tell, counted: reserved.row(), ..index },
            moved.then_some(&row),
        );
        let append = outgoing.append(self.prev, std::mem::take(&mut self.sealer.blobs), index);
        let leaf = append.leaf;
        durable(&self.engine, append, on_trouble, Some(&mut self.ear)).await?;
        reserved.durable(&self.engine);

        let Outgoing { record, state, .. } = outgoing;
        let ended = state.life.ended();
        let was = std::mem::replace(&mut self.state, state);
        self.prev = leaf;
        self.tail += 1;
        if told {
            self.untold.told();
        }
        self.untold.add(keep);
        self.count(&record.facts, &was);
        self.publish(&record, ended).await;
        if self.state.calls.is_empty() {
            self.started.clear();
            self.stopped.clear();
        }
        // The session's next run begins from here; so a long session has snapshots too, though its runs are short.
        if self.tail >= self.engine.0.options.snapshot_every && self.state.life != Life::Queued {
            self.snapshot().await;
        }
        if ended {
            // Before anybody hears of the end: who does may start the next run at once.
            self.hand_on();
        }
        if moved {
            self.engine.0.waiters.wake(self.run, &Ok(row.status));
            self.row = row;
        }
        if ended {
            self.ended(was.life);
        }
        Ok(())
    }

    /// What changes in the indexes with a record; nothing for most of them.
    fn indexed(&self, outgoing: &Outgoing, mut index: IndexChange, row: Option<&RunState>) -> Option<Box<IndexChange>> {
        let Outgoing { record, state, .. } = outgoing;
        index.run = row.cloned();
        if state.life.ended() {
            self.at_end(record, state, &mut index);
        }
        approvals::follow(Some(&self.state), state, &mut index);
        (!index.is_empty()).then(|| Box::new(index))
    }

    /// A run's last append also frees its session and tells its parent.
    fn at_end(&self, record: &Record, state: &State, index: &mut IndexChange) {
        // A run that was never admitted holds no session and continues no conversation; one can be admitted and end at once.
        if self.state.life == Life::Live || index.session == Some(SessionChange::Claim) {
            index.session = Some(SessionChange::Release { head: true, spent: state.budget.spent });
        }
        let label = self.hearing.as_ref().map(|hearing| sealed(&hearing.window(hearing.len())));
        index.send.extend(child_end(record, state, self.fresh_reply.as_ref(), label));
    }

    fn ended(&mut self, was: Life) {
        if let Some(parent) = self.state.parent {
            // A parent that is not loaded now finds the message in its inbox when it is.
            if let Err(EngineError::Overloaded { .. }) = self.engine.0.tell(&self.engine, parent.run, Msg::Inbox) {
                let engine = self.engine.clone();
                tokio::spawn(async move {
                    while let Err(EngineError::Overloaded { .. }) = engine.0.tell(&engine, parent.run, Msg::Inbox) {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                });
            }
        }
        self.engine.0.sessions.ended(&self.engine, self.state.session, was);
    }

    /// Shows the record to those who follow the run. That it cannot be shown is their trouble, not the run's.
    async fn publish(&mut self, record: &Record, ended: bool) {
        let rooms = &self.engine.0.rooms;
        if rooms.nobody() {
            return;
        }
        let events = match rooms.followed(self.run) {
            true => self.engine.events(record, self.prev).await,
            false => Ok(Vec::new()),
        };
        match events {
            Ok(events) => rooms.facts(self.run, events, ended),
            // They come back through the journal and meet the same there.
            Err(_) => rooms.dismiss(self.run),
        }
    }

    /// A snapshot spares the next load the fold; losing it costs time only.
    async fn snapshot(&mut self) {
        self.tail = 0;
        let body = Bytes::from(self.state.to_snapshot());
        let snapshot = Snapshot { seq: self.state.next_seq, leaf: self.prev, version: STATE_VERSION, body };
        if let Err(error) = self.engine.0.ports.journal.put_snapshot(self.run, snapshot).await {
            tracing::debug!(run = %self.run, %error, "the snapshot was not kept");
        }
    }
}
