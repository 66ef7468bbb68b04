//! The evaluation of a slice: each of its policies once, by Cedar's evaluator, on values that are there already. Which of
//! those that matched decide is Cedar's own rule: without an error, a `permit` and no `forbid`.

use cedar_policy::Entities;
use cedar_policy_core::{
    ast::{Context, EntityUIDEntry, Literal, Request, ValueKind},
    evaluator::Evaluator,
    extensions::Extensions,
};

use crate::{
    gate::Role,
    policies::{Policies, Rule},
    slice::Ready,
};

/// A part of a set that is a set of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything at once: when this allows, nothing forbids, gates or transforms.
    All,
    /// What permits and forbids.
    Hard,
    /// What asks for approval.
    Gates,
}

impl Part {
    /// Whether a policy belongs to it.
    pub(crate) fn has(self, rule: &Rule) -> bool {
        match self {
            Self::All => true,
            Self::Hard => rule.role == Role::Hard,
            Self::Gates => matches!(rule.role, Role::Approval(_)),
        }
    }
}

/// What became of the policies of a part, by their numbers in the order of the set.
pub(crate) struct Answer {
    pub(crate) context: Context,
    /// Policies that are true of the request.
    pub(crate) matched: Vec<usize>,
    /// Policies that could not be evaluated, and why.
    pub(crate) errors: Vec<(usize, String)>,
}

impl Answer {
    /// Whether a part of what was evaluated allows.
    pub(crate) fn allows(&self, policies: &Policies, part: Part) -> bool {
        let rules = || self.matched.iter().map(|n| &policies.rules[*n]).filter(|rule| part.has(rule));
        self.errors_of(policies, part).next().is_none()
            && rules().any(|rule| rule.permits)
            && rules().all(|rule| rule.permits)
    }

    /// The policies that decided it: those that forbid, where there are any, else those that permit.
    pub(crate) fn deciding<'p>(&self, policies: &'p Policies, part: Part) -> Vec<&'p Rule> {
        let rules = self.matched.iter().map(|n| &policies.rules[*n]).filter(|rule| part.has(rule));
        let (permits, forbids): (Vec<&Rule>, Vec<&Rule>) = rules.partition(|rule| rule.permits);
        if forbids.is_empty() { permits } else { forbids }
    }

    /// The policies of a part that could not be evaluated.
    pub(crate) fn errors_of<'s, 'p: 's>(
        &'s self,
        policies: &'p Policies,
        part: Part,
    ) -> impl Iterator<Item = (&'p Rule, &'s str)> {
        let errors = self.errors.iter().map(|(n, error)| (&policies.rules[*n], error.as_str()));
        errors.filter(move |(rule, _)| part.has(rule))
    }
}

/// Evaluates those policies of a slice that belong to a part.
pub(crate) fn judge(
    policies: &Policies,
    ready: &[Ready],
    part: Part,
    entries: [&EntityUIDEntry; 3],
    context: Context,
    entities: &Entities,
) -> Answer {
    let [principal, action, resource] = entries.map(Clone::clone);
    let question = Request::new_unchecked(principal, action, resource, Some(context.clone()));
    let evaluator = Evaluator::new(question, entities.as_ref(), Extensions::all_available());
    let mut answer = Answer { context, matched: Vec::with_capacity(ready.len()), errors: Vec::new() };
    for Ready { number, condition } in ready {
        let rule = &policies.rules[*number];
        if !part.has(rule) {
            continue;
        }
        let Some(condition) = condition else {
            answer.matched.push(*number);
            continue;
        };
        let policy: &cedar_policy_core::ast::Policy = rule.policy.as_ref();
        match evaluator.interpret(condition, policy.env()).map(|value| value.value) {
            Ok(ValueKind::Lit(Literal::Bool(true))) => answer.matched.push(*number),
            Ok(ValueKind::Lit(Literal::Bool(false))) => {}
            Ok(_) => answer.errors.push((*number, "its condition is neither true nor false".to_owned())),
            Err(error) => answer.errors.push((*number, error.to_string())),
        }
    }
    answer
}
