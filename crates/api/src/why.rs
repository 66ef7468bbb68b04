//! Why a run stands where it stands, and what led to a step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{Limit, Spend},
    code::Code,
    effect::EffectClass,
    fact::{AskReason, StopMode},
    id::{EffectId, Name, RunId},
    record::{Actor, Source},
    time::{Span, Timestamp},
};

use crate::{
    fact::FactEvent,
    run::{Limits, RunSummary, SandboxLimits, Status},
    schema,
};

/// Why a run stands where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// What lists show of it.
    pub run: RunSummary,
    /// What it waits for or why it ended; a run that has not ended has at least one.
    pub causes: Vec<Cause>,
    /// Its latest calls that were denied, the last one last.
    pub denied: Vec<Denial>,
    /// What it may use and has used.
    pub budget: BudgetState,
    /// On whose behalf it works, through which chain, and what the runs of that granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behalf: Option<OnBehalf>,
    /// What led to the step that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepWhy>,
}

/// On whose behalf a run works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnBehalf {
    /// The person; `null` when on nobody's.
    #[schemars(with = "Option<String>")]
    pub person: Option<Name>,
    /// Until when they let it; `null` when as long as they may have runs.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub until: Option<Timestamp>,
    /// The runs above it, the first of the chain first.
    pub chain: Vec<LinkOfChain>,
}

/// A run above another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkOfChain {
    /// The run.
    #[schemars(with = "Option<schema::RunId>")]
    pub run: Option<RunId>,
    /// Its agent.
    #[schemars(with = "String")]
    pub agent: Name,
    /// What it granted to those below it, when that is not everything. Lists that are silent hold everything of their kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Granted>,
}

/// What a run granted to those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Granted {
    /// Tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub tools: Option<Vec<Name>>,
    /// Hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub hosts: Option<Vec<Name>>,
    /// Scopes of delegated tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub scopes: Option<Vec<Name>>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Timestamp>")]
    pub until: Option<Timestamp>,
    /// How many agents deep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u8>,
}

/// The ledger of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetState {
    /// Its limits.
    pub limits: Limits,
    /// What is left of tokens and money, which what is set aside has left already; `null` where there is no limit.
    pub left: Limits,
    /// Used so far, children included.
    #[schemars(with = "schema::Spend")]
    pub spent: Spend,
    /// Set aside for what is under way.
    #[schemars(with = "schema::Spend")]
    pub reserved: Spend,
    /// Tool calls dispatched so far.
    pub tool_calls: u32,
    /// Working time so far, in microseconds.
    #[schemars(with = "schema::Span")]
    pub active: Span,
    /// Children started so far.
    pub children: u32,
    /// Processor time of sandboxes so far, in microseconds.
    #[schemars(with = "schema::Span")]
    pub cpu: Span,
    /// Most bytes of memory of one sandbox.
    pub memory_peak: u64,
    /// Bytes between sandboxes and hosts so far.
    pub traffic: u64,
    /// What an operator has set for its sandboxes.
    pub sandbox: SandboxLimits,
    /// When its deadline is.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub deadline: Option<Timestamp>,
}

