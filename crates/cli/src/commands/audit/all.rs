//! All leaves of a log, page by page.

use stead_api::{audit::AuditEntry, page::MAX_LIMIT};
use stead_client::{Client, EntryQuery};

use crate::error::Outcome;

/// Hands each leaf from `from` on to `take`, and gives the size of the log.
pub(super) async fn each(
    client: &Client,
    log: &str,
    from: u64,
    mut take: impl FnMut(AuditEntry) -> Outcome<()>,
) -> Outcome<u64> {
    let mut from = from;
    loop {
        let query = EntryQuery { from: i64::try_from(from).ok(), limit: Some(MAX_LIMIT), run: None };
        let page = client.audit_entries(log, &query).await?;
        page.items.into_iter().try_for_each(&mut take)?;
        match page.next {
            Some(next) => from = next,
            None => return Ok(page.size),
        }
    }
}
