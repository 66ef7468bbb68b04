//! The control values of an agent version, frozen in the first fact of each of its runs.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    budget::{AtLimit, Limits, Price},
    effect::OnUnknown,
    grant::GrantRule,
    id::Name,
    sandbox::Place,
    time::Span,
};

/// The control values of an agent version that the machine works by.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RunConfig {
    /// The run's limits.
    #[n(0)]
    pub limits: Limits,
    /// The models, first choice first; never empty.
    #[n(1)]
    pub models: Vec<ModelConfig>,
    /// Attempts at one model before the next in the chain, or the end.
    #[n(2)]
    pub model_attempts: u8,
    /// First pause between attempts; doubles each time.
    #[n(3)]
    pub backoff: Span,
    /// Longest pause between attempts (a Retry-After may be longer).
    #[n(4)]
    pub backoff_max: Span,
    /// Model turns after which the run fails.
    #[n(5)]
    pub max_turns: u32,
    /// Tokens (estimated) that the model's view may take before old tool results are cleared.
    #[n(6)]
    pub context_tokens: u64,
    /// How long a human may take; `None` waits for ever.
    #[n(7)]
    pub approval_ttl: Option<Span>,
    /// Tokens (estimated) of instructions and tool definitions, in every call.
    #[n(8)]
    pub overhead_tokens: u64,
    /// Turns in which an answer that does not satisfy the output's JSON Schema may be repaired; `None` when answers are
    /// not checked.
    #[n(9)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repairs: Option<u8>,
    /// Turns in which a plan that cannot be read may be repaired; `None` when no plan is drawn.
    #[n(10)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<u8>,
    /// What the run does at a limit.
    #[n(11)]
    #[cbor(skip_if = "AtLimit::is_stop")]
    #[serde(default, skip_serializing_if = "AtLimit::is_stop")]
    pub at_limit: AtLimit,
    /// Most questions to people that may be open at once; [`MAX_OPEN_ASKS`] when silent.
    #[n(12)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_open_asks: Option<u32>,
    /// Most questions to people in the whole run; [`MAX_ASKS`] when silent.
    #[n(13)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_asks: Option<u32>,
}

/// Most questions to people that a run may have open at once, unless its configuration says otherwise.
pub const MAX_OPEN_ASKS: u32 = 32;
/// Most questions that a run may put to people in its whole life, unless its configuration says otherwise.
pub const MAX_ASKS: u32 = 256;

/// One model of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ModelConfig {
    /// As the manifest names it.
    #[n(0)]
    pub name: Name,
    /// Most output tokens asked for; part of each reservation.
    #[n(1)]
    pub max_output_tokens: u64,
    /// Its price, when known.
    #[n(2)]
    pub price: Option<Price>,
}

/// The manifest's rules for a tool, as far as the machine needs them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct CallRules {
    /// A human must approve.
    #[n(0)]
    pub ask: bool,
    /// What to do when the outcome is unknown and must not be repeated.
    #[n(1)]
    pub on_unknown: OnUnknown,
    /// Attempts after which a `NotSent` or a repeatable unknown is given up.
    #[n(2)]
    pub attempts: u8,
    /// How long the destination remembers a key; `None` for ever.
    #[n(3)]
    pub key_ttl: Option<Span>,
    /// After this time a reconcile query's "absent" counts.
    #[n(4)]
    pub settle: Span,
    /// The child's limits, when the tool is another agent.
    #[n(5)]
    pub child: Option<Limits>,
    /// Where it works, when it uses the session's workspace or a box.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The tool that looks at what it would do, before people are asked.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Name>,
    /// What the child is granted of what it could do, when the tool is another agent and not everything is.
    #[n(8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Box<GrantRule>>,
}

impl Default for CallRules {
    fn default() -> Self {
        Self {
            ask: false,
            on_unknown: OnUnknown::Tell,
            attempts: 3,
            key_ttl: None,
            settle: Span(0),
            child: None,
            place: None,
            preview: None,
            grant: None,
        }
    }
}
