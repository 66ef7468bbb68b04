//! What policy sees: `context.provenance.<argument>`, `context.taint`, `context.plan`. Plain values, made for one decision.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    index::Place,
    plan::{Plan, PlanState, Standing, Why},
    trace::{Argument, Leaf, Traced},
    trust::{Label, Origin, Origins, Trust},
};

/// Look-alikes and places of one argument that are told.
const MAX_TOLD: usize = 16;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Context {
    /// Each argument's provenance, by its name.
    pub provenance: BTreeMap<String, ArgumentView>,
    /// What the model had in view.
    pub taint: TaintView,
    /// How the call stands to the plan.
    pub plan: PlanView,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArgumentView {
    /// The lowest trust of its values.
    pub trust: Trust,
    /// Who can have said them; empty when `any`.
    pub origins: Vec<Origin>,
    /// Whether it can be of any origin.
    pub any: bool,
    /// Whether the model wrote one of its values.
    pub model: bool,
    /// Whether it steers the call.
    pub steers: bool,
    /// Where its values stand, for those who ask why; at most 16.
    pub from: Vec<FromView>,
    /// Trusted values that one of its values looks like and is not; at most 16.
    pub look_alikes: Vec<String>,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FromView {
    /// The value's place in the call: `$.to[0]`.
    pub value: String,
    /// Entry of the conversation; `None` for the instructions.
    pub entry: Option<u32>,
    /// Place in that entry, if it is JSON.
    pub path: Option<String>,
}

/// What the model had in view.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaintView {
    /// Whether other people's words are in it.
    pub tainted: bool,
    /// The lowest trust.
    pub trust: Trust,
    /// Whose words are in it; empty when `any`.
    pub origins: Vec<Origin>,
    /// Whether anybody's may be.
    pub any: bool,
}

/// How a call stands to the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanView {
    /// Whether the run has one.
    pub present: bool,
    /// Its digest in hexadecimal digits; empty without one.
    pub digest: String,
    /// `free`, `planned` or `unplanned`.
    pub standing: &'static str,
    /// The slot that allows the call, from 1.
    pub slot: Option<u16>,
    /// Why none does.
    pub why: Vec<Why>,
    /// How often slots were used before.
    pub uses: usize,
}

impl Context {
    /// What policy sees of a call.
    pub fn of(call: &Traced, plan: Option<&Plan>, state: &PlanState, standing: &Standing) -> Self {
        let provenance = call.arguments.iter().map(|a| (a.name.to_string(), ArgumentView::of(a))).collect();
        Self { provenance, taint: TaintView::of(&call.window), plan: PlanView::of(plan, state, standing) }
    }
}

impl ArgumentView {
    fn of(argument: &Argument) -> Self {
        let (origins, any) = listed(&argument.label);
        let from = |leaf: &Leaf| {
            let Place { entry, path } = leaf.from.clone()?;
            Some(FromView { value: leaf.path.clone(), entry, path: path.map(|p| p.to_string()) })
        };
        Self {
            trust: argument.label.trust,
            origins,
            any,
            model: argument.leaves.iter().any(|l| l.from.is_none()),
            steers: argument.steers,
            from: argument.leaves.iter().filter_map(from).take(MAX_TOLD).collect(),
            look_alikes: argument.leaves.iter().filter_map(|l| l.look_alike.clone()).take(MAX_TOLD).collect(),
        }
    }
}

impl TaintView {
    fn of(window: &Label) -> Self {
        let (origins, any) = listed(window);
        Self { tainted: window.is_tainted(), trust: window.trust, origins, any }
    }
}

impl PlanView {
    fn of(plan: Option<&Plan>, state: &PlanState, standing: &Standing) -> Self {
        let (word, slot, why) = match standing {
            Standing::Free { .. } => ("free", None, Vec::new()),
            Standing::Planned(used) => ("planned", Some(used.slot + 1), Vec::new()),
            Standing::Unplanned(why) => ("unplanned", None, why.clone()),
        };
        let digest = plan.map(|p| p.digest().iter().map(|b| format!("{b:02x}")).collect()).unwrap_or_default();
        Self { present: plan.is_some(), digest, standing: word, slot, why, uses: state.uses() }
    }
}

fn listed(label: &Label) -> (Vec<Origin>, bool) {
    match &label.origins {
        Origins::Any => (Vec::new(), true),
        Origins::Of(set) => (set.iter().cloned().collect(), false),
    }
}
