//! From a command to a durable record. State advances only on acknowledgement; until then the actor does nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use stead_core::{
    budget::{Offer, moves},
    effect::OnUnknown,
    fact::Fact,
    record::{Actor as By, Record},
    run::{Call, CallPhase, Command, Decision, Inputs, Life, Refusal, STATE_VERSION, State, Terms, decide_under},
};
use stead_policy::Policies;
use stead_ports::journal::{AppendError, IndexChange, RunState, SessionChange, Snapshot, Status};
use tokio::sync::watch;

use crate::{
    actor::{Actor, Msg},
    approvals,
    durable::{FIRST, LONGEST, OnTrouble, durable},
    gate::{self, Answers, RunGate},
    hearing::sealed,
    history::{Book, Heard, Names, Reserved},
    parent::child_end,
    payload,
    record::Outgoing,
    sessions,
    types::EngineError,
    uppers, usage, view,
};

/// What became of a decision that was not refused.
enum Wrote {
    /// It is durable, or there was nothing to write.
    Done,
    /// A budget above seems to have too little: that must be looked at first.
    Blocked,
}

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
        let Some(offer) = self.offer(false, on_trouble).await? else {
            return self.decide_and_write(command, by, index, on_trouble, None).await.map(drop);
        };
        // What the budgets above the run have left may have changed since it was looked at: then nothing is decided for good, neither
        // a slice that there is no room for nor that there is too little for one.
        let mut offer = (offer, false);
        let blobs = self.sealer.blobs.clone();
        loop {
            self.sealer.blobs.clone_from(&blobs);
            let again =
                self.decide_and_write(command.clone(), by.clone(), index.clone(), on_trouble, Some(&offer)).await;
            match again {
                Ok(Wrote::Done) => return Ok(()),
                Ok(Wrote::Blocked) => {}
                Err(EngineError::Append(AppendError::OverBudget { .. })) => {
                    self.engine.0.counters.slices_refused.fetch_add(1, Relaxed);
                }
                Err(other) => return Err(other),
            }
            let Some(fresh) = self.offer(true, on_trouble).await? else {
                return self.decide_and_write(command, by, index, on_trouble, None).await.map(drop);
            };
            offer = (fresh, true);
        }
    }

    /// What the budgets above the run have left. When the store cannot tell now, it is asked until it can, if what is in hand would be
    /// lost otherwise.
    async fn offer(&mut self, fresh: bool, on_trouble: OnTrouble) -> Result<Option<Offer>, EngineError> {
        if !fresh && !self.engine.0.uppers.any(&self.state.tenant) {
            return Ok(None);
        }
        let mut pause = FIRST;
        loop {
            match self.offered(fresh).await {
                Err(EngineError::Store(error)) if on_trouble == OnTrouble::TryAgain && !self.engine.0.is_dead() => {
                    tracing::warn!(run = %self.run, %error, "what budgets have left is looked up again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
                offer => return offer,
            }
        }
    }

    async fn offered(&mut self, fresh: bool) -> Result<Option<Offer>, EngineError> {
        let payers = match &mut self.payers {
            Some(payers) => payers,
            unasked => {
                let parent = self.state.parent.map(|p| p.run);
                unasked.insert(uppers::payers(self.engine.journal(), &self.state.agent, parent).await?)
            }
        };
        self.engine.offer(&self.state.tenant, payers, fresh).await
    }

    /// Decides under an offer, of which it is said whether it was looked up just now, and writes what that comes to; but not that
    /// a budget has too little, when that may be out of date.
    async fn decide_and_write(
        &mut self,
        command: Command,
        by: By,
        index: IndexChange,
        on_trouble: OnTrouble,
        offer: Option<&(Offer, bool)>,
    ) -> Result<Wrote, EngineError> {
        let policies = match self.unloadable {
            // What stands in for the agent knows none of its tools: nothing can be decided.
            Some(_) => None,
            None => gate::policies(&*self.engine.0.ports.policies, &self.state.tenant, &self.agent).await,
        };
        self.prepare(&command, policies.as_ref().map(|p| p.epoch())).await?;
        let (book, names) = self.book(policies.as_ref()).await?;
        // What a call is to a counter may hang on its arguments, whatever becomes of it.
        let reads = !begins_nothing(&command) && !self.state.calls.is_empty() && book.lock().looks_at_arguments();
        if reads && self.unloadable.is_none() {
            self.open_reply().await?;
        }
        let answers = self.answers(&command).await?;
        let blind = policies.is_none();
        // What begins now would not be paid for while draining; held back, it is nobody's loss.
        // Nor may a model be asked about a conversation that provenance has not heard yet: the session's own.
        let unheard = matches!(command, Command::Admit(_)) && self.agent.provenance.is_some();
        let terms = Terms { hold: self.holds() || unheard, offer: offer.map(|(offer, _)| offer.clone()) };
        let mut command = Some(command);
        let decided = loop {
            // Only what reads counters may have to be asked again.
            let asked = if names.is_empty() { command.take() } else { command.clone() };
            let asked = asked.expect("it is kept as long as it may be asked again");
            match self.decide(asked, (policies.clone(), &answers), (&book, &names), terms.clone()) {
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
        if !decision.facts.is_empty() {
            if offer.is_some_and(|(_, fresh)| !fresh) && decision.facts.iter().any(Fact::is_blocked) {
                return Ok(Wrote::Blocked);
            }
            let renewed = decision.facts.iter().any(|fact| matches!(fact, Fact::DelegationRenewed(_)));
            self.write((decision, reserved), by, index, on_trouble).await?;
            if renewed {
                self.note_until();
                self.whose.take();
            }
        } else {
            self.sealer.blobs.clear();
        }
        if blind && !self.holds() && self.state.held() {
            self.await_policies();
        }
        Ok(Wrote::Done)
    }

    /// What policies look at must be at hand, for a decision waits for nothing.
    async fn prepare(&mut self, command: &Command, epoch: Option<u64>) -> Result<(), EngineError> {
        if begins_nothing(command) {
            return Ok(());
        }
        let weighs = matches!(command, Command::Approve { .. });
        let looked_at = |c: &Call| match c.phase {
            CallPhase::Undecided => true,
            CallPhase::Asking { .. } => weighs || !c.given.is_empty(),
            CallPhase::Previewing(_) => true,
            CallPhase::Open | CallPhase::Backoff { .. } if c.ruled != epoch => true,
            CallPhase::Ended { .. } | CallPhase::Child { .. } => false,
            // It may come back unknown, and a human be asked what gates ask for.
            _ => c.head.rules.on_unknown == OnUnknown::Ask,
        };
        let resumes = matches!(command, Command::Resume) && !self.state.calls.is_empty();
        if resumes || self.state.calls.iter().any(looked_at) {
            self.open_reply().await?;
        }
        self.listen(matches!(command, Command::ModelReplied { .. })).await
    }

    /// What must be at hand of signed answers: whose keys count now, who may not approve, and the bytes that are sent.
    async fn answers(&mut self, command: &Command) -> Result<Answers, EngineError> {
        let ports = self.engine.0.ports.clone();
        let signed = |c: &Call| c.given.iter().any(|given| given.signed.is_some());
        let looks = |c: &Call| matches!(c.phase, CallPhase::Previewing(_)) && c.arguments.is_some();
        let calls = &self.state.calls;
        let weighs = matches!(command, Command::Approve { .. }) || calls.iter().any(|c| signed(c) || looks(c));
        if !weighs || begins_nothing(command) {
            let signing = ports.directories.current(&self.state.tenant);
            let salt = signing.is_possible().then(|| ports.clock.random());
            return Ok(Answers { signing, salt, ..Answers::default() });
        }
        let signing = ports.directories.fresh(&self.state.tenant).await;
        // A look needs them also where nobody signs.
        let all = signing.directory.is_some();
        let mut texts = Vec::new();
        for call in self.state.calls.iter().filter(|call| !call.ended()) {
            if let Some(arguments) = call.arguments.as_ref().filter(|_| all || looks(call)) {
                let text = payload::open_whole(&ports.journal, &self.state.tenant, arguments).await?;
                texts.push((call.head.effect, String::from_utf8_lossy(&text).into_owned()));
            }
        }
        if !all {
            return Ok(Answers { signing, texts, ..Answers::default() });
        }
        let editors = self.engine.editors(&self.state).await?;
        let salt = signing.is_possible().then(|| ports.clock.random());
        Ok(Answers { signing, editors, texts, salt })
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
        Ok((book, names))
    }

    /// Decides, and counts what that lets go, in one: nobody decides about the same counters meanwhile.
    fn decide(
        &self,
        command: Command,
        (policies, answers): (Option<Arc<Policies>>, &Answers),
        (book, names): (&Arc<Book>, &Names),
        terms: Terms,
    ) -> Result<Decided, Refusal> {
        let journal = &**self.engine.journal();
        let principal = self.principal.get_or_init(|| gate::principal(&self.state, &self.agent).into());
        let (agent, reply, hearing) = (&*self.agent, self.fresh_reply.as_ref(), self.hearing.as_ref());
        let off = self.engine.0.board.any();
        let gate = RunGate { policies, principal, agent, reply, hearing, heard: None, off, answers: Some(answers) };
        let now = self.engine.0.ports.clock.now();
        let by = |gate: &RunGate<'_>| {
            let inputs = Inputs { now, activation: self.activation, gate };
            decide_under(&self.state, command, inputs, terms)
        };
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
        let changed = row.status != self.row.status || row.wake_at != self.row.wake_at;
        let settled = usage::settled(&self.state, &outgoing.record.facts, outgoing.at);
        // One that is paused still awaits what it had sent, and is not taken up again when this process ends.
        let works = row.status == Status::Running && outgoing.state.working();
        let told = self.untold.due(works, &settled);
        let (tell, keep) = if told { (self.untold.with(settled), Vec::new()) } else { (Vec::new(), settled) };
        let index = self.indexed(
            &outgoing,
            IndexChange { settled: tell, counted: reserved.row(), ..index },
            changed.then_some(&row),
        );
        let append = outgoing.append(self.prev, std::mem::take(&mut self.sealer.blobs), index);
        let leaf = append.leaf;
        let moved = append.index.as_ref().map(|i| i.budgets.clone()).unwrap_or_default();
        durable(&self.engine, append, on_trouble, Some(&mut self.ear)).await?;
        reserved.durable(&self.engine);
        self.engine.0.uppers.moved(&self.state.tenant, &moved);

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
        self.engine.0.bell.ring(&record.facts, record.header.at, Some(&was), &self.state);
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
        if changed {
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
        index.budgets = moves(self.state.slice.as_ref(), &record.facts);
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
            index.session = Some(sessions::release(&state.budget));
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

/// These must be possible though nothing can be read.
const fn begins_nothing(command: &Command) -> bool {
    matches!(command, Command::Stop { .. } | Command::Pause)
}