/// One reason why a run stands where it stands. Later releases may add kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// Another run of its session goes first.
    Queued {
        /// The session's foreground run.
        #[schemars(with = "Option<schema::RunId>")]
        behind: Option<RunId>,
        /// Its place in the queue, from 1.
        position: u32,
    },
    /// Its agent version cannot be loaded, or it could not go on: it only holds until it is tried again.
    Unloadable {
        /// Why.
        #[schemars(with = "schema::Code")]
        code: Code,
        /// What is missing, in words.
        detail: String,
        /// When it is tried again by itself; `null` where nothing is tried: in a process that only looks and answers.
        #[schemars(with = "Option<schema::Timestamp>")]
        again: Option<Timestamp>,
    },
    /// Operators turned off what it needs: it begins nothing until that is on again.
    Off {
        /// What it is: `agent`, `version`, `person`, `tenant`, `run`; `runs` when all were stopped.
        #[schemars(with = "String")]
        what: Name,
        /// Which one.
        #[schemars(with = "String")]
        name: Name,
        /// Who.
        #[schemars(with = "String")]
        by: Name,
        /// When.
        #[schemars(with = "schema::Timestamp")]
        since: Timestamp,
        /// Why, in their words.
        reason: String,
    },
    /// Somebody paused it.
    Paused {
        /// Who.
        #[schemars(with = "schema::Actor")]
        by: Actor,
        /// When.
        #[schemars(with = "schema::Timestamp")]
        since: Timestamp,
    },
    /// It is being stopped; effects under way may finish.
    Stopping {
        /// How hard.
        #[schemars(with = "schema::StopMode")]
        mode: StopMode,
        /// The limit that did it, when it was no person.
        #[schemars(with = "Option<schema::Limit>")]
        limit: Option<Limit>,
        /// Who.
        #[schemars(with = "schema::Actor")]
        by: Actor,
        /// When.
        #[schemars(with = "schema::Timestamp")]
        since: Timestamp,
    },
    /// A human is asked.
    Human {
        /// The approval's name.
        #[schemars(with = "schema::EffectId")]
        effect: EffectId,
        /// The tool.
        #[schemars(with = "String")]
        tool: Name,
        /// The exact JSON text of the arguments.
        arguments: String,
        /// The question in words, when it is about a limit of a budget and not about a call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<String>,
        /// Why a human is asked.
        #[schemars(with = "schema::AskReason")]
        reason: AskReason,
        /// Since when.
        #[schemars(with = "schema::Timestamp")]
        since: Timestamp,
        /// Until when.
        #[schemars(with = "Option<schema::Timestamp>")]
        expires: Option<Timestamp>,
    },
    /// A model call is under way.
    Model {
        /// The turn.
        turn: u32,
        /// The attempt of the turn.
        attempt: u32,
        /// The model.
        #[schemars(with = "String")]
        model: Name,
        /// Since when.
        #[schemars(with = "schema::Timestamp")]
        since: Timestamp,
    },
    /// A model call waits in line until its provider may be asked.
    Provider {
        /// The turn.
        turn: u32,
        /// The attempt of the turn.
        attempt: u32,
        /// The model.
        #[schemars(with = "String")]
        model: Name,
        /// The provider, or its account: `openai`, `gpu.lan:8000`, `openai#TEAM_KEY`.
        #[schemars(with = "String")]
        provider: Name,
        /// What the first in line waits for.
        waits_for: String,
        /// Its place in the line, from 1.
        position: u32,
        /// Since when it is in line.
        #[schemars(with = "schema::Timestamp")]
        since: Timestamp,
    },
    /// A model attempt failed, or was given back because its provider takes no more now; the next one waits for its time.
    ModelRetry {
        /// The turn.
        turn: u32,
        /// Attempts so far.
        attempt: u32,
        /// The model that is asked next.
        #[schemars(with = "String")]
        model: Name,
        /// Not before.
        #[schemars(with = "schema::Timestamp")]
        at: Timestamp,
        /// Why the last one failed.
        #[schemars(with = "schema::Code")]
        code: Code,
        /// In the provider's words.
        detail: String,
    },
    /// A tool call is under way.
    Tool {
        /// The effect.
        #[schemars(with = "schema::EffectId")]
        effect: EffectId,
        /// The tool.
        #[schemars(with = "String")]
        tool: Name,
        /// Intents written so far.
        attempt: u8,
        /// Since when, for one that has an intent.
        #[schemars(with = "Option<schema::Timestamp>")]
        since: Option<Timestamp>,
    },
    /// A tool call is tried again at its time.
    ToolRetry {
        /// The effect.
        #[schemars(with = "schema::EffectId")]
        effect: EffectId,
        /// The tool.
        #[schemars(with = "String")]
        tool: Name,
        /// Not before.
        #[schemars(with = "schema::Timestamp")]
        at: Timestamp,
        /// Whether the attempt before may have happened.
        unknown: bool,
    },
    /// The destination is asked whether a call happened.
    Reconcile {
        /// The effect.
        #[schemars(with = "schema::EffectId")]
        effect: EffectId,
        /// The tool.
        #[schemars(with = "String")]
        tool: Name,
        /// Not before.
        #[schemars(with = "schema::Timestamp")]
        at: Timestamp,
    },
    /// A child run is under way.
    Child {
        /// The effect.
        #[schemars(with = "schema::EffectId")]
        effect: EffectId,
        /// The tool that is the agent.
        #[schemars(with = "String")]
        tool: Name,
        /// The child.
        #[schemars(with = "schema::RunId")]
        run: RunId,
        /// Where that stands; `null` before its first record.
        #[schemars(with = "Option<schema::Status>")]
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
        #[schemars(with = "schema::Code")]
        code: Code,
        /// In words.
        detail: String,
        /// The limit that did it.
        #[schemars(with = "Option<schema::Limit>")]
        limit: Option<Limit>,
    },
    /// It was stopped.
    Cancelled {
        /// By whom.
        #[schemars(with = "schema::Actor")]
        by: Actor,
        /// When that was asked for.
        #[schemars(with = "schema::Timestamp")]
        since: Timestamp,
    },
    /// A kind that this reader does not know.
    #[serde(other)]
    #[schemars(skip)]
    Other,
}

