//! The decision. Order: transforms, then the hard set, then the gates; with approvals the same again, at the epoch of now.
//! Whatever goes wrong on the way denies.

use std::{
    borrow::Cow,
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use cedar_policy::Entities;

use crate::{
    context::{Seen, Sources},
    decision::{Asked, Decision, Reason, Verdict, Why},
    deed::Deed,
    encode::Unfit,
    entity::{Resource, uid},
    gate::{Approver, Role},
    history::Said,
    index::Scope,
    judge::{Answer, Part, judge},
    lifted,
    policies::{Policies, Rule},
    principal::Principal,
    redact::redact,
    request::{Approval, Request},
    shape::Fields,
    slice::Slice,
    why::{Sight, plain},
};

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tell {
    /// The values of every policy that decided, permits of what is allowed too.
    All,
    /// Those of what stood in the way.
    Obstacles,
}

/// A request in the making.
pub(crate) struct Trial<'a> {
    pub(crate) policies: &'a Policies,
    pub(crate) request: &'a Request<'a>,
    pub(crate) slice: Arc<Slice>,
    pub(crate) resource: Arc<Resource>,
    /// Made when something looks at them.
    entities: OnceCell<Cow<'a, Entities>>,
    /// The arguments, as they are or as they were written anew.
    pub(crate) arguments: Option<Cow<'a, str>>,
    /// Who evaluates.
    pub(crate) by: By,
    /// What counters said that were asked.
    pub(crate) read: RefCell<BTreeMap<String, Said>>,
}

/// Evaluates a part of the policies with these approvals.
pub(crate) type By = fn(&Trial<'_>, Part, &Seen) -> Result<Answer, Unfit>;

impl Policies {
    /// Decides. A pure function of this set and the request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let Some(trial) = self.trial(request, by_slice) else { return self.nothing() };
        if let Some(permits) = trial.slice.answers.as_ref().and_then(|answers| answers.allowed(request)) {
            let why = Why { permitted: permits.clone(), ..Why::default() };
            return self.decision(Verdict::Allow, why, None);
        }
        self.settle(trial, Tell::Obstacles)
    }

    /// Decides, and tells of the permits too which values made them match.
    pub fn explain(&self, request: &Request<'_>) -> Decision {
        let trial = self.trial(request, by_slice);
        trial.map_or_else(|| self.nothing(), |trial| self.settle(trial, Tell::All))
    }

    /// What is decided where edge, deed and who asks do not belong together.
    pub(crate) fn nothing(&self) -> Decision {
        let verdict = Verdict::Deny("Not done: this is nothing that whoever asks could do.".to_owned());
        self.decision(verdict, Why::default(), None)
    }

    fn decision(&self, verdict: Verdict, why: Why, arguments: Option<String>) -> Decision {
        Decision { verdict, epoch: self.epoch(), digest: self.digest(), why, arguments, read: Vec::new() }
    }

    /// Decides what has been made ready.
    pub(crate) fn settle(&self, mut trial: Trial<'_>, tell: Tell) -> Decision {
        let mut why = Why::default();
        let mut written = None;
        let verdict = trial
            .run(tell, &mut why, &mut written)
            .unwrap_or_else(|unfit| Verdict::Deny(format!("Not done: {unfit}, so no policy can judge it.")));
        let read = trial.read.into_inner().into_iter().collect();
        Decision { read, ..self.decision(verdict, why, written) }
    }

    /// `None` when edge, deed and who asks do not belong together.
    pub(crate) fn trial<'a>(&'a self, request: &'a Request<'a>, by: By) -> Option<Trial<'a>> {
        let (slice, resource) = self.slice(request.principal, &request.deed)?;
        let arguments = request.deed.arguments().map(Cow::Borrowed);
        let (entities, read) = (OnceCell::new(), RefCell::default());
        Some(Trial { policies: self, request, slice, resource, entities, arguments, by, read })
    }

    /// Whether a policy that may decide about this reads an attribute of its context.
    pub fn reads(&self, principal: &Principal, deed: &Deed<'_>, attribute: &str) -> bool {
        self.slice(principal, deed).is_some_and(|(slice, _)| slice.context.of(attribute).is_some())
    }

    /// The policies that may decide about this, and what it is done to. `None` when edge, deed and who asks do not belong together.
    fn slice(&self, principal: &Principal, deed: &Deed<'_>) -> Option<(Arc<Slice>, Arc<Resource>)> {
        if !deed.fits(principal) {
            return None;
        }
        let own = deed.own_resource(principal);
        let above = own.as_deref().map(|own| own.above.as_slice());
        let slice = self.cache.get(&principal.key, deed, above, || {
            let resource = own.clone().unwrap_or_else(|| deed.resource(principal));
            let group = deed.group().map(|group| uid("Action", group));
            let scope = Scope {
                kind: principal.kind,
                principal: &principal.lasting,
                action: &deed.action(),
                group: group.as_ref(),
                resource: &resource.uid,
                resource_kind: resource.kind,
                above: &resource.above,
            };
            Slice::of(self, &self.index.find(&self.rules, &scope), &scope, &resource)
        });
        let resource = own.unwrap_or_else(|| Arc::clone(&slice.resource));
        Some((slice, resource))
    }
}

