//! Why a run stands where it stands: its causes of waiting, its denials and its budget, joined from the journal. It reads and
//! decides nothing.

use stead_core::{
    budget::{Budget, Limit, Limits},
    code::Code,
    fact::{AskReason, Fact, PayloadIx, StopMode, Verdict},
    id::{EffectId, Name, RunId},
    record::{Actor as By, Record},
    ruling::Behalf,
    run::{Call, CallPhase, Life, Phase, State},
    sandbox::BoxLimits,
    time::Timestamp,
};
use stead_ports::{
    journal::{RunRow, Status},
    switches::NewSwitch,
};

use crate::{
    Engine,
    aside::Aside,
    load::{self, load},
    payload,
    providers::Waiting,
    types::EngineError,
    view,
};

/// Denials that are told of a run, the last ones.
const DENIALS: usize = 20;
/// Runs of a session's queue that are counted.
const QUEUE: u32 = 1_000;

/// Why a run stands where it stands.
#[derive(Clone, Debug)]
pub struct WhyView {
    /// Its row, with live values.
    pub row: RunRow,
    /// What it waits for or why it ended, the most telling first; a live run has at least one.
    pub causes: Vec<Cause>,
    /// Its latest calls that were denied.
    pub denied: Vec<Denial>,
    /// What it may use and has used.
    pub budget: Budget,
    /// What an operator has set for its boxes.
    pub box_limits: BoxLimits,
    /// What is left of tokens and money; `None` where there is no limit.
    pub left: Limits,
    /// When its deadline is.
    pub deadline: Option<Timestamp>,
    /// On whose behalf it works.
    pub behalf: Behalf,
}

/// One reason why a run stands where it stands.
#[derive(Clone, Debug)]
pub enum Cause {
    /// Its session's foreground run goes first.
    Queued {
        /// That run.
        behind: Option<RunId>,
        /// Its place in the queue, from 1.
        position: u32,
    },
    /// Its agent version cannot be loaded, or it could not go on: it only holds until it is tried again.
    Unloadable {
        /// Why.
        code: Code,
        /// In words.
        detail: String,
        /// When it is tried again by itself; `None` at rest, where nothing is.
        again: Option<Timestamp>,
    },
    /// Operators turned off what it needs: it begins nothing until that is on again.
    Off {
        /// What it is: an agent, a version, a person, the tenant, the run itself; `runs` when all were stopped.
        what: Name,
        /// Which one.
        name: Name,
        /// Who.
        by: Name,
        /// When.
        since: Timestamp,
        /// Why, in their words.
        reason: String,
    },
    /// Somebody paused it.
    Paused {
        /// Who.
        by: By,
        /// When.
        since: Timestamp,
    },
    /// Somebody or a limit is stopping it; effects under way may finish.
    Stopping {
        /// How hard.
        mode: StopMode,
        /// The limit, when it was no person.
        limit: Option<Limit>,
        /// Who.
        by: By,
        /// When.
        since: Timestamp,
    },
    /// A human is asked.
    Human {
        /// About this effect.
        effect: EffectId,
        /// Its tool.
        tool: Name,
        /// Its exact arguments.
        arguments: String,
        /// The question in words, when it is about a limit and not about a call.
        question: Option<String>,
        /// Why.
        reason: AskReason,
        /// Since when.
        since: Timestamp,
        /// Until when.
        expires: Option<Timestamp>,
    },
    /// A model call is under way.
    Model {
        /// The turn.
        turn: u32,
        /// The attempt.
        attempt: u32,
        /// The model.
        model: Name,
        /// Since when.
        since: Timestamp,
    },
    /// A model call waits in line until its provider may be asked.
    Provider {
        /// The turn.
        turn: u32,
        /// The attempt.
        attempt: u32,
        /// The model.
        model: Name,
        /// Where it stands, and what for.
        waiting: Waiting,
    },
    /// A model attempt failed, or was given back because its provider takes no more now; the next one waits for its time.
    ModelRetry {
        /// The turn.
        turn: u32,
        /// Attempts so far.
        attempt: u32,
        /// The model that is asked next.
        model: Name,
        /// Not before.
        at: Timestamp,
        /// Why the last one failed.
        code: Code,
        /// In the provider's words.
        detail: String,
    },
    /// A tool call is under way.
    Tool {
        /// The effect.
        effect: EffectId,
        /// The tool.
        tool: Name,
        /// Which attempt.
        attempt: u8,
        /// Since when; `None` for one that needs no intent.
        since: Option<Timestamp>,
    },
    /// A tool call is tried again at its time.
    ToolRetry {
        /// The effect.
        effect: EffectId,
        /// The tool.
        tool: Name,
        /// Not before.
        at: Timestamp,
        /// Whether the attempt before may have happened.
        unknown: bool,
    },
    /// A tool's destination is asked whether the call happened.
    Reconcile {
        /// The effect.
        effect: EffectId,
        /// The tool.
        tool: Name,
        /// Not before.
        at: Timestamp,
    },
    /// A child run is under way.
    Child {
        /// The effect.
        effect: EffectId,
        /// The tool that is the agent.
        tool: Name,
        /// The child.
        run: RunId,
        /// Where that stands; `None` before its first record.
        status: Option<Status>,
    },
    /// The next model call is about to be requested.
    Next {
        /// Its turn.
        turn: u32,
    },
    /// It ended with an answer.
    Completed,
    /// It failed.
    Failed {
        /// Why.
        code: Code,
        /// In words.
        detail: String,
        /// The limit that did it.
        limit: Option<Limit>,
    },
    /// Somebody stopped it.
    Cancelled {
        /// Who.
        by: By,
        /// When that was asked for.
        since: Timestamp,
    },
}

