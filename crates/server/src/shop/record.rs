//! Where the decisions of egress proxies go: the server's log, each with the run or the session sandbox that it is of. What a run's boxes
//! asked of hosts in all is in the run's own facts; what a session sandbox did, it tells itself.

use stead_egress::{Entry, Event, Gone};
use stead_ports::BoxFuture;
use stead_workshop::{Audit, Whose};

/// The log.
pub(super) struct Record;

impl Audit for Record {
    fn record<'a>(&'a self, whose: &'a Whose, entry: Entry) -> BoxFuture<'a, Result<(), Gone>> {
        let Entry { exchange, asked, event } = entry;
        match event {
            Event::Allowed { rule, address, secrets, stripped } => tracing::info!(
                %whose, tenant = %whose.tenant, exchange, method = ?asked.method, scheme = ?asked.scheme, host = ?asked.host,
                port = asked.port, path = ?asked.path, rule, %address, ?secrets, ?stripped, "egress allowed"
            ),
            Event::Denied { refusal, address } => tracing::warn!(
                %whose, tenant = %whose.tenant, exchange, method = ?asked.method, scheme = ?asked.scheme, host = ?asked.host,
                port = asked.port, path = ?asked.path, code = %refusal.code, ?address, "egress refused"
            ),
            Event::Ended { status, sent, received, masked, cut } => {
                tracing::info!(%whose, tenant = %whose.tenant, exchange, ?status, sent, received, masked, ?cut, "egress ended");
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