/// A call that was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    /// The effect.
    #[schemars(with = "schema::EffectId")]
    pub effect: EffectId,
    /// The tool.
    #[schemars(with = "String")]
    pub tool: Name,
    /// When.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// Why.
    #[schemars(with = "Option<schema::Code>")]
    pub code: Option<Code>,
    /// What the model was told, or what the human said.
    pub told: String,
    /// By whom.
    #[schemars(with = "schema::Actor")]
    pub by: Actor,
}

/// What led to a step, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepWhy {
    /// The turn, or that of the effect.
    pub turn: u32,
    /// What the model saw in that turn, in short; `context` shows all of it.
    pub seen: Seen,
    /// The call, when the step is an effect.
    pub effect: Option<EffectStep>,
    /// Of a turn: what was cleared from view, requests, failures, the reply. Of an effect: decision, approvals, intents,
    /// outcomes. In the order they happened.
    pub facts: Vec<FactEvent>,
    /// What the turn's model calls cost.
    #[schemars(with = "schema::Spend")]
    pub spent: Spend,
    /// Whether a part of that is an estimate.
    pub estimated: bool,
}

/// What a model saw, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// Messages.
    pub messages: u32,
    /// Estimated tokens of them, and of instructions and tools.
    pub tokens: u64,
    /// Old results whose text was cleared from view.
    pub cleared: u32,
    /// Who said the last message.
    #[schemars(with = "Option<schema::Source>")]
    pub last_source: Option<Source>,
}

/// A call that a model made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EffectStep {
    /// Its name.
    #[schemars(with = "schema::EffectId")]
    pub id: EffectId,
    /// The tool.
    #[schemars(with = "String")]
    pub tool: Name,
    /// What it promises about repetition.
    #[schemars(with = "schema::EffectClass")]
    pub class: EffectClass,
    /// The business key, when it has one.
    #[schemars(with = "Option<String>")]
    pub key: Option<Name>,
    /// The exact JSON text of the arguments.
    pub arguments: String,
}

/// A step of a run: a turn by its number (`3`), an effect by its name (`run_….e1`) or the end of that (`e1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRef {
    /// A model turn.
    Turn(u32),
    /// An effect, by its ordinal.
    Effect(u32),
}

impl StepRef {
    /// Reads what a caller names; an effect of another run is none of this one.
    pub fn of(run: RunId, text: &str) -> Option<Self> {
        if let Ok(effect) = text.parse::<EffectId>() {
            return (effect.run == run).then_some(Self::Effect(effect.n));
        }
        let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse().ok()).flatten();
        match text.strip_prefix('e') {
            Some(n) => number(n).map(Self::Effect),
            None => number(text).map(Self::Turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_named_by_its_turn_or_its_effect() {
        let run = RunId(7);
        let of = |text: &str| StepRef::of(run, text);
        assert_eq!((of("3"), of("e12")), (Some(StepRef::Turn(3)), Some(StepRef::Effect(12))));
        assert_eq!(of(&EffectId { run, n: 2 }.to_string()), Some(StepRef::Effect(2)));
        assert_eq!(of(&EffectId { run: RunId(8), n: 2 }.to_string()), None);
        for wrong in ["", "e", "x", "-1", "+1", "3.1", "99999999999"] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
