//! What a policy set may not say although Cedar could evaluate it.

use std::collections::BTreeMap;

use cedar_policy::ActionConstraint;

use crate::{
    edge::TOOLS,
    entity::uid,
    gate::Role,
    policies::Rule,
    problem::Problem,
    shape::Shape,
    tool::{ToolSpec, World},
    wanted::Path,
};

/// Attributes that only tighten: what the model says of itself permits nothing.
const TIGHTENING: [&str; 3] = ["confidence", "unsure", "risk"];

/// Everything that is wrong.
pub(crate) fn all(rules: &[Rule], world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut ids: BTreeMap<&str, &Rule> = BTreeMap::new();
    for rule in rules {
        if let Some(other) = ids.insert(&rule.id, rule) {
            let hint = format!("the other is at {}:{}; give each an `@id` of its own", other.file, other.line);
            problems.push(rule.problem(format!("there are two policies `{}`", rule.id)).hint(hint));
        }
        if rule.permits {
            let read = TIGHTENING.iter().find(|name| rule.mentions.reads(&["context", name]));
            if let Some(name) = read {
                let hint = "`context` as a whole reads it too; write a `forbid` or a gate, or use `resource.risk`";
                let message = format!("a `permit` reads `context.{name}`, which may only tighten");
                problems.push(rule.problem(message).hint(hint));
            }
        }
        match &rule.role {
            Role::Hard => {}
            Role::Approval(_) | Role::Redact(_) if rule.mentions.reads(&["context", "approvals"]) => {
                let hint = "a gate asks for approvals itself; a `forbid` without `@require` may look at them";
                problems.push(rule.problem("a gate or transform reads `context.approvals`").hint(hint));
            }
            Role::Approval(_) => {}
            Role::Redact(fields) => problems.extend(fields.iter().filter_map(|path| redacts(rule, path, world))),
        }
    }
    problems
}

/// What is wrong with a field that a transform replaces: it must be a text of every tool that the transform may match.
fn redacts(rule: &Rule, path: &Path, world: &World) -> Option<Problem> {
    let tools: Vec<&ToolSpec> = world.tools().filter(|tool| in_scope(rule, tool)).collect();
    if tools.is_empty() || matches!(rule.policy.action_constraint(), ActionConstraint::Any) {
        let hint = "write `action == Action::\"TOOL\"` or `action in [Action::\"TOOL\", …]`";
        return Some(rule.problem("a transform names the tools whose arguments it replaces").hint(hint));
    }
    let names_others = match rule.policy.action_constraint() {
        ActionConstraint::In(actions) => actions
            .iter()
            .any(|action| *action != uid("Action", TOOLS) && world.tools().all(|t| *action != uid("Action", &t.name))),
        _ => false,
    };
    if names_others {
        let hint = "name only tools";
        return Some(rule.problem("a transform names an action that has no arguments").hint(hint));
    }
    let wrong = tools.into_iter().find(|tool| {
        let field = path.split_first().and_then(|(first, rest)| tool.arguments.get(first)?.shape.at(rest));
        match field {
            Some(Shape::Set(element)) => **element != Shape::Text,
            other => other != Some(&Shape::Text),
        }
    })?;
    let message = format!("`args.{}` is no text of `{}`", path.join("."), wrong.name);
    Some(rule.problem(message).hint("a transform replaces texts; name one that the tool's schema has"))
}

/// Whether a policy's scope admits calls of a tool.
pub(crate) fn in_scope(rule: &Rule, tool: &ToolSpec) -> bool {
    let own = [uid("Action", &tool.name), uid("Action", TOOLS)];
    match rule.policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => action == own[0],
        ActionConstraint::In(actions) => actions.iter().any(|action| own.contains(action)),
    }
}
