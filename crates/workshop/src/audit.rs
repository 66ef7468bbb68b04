//! Who a box works for, beside each decision of its proxy.

use std::sync::Arc;

use stead_core::id::{EffectId, Name, RunId};
use stead_egress::{Entry, Event, Gone};
use stead_ports::BoxFuture;
use tokio::sync::watch;

/// Who a box works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The tenant.
    pub tenant: Name,
    /// The run.
    pub run: RunId,
    /// The effect, when the box is of one; an MCP server is of its whole run.
    pub effect: Option<EffectId>,
    /// The tool.
    pub tool: Name,
}

/// Takes what the proxies of boxes decide. A proxy waits for each entry, and sends nothing on that was not taken.
pub trait Audit: Send + Sync + 'static {
    /// Takes one.
    fn record<'a>(&'a self, whose: &'a Whose, entry: Entry) -> BoxFuture<'a, Result<(), Gone>>;
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
