//! Who a box works for, beside each decision of its proxy.

use std::{fmt, sync::Arc, time::Duration};

use stead_core::{
    id::{EffectId, Name, RunId, SandboxId},
    sandbox::Tier,
};
use stead_egress::{Entry, Event, Gone};
use stead_ports::BoxFuture;
use tokio::sync::watch;

/// Who a box works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The tenant.
    pub tenant: Name,
    /// What it is there for.
    pub work: Work,
}

/// What a box is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// One action of a run.
    Action {
        /// The effect.
        effect: EffectId,
        /// The tool.
        tool: Name,
    },
    /// An MCP server, for the whole of a run.
    Server {
        /// The run.
        run: RunId,
        /// The tool.
        tool: Name,
    },
    /// A session sandbox.
    Session(SandboxId),
}

impl Whose {
    /// The run that it works for; a session sandbox works for none.
    pub fn run(&self) -> Option<RunId> {
        match &self.work {
            Work::Action { effect, .. } => Some(effect.run),
            Work::Server { run, .. } => Some(*run),
            Work::Session(_) => None,
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Action { effect, tool } => write!(f, "{effect} {tool}"),
            Work::Server { run, tool } => write!(f, "{run} {tool}"),
            Work::Session(id) => write!(f, "{id}"),
        }
    }
}

/// Takes what the proxies of boxes decide. A proxy waits for each entry, and sends nothing on that was not taken.
pub trait Audit: Send + Sync + 'static {
    /// Takes one.
    fn record<'a>(&'a self, whose: &'a Whose, entry: Entry) -> BoxFuture<'a, Result<(), Gone>>;

    /// A box of that tier was asked for, and has started after so long, or has not.
    fn started(&self, tier: Tier, took: Duration, started: bool) {
        let _ = (tier, took, started);
    }
}

/// The record of one box. It knows how many exchanges are under way, for those tell what went through only when they end.
pub(crate) struct Of {
    pub(crate) to: Arc<dyn Audit>,
    pub(crate) whose: Whose,
    pub(crate) open: watch::Sender<usize>,
}

impl stead_egress::Audit for Of {
    fn record(&self, entry: Entry) -> BoxFuture<'_, Result<(), Gone>> {
        Box::pin(async move {
            let (begins, ends) =
                (matches!(entry.event, Event::Allowed { .. }), matches!(entry.event, Event::Ended { .. }));
            let taken = self.to.record(&self.whose, entry).await;
            if begins && taken.is_ok() {
                self.open.send_modify(|open| *open += 1);
            } else if ends {
                self.open.send_modify(|open| *open = open.saturating_sub(1));
            }
            taken
        })
    }
}
