//! What comes back from a flight, on its way to the machine.

use std::time::Duration;

use stead_core::{
    budget::Spend,
    code::{self, Code},
    effect::{Ended, Outcome, Reconciled},
    fact::StopMode,
    message::Reply,
    record::{Actor as By, Payload, Source},
    run::{CallPhase, Command, ModelFailure, Retry},
    sandbox::BoxTotals,
};
use stead_ports::{
    model::{self, ModelError},
    tool::{MAX_FILE, MAX_FILES, Output},
};

use crate::{
    actor::Actor,
    durable::OnTrouble,
    flights::{Done, Key},
    hearing::task,
    parent::ChildEnd,
    planner,
    prepare::{self, MAX_CALLS, cut},
    preview,
    types::EngineError,
};

/// How long an effect that was settled as unknown may still answer, and how many of one run are waited for.
const LATE: Duration = Duration::from_secs(600);
const LATE_MOST: usize = 64;
/// Pause before something is tried again that the store, or a run that is busy, would not do now.
const PAUSE: Duration = Duration::from_millis(500);

impl Actor {
    pub(crate) async fn done(&mut self, key: Key, done: Done) -> Result<(), EngineError> {
        match done {
            Done::Model { turn, attempt, result } => self.model_done(turn, attempt, result).await,
            Done::ModelDeferred { turn, attempt, deferred } => {
                let why = self.seal(deferred.why, Source::Runtime, usize::MAX);
                let command = Command::ModelDeferred { turn, attempt, until: deferred.until, why };
                self.commit(command, By::Runtime).await
            }
            Done::Effect { effect, attempt, outcome } => self.effect_done(effect, attempt, outcome).await,
            Done::Looked { effect, outcome } => self.looked(effect, outcome).await,
            Done::TimedOut { effect, attempt, rest } => {
                let text = format!("{}: no answer in time; whether it happened is unknown", code::TOOL_TIMEOUT);
                self.effect_done(effect, attempt, Outcome::Unknown(Output::error(text))).await?;
                let late = async move {
                    match tokio::time::timeout(LATE, rest).await {
                        Ok(outcome) => Done::Effect { effect, attempt, outcome },
                        Err(_) => Done::Nothing,
                    }
                };
                self.flights.push(Key::Late(effect), Box::pin(late));
                self.flights.keep_newest(LATE_MOST, |k| matches!(k, Key::Late(_)));
                Ok(())
            }
            Done::Reconciled { effect, asked, answer } => {
                let answer = match answer {
                    Reconciled::Happened(output) => Reconciled::Happened(self.sealed(effect, output)),
                    Reconciled::Absent => Reconciled::Absent,
                    Reconciled::StillUnknown => Reconciled::StillUnknown,
                };
                self.commit(Command::Reconciled { effect, asked, answer }, By::Runtime).await
            }
            Done::ChildStarted { effect, result: Ok(_) } => {
                self.started.push(effect);
                // A child that had ended before this process began has left its message already.
                self.take_inbox().await
            }
            Done::ChildStarted { effect, result: Err(error) } => self.child_failed_to_start(effect, &error).await,
            Done::ChildStopped { effect, mode, result } => self.child_stopped(key, effect, mode, result).await,
            Done::Inbox => self.take_inbox().await,
            Done::Policies => self.commit(Command::Tick, By::Runtime).await,
            Done::Nothing => Ok(()),
        }
    }

    async fn model_done(
        &mut self,
        turn: u32,
        attempt: u32,
        result: Result<Reply, ModelError>,
    ) -> Result<(), EngineError> {
        if !self.awaits_model(turn, attempt) {
            return Ok(());
        }
        let result = result.and_then(|reply| match reply.calls.len() {
            0..=MAX_CALLS => Ok(reply),
            n => Err(ModelError {
                code: code::MODEL_GARBAGE,
                detail: format!("the reply has {n} tool calls; at most {MAX_CALLS} are taken"),
                retry: model::Retry::After(None),
                charged: true,
            }),
        });
        match result {
            Ok(reply) if self.state.planning.wanted() => self.planned(turn, attempt, reply).await,
            Ok(reply) => {
                let json = serde_json::to_vec(&reply).expect("a reply encodes to memory");
                let calls = prepare::calls(&self.agent, &reply, self.state.hops >= self.engine.0.options.max_hops);
                let payload = self.seal(json, Source::Model, usize::MAX);
                let checked = self.state.config.repairs.is_some();
                let misfit = checked.then(|| prepare::misfit(&self.agent, &reply)).flatten();
                let misfit = misfit.map(|text| self.seal(text, Source::Runtime, usize::MAX));
                let usage = reply.usage;
                self.fresh_reply = Some(reply);
                let command = Command::ModelReplied { turn, attempt, reply: payload, usage, calls, misfit };
                self.commit(command, By::Runtime).await
            }
            Err(error) => {
                let retry = match error.retry {
                    model::Retry::No => Retry::No,
                    model::Retry::After(pause) => Retry::After(pause),
                };
                let detail = self.seal(cut(error.detail, 2_048), Source::Runtime, usize::MAX);
                let [a, b, ..] = self.engine.0.ports.clock.random();
                let spread = u16::from_be_bytes([a, b]);
                let failure = ModelFailure { code: error.code, detail, retry, charged: error.charged, spread };
                self.commit(Command::ModelFailed { turn, attempt, failure }, By::Runtime).await
            }
        }
    }