/// As a slice has them ready.
fn by_slice(trial: &Trial<'_>, part: Part, approvals: &Seen) -> Result<Answer, Unfit> {
    let (slice, principal) = (&trial.slice, trial.request.principal);
    let context = trial.sources(approvals).build(&slice.context, &slice.constants)?;
    let entities = if slice.store { trial.entities() } else { &principal.entities };
    let entries = [&principal.entry, &slice.entry, &trial.resource.entry];
    Ok(judge(trial.policies, &slice.ready, part, entries, context, entities))
}

/// The arguments of what is no known tool.
static NO_FIELDS: Fields = Fields::new();

impl Trial<'_> {
    /// What a context is made of, with these approvals.
    pub(crate) fn sources<'s>(&'s self, approvals: &'s Seen) -> Sources<'s> {
        let fields = self.slice.tool.as_ref().map_or(&NO_FIELDS, |tool| &tool.arguments);
        let (policies, request) = (self.policies, self.request);
        Sources { policies, request, arguments: self.arguments.as_deref(), fields, approvals, read: &self.read }
    }

    /// Everybody and everything that the request is about, with what is above them.
    pub(crate) fn entities(&self) -> &Entities {
        let Request { principal, deed, .. } = self.request;
        self.entities.get_or_init(|| principal.with(&self.resource, &self.slice.action, deed.group()))
    }

    /// Evaluates a part of the policies with these approvals.
    pub(crate) fn ask(&self, part: Part, approvals: &Seen) -> Result<Answer, Unfit> {
        (self.by)(self, part, approvals)
    }

    fn sight<'s>(&'s self, answer: &Answer) -> Sight<'s> {
        Sight {
            principal: &self.request.principal.uid,
            action: &self.slice.action,
            resource: &self.resource.uid,
            context: answer.context.clone().into(),
            entities: self.entities(),
        }
    }

    fn reasons<'r>(&self, answer: &Answer, rules: impl IntoIterator<Item = &'r Rule>) -> Vec<Reason> {
        let sight = self.sight(answer);
        rules.into_iter().map(|rule| sight.reason(rule)).collect()
    }

    fn run(&mut self, tell: Tell, why: &mut Why, written: &mut Option<String>) -> Result<Verdict, Unfit> {
        let given = seen(self.request.facts.approvals);
        let policies = self.policies;
        let mut answer = self.ask(Part::All, &given)?;
        if let Some(denied) = self.errors(&answer, Part::All, why) {
            return Ok(denied);
        }
        if answer.allows(policies, Part::All) {
            self.permits(&answer, Part::All, tell, why);
            if let (Tell::Obstacles, Some(answers)) = (tell, &self.slice.answers) {
                answers.keep(self.request, &why.permitted);
            }
            return Ok(Verdict::Allow);
        }
        let deciding = answer.deciding(policies, Part::All);
        let redacts: Vec<&Rule> = deciding.into_iter().filter(|rule| matches!(rule.role, Role::Redact(_))).collect();
        if !redacts.is_empty() {
            let Some(arguments) = self.arguments.as_deref() else {
                return Ok(Verdict::Deny(format!(
                    "Not done: the policy `{}` transforms what has no arguments.",
                    redacts[0].id
                )));
            };
            why.transformed = self.reasons(&answer, redacts.iter().copied());
            let fields = redacts.iter().flat_map(|rule| match &rule.role {
                Role::Redact(fields) => fields.as_slice(),
                _ => &[],
            });
            let anew = redact(arguments, &fields.cloned().collect::<Vec<_>>())?;
            *written = Some(anew.clone());
            self.arguments = Some(anew.into());
            // What reads the arguments may say something else of them now.
            answer = self.ask(Part::All, &given)?;
        }
        // From here on the hard set and the gates each for itself.
        if let Some(denied) = self.errors(&answer, Part::Hard, why) {
            return Ok(denied);
        }
        let mut requirements = Vec::new();
        if answer.allows(policies, Part::Hard) {
            self.permits(&answer, Part::Hard, tell, why);
        } else {
            let forbade = answer.deciding(policies, Part::Hard);
            let reasons = self.reasons(&answer, forbade.iter().copied());
            // The approvals that are tried there show what to ask for, and lift nothing: where those that were given are what it
            // would ask for, the hard set forbids because of who gave them.
            let lifts = lifted::requirements(self)?;
            match lifts.filter(|more| !Asked::of(more.clone()).is_satisfied(self.request.facts.approvals)) {
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
        if let Some(denied) = self.errors(&answer, Part::Gates, why) {
            return Ok(denied);
        }
        let gates = answer.deciding(policies, Part::Gates);
        requirements.extend(gates.iter().filter_map(|rule| match &rule.role {
            Role::Approval(requirement) => Some((rule.id.clone(), requirement.clone())),
            _ => None,
        }));
        why.gated.extend(self.reasons(&answer, gates));
        let asked = Asked::of(requirements);
        if asked.requirements.is_empty() || asked.is_satisfied(self.request.facts.approvals) {
            return Ok(Verdict::Allow);
        }
        Ok(Verdict::Ask(asked))
    }

    /// A policy that cannot be evaluated denies: Cedar would go on without it.
    fn errors(&self, answer: &Answer, part: Part, why: &mut Why) -> Option<Verdict> {
        answer.errors_of(self.policies, part).next()?;
        let sight = self.sight(answer);
        let reason = |(rule, error): (&Rule, &str)| Reason { error: Some(error.to_owned()), ..sight.reason(rule) };
        why.erred = answer.errors_of(self.policies, part).map(reason).collect();
        why.erred.sort_by(|a, b| a.policy.cmp(&b.policy));
        let first = why.erred.first().map_or("", |reason| &*reason.policy);
        Some(Verdict::Deny(format!("Not done: the policy `{first}` could not be evaluated.")))
    }

    fn permits(&self, answer: &Answer, part: Part, tell: Tell, why: &mut Why) {
        let permits = answer.deciding(self.policies, part);
        why.permitted = match tell {
            Tell::All => self.reasons(answer, permits),
            Tell::Obstacles => permits.into_iter().map(plain).collect(),
        };
    }

    /// What is told to whoever asked for what may not be.
    fn refusal(&self, forbade: &[&Rule]) -> String {
        let Some(first) = forbade.first() else {
            let (action, resource) = (self.slice.action.id().unescaped(), self.resource.uid.id().unescaped());
            return format!("Not done: no policy permits `{action}` on `{resource}`.");
        };
        match forbade.iter().find_map(|rule| rule.reason.as_ref()) {
            Some(reason) => format!("Not done: {reason} (policy `{}`)", first.id),
            None => format!("Not done: the policy `{}` forbids it.", first.id),
        }
    }
}

/// The approvals that were given, as policies see them: each person once.
pub(crate) fn seen(approvals: &[Approval]) -> Seen {
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
