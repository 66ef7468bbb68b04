//! What is told of runs to tools that read OpenTelemetry. The spans of a run follow from its facts and from nothing else: who derives them
//! again, from the same journal, gets the same spans with the same ids.
//!
//! * [`names`] is the whole vocabulary, at one version of the conventions for generative AI.
//! * [`Tracer`] folds the records of one run into spans; [`content`] is what of their texts may be shown.
//! * [`request`] makes of them what is sent; [`logs`] and [`metrics`] do so of the audit log and of the counters.
//!
//! Not here: reading a journal, sending, and when. Nothing here does I/O.

pub mod content;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod request;
mod tracer;
pub mod value;

pub use opentelemetry_proto::tonic::trace::v1::Span;
pub use tracer::{Texts, Tracer};
