//! What a case says, as types. Every value has been checked; silence is `None`, empty or the documented default.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stead_core::{budget::MicroUsd, code::Code, effect::Ended, fact::AskReason, id::Name, time::Span};

use crate::{error::ManifestError, source::Source};

/// A whole case.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Case {
    /// What it shows.
    #[serde(default)]
    pub description: String,
    /// What the agent is asked; without it there are `turns`.
    pub input: Option<String>,
    /// Several runs of one session.
    #[serde(default)]
    pub turns: Vec<Turn>,
    /// What stands for the agent's models.
    pub model: Option<CaseModel>,
    /// What humans answer.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// Doubles, by the full name of the tool.
    #[serde(default)]
    pub tools: BTreeMap<Name, Double>,
    /// Variables of the runtime's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What must come of all turns together.
    #[serde(default)]
    pub expect: Expected,
    /// Where the runtime is killed.
    pub crash: Option<Crash>,
    /// How long the case may take.
    #[serde(default = "a_minute")]
    pub timeout: Span,
    /// Where each key and item stands, by its path.
    #[serde(skip)]
    pub(super) places: HashMap<String, Place>,
}

impl Case {
    /// The line, from 1, in which that key or item stands (`expect.calls[1].args`); of what holds it, if it does not.
    pub fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 1,
            }
        }
    }

    /// The bytes of the value of that key or item.
    pub fn span(&self, path: &str) -> Option<Range<usize>> {
        self.places.get(path).map(|place| place.value.clone())
    }

    /// An error about the value of that key; `text` is the case's own.
    pub fn error(&self, file: &str, text: &str, code: Code, path: &str, message: impl Into<String>) -> ManifestError {
        let source = Source { file: file.to_owned(), text: text.into() };
        source.error(code, &self.span(path).unwrap_or(0..0), path, message, None)
    }

    /// Its turns, each with the path of what is expected of it alone.
    pub fn all_turns(&self) -> Vec<(&str, Option<(&Expected, String)>)> {
        match &self.input {
            Some(input) => vec![(input, None)],
            None => {
                let turns = self.turns.iter().enumerate();
                turns.map(|(n, t)| (&*t.input, t.expect.as_ref().map(|e| (e, format!("turns[{n}].expect"))))).collect()
            }
        }
    }
}

/// Where a key or item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line of its key, from 1.
    pub(super) line: usize,
    /// The bytes of its value.
    pub(super) value: Range<usize>,
}

/// One run of a session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Turn {
    /// What the agent is asked.
    pub input: String,
    /// What must come of it.
    pub expect: Option<Expected>,
}

/// What stands for the agent's models: a file of the agent's folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CaseModel {
    /// A script.
    pub rehearsal: Option<String>,
    /// A cassette.
    pub cassette: Option<String>,
    /// Whether the cassette answers by order alone.
    #[serde(default)]
    pub loose: bool,
}

/// What a human answers to one question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Approval {
    /// About this tool.
    pub tool: Name,
    /// The answer.
    pub answer: ApprovalAnswer,
    /// Asked for this reason.
    #[serde(default = "manifest")]
    pub reason: AskReason,
    /// What the human says to it.
    pub note: Option<String>,
}

/// See [`Approval`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalAnswer {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// What stands for a tool.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Double {
    /// One for each effect, in order; empty when it always does the same.
    #[serde(default)]
    pub answers: Vec<Returned>,
    /// What it always does.
    #[serde(flatten)]
    pub always: Option<Returned>,
}

impl Double {
    /// What it does with each effect in order; the last goes on.
    pub fn all(&self) -> Vec<Returned> {
        self.always.iter().chain(&self.answers).cloned().collect()
    }
}

/// What a double does with one effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returned {
    /// It happens.
    Returns(Value),
    /// It does not, says the destination.
    Refuses(String),
    /// It happens, and the answer is lost.
    Unknown(String),
    /// Nothing is sent.
    NotSent(String),
}

/// What must come of a run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Expected {
    /// How it ends.
    pub status: Option<String>,
    /// Why it fails.
    pub code: Option<Code>,
    /// What it answers.
    pub answer: Option<AnswerExpected>,
    /// Its calls, in order.
    pub calls: Option<Vec<Call>>,
    /// Whether it may make calls besides.
    #[serde(default)]
    pub other_calls: OtherCalls,
    /// Tools that it does not call.
    #[serde(default)]
    pub never: Vec<Name>,
    /// How often each tool takes effect.
    #[serde(default)]
    pub effects: BTreeMap<Name, u64>,
    /// What it may cost.
    #[serde(default)]
    pub at_most: Limits,
}

/// See [`Expected::other_calls`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherCalls {
    /// It may not.
    #[default]
    Refused,
    /// It may, before, between and after.
    Allowed,
}

/// What is expected of an answer; all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct AnswerExpected {
    /// It is this.
    pub equals: Option<String>,
    /// It holds these.
    #[serde(default)]
    pub contains: Vec<String>,
    /// It holds none of these.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// A regular expression is found in it.
    pub matches: Option<String>,
    /// It is JSON that holds this.
    pub json: Option<Value>,
    /// It is JSON that satisfies the JSON Schema of this file.
    pub schema: Option<String>,
}

/// A call that is expected.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Call {
    /// Of this tool.
    pub tool: Name,
    /// With at least these arguments.
    pub args: Option<Value>,
    /// With exactly these arguments.
    pub exactly: Option<Value>,
    /// Regular expressions for places of the arguments.
    #[serde(default, rename = "where")]
    pub places: BTreeMap<String, String>,
    /// What was decided.
    pub decision: Option<Decision>,
    /// What came of it.
    pub outcome: Option<Ended>,
}

/// What was decided about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It went without a question.
    Allowed,
    /// A human was asked.
    Asked,
    /// A human was asked and said yes.
    Approved,
    /// A human or a rule said no.
    Denied,
}

/// What a run may cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// Money for model calls.
    pub usd: Option<MicroUsd>,
    /// Model tokens.
    pub tokens: Option<u64>,
    /// Model turns.
    pub turns: Option<u32>,
    /// Tool calls.
    pub tool_calls: Option<u32>,
}

/// Where the runtime is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crash {
    /// At this record, from 1.
    At(u64),
    /// At each of them, one after the other; false for none.
    Every(bool),
}

const fn a_minute() -> Span {
    Span::from_secs(60)
}
const fn manifest() -> AskReason {
    AskReason::Manifest
}
