//! What a policy set may say and probably does not mean: rules that never take effect, permits that let more through than
//! they look, tools that nothing watches.

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};
use stead_core::effect::EffectClass;

use crate::{
    check::in_scope,
    edge::{Edge, OPERATE, TOOLS},
    entity::uid,
    gate::Role,
    policies::{Policies, Rule},
    problem::{Problem, nearest},
    tool::{Risk, ToolSpec, class_name},
};

impl Policies {
    /// Everything that deserves a second look, in the order of the files.
    pub fn lint(&self) -> Vec<Problem> {
        let mut found = self.warnings.clone();
        for (n, rule) in self.rules.iter().enumerate() {
            found.extend(self.unknown_tool(rule));
            found.extend(self.open_door(rule));
            found.extend(self.shadowed(n, rule));
            found.extend(waited_for(rule));
        }
        found.extend(self.world.tools().filter_map(|tool| self.unwatched(tool)));
        let order = |p: &Problem| (self.rules.iter().position(|r| *r.file == p.file), p.line, p.column);
        found.sort_by_key(order);
        found
    }

    /// A scope that names a tool which no agent has.
    fn unknown_tool(&self, rule: &Rule) -> Option<Problem> {
        let named = match rule.policy.resource_constraint() {
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => uid,
            ResourceConstraint::Any | ResourceConstraint::Is(_) => return None,
        };
        let id = named.id().unescaped();
        let known: Vec<&str> = match named.type_name().basename() {
            "Tool" => self.world.tools().map(|tool| tool.name.as_str()).collect(),
            "Toolset" => self.world.tools().map(|tool| tool.toolset.as_str()).collect(),
            _ => return None,
        };
        if known.contains(&id) {
            return None;
        }
        let problem = rule.problem(format!("never matches: no agent has {named}"));
        Some(match nearest(id, known) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem,
        })
    }

    /// A permit without conditions for a tool that does something.
    fn open_door(&self, rule: &Rule) -> Option<Problem> {
        if !rule.permits || rule.conditional {
            return None;
        }
        let reached = |tool: &&ToolSpec| in_scope(rule, tool) && resource_admits(rule, tool);
        let mut tools = self.world.tools().filter(reached).filter(|tool| tool.class != EffectClass::Pure);
        let first = tools.next()?;
        let others = tools.count();
        let more = match others {
            0 => String::new(),
            1 => " and of another tool".to_owned(),
            _ => format!(" and of {others} other tools"),
        };
        let message = format!("permits every call of `{}` ({}){more}", first.name, class_name(first.class));
        Some(rule.problem(message).hint("add a `when` that says which calls, or name only tools that are pure"))
    }

    /// A rule that another one, which always forbids, leaves nothing.
    fn shadowed(&self, n: usize, rule: &Rule) -> Option<Problem> {
        let over =
            |other: &Rule| !other.permits && other.role == Role::Hard && !other.conditional && covers(other, rule);
        let by = self.rules.iter().enumerate().find(|(m, other)| *m != n && over(other)).map(|(_, other)| other)?;
        // Of two that say the same the first stays.
        if over(rule) && covers(rule, by) && self.rules.iter().position(|r| r.id == by.id) > Some(n) {
            return None;
        }
        let message = format!("never takes effect: the policy `{}` always forbids all that it is about", by.id);
        Some(rule.problem(message).hint("leave one of the two out, or give the other a condition"))
    }

    /// A tool whose mistakes are grave, and nothing forbids or gates a call of it.
    fn unwatched(&self, tool: &ToolSpec) -> Option<Problem> {
        let watches = |rule: &&Rule| !rule.permits && in_scope(rule, tool) && resource_admits(rule, tool);
        let watched = self.rules.iter().filter(watches).any(|rule| matches!(rule.role, Role::Approval(_)));
        (tool.risk == Risk::Critical && !watched).then(|| {
            Problem::whole("the policy set", format!("no gate watches `{}`, whose risk is critical", tool.name))
                .hint("the default policy has such a gate; leave it in, or write one")
        })
    }
}

