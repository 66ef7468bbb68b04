//! The policies that can match one kind of request, ready to be evaluated, and what they read.

use std::sync::Arc;

use cedar_policy::{EntityUid, PrincipalConstraint};
use cedar_policy_core::ast::{EntityUIDEntry, Expr, Var};

use crate::{
    answers::Answers,
    entity::{Resource, entry},
    fold::Constant,
    gate::{Approver, Role},
    index::Scope,
    policies::{Policies, Rule},
    tool::ToolSpec,
    wanted::Wanted,
};

/// A policy of a slice.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Its number in the set.
    pub(crate) number: usize,
    /// What is left to evaluate, now that the index has found its scope true: its `when` and `unless`, and who asks where
    /// that differs from run to run. Nothing left is true.
    pub(crate) condition: Option<Expr>,
}

/// A slice.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) action: EntityUid,
    /// The action as the evaluator takes it.
    pub(crate) entry: EntityUIDEntry,
    /// What it was made for. Of a tool or a run the request's own counts: its place is the same, its attributes may not be.
    pub(crate) resource: Arc<Resource>,
    /// The tool as the set was checked against it.
    pub(crate) tool: Option<Arc<ToolSpec>>,
    /// Its policies, in the order of the set.
    pub(crate) ready: Vec<Ready>,
    /// What of the context is read.
    pub(crate) context: Wanted,
    /// What is constant in the conditions.
    pub(crate) constants: Vec<Constant>,
    /// Whether attributes of entities, or what they are in, are looked at.
    pub(crate) store: bool,
    /// Whether something in the hard set looks at approvals.
    pub(crate) reads_approvals: bool,
    /// Roles and people that the hard set names where it looks at approvals.
    pub(crate) approvers: Vec<Approver>,
    /// What has been allowed before, where so little is read that all of it can be kept.
    pub(crate) answers: Option<Answers>,
}

impl Slice {
    /// The slice of a scope: these policies, by their numbers.
    pub(crate) fn of(policies: &Policies, numbers: &[usize], scope: &Scope<'_>, resource: &Arc<Resource>) -> Self {
        let rules: Vec<&Rule> = numbers.iter().map(|n| &policies.rules[*n]).collect();
        let mut context = Wanted::default();
        let mut approvers = Vec::new();
        let mut reads_approvals = false;
        for rule in &rules {
            for path in &rule.mentions.paths {
                if let Some(("context", below)) = path.split_first().map(|(root, below)| (root.as_str(), below)) {
                    context.add(below);
                }
            }
            if rule.role == Role::Hard && rule.mentions.reads(&["context", "approvals"]) {
                reads_approvals = true;
                approvers.extend(rule.mentions.entities.iter().filter_map(|(kind, id)| match kind.as_str() {
                    "Role" => Some(Approver::Role(id.clone())),
                    "User" => Some(Approver::User(id.clone())),
                    _ => None,
                }));
            }
        }
        approvers.sort();
        approvers.dedup();
        // A policy that reads the context as a whole would see the constants there.
        let folds = context != Wanted::All;
        let constants = rules.iter().filter(|_| folds).flat_map(|rule| rule.constants.iter().cloned()).collect();
        let ready = |(number, rule): (usize, &&Rule)| Ready { number, condition: condition(rule, scope, folds) };
        let ready = numbers.iter().copied().zip(&rules).map(ready).collect();
        let tool = (resource.kind == "Tool").then(|| policies.world.tools.get(scope.action.id().unescaped()));
        Self {
            action: scope.action.clone(),
            entry: entry(scope.action),
            tool: tool.flatten().cloned(),
            ready,
            context,
            constants,
            store: rules.iter().any(|rule| rule.mentions.store || scope.leaves_open(rule)),
            reads_approvals,
            approvers,
            answers: Answers::of(rules.iter().all(|rule| !scope.leaves_open(rule)), &rules),
            resource: Arc::clone(resource),
        }
    }
}

/// What of a policy is left to evaluate; `folds` says whether its constants stand in the context.
fn condition(rule: &Rule, scope: &Scope<'_>, folds: bool) -> Option<Expr> {
    let policy: &cedar_policy_core::ast::Policy = rule.policy.as_ref();
    let written = if folds { rule.condition.clone() } else { policy.non_scope_constraints().cloned() };
    if !scope.leaves_open(rule) {
        return written;
    }
    let who = Expr::var(Var::Principal);
    let entity = |uid: EntityUid| Expr::val(uid.as_ref().clone());
    let who = match rule.policy.principal_constraint() {
        PrincipalConstraint::Any => return written,
        PrincipalConstraint::Eq(uid) => Expr::is_eq(who, entity(uid)),
        PrincipalConstraint::In(uid) => Expr::is_in(who, entity(uid)),
        PrincipalConstraint::Is(kind) => Expr::is_entity_type(who, kind.as_ref().clone()),
        PrincipalConstraint::IsIn(kind, uid) => {
            Expr::and(Expr::is_entity_type(who.clone(), kind.as_ref().clone()), Expr::is_in(who, entity(uid)))
        }
    };
    Some(match written {
        Some(written) => Expr::and(who, written),
        None => who,
    })
}