/// A call that was denied.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The effect.
    pub effect: EffectId,
    /// The tool.
    pub tool: Name,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub code: Option<Code>,
    /// What the model was told.
    pub told: String,
    /// Who, when it was a human.
    pub by: By,
}

impl Engine {
    /// Why a run stands where it stands.
    ///
    /// # Errors
    /// When the run does not exist or cannot be read.
    pub async fn why(&self, run: RunId) -> Result<WhyView, EngineError> {
        let journal = self.journal();
        let missing = || EngineError::NotFound { what: run.to_string() };
        let loaded = load(journal, run).await?.ok_or_else(missing)?;
        let mut records = load::records(journal, run).await?;
        // A run that is under way may have gone on meanwhile.
        records.retain(|r| r.header.seq < loaded.state.next_seq);
        let (state, causes) = (&loaded.state, self.causes(&loaded.state, &records).await?);
        let denied = self.denials(run, &records).await?;
        let deadline = state.budget.limits.deadline.map(|d| state.started_at.after(d));
        let (budget, left, box_limits) = (state.budget.clone(), state.left(), state.box_limits.clone());
        let row = view::build(journal, loaded.row, state).await?.row;
        let behalf = state.behalf.clone();
        Ok(WhyView { row, causes, denied, budget, box_limits, left, deadline, behalf })
    }

