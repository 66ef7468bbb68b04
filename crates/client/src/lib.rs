//! A typed client of `/v1`: every operation of `stead-api`, and following a run that survives lost connections.
//!
//! * [`Client`] sends requests and reads answers; an error of the server arrives as [`ClientError`] with the server's
//!   code and hint.
//! * [`follow`] reads a run's stream and takes it up again after the last event it saw.
//!
//! Not here: finding a server and its token (the command line does that), and any rendering.
//!
//! ```no_run
//! # async fn example() -> Result<(), stead_client::ClientError> {
//! use stead_api::run::StartRun;
//! let client = stead_client::Client::new("http://127.0.0.1:7411", "TOKEN")?;
//! let start = StartRun { agent: "refund-desk".into(), input: "Refund order 1042".into(), ..StartRun::default() };
//! let run = client.start_run(&start, Some("order-1042")).await?.run;
//! println!("{:?}", client.wait(run, stead_api::run::WaitUntil::Ended).await?.output);
//! # Ok(())
//! # }
//! ```

mod approvers;
mod asked;
mod audit;
mod client;
mod collector;
mod erasure;
mod error;
mod events;
pub mod follow;
mod insight;
pub mod login;
mod operations;
mod policies;
mod sandboxes;
mod sse;

pub use asked::{FollowApprovals, HeardAsked};
pub use audit::{BundleQuery, EntryQuery};
pub use client::Client;
pub use collector::tell_collector;
pub use error::ClientError;
pub use events::{FollowExec, Output, WatchFiles};
pub use follow::{Follow, Heard};
pub use insight::UsageQuery;
pub use operations::{ApprovalQuery, RunQuery, SessionQuery};
pub use sandboxes::Pieces;
