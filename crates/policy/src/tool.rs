//! Tools as policies know them, and the world that a policy set is checked against: every tool whose arguments it may
//! name, and every counter.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use stead_core::effect::EffectClass;
pub use stead_core::effect::Risk;

use crate::{
    edge::{Edge, OPERATE},
    history::Counters,
    problem::Problem,
    shape::{Fields, Shape},
};

/// The word for an effect class, as manifests and policies have it.
pub const fn class_name(class: EffectClass) -> &'static str {
    match class {
        EffectClass::Pure => "pure",
        EffectClass::Contained => "contained",
        EffectClass::Keyed => "keyed",
        EffectClass::Reconcilable => "reconcilable",
        EffectClass::Compensable => "compensable",
        EffectClass::Irreversible => "irreversible",
    }
}

/// One tool of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolSpec {
    /// As the model calls it: `payments_refund`.
    pub name: String,
    /// The entry of the manifest that it comes from: `payments`.
    pub toolset: String,
    /// What its effects promise.
    pub class: EffectClass,
    /// How bad a mistake is, as the manifest says.
    pub risk: Risk,
    /// What policies may know of its arguments.
    pub arguments: Fields,
}

impl ToolSpec {
    /// A tool with the JSON Schema of its arguments.
    pub fn new(name: &str, toolset: &str, class: EffectClass, risk: Risk, schema: &Value) -> Self {
        let arguments = Shape::of_arguments(schema);
        Self { name: name.to_owned(), toolset: toolset.to_owned(), class, risk, arguments }
    }
}

/// What policies can speak about.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(crate) tools: BTreeMap<String, Arc<ToolSpec>>,
    pub(crate) counters: Counters,
}

impl World {
    /// The tools of all agents that a policy set is for. Tools of one name count as one: policies can
    /// name what their arguments have in common, and of class and risk the worse is shown by `lint` (a decision goes by
    /// the very tool that is called).
    ///
    /// # Errors
    /// A tool whose name is that of another action.
    pub(crate) fn new(tools: impl IntoIterator<Item = ToolSpec>) -> Result<Self, Vec<Problem>> {
        let mut world = Self::default();
        let mut problems = Vec::new();
        for tool in tools {
            if tool.name == OPERATE || Edge::ALL.iter().any(|edge| edge.name() == tool.name) {
                let message = format!("a tool may not be called `{}`: that is an action of policies", tool.name);
                let hint = "give its entry in the manifest another name";
                problems.push(Problem::whole("agent.yaml", message).hint(hint));
                continue;
            }
            match world.tools.get_mut(&tool.name) {
                Some(known) => {
                    let known = Arc::make_mut(known);
                    known.arguments = Shape::common(&known.arguments, &tool.arguments);
                    known.risk = known.risk.max(tool.risk);
                    if known.class == EffectClass::Pure {
                        known.class = tool.class;
                    }
                }
                None => {
                    world.tools.insert(tool.name.clone(), Arc::new(tool));
                }
            }
        }
        if problems.is_empty() { Ok(world) } else { Err(problems) }
    }

    /// The tools by name.
    pub fn tools(&self) -> impl Iterator<Item = &ToolSpec> {
        self.tools.values().map(Arc::as_ref)
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