    async fn planned(&mut self, turn: u32, attempt: u32, reply: Reply) -> Result<(), EngineError> {
        let json = serde_json::to_vec(&reply).expect("a reply encodes to memory");
        let plan = planner::read(self.agent.provenance.as_ref(), &task(&self.state), &reply);
        let payload = self.seal(json, Source::Model, usize::MAX);
        let plan = match plan {
            Ok(text) => Ok(self.seal(text, Source::Model, usize::MAX)),
            Err(why) => Err(self.seal(cut(why, 4_000), Source::Runtime, usize::MAX)),
        };
        let command = Command::Planned { turn, attempt, reply: payload, usage: reply.usage, plan };
        self.commit(command, By::Runtime).await
    }

    async fn effect_done(&mut self, effect: u32, attempt: u8, mut outcome: Outcome<Output>) -> Result<(), EngineError> {
        let error = matches!(&outcome, Outcome::Returned(o) if o.error);
        let (Outcome::NotSent(told) | Outcome::Returned(told) | Outcome::Refused(told) | Outcome::Unknown(told)) =
            &mut outcome;
        let action = told.action.take();
        let outcome = match outcome {
            Outcome::NotSent(o) => {
                let content = coded(code::TOOL_NOT_SENT, o.content);
                Outcome::NotSent(self.sealed(effect, Output { content, ..o }))
            }
            Outcome::Returned(o) => Outcome::Returned(self.sealed(effect, o)),
            Outcome::Refused(o) => Outcome::Refused(self.sealed(effect, o)),
            Outcome::Unknown(o) => Outcome::Unknown(self.sealed(effect, o)),
        };
        self.commit(Command::Outcome { effect, attempt, outcome, error, action }, By::Runtime).await
    }

    /// What a look at an effect found. People read it, and no model does.
    async fn looked(&mut self, effect: u32, mut outcome: Outcome<Output>) -> Result<(), EngineError> {
        let (Outcome::NotSent(told) | Outcome::Returned(told) | Outcome::Refused(told) | Outcome::Unknown(told)) =
            &mut outcome;
        let action = told.action.take();
        let agent = self.agent.clone();
        let call = self.state.call(effect);
        let how = call.and_then(|call| agent.tool(&call.head.tool)).and_then(|tool| tool.preview.as_deref());
        let found = match how {
            Some(how) => preview::found(how, outcome),
            None => Err("the agent version looks at it no more".to_owned()),
        };
        let found = match found {
            Ok((text, precondition)) => Ok((self.seal(text, Source::Tool, usize::MAX), precondition)),
            Err(why) => Err(self.seal(cut(why, preview::MAX_SHOWN), Source::Tool, usize::MAX)),
        };
        self.commit(Command::Previewed { effect, found, action }, By::Runtime).await
    }

    /// A tool's text, capped by the tool's limits, with the files that came with it.
    fn sealed(&mut self, effect: u32, Output { content, mut files, .. }: Output) -> Payload {
        let tool = self.state.call(effect).and_then(|c| self.agent.tool(&c.head.tool));
        let (max, shown) = tool.map_or((64 << 10, 32 << 10), |t| (t.max_output, t.max_shown));
        let mut payload = self.seal(cut(content, max), Source::Tool, shown);
        files.truncate(MAX_FILES);
        files.retain(|file| file.content.len() <= MAX_FILE);
        let journal = self.engine.0.ports.journal.clone();
        self.sealer.attach(&*journal, &self.state.tenant, &mut payload, files);
        payload
    }

    pub(crate) fn seal(&mut self, text: impl Into<bytes::Bytes>, source: Source, shown: usize) -> Payload {
        let journal = self.engine.0.ports.journal.clone();
        self.sealer.seal(&*journal, &self.state.tenant, text, source, shown)
    }

    async fn child_failed_to_start(&mut self, effect: u32, error: &EngineError) -> Result<(), EngineError> {
        match error {
            // Nothing begins any more; the debt stands for the next process.
            EngineError::Draining => Ok(()),
            // The store's trouble is not the child's: the debt stands, and is paid again. What else is under way goes on.
            EngineError::Store(_) | EngineError::Append(_) if !self.engine.0.is_dead() => {
                self.pause(Key::StartChild(effect), Done::Nothing);
                Ok(())
            }
            EngineError::Store(_) | EngineError::Append(_) => Err(error.clone()),
            other => {
                let (code, told) = (other.code(), other.to_string());
                // Some errors open with their code.
                let told = told.strip_prefix(&format!("{code}: ")).unwrap_or(&told);
                let text = format!("The agent could not be started ({code}): {told}");
                self.child_ended(effect, ChildEnd::new(Ended::NotSent, text, Spend::ZERO), Vec::new()).await
            }
        }
    }

