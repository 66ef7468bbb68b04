//! The policy decision point: from who asks, what is to be done and what is known beside it to *allow*, *deny* or *ask a
//! human*, with the policies that decided and why. Policies are written in [Cedar](https://www.cedarpolicy.com).
//!
//! It is pure: time, history and approvals come in with the request, so a decision can be made again from a journal. It
//! does not verify who asks or who approved, keeps no record and waits for nobody; that is the engine's.
//!
//! ```
//! use stead_policy::{Asker, Deed, Facts, History, Policies, Principal, Request, Risk, Source, ToolSpec, Verdict};
//!
//! let schema = serde_json::json!({
//!     "type": "object", "properties": { "amount": { "type": "integer" } }, "required": ["amount"],
//! });
//! let class = stead_core::effect::EffectClass::Keyed;
//! let refund = ToolSpec::new("payments_refund", "payments", class, Risk::Normal, &schema);
//! let text = r#"
//!     @require("approval") @approvers("finance-supervisor") @quorum("1") @ttl("15m")
//!     forbid (principal, action == Action::"payments_refund", resource)
//!     when { context.args.amount > 1000 };
//! "#;
//! let files = [Source::default_policy(), Source { file: "refunds.cedar".into(), text: text.into() }];
//! let policies = Policies::apply(&files, [refund.clone()], 1).expect("it fits the tools");
//!
//! let asker = Asker {
//!     tenant: "acme".into(), agent: "refund-desk".into(), version: "ver_1".into(),
//!     session: "ses_1".into(), run: "run_1".into(), user: None, callers: Default::default(), grant: None,
//! };
//! let run = Principal::run(asker, &[refund]);
//! let history = History::default();
//! let facts = Facts::empty(stead_core::time::Timestamp(0), &history);
//! let ask = |arguments| {
//!     let deed = Deed::CallTool { tool: "payments_refund", arguments, provenance: &[] };
//!     policies.decide(&Request { principal: &run, deed, facts: facts.clone() }).verdict
//! };
//! assert_eq!(ask(r#"{"amount":1000}"#), Verdict::Allow);
//! assert!(matches!(ask(r#"{"amount":1001}"#), Verdict::Ask(_)));
//! ```

mod answers;
mod barred;
mod cache;
mod cases;
mod check;
mod context;
mod datetime;
mod decide;
mod decision;
mod deed;
mod default;
mod diff;
mod edge;
mod encode;
mod entity;
mod fold;
mod gate;
mod handed;
mod history;
mod index;
mod json;
mod judge;
mod lifted;
mod lint;
mod loosened;
mod policies;
mod principal;
mod problem;
mod provenance;
mod redact;
mod replay;
mod request;
mod schema;
mod shape;
mod slice;
mod tool;
mod tools_file;
mod value;
mod wanted;
mod why;
mod yaml;

pub use barred::Barred;
pub use cache::MAX_SLICES;
pub use cases::{CASES, Case, CaseResult, Outcome};
pub use decision::{Asked, Decision, Reason, Requirements, Verdict, Why};
pub use deed::Deed;
pub use default::{DEFAULT_FILE, DEFAULT_TEXT};
pub use diff::{Change, diff};
pub use edge::{Edge, OPERATE, TOOLS};
pub use encode::{MAX_ELEMENTS, MAX_TEXT, Unfit};
pub use entity::{Asker, Operator, Resource, User};
pub use gate::{Approver, MAX_QUORUM, MAX_TTL, Requirement};
pub use handed::Handed;
pub use history::{
    Ask, By, Counter, Counters, Event, Happened, History, Kept, MAX_COUNTERS, MAX_EVENTS, MAX_KEYS, MAX_POINTS, Mark,
    Measure, Past, Said, Scope, Tally, When,
};
pub use json::MAX_MEMBERS;
pub use lifted::{MAX_TRIED, USUAL_TTL};
pub use loosened::LOOSENED_FILE;
pub use policies::{COUNTERS, MAX_FILES, MAX_POLICIES, MAX_SET, Policies, SetDigest, Source};
pub use principal::Principal;
pub use problem::Problem;
pub use provenance::{Provenance, Trust};
pub use redact::REDACTED;
pub use replay::{Flip, Recorded, Replay, replay};
pub use request::{Approval, Confidence, Facts, Request, Signature};
pub use shape::{Field, Fields, MAX_ATTRIBUTES, MAX_DEPTH, Shape};
pub use tool::{Risk, ToolSpec, World, class_name};
pub use tools_file::TOOLS_FILE;
pub use wanted::Path;
pub use why::MAX_VALUE;
pub use yaml::MAX_FILE;

#[cfg(test)]
mod tests;