/// A gate on what waits for nobody, where asking comes to denying.
fn waited_for(rule: &Rule) -> Option<Problem> {
    if !matches!(rule.role, Role::Approval(_)) {
        return None;
    }
    let actions = match rule.policy.action_constraint() {
        ActionConstraint::Any => return None,
        ActionConstraint::Eq(action) => vec![action],
        ActionConstraint::In(actions) => actions,
    };
    let alone = |action: &EntityUid| {
        let name = action.id().unescaped();
        let edge = |edge: &Edge| edge.is_operators() || matches!(edge, Edge::CallModel | Edge::ExportArtifact);
        name == OPERATE || Edge::ALL.iter().any(|known| known.name() == name && edge(known))
    };
    let first = actions.iter().all(alone).then(|| actions.first()).flatten()?;
    let message = format!("denies as a plain `forbid` does: `{}` waits for nobody's approval", first.id().unescaped());
    Some(rule.problem(message).hint("say who may do it in `unless`, or put the gate on a tool's call"))
}

/// Whether a policy's resource may be this tool.
pub(crate) fn resource_admits(rule: &Rule, tool: &ToolSpec) -> bool {
    let own = |named: &EntityUid| *named == uid("Tool", &tool.name) || *named == uid("Toolset", &tool.toolset);
    match rule.policy.resource_constraint() {
        ResourceConstraint::Any => true,
        ResourceConstraint::Eq(named) | ResourceConstraint::In(named) => own(&named),
        ResourceConstraint::Is(kind) => kind.basename() == "Tool",
        ResourceConstraint::IsIn(kind, named) => kind.basename() == "Tool" && own(&named),
    }
}

/// Whether the scope of `wide` admits all that the scope of `narrow` admits, as far as the scopes alone say.
fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let principal = match (wide.policy.principal_constraint(), narrow.policy.principal_constraint()) {
        (PrincipalConstraint::Any, _) => true,
        (PrincipalConstraint::Is(kind), PrincipalConstraint::IsIn(other, _)) => kind == other,
        (PrincipalConstraint::In(uid), PrincipalConstraint::Eq(other) | PrincipalConstraint::IsIn(_, other)) => {
            uid == other
        }
        (a, b) => a == b,
    };
    let resource = match (wide.policy.resource_constraint(), narrow.policy.resource_constraint()) {
        (ResourceConstraint::Any, _) => true,
        (ResourceConstraint::Is(kind), ResourceConstraint::IsIn(other, _)) => kind == other,
        (ResourceConstraint::In(uid), ResourceConstraint::Eq(other) | ResourceConstraint::IsIn(_, other)) => {
            uid == other
        }
        (a, b) => a == b,
    };
    principal && resource && covers_action(&wide.policy.action_constraint(), &narrow.policy.action_constraint())
}

fn covers_action(wide: &ActionConstraint, narrow: &ActionConstraint) -> bool {
    // What is no edge's action is a tool's.
    let tool = |action: &EntityUid| Edge::ALL.iter().all(|edge| edge.name() != action.id().unescaped());
    let within = |actions: &[EntityUid], action: &EntityUid| {
        actions.contains(action) || (actions.contains(&uid("Action", TOOLS)) && tool(action))
    };
    match (wide, narrow) {
        (ActionConstraint::Any, _) => true,
        (_, ActionConstraint::Any) => false,
        (ActionConstraint::Eq(a), ActionConstraint::Eq(b)) => a == b,
        (ActionConstraint::Eq(a), ActionConstraint::In(all)) => {
            *a != uid("Action", TOOLS) && all.iter().all(|b| a == b)
        }
        (ActionConstraint::In(wide), ActionConstraint::Eq(b)) => within(wide, b),
        (ActionConstraint::In(wide), ActionConstraint::In(all)) => all.iter().all(|b| within(wide, b)),
    }
}
