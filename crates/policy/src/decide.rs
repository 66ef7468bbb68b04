//! The decision. Order: transforms, then the hard set, then the gates; with approvals the same again, at the epoch of now.
//! Whatever goes wrong on the way denies.

use std::sync::Arc;

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Response};

use crate::{
    context::{self, Seen},
    decision::{Asked, Decision, Reason, Verdict, Why},
    encode::Unfit,
    gate::{Approver, Role},
    index::Scope,
    lifted,
    policies::{Policies, Rule},
    redact::redact,
    request::{Approval, Request},
    slice::Slice,
    why::{Sight, plain},
};

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    /// The values of every policy that decided, permits of what is allowed too.
    All,
    /// Those of what stood in the way.
    Obstacles,
}

/// A request in the making, as Cedar takes it.
pub(crate) struct Trial<'a> {
    pub(crate) policies: &'a Policies,
    pub(crate) request: &'a Request<'a>,
    pub(crate) slice: Arc<Slice>,
    pub(crate) action: EntityUid,
    pub(crate) resource: EntityUid,
    pub(crate) entities: std::borrow::Cow<'a, Entities>,
    /// The arguments, as they are or as they were written anew.
    pub(crate) arguments: Option<std::borrow::Cow<'a, str>>,
}

/// What a set of policies says.
pub(crate) struct Answer {
    pub(crate) context: Context,
    pub(crate) response: Response,
}

impl Policies {
    /// Decides. A pure function of this set and the request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        self.decision(request, Tell::Obstacles)
    }

    /// Decides, and tells of the permits too which values made them match.
    pub fn explain(&self, request: &Request<'_>) -> Decision {
        self.decision(request, Tell::All)
    }

    fn decision(&self, request: &Request<'_>, tell: Tell) -> Decision {
        self.settle(self.trial(request), tell)
    }

    /// As [`Policies::explain`], with every policy evaluated.
    #[cfg(test)]
    pub(crate) fn explain_unsliced(&self, request: &Request<'_>) -> Decision {
        let all: Vec<usize> = (0..self.rules.len()).collect();
        let trial = self.trial(request).map(|trial| Trial { slice: Arc::new(Slice::of(self, &all, &[])), ..trial });
        self.settle(trial, Tell::All)
    }

    fn settle(&self, trial: Option<Trial<'_>>, tell: Tell) -> Decision {
        let mut why = Why::default();
        let mut written = None;
        let verdict = match trial {
            Some(mut trial) => trial
                .run(tell, &mut why, &mut written)
                .unwrap_or_else(|unfit| Verdict::Deny(format!("Not done: {unfit}, so no policy can judge it."))),
            None => Verdict::Deny("Not done: this is nothing that whoever asks could do.".to_owned()),
        };
        Decision { verdict, epoch: self.epoch(), digest: self.digest(), why, arguments: written }
    }

    fn trial<'a>(&'a self, request: &'a Request<'a>) -> Option<Trial<'a>> {
        let principal = request.principal;
        let group = request.deed.group();
        // Of a run's own tools everything is there already.
        if let Some(known) = request.deed.tool().and_then(|tool| principal.tools.get(tool))
            && principal.kind == "Run"
        {
            return Some(Trial {
                policies: self,
                request,
                slice: self.slice(request, &known.action, &known.resource),
                action: known.action.clone(),
                resource: known.resource.uid.clone(),
                entities: std::borrow::Cow::Borrowed(&principal.entities),
                arguments: request.deed.arguments().map(std::borrow::Cow::Borrowed),
            });
        }
        let resource = request.deed.resource(principal)?;
        let action = request.deed.action();
        let slice = self.slice(request, &action, &resource);
        let entities = std::borrow::Cow::Owned(principal.with(&resource, &action, group));
        let arguments = request.deed.arguments().map(std::borrow::Cow::Borrowed);
        Some(Trial { policies: self, request, slice, action, resource: resource.uid, entities, arguments })
    }

    fn slice(&self, request: &Request<'_>, action: &EntityUid, resource: &crate::entity::Resource) -> Arc<Slice> {
        let principal = request.principal;
        self.cache.get(&principal.key, action, (&resource.uid, &resource.above), || {
            let group = request.deed.group().map(|group| crate::entity::uid("Action", group));
            let scope = Scope {
                kind: principal.kind,
                principal: &principal.lasting,
                action,
                group: group.as_ref(),
                resource: &resource.uid,
                resource_kind: resource.kind,
                above: &resource.above,
            };
            Slice::of(self, &self.index.find(&self.rules, &scope), &resource.above)
        })
    }

    /// The policy that Cedar calls by its number.
    pub(crate) fn rule(&self, id: &cedar_policy::PolicyId) -> Option<&Rule> {
        let number: usize = AsRef::<str>::as_ref(id).parse().ok()?;
        self.rules.get(number)
    }
}