    async fn causes(&self, state: &State, records: &[Record]) -> Result<Vec<Cause>, EngineError> {
        let mut causes = Vec::new();
        let last = |look: &dyn Fn(&Fact) -> bool| {
            records.iter().rev().find(|r| r.facts.iter().any(look)).map(|r| (r.header.actor.clone(), r.header.at))
        };
        let when = |look: &dyn Fn(&Fact) -> bool| last(look).unwrap_or((By::Runtime, state.last_at));
        let cancelled = |f: &Fact| matches!(f, Fact::CancelRequested(_));
        match state.life {
            Life::Queued => {
                causes.extend(self.unloadable(state).await);
                causes.extend(self.switched(state));
                causes.push(self.queued(state).await?);
                return Ok(causes);
            }
            Life::Completed => return Ok(vec![Cause::Completed]),
            Life::Cancelled => {
                let (by, since) = when(&cancelled);
                return Ok(vec![Cause::Cancelled { by, since }]);
            }
            Life::Failed(code) => {
                let words = |f: &Fact| match f {
                    Fact::RunFailed(f) => Some(f.payload),
                    _ => None,
                };
                let detail = self.words(records, words).await?;
                let detail = detail.unwrap_or_else(|| code.title().to_owned());
                return Ok(vec![Cause::Failed { code, detail, limit: state.stop.and_then(|s| s.limit) }]);
            }
            Life::Live => {}
        }
        causes.extend(self.unloadable(state).await);
        causes.extend(self.switched(state));
        if let Some(stop) = state.stop {
            let (by, since) = when(&cancelled);
            causes.push(Cause::Stopping { mode: stop.mode, limit: stop.limit, by, since });
        } else if state.paused {
            let (by, since) = when(&|f| matches!(f, Fact::Paused));
            causes.push(Cause::Paused { by, since });
        }
        let asked = state.asking.as_deref().map(|asking| asking.effect).or(state.renewing.map(|r| r.effect));
        if let Some(asked) = asked
            && let Some(view) = view::approvals(self.journal(), state).await?.into_iter().find(|a| a.effect.n == asked)
        {
            let (reason, since, expires) = (view.reason, view.since, view.expires);
            causes.push(Cause::Human {
                effect: view.effect,
                tool: view.tool,
                arguments: view.arguments,
                question: view.question,
                reason,
                since,
                expires,
            });
        }
        let model = |n: u8| state.config.models.get(usize::from(n)).map(|m| m.name.clone()).unwrap_or_default();
        match &state.phase {
            Phase::Idle if causes.is_empty() => causes.push(Cause::Next { turn: state.turn + 1 }),
            Phase::Idle => {}
            Phase::ModelWait(next) => {
                let failed = |f: &Fact| match f {
                    Fact::ModelFailed(f) => Some(f.detail),
                    _ => None,
                };
                let code = records.iter().rev().flat_map(|r| r.facts.iter().rev()).find_map(|f| match f {
                    Fact::ModelFailed(f) => Some(f.code),
                    _ => None,
                });
                causes.push(Cause::ModelRetry {
                    turn: state.turn,
                    attempt: state.attempt,
                    model: model(next.model),
                    at: next.at,
                    code: code.unwrap_or(stead_core::code::MODEL_BUSY),
                    detail: self.words(records, failed).await?.unwrap_or_default(),
                });
            }
            Phase::Model { attempt, model: n, .. } => {
                let (turn, attempt, model) = (state.turn, *attempt, model(*n));
                let (_, since) = when(&|f| matches!(f, Fact::ModelRequested(f) if f.attempt == attempt));
                causes.push(match self.0.providers.waiting(state.run) {
                    Some(waiting) => Cause::Provider { turn, attempt, model, waiting },
                    None => Cause::Model { turn, attempt, model, since },
                });
            }
            Phase::Tools => {
                for call in state.calls.iter().filter(|c| !c.ended()) {
                    causes.extend(self.cause_of(state, call).await?);
                }
            }
        }
        Ok(causes)
    }

    /// Why the run only holds, when it does. At rest nothing was tried, so it is tried here.
    async fn unloadable(&self, state: &State) -> Option<Cause> {
        let told = |error: &EngineError, again| {
            let (code, text) = (error.code(), error.to_string());
            // Some errors open with their code.
            let detail = text.strip_prefix(&format!("{code}: ")).unwrap_or(&text).to_owned();
            Cause::Unloadable { code, detail, again }
        };
        if let Some(Aside { error, again: Some(again) }) = self.0.aside.get(state.run)
            && error.code() != stead_core::code::DISABLED
        {
            return Some(told(&error, Some(again)));
        }
        if !self.0.options.at_rest {
            return None;
        }
        let loaded = self.0.ports.agents.load(&state.tenant, state.version).await;
        loaded.err().map(|e| told(&EngineError::Agent { code: e.code, detail: e.detail }, None))
    }

    /// What operators have turned off that the run needs.
    fn switched(&self, state: &State) -> Option<Cause> {
        let row = self.off(state)?;
        let NewSwitch { what, name, by, at, reason, .. } = row.switch.clone();
        Some(Cause::Off { what: what.as_str().into(), name, by, since: at, reason })
    }

