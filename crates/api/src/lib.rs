//! The words of `/v1`: every request and answer as a type, every operation as data, and the OpenAPI 3.1 document made
//! from both. No implementation: the server and the client share this crate so that they cannot disagree.
//!
//! Rules that hold everywhere:
//! * ids travel as text with a prefix that says what they name (`run_…`, `ses_…`, `sha256:…`);
//! * instants are microseconds since the Unix epoch, spans are microseconds, money is micro-dollars (an integer);
//!   money that is not known is `null`, never 0;
//! * a request with an unknown field is refused; an answer may get new fields, which a reader must skip;
//! * errors are RFC 9457 problem documents with a stable code ([`problem::Problem`]).
//!
//! ```
//! use stead_api::run::StartRun;
//! let start: StartRun = serde_json::from_str(r#"{"agent": "refund-desk", "input": "Refund order 1042"}"#)?;
//! assert_eq!(start.agent.as_str(), "refund-desk");
//! assert!(serde_json::from_str::<StartRun>(r#"{"agent": "a", "input": "b", "imput": "c"}"#).is_err());
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod agent;
pub mod approval;
pub mod approver;
pub mod artifact;
pub mod audit;
pub mod budget;
pub mod context;
pub mod erasure;
pub mod fact;
pub mod identity;
pub mod login;
pub mod openapi;
pub mod page;
pub mod policy;
pub mod problem;
pub mod right;
pub mod run;
pub mod sandbox;
pub mod schema;
pub mod session;
pub mod status;
pub mod stream;
pub mod switch;
pub mod usage;
pub mod version;
pub mod why;
pub mod workspace;
