//! The reasons of a decision as JSON, in which form the journal keeps them:
//!
//! ```json
//! {"gated":[{"policy":"large-refund","said":"it is more than 1000","values":{"context.args.amount":"1001"}}]}
//! ```

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use stead_policy::{Reason, Why};
use stead_provenance::{context::Context, plan::Plan};

use crate::hearing::Judged;

#[derive(Serialize)]
struct Tree<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permitted: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forbade: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gated: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transformed: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    erred: Vec<Told<'a>>,
    /// Where the arguments come from, what the model had read, and how the call stands to the plan.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

#[derive(Serialize)]
struct Told<'a> {
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    values: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(reasons: &'a [Reason]) -> Vec<Self> {
        let told = |reason: &'a Reason| Self {
            policy: &reason.policy,
            said: reason.said.as_deref(),
            values: reason.values.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect(),
            error: reason.error.as_deref(),
        };
        reasons.iter().map(told).collect()
    }
}

/// The reasons, and what provenance says of the call.
pub(super) fn why(why: &Why, judged: Option<&Judged>, plan: Option<&Plan>) -> Bytes {
    let context = judged.map(|Judged { traced, standing, state }| Context::of(traced, plan, state, standing));
    let tree = Tree {
        permitted: Told::of(&why.permitted),
        forbade: Told::of(&why.forbade),
        gated: Told::of(&why.gated),
        transformed: Told::of(&why.transformed),
        erred: Told::of(&why.erred),
        context,
    };
    serde_json::to_vec(&tree).expect("encodes to memory").into()
}

/// Adds the reasons of something that a call does beside. Of what permits, those of the call itself say enough.
pub(super) fn add(why: &mut Why, also: Why) {
    let Why { forbade, gated, transformed, erred, .. } = also;
    why.forbade.extend(forbade);
    why.gated.extend(gated);
    why.transformed.extend(transformed);
    why.erred.extend(erred);
}