    async fn queued(&self, state: &State) -> Result<Cause, EngineError> {
        let behind = self.journal().session(state.session).await?.and_then(|s| s.active);
        let queue = self.journal().queued(state.session, QUEUE).await?;
        let ahead = queue.iter().take_while(|r| **r != state.run).count();
        Ok(Cause::Queued { behind, position: u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1) })
    }

    async fn cause_of(&self, state: &State, call: &Call) -> Result<Option<Cause>, EngineError> {
        let (effect, tool) = (state.effect_id(call.head.effect), call.head.tool.clone());
        Ok(match &call.phase {
            CallPhase::Asking { reason, expires, since, .. } => {
                let asks = view::approvals(self.journal(), state).await?;
                let arguments = asks.into_iter().find(|a| a.effect == effect).map(|a| a.arguments).unwrap_or_default();
                let (reason, since, expires) = (*reason, *since, *expires);
                Some(Cause::Human { effect, tool, arguments, question: None, reason, since, expires })
            }
            CallPhase::Previewing(look) => {
                Some(Cause::Tool { effect, tool: look.tool.clone(), attempt: call.attempt, since: None })
            }
            CallPhase::Open => Some(Cause::Tool { effect, tool, attempt: call.attempt, since: None }),
            CallPhase::Intended { at, .. } => {
                Some(Cause::Tool { effect, tool, attempt: call.attempt, since: Some(*at) })
            }
            CallPhase::Backoff { until, unknown } => {
                Some(Cause::ToolRetry { effect, tool, at: *until, unknown: *unknown })
            }
            CallPhase::Reconcile { at, .. } => Some(Cause::Reconcile { effect, tool, at: *at }),
            CallPhase::Child { child, .. } => {
                let status = self.journal().run(*child).await?.map(|r| r.state.status);
                Some(Cause::Child { effect, tool, run: *child, status })
            }
            CallPhase::Undecided | CallPhase::Ended { .. } => None,
        })
    }

    /// The text of the last fact of a kind, if that has one.
    async fn words(
        &self,
        records: &[Record],
        of: impl Fn(&Fact) -> Option<Option<PayloadIx>>,
    ) -> Result<Option<String>, EngineError> {
        let last = records.iter().rev().find_map(|r| Some((r, r.facts.iter().rev().find_map(&of)?)));
        let found = last.and_then(|(r, payload)| Some((r, r.payloads.get(usize::from(payload?))?)));
        let Some((record, payload)) = found else { return Ok(None) };
        let bytes = payload::open(self.journal(), &record.header.tenant, payload).await?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn denials(&self, run: RunId, records: &[Record]) -> Result<Vec<Denial>, EngineError> {
        let mut tools = std::collections::HashMap::new();
        let mut found = Vec::new();
        for record in records {
            for fact in &record.facts {
                match fact {
                    Fact::ModelReplied(f) => tools.extend(f.calls.iter().map(|c| (c.effect, c.tool.clone()))),
                    Fact::EffectDecided(f) if f.verdict == Verdict::Deny => {
                        found.push((record, f.effect, f.code, f.payload));
                    }
                    Fact::ApprovalGiven(f) if !f.approved => {
                        found.push((record, f.effect, Some(stead_core::code::DENIED), f.note));
                    }
                    Fact::ApprovalExpired(f) => {
                        found.push((record, f.effect, Some(stead_core::code::APPROVAL_EXPIRED), None));
                    }
                    _ => {}
                }
            }
        }
        let mut out: Vec<Denial> = Vec::new();
        for (record, effect, code, text) in found.into_iter().rev() {
            // A human's no is told once, though a decision follows from it.
            if out.iter().any(|d| d.effect.n == effect) {
                continue;
            }
            if out.len() == DENIALS {
                break;
            }
            let told = match text.and_then(|t| record.payloads.get(usize::from(t))) {
                Some(payload) => payload::open(self.journal(), &record.header.tenant, payload).await?,
                None => bytes::Bytes::new(),
            };
            out.push(Denial {
                effect: EffectId { run, n: effect },
                tool: tools.get(&effect).cloned().unwrap_or_default(),
                at: record.header.at,
                code,
                told: String::from_utf8_lossy(&told).into_owned(),
                by: record.header.actor.clone(),
            });
        }
        out.reverse();
        Ok(out)
    }
}
