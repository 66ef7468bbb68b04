//! How much model providers are asked. All runs of the process share one account for each provider, or for each key that a
//! manifest names: its limits, and what the provider says when it has had enough.
//!
//! Calls pass one after the other in the order in which they were first asked for; a run has one call at a time, so that
//! none can crowd out another. Only the first in line looks at the clock ([`line`]). What may pass when is decided without
//! any waiting by [`gauge`] and [`window`]. A call that waits holds no permit, and one that would wait for long is given
//! back: its run sleeps in the journal and keeps its place in the order.
//!
//! Limits are those of this process. Servers that share a provider's account divide its limits among them.

mod account;
mod gauge;
mod line;
mod rates;
mod waits;
mod window;

pub(crate) use account::{Accounts, OTHER};
pub(crate) use line::{Deferred, Pass};
pub use rates::Rates;
pub use waits::{ProviderStats, Waiting, WaitsFor};