    async fn child_stopped(
        &mut self,
        key: Key,
        effect: u32,
        mode: StopMode,
        result: Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        match result {
            // It was never started, and now it never will be: only this actor starts it.
            Err(EngineError::NotFound { .. }) => {
                let end = ChildEnd::new(Ended::Withdrawn, "The agent was stopped before it began.", Spend::ZERO);
                self.child_ended(effect, end, Vec::new()).await
            }
            // It has ended, and has left its message.
            Err(EngineError::Conflict { .. }) => {
                self.take_inbox().await?;
                self.stop_again_later(key, effect);
                Ok(())
            }
            Err(EngineError::Quarantined { why, .. }) => {
                let text = format!("The agent's run is damaged and was left as it is ({why}); what it did is unknown.");
                // All that it was given counts as used.
                let end = match self.state.call(effect).map(|c| &c.phase) {
                    Some(CallPhase::Child { reserved, limits, .. }) => {
                        let given = limits.amounts();
                        let boxes = BoxTotals { cpu: given.cpu, traffic: given.traffic, ..BoxTotals::default() };
                        let used = given.counted();
                        ChildEnd { boxes, used, ..ChildEnd::new(Ended::Unknown, text, *reserved) }
                    }
                    _ => ChildEnd::new(Ended::Unknown, text, Spend::ZERO),
                };
                self.child_ended(effect, end, Vec::new()).await
            }
            // It is busy, or the store is away.
            Err(_) => {
                self.stop_again_later(key, effect);
                Ok(())
            }
            Ok(()) => {
                // Stopping, and it will leave a message when it has ended. To wait for that needs no memory.
                self.stopped.push((effect, mode));
                Ok(())
            }
        }
    }

    /// Keeps the debt of stopping a child paid for a moment, if it is still owed.
    fn stop_again_later(&mut self, key: Key, effect: u32) {
        if matches!(self.state.call(effect).map(|c| &c.phase), Some(CallPhase::Child { .. })) {
            self.pause(key, Done::Nothing);
        }
    }

    fn pause(&mut self, key: Key, then: Done) {
        let pause = async {
            tokio::time::sleep(PAUSE).await;
            then
        };
        self.flights.push(key, Box::pin(pause));
    }

    /// What waits for policies that cannot be had now is looked at again soon.
    pub(crate) fn await_policies(&mut self) {
        if !self.flights.has(Key::Policies) {
            self.pause(Key::Policies, Done::Policies);
        }
    }

    /// Takes in what children have to say.
    pub(crate) async fn take_inbox(&mut self) -> Result<(), EngineError> {
        if self.children_under_way().is_empty() || self.leaves_inbox() {
            return Ok(());
        }
        let rows = match self.engine.0.ports.journal.inbox(self.run).await {
            Ok(rows) => rows,
            // To leave memory now would lose what is under way, and the messages stay where they are.
            Err(error) if !self.flights.is_empty() && error.code != code::DATA_DAMAGED => {
                tracing::warn!(run = %self.run, %error, "the inbox cannot be read; trying again");
                if !self.flights.has(Key::Inbox) {
                    self.pause(Key::Inbox, Done::Inbox);
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        for row in rows {
            let end: ChildEnd = serde_json::from_slice(&row.body)
                .map_err(|e| EngineError::Quarantined { run: self.run, why: format!("inbox: {e}") })?;
            self.child_ended(row.effect, end, vec![(row.from, row.effect)]).await?;
        }
        Ok(())
    }

    async fn child_ended(
        &mut self,
        effect: u32,
        end: ChildEnd,
        taken: Vec<(stead_core::id::RunId, u32)>,
    ) -> Result<(), EngineError> {
        let ChildEnd { ended, content, spent, boxes, label, used } = end;
        let tool = self.state.call(effect).and_then(|c| self.agent.tool(&c.head.tool));
        let shown = tool.map_or(32 << 10, |t| t.max_shown);
        let content = self.seal(content, Source::Agent, shown);
        let by = taken.first().map_or(By::Runtime, |(child, _)| By::Run(*child));
        let index = stead_ports::journal::IndexChange { taken, ..Default::default() };
        let command = Command::ChildFinished { effect, ended, content, spent, boxes, label, used };
        match self.commit_with(command, by, index, OnTrouble::TryAgain).await {
            // Said twice, or to a run that has ended.
            Err(EngineError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }
}

/// A text that opens with a code: its own, if the adapter gave one, else `code`.
fn coded(code: Code, text: String) -> String {
    let own = text
        .strip_prefix("ST")
        .and_then(|rest| rest.split_once(": "))
        .is_some_and(|(number, _)| number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()));
    if own { text } else { format!("{code}: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_code() {
        let coded = |text: &str| coded(code::TOOL_NOT_SENT, text.to_owned());
        assert_eq!(coded("no connection"), "ST0049: no connection");
        assert_eq!(coded("ST0048: the server ended"), "ST0048: the server ended");
        assert_eq!(coded("STREAM: closed"), "ST0049: STREAM: closed");
    }
}
