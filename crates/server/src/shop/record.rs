//! Where the decisions of egress proxies go: the server's log, each with its run. What a run's boxes asked of hosts in all is in the
//! run's own facts.

use stead_egress::{Entry, Event, Gone};
use stead_ports::BoxFuture;
use stead_workshop::{Audit, Whose};

/// The log.
pub(super) struct Record;

impl Audit for Record {
    fn record<'a>(&'a self, whose: &'a Whose, entry: Entry) -> BoxFuture<'a, Result<(), Gone>> {
        let Entry { exchange, asked, event } = entry;
        let (run, tool) = (whose.run, &whose.tool);
        match event {
            Event::Allowed { rule, address, secrets, stripped } => tracing::info!(
                %run, %tool, exchange, method = ?asked.method, host = ?asked.host, port = asked.port, path = ?asked.path,
                rule, %address, ?secrets, ?stripped, "egress allowed"
            ),
            Event::Denied { refusal, address } => tracing::warn!(
                %run, %tool, exchange, method = ?asked.method, host = ?asked.host, port = asked.port, path = ?asked.path,
                code = %refusal.code, ?address, "egress refused"
            ),
            Event::Ended { status, sent, received, masked, cut } => {
                tracing::info!(%run, %tool, exchange, ?status, sent, received, masked, ?cut, "egress ended");
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
