//! From a command to a durable record. State advances only on acknowledgement; until then the actor does nothing else.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::Spend,
    effect::Ended,
    fact::Fact,
    id::{LeafHash, RunId},
    message::Reply,
    record::{Actor as By, Header, Record, VERSION},
    run::{Command, Decision, Inputs, Life, Refusal, STATE_VERSION, State, decide, decide_holding},
};
use stead_ports::journal::{
    Append, AppendError, InboxRow, IndexChange, Journal, SessionChange, Snapshot, StoreError, partition,
};

use crate::{
    Engine,
    actor::{Actor, Msg},
    approvals,
    prepare::cut,
    types::EngineError,
    usage, view,
};

/// What a child tells its parent at its end; the body of an inbox row.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChildEnd {
    pub(crate) ended: Ended,
    pub(crate) content: String,
    pub(crate) spent: Spend,
}

impl Actor {
    /// Commits a command. A refusal means that the command came too late or twice, and is no error here.
    pub(crate) async fn commit(&mut self, command: Command, by: By) -> Result<(), EngineError> {
        match self.try_commit(command, by).await {
            Err(EngineError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    /// Commits a command; a refusal is a conflict.
    pub(crate) async fn try_commit(&mut self, command: Command, by: By) -> Result<(), EngineError> {
        self.commit_with(command, by, IndexChange::default()).await
    }

    /// Commits a command together with changes to the indexes.
    pub(crate) async fn commit_with(
        &mut self,
        command: Command,
        by: By,
        index: IndexChange,
    ) -> Result<(), EngineError> {
        let inputs = Inputs { now: self.engine.0.ports.clock.now(), activation: self.activation };
        // What begins now would not be paid for while draining; held back, it is nobody's loss.
        let decided = if self.holds() { decide_holding } else { decide };
        let decision = decided(&self.state, command, inputs).map_err(|refusal| {
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
        self.write(decision, by, index).await
    }

    async fn write(&mut self, decision: Decision, by: By, mut index: IndexChange) -> Result<(), EngineError> {
        let Decision { facts, payloads, state, at } = decision;
        let ports = &self.engine.0.ports;
        let header = Header {
            v: VERSION,
            run: self.run,
            seq: self.state.next_seq,
            at,
            activation: self.activation,
            epoch: self.engine.0.lease.lease.epoch,
            tenant: state.tenant.clone(),
            actor: by,
            salt: ports.clock.random(),
            subject_key: None,
        };
        let record = Record { header, facts, payloads };
        let encoded = record.encode(self.prev);

        let row = view::run_state(&state, at);
        let moved = row.status != self.row.status || row.wake_at != self.row.wake_at;
        let ended = state.life.ended();
        if moved {
            index.run = Some(row.clone());
        }
        if ended {
            self.at_end(&record, &state, &mut index);
        }
        approvals::follow(Some(&self.state), &state, &mut index);
        index.settled = usage::settled(&self.state, &record.facts);
        let index = (!index.is_empty()).then(|| Box::new(index));
        let (run, seq, epoch) = (self.run, record.header.seq, record.header.epoch);
        let (bytes, leaf, session) = (encoded.bytes, encoded.leaf, state.session);
        let blobs = std::mem::take(&mut self.sealer.blobs);
        let make = move || Append {
            run,
            partition: partition(session),
            seq,
            epoch,
            record: bytes.clone(),
            leaf,
            at,
            blobs: blobs.clone(),
            index: index.clone(),
        };
        durable(self.engine.clone(), make, false).await?;

        let was = std::mem::replace(&mut self.state, state);
        self.prev = leaf;
        self.tail += 1;
        self.engine.0.counters.record(&record.facts);
        self.publish(&record, ended).await;
        if self.state.calls.is_empty() {
            self.dispatched.lock().clear();
            self.children.clear();
        }
        if moved {
            self.engine.0.waiters.wake(self.run, &Ok(row.status));
            self.row = row;
        }
        if ended {
            self.ended(was.life);
        }
        // The session's next run begins from here; so a long session has snapshots too, though its runs are short.
        if self.tail >= self.engine.0.options.snapshot_every && self.state.life != Life::Queued {
            self.snapshot().await;
        }
        Ok(())
    }

    /// A run's last append also frees its session and tells its parent.
    fn at_end(&self, record: &Record, state: &State, index: &mut IndexChange) {
        // A run that was never admitted holds no session and continues no conversation; one can be admitted and end at once.
        if self.state.life == Life::Live || index.session == Some(SessionChange::Claim) {
            index.session = Some(SessionChange::Release { head: true, spent: state.budget.spent });
        }
        index.send.extend(child_end(record, state, self.fresh_reply.as_ref()));
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

/// What a child that has ended tells its parent.
pub(crate) fn child_end(record: &Record, state: &State, reply: Option<&Reply>) -> Option<InboxRow> {
    let parent = state.parent.filter(|_| state.life.ended())?;
    let (ended, content) = match state.life {
        Life::Completed => (Ended::Returned, reply.map(|r| r.text.clone()).unwrap_or_default()),
        Life::Failed(code) => {
            let why = record.facts.iter().rev().find_map(|f| match f {
                Fact::RunFailed(f) => f.payload.and_then(|p| record.inline_text(p)),
                _ => None,
            });
            (Ended::Refused, format!("The agent failed ({code}): {}", why.unwrap_or(code.title().into())))
        }
        _ => (Ended::Withdrawn, "The agent was stopped.".to_owned()),
    };
    let end = ChildEnd { ended, content, spent: state.budget.spent };
    let body = Bytes::from(serde_json::to_vec(&end).expect("encodes to memory"));
    Some(InboxRow { to: parent.run, from: state.run, effect: parent.effect, body })
}

/// Appends until it is known to be durable or known to be refused.
/// `unsure` tells whether an earlier try of the same record may have been written.
pub(crate) async fn durable(
    engine: Engine,
    make: impl Fn() -> Append + Send,
    mut unsure: bool,
) -> Result<(), EngineError> {
    let journal = &engine.0.ports.journal;
    let mut pause = Duration::from_millis(20);
    loop {
        let append = make();
        let (run, seq, leaf) = (append.run, append.seq, append.leaf);
        let error = match journal.append(append).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error {
            // A full disk, or nobody knows: the outcome in hand must not be lost, so look, and try again.
            AppendError::Unavailable(_) => {}
            AppendError::Unknown(_) => unsure = true,
            // Perhaps it is the record of the try before, whose answer was lost.
            AppendError::Conflict { .. } | AppendError::Exists { .. } | AppendError::SessionBusy { .. } if unsure => {
                return if written(journal, run, seq, leaf).await? { Ok(()) } else { Err(error.into()) };
            }
            AppendError::Fenced { .. } => {
                engine.0.die();
                return Err(error.into());
            }
            refused => return Err(refused.into()),
        }
        if engine.0.is_dead() {
            return Err(error.into());
        }
        tracing::warn!(%run, %error, "the append is tried again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
        if matches!(error, AppendError::Unknown(_)) && written(journal, run, seq, leaf).await.unwrap_or(false) {
            return Ok(());
        }
    }
}

/// Whether the record at this position is the one with this hash: only the activation that made it can have it.
pub(crate) async fn written(
    journal: &Arc<dyn Journal>,
    run: RunId,
    seq: u64,
    leaf: LeafHash,
) -> Result<bool, StoreError> {
    Ok(journal.read(run, seq, 1).await?.first().is_some_and(|stored| stored.leaf == leaf))
}

/// A short title of an input, for lists.
pub(crate) fn title(input: &str) -> String {
    let mut out = String::new();
    for word in input.split_whitespace() {
        if out.len() > 120 {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    cut(out, 120)
}
