//! The policies that can match one kind of request, ready to be evaluated, and what they read.

use cedar_policy::{EntityUid, PolicySet};

use crate::{
    gate::{Approver, Role},
    policies::{Policies, Rule},
    wanted::Wanted,
};

/// A slice.
#[derive(Debug)]
pub(crate) struct Slice {
    /// What was above the resource when it was made.
    pub(crate) above: Vec<EntityUid>,
    /// Everything at once: when this allows, nothing forbids, gates or transforms.
    pub(crate) all: PolicySet,
    /// What permits and forbids.
    pub(crate) hard: PolicySet,
    /// What asks for approval.
    pub(crate) gates: PolicySet,
    /// What of the context is read.
    pub(crate) context: Wanted,
    /// Whether something in the hard set looks at approvals.
    pub(crate) reads_approvals: bool,
    /// Roles and people that the hard set names where it looks at approvals.
    pub(crate) approvers: Vec<Approver>,
}

impl Slice {
    /// The slice of these policies, by their numbers.
    pub(crate) fn of(policies: &Policies, numbers: &[usize], above: &[EntityUid]) -> Self {
        let rules: Vec<&Rule> = numbers.iter().map(|n| &policies.rules[*n]).collect();
        let set = |wanted: &dyn Fn(&Rule) -> bool| {
            PolicySet::from_policies(rules.iter().filter(|rule| wanted(rule)).map(|rule| rule.policy.clone()))
                .expect("numbers are given once")
        };
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
        Self {
            above: above.to_vec(),
            all: set(&|_| true),
            hard: set(&|rule| rule.role == Role::Hard),
            gates: set(&|rule| matches!(rule.role, Role::Approval(_))),
            context,
            reads_approvals,
            approvers,
        }
    }
}