impl Trial<'_> {
    /// Evaluates a set of policies with these approvals.
    pub(crate) fn ask(&self, set: &PolicySet, approvals: &Seen) -> Result<Answer, Unfit> {
        let wanted = &self.slice.context;
        let context = context::build(self.policies, self.request, self.arguments.as_deref(), approvals, wanted)?;
        let principal = self.request.principal.uid.clone();
        let (action, resource) = (self.action.clone(), self.resource.clone());
        // Without a schema nothing about a request can be wrong; that contexts fit is tested.
        let question = cedar_policy::Request::new(principal, action, resource, context.clone(), None)
            .map_err(|e| Unfit { path: "context".to_owned(), problem: e.to_string() })?;
        let response = Authorizer::new().is_authorized(&question, set, &self.entities);
        Ok(Answer { context, response })
    }

    fn sight<'s>(&'s self, context: &'s Context) -> Sight<'s> {
        Sight {
            principal: &self.request.principal.uid,
            action: &self.action,
            resource: &self.resource,
            context,
            entities: &self.entities,
        }
    }

    fn run(&mut self, tell: Tell, why: &mut Why, written: &mut Option<String>) -> Result<Verdict, Unfit> {
        let given = seen(self.request.facts.approvals);
        let mut answer = self.ask(&self.slice.all, &given)?;
        if let Some(denied) = self.errors(&answer, why) {
            return Ok(denied);
        }
        if allows(&answer.response) {
            self.permits(&answer, tell, why);
            return Ok(Verdict::Allow);
        }
        let redacts = self.matched(&answer, |rule| matches!(rule.role, Role::Redact(_)));
        if !redacts.is_empty() {
            let Some(arguments) = self.arguments.as_deref() else {
                return Ok(Verdict::Deny(format!(
                    "Not done: the policy `{}` transforms what has no arguments.",
                    redacts[0].id
                )));
            };
            why.transformed = redacts.iter().map(|rule| self.sight(&answer.context).reason(rule)).collect();
            let fields = redacts.iter().flat_map(|rule| match &rule.role {
                Role::Redact(fields) => fields.as_slice(),
                _ => &[],
            });
            let anew = redact(arguments, &fields.cloned().collect::<Vec<_>>())?;
            *written = Some(anew.clone());
            self.arguments = Some(anew.into());
        }
        // From here on nothing is in a hurry: the hard set and the gates each for itself.
        answer = self.ask(&self.slice.hard, &given)?;
        if let Some(denied) = self.errors(&answer, why) {
            return Ok(denied);
        }
        let mut requirements = Vec::new();
        if allows(&answer.response) {
            self.permits(&answer, tell, why);
        } else {
            let forbade = self.matched(&answer, |_| true);
            let reasons: Vec<Reason> = forbade.iter().map(|rule| self.sight(&answer.context).reason(rule)).collect();
            match lifted::requirements(self)? {
                Some(more) => {
                    why.gated.extend(reasons);
                    requirements.extend(more);
                }
                None => {
                    why.forbade = reasons;
                    return Ok(Verdict::Deny(self.refusal(&forbade)));
                }
            }
        }
        let answer = self.ask(&self.slice.gates, &given)?;
        if let Some(denied) = self.errors(&answer, why) {
            return Ok(denied);
        }
        for rule in self.matched(&answer, |_| true) {
            if let Role::Approval(requirement) = &rule.role {
                why.gated.push(self.sight(&answer.context).reason(rule));
                requirements.push((rule.id.clone(), requirement.clone()));
            }
        }
        let asked = Asked::of(requirements);
        if asked.requirements.is_empty() || asked.is_satisfied(self.request.facts.approvals) {
            return Ok(Verdict::Allow);
        }
        Ok(Verdict::Ask(asked))
    }

    /// A policy that cannot be evaluated denies: Cedar would go on without it.
    fn errors(&self, answer: &Answer, why: &mut Why) -> Option<Verdict> {
        for error in answer.response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            if let Some(rule) = self.policies.rule(error.policy_id()) {
                let reason = self.sight(&answer.context).reason(rule);
                why.erred.push(Reason { error: Some(error.inner().to_string()), ..reason });
            }
        }
        let mut errors = answer.response.diagnostics().errors();
        errors.next()?;
        why.erred.sort_by(|a, b| a.policy.cmp(&b.policy));
        let first = why.erred.first().map_or("", |reason| &*reason.policy);
        Some(Verdict::Deny(format!("Not done: the policy `{first}` could not be evaluated.")))
    }

    fn permits(&self, answer: &Answer, tell: Tell, why: &mut Why) {
        let permits = self.matched(answer, |_| true);
        let sight = self.sight(&answer.context);
        let reason = |rule: &Rule| if tell == Tell::All { sight.reason(rule) } else { plain(rule) };
        why.permitted = permits.into_iter().map(reason).collect();
    }

    /// The policies that determined an answer, in their order.
    fn matched(&self, answer: &Answer, pick: impl Fn(&Rule) -> bool) -> Vec<&Rule> {
        let mut ids: Vec<usize> =
            answer.response.diagnostics().reason().filter_map(|id| AsRef::<str>::as_ref(id).parse().ok()).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|n| self.policies.rules.get(n)).filter(|rule| pick(rule)).collect()
    }

    /// What is told to whoever asked for what may not be.
    fn refusal(&self, forbade: &[&Rule]) -> String {
        let Some(first) = forbade.first() else {
            let action = self.action.id().unescaped();
            return format!("Not done: no policy permits `{action}` on `{}`.", self.resource.id().unescaped());
        };
        match forbade.iter().find_map(|rule| rule.reason.as_ref()) {
            Some(reason) => format!("Not done: {reason} (policy `{}`)", first.id),
            None => format!("Not done: the policy `{}` forbids it.", first.id),
        }
    }
}

pub(crate) fn allows(response: &Response) -> bool {
    response.decision() == cedar_policy::Decision::Allow && response.diagnostics().errors().next().is_none()
}

/// The approvals that were given, as policies see them: each person once.
fn seen(approvals: &[Approval]) -> Seen {
    let mut approvers: Vec<Approver> = approvals.iter().map(|a| Approver::User(a.user.clone())).collect();
    approvers.sort();
    approvers.dedup();
    let count = i64::try_from(approvers.len()).unwrap_or(i64::MAX);
    let mut roles: Vec<Approver> = approvals.iter().flat_map(|a| a.roles.iter().cloned().map(Approver::Role)).collect();
    roles.sort();
    roles.dedup();
    approvers.extend(roles);
    Seen { count, approvers }
}
