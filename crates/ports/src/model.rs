//! The model port: one attempt at one model. Retries, fallback and budgets are the engine's.

use std::{fmt, sync::Arc};

use stead_core::{
    code::Code,
    id::{Name, RunId},
    message::{Message, OutputSchema, Reply, ToolDef},
    time::Span,
};

use crate::{BoxFuture, raw::RawSink};

/// One attempt.
#[derive(Clone, Debug)]
pub struct ModelCall {
    /// The run that asks.
    pub run: RunId,
    /// Its turn, from 1.
    pub turn: u32,
    /// The attempt within the turn, from 1.
    pub attempt: u32,
    /// The agent's instructions.
    pub instructions: Arc<str>,
    /// The conversation, oldest first; the last is a user's message or a tool's result.
    pub messages: Vec<Arc<Message>>,
    /// The tools offered, sorted by name so that prompts share a prefix.
    pub tools: Arc<[ToolDef]>,
    /// What the answer must look like. Providers are held to it as far as they can be; whether it does is checked by
    /// whoever reads the reply.
    pub output: Option<Arc<OutputSchema>>,
    /// Most tokens to produce.
    pub max_output_tokens: u64,
    /// Who keeps the exchange as it went over the wire, when somebody does.
    pub raw: Option<RawSink>,
    /// Who wants to know when the provider begins to answer, when somebody does.
    pub begun: Option<Begun>,
}

/// Told when an answer begins: the request has arrived, and is not on its way any more. Must not block.
#[derive(Clone)]
pub struct Begun(Arc<dyn Fn() + Send + Sync>);

impl Begun {
    /// One that calls `tell`.
    pub fn new(tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The answer begins.
    pub fn tell(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun")
    }
}

/// A piece of a reply as it is being written. Pieces are for watching only; the reply counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// More text.
    Text(String),
    /// A tool call begins, or goes on.
    Call {
        /// Which call of the reply, from 0.
        index: u32,
        /// The tool's name, in its first piece.
        name: Option<String>,
        /// More of the arguments' JSON text.
        arguments: String,
    },
}

/// Where deltas go; must not block.
pub type DeltaSink = Arc<dyn Fn(Delta) + Send + Sync>;

/// Whether and when an attempt may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Repeating cannot help.
    No,
    /// Repeating may help; the provider may have said after how long.
    After(Option<Span>),
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct ModelError {
    /// Why.
    pub code: Code,
    /// The provider's words, cut to 2 KiB; never a key.
    pub detail: String,
    /// Whether to try again.
    pub retry: Retry,
    /// Whether the provider may have done (and charged) work.
    pub charged: bool,
}

/// A model that can be called.
pub trait Model: Send + Sync + 'static {
    /// As the manifest names it, such as `openai:gpt-5-mini` or `rehearsal`.
    fn name(&self) -> &Name;

    /// Whether this is a script and no AI; every face says so.
    fn scripted(&self) -> bool {
        false
    }

    /// Whose limits on calls it falls under: the account at a provider that it shares with other models. A provider's name,
    /// or `host:port` of another endpoint; with `#` and the name of the key when a manifest names one. `None` for a model
    /// that asks nobody.
    fn account(&self) -> Option<&Name> {
        None
    }

    /// Makes one attempt. Dropping the future abandons it.
    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>>;
}
