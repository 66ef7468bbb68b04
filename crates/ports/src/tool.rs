//! The tool port: one attempt at one effect, reported honestly.

use std::sync::Arc;

use serde_json::value::RawValue;
use stead_core::{
    effect::{Outcome, Reconciled},
    fact::Precondition,
    id::{EffectId, Name, RunId, SessionId, TreeId},
    sandbox::{Action, BoxLimits},
    time::Span,
    trace::TraceContext,
};

use crate::{BoxFuture, connect::Connects, delegate::OnBehalf, file::File};

/// What a tool is given. The arguments have passed the tool's schema.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The effect; stable over retries.
    pub effect: EffectId,
    /// The session the run belongs to.
    pub session: SessionId,
    /// The tenant.
    pub tenant: Name,
    /// The idempotency key: the business key of the manifest, or the effect id.
    pub key: Name,
    /// The tool's full name as the model called it.
    pub tool: Name,
    /// The exact JSON text of the arguments.
    pub arguments: Arc<RawValue>,
    /// Bytes of output kept; a tool stops reading there and says so in its content.
    pub max_output: usize,
    /// Asked last by an adapter that has waited for something else before it sends, as for a token.
    pub may_send: MaySend,
    /// Asked before the tool, or what it starts, speaks to a host.
    pub connects: Connects,
    /// The session's workspace, at which a tool that uses it starts; `None` is the empty one. Nobody else writes it until the outcome
    /// is durable.
    pub workspace: Option<TreeId>,
    /// Limits that an operator has set for the run's boxes, in the place of the manifest's.
    pub limits: BoxLimits,
    /// What is left of the run's budget for boxes when the call is made. Calls of one reply that are made side by side each have all of it.
    pub left: Left,
    /// What must hold when it is done, in one with doing it; the adapter refuses what no longer holds, and then has done nothing. Only
    /// adapters that say so ([`Tool::holds`]) are given one.
    pub precondition: Option<Precondition>,
    /// The run on whose behalf a delegated token is made, for a tool that shows one; `None` where there is no run.
    pub on_behalf: Option<Arc<OnBehalf>>,
    /// The step that calls, for a tool that hands it on (W3C Trace Context); `None` where operators do not want that.
    pub trace: Option<TraceContext>,
}

/// What boxes of a run may still use; `None` is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Processor time.
    pub cpu: Option<Span>,
    /// Bytes to and from hosts.
    pub traffic: Option<u64>,
}

/// Whether whoever decided an effect still owns its run. It does when the adapter is called; one that then waits asks again, and
/// reports `NotSent` when it does not.
#[derive(Clone, Default)]
pub struct MaySend(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl MaySend {
    /// As long as that is so; the default is always.
    pub fn as_long_as(owned: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(owned)))
    }

    /// Whether it may be sent now.
    pub fn now(&self) -> bool {
        self.0.as_ref().is_none_or(|owned| owned())
    }
}

impl std::fmt::Debug for MaySend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MaySend").field(&self.now()).finish()
    }
}

/// Most files of one answer.
pub const MAX_FILES: usize = 16;
/// Most bytes of one file.
pub const MAX_FILE: usize = 8 << 20;

/// A tool's answer, before it is capped and wrapped for the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// What the model reads: JSON or prose.
    pub content: String,
    /// Whether the content tells of an error.
    pub error: bool,
    /// Files that came with it, at most [`MAX_FILES`]. The content names each.
    pub files: Vec<File>,
    /// The workspace that it wrote and the box that it ran in. A tree is held in the store for long enough to become a fact
    /// ([`crate::objects::Objects::hold`]).
    pub action: Option<Box<Action>>,
    /// The strong entity tag of what was read, as it was told (RFC 9110, section 8.8.3); `None` for what is no HTTP, or had none.
    pub etag: Option<String>,
}

impl Output {
    /// An answer.
    pub fn ok(content: impl Into<String>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }

    /// An error text.
    pub fn error(content: impl Into<String>) -> Self {
        Self { content: content.into(), error: true, ..Self::default() }
    }
}

/// Something an agent can do. The engine holds the time-out and drops the future when it is over: from then on the
/// outcome counts as unknown (for a pure tool: as an error).
pub trait Tool: Send + Sync + 'static {
    /// What kind of tool it is, for counters: one of few words, such as `sql` or `mcp`. No name of a tool, of which there may be many.
    fn kind(&self) -> &'static str {
        "other"
    }

    /// Makes one attempt.
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>>;

    /// Whether it sees to it that a precondition holds when an effect is done. Who does not is not called with one.
    fn holds(&self, precondition: &Precondition) -> bool {
        let _ = precondition;
        false
    }

    /// Asks the destination whether the effect happened. Only for tools that declare `reconcile`.
    fn reconcile(&self, invocation: Invocation) -> BoxFuture<'_, Reconciled<Output>> {
        let _ = invocation;
        Box::pin(std::future::ready(Reconciled::StillUnknown))
    }

    /// How long a call may take beyond the time that its box may run, where it runs in one: to wait for it, to make it, and for its end.
    fn around(&self) -> Span {
        Span::from_secs(60)
    }

    /// An operator set other limits for the boxes of a run: those that run now get them at once. Boxes that start later get them by
    /// [`Invocation::limits`].
    fn limit(&self, run: RunId, limits: BoxLimits) -> BoxFuture<'_, ()> {
        let _ = (run, limits);
        Box::pin(std::future::ready(()))
    }

    /// The run has ended or left memory: close what was opened for it (an MCP server process).
    fn release(&self, run: RunId) -> BoxFuture<'_, ()> {
        let _ = run;
        Box::pin(std::future::ready(()))
    }
}
