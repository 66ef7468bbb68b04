//! Who a box works for, beside each decision of its proxy.

use std::sync::Arc;

use stead_core::id::{EffectId, Name, RunId};
use stead_egress::{Entry, Gone};
use stead_ports::BoxFuture;

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

/// The record of one box.
pub(crate) struct Of(pub(crate) Arc<dyn Audit>, pub(crate) Whose);

impl stead_egress::Audit for Of {
    fn record(&self, entry: Entry) -> BoxFuture<'_, Result<(), Gone>> {
        self.0.record(&self.1, entry)
    }
}
