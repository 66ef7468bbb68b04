//! Decisions by Cedar's public interface alone, as they are defined: every policy of the set, values as expressions that
//! Cedar evaluates, its authorizer. What decides in the product is compared with this.

use std::{borrow::Cow, sync::Arc};

use cedar_policy::{Authorizer, Context, PolicySet, Request as CedarRequest, RestrictedExpression};

use crate::{
    Confidence, Decision, Deed, MAX_ELEMENTS, MAX_TEXT, Policies, Request,
    context::Seen,
    decide::{self, Tell, Trial},
    deed::Plain,
    encode::{self, Place, Unfit},
    entity::uid,
    gate::Approver,
    history::{Ask, Said},
    index::Scope,
    json::{self, Members, decimal_text},
    judge::{Answer, Part},
    policies::Rule,
    shape::{Field, Fields, Shape},
    slice::Slice,
    wanted::Wanted,
};

/// As [`Policies::explain`], with every policy of the set.
pub(super) fn explain(policies: &Policies, request: &Request<'_>) -> Decision {
    let Some(trial) = prepared(policies, request) else { return policies.nothing() };
    policies.settle(trial, Tell::All)
}

/// Whether what permits and forbids, and no gate, allows it with exactly the approvals that were given, and these arguments
/// where they were written anew.
pub(super) fn hard_set_allows(policies: &Policies, request: &Request<'_>, written: Option<&str>) -> bool {
    let Some(mut trial) = prepared(policies, request) else { return false };
    if let Some(written) = written {
        trial.arguments = Some(Cow::Owned(written.to_owned()));
    }
    let said = ask(&trial, Part::Hard, &decide::seen(request.facts.approvals));
    said.is_ok_and(|said| said.allows(policies, Part::Hard))
}

fn prepared<'a>(policies: &'a Policies, request: &'a Request<'a>) -> Option<Trial<'a>> {
    let mut trial = policies.trial(request, ask)?;
    let all: Vec<usize> = (0..policies.rules.len()).collect();
    let scope = Scope {
        kind: request.principal.kind,
        principal: &request.principal.lasting,
        action: &trial.slice.action,
        group: None,
        resource: &trial.resource.uid,
        resource_kind: trial.resource.kind,
        above: &trial.resource.above,
    };
    let whole = Slice::of(policies, &all, &scope, &trial.resource);
    // What policies of other scopes would read need not be there.
    let context = trial.slice.context.clone();
    trial.slice = Arc::new(Slice { context, ..whole });
    Some(trial)
}

fn ask(trial: &Trial<'_>, part: Part, approvals: &Seen) -> Result<Answer, Unfit> {
    let policies = trial.policies;
    let context = build(policies, trial, approvals)?;
    let principal = trial.request.principal.uid.clone();
    let (action, resource) = (trial.slice.action.clone(), trial.resource.uid.clone());
    let question = CedarRequest::new(principal, action, resource, context.clone(), None).unwrap();
    let says = |rules: &[&Rule]| {
        let set = PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone())).unwrap();
        Authorizer::new().is_authorized(&question, &set, trial.entities())
    };
    let number = |id: &cedar_policy::PolicyId| AsRef::<str>::as_ref(id).parse::<usize>().unwrap();
    let mut answer = Answer { context: context.as_ref().clone(), matched: Vec::new(), errors: Vec::new() };
    // What matches is told of each policy by itself,
    for rule in policies.rules.iter().filter(|rule| part.has(rule)) {
        let response = says(&[rule]);
        answer.matched.extend(response.diagnostics().reason().map(number));
        answer.errors.extend(response.diagnostics().errors().map(|error| {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            (number(error.policy_id()), error.inner().to_string())
        }));
    }
    // and what that comes to by all together, as it was counted together here.
    for part in [Part::All, Part::Hard, Part::Gates].into_iter().filter(|p| part == Part::All || *p == part) {
        let rules: Vec<&Rule> = policies.rules.iter().filter(|rule| part.has(rule)).collect();
        let response = says(&rules);
        let fine = response.diagnostics().errors().next().is_none();
        assert_eq!(answer.allows(policies, part), response.decision() == cedar_policy::Decision::Allow && fine);
        let mut deciding: Vec<usize> = response.diagnostics().reason().map(number).collect();
        deciding.sort_unstable();
        let deciding: Vec<&str> = deciding.into_iter().map(|n| &*policies.rules[n].id).collect();
        let counted: Vec<&str> = answer.deciding(policies, part).iter().map(|rule| &*rule.id).collect();
        assert_eq!(counted, deciding);
    }
    Ok(answer)
}

/// Builds what is wanted of a request's context.
///
/// # Errors
/// What cannot be said to Cedar exactly; the decision denies.
fn build(policies: &Policies, trial: &Trial<'_>, approvals: &Seen) -> Result<Context, Unfit> {
    let (request, arguments, wanted) = (trial.request, trial.arguments.as_deref(), &trial.slice.context);
    let facts = &request.facts;
    let mut pairs: Vec<(String, RestrictedExpression)> = Vec::new();
    let mut put = |name: &str, make: &dyn Fn() -> RestrictedExpression| {
        if wanted.of(name).is_some() {
            pairs.push((name.to_owned(), make()));
        }
    };
    let decimal = |n: i64| RestrictedExpression::new_decimal(decimal_text(n));
    let share = |c: Option<Confidence>| decimal(c.unwrap_or_default().ten_thousandths());
    put("granted", &|| RestrictedExpression::new_bool(facts.granted));
    put("risk", &|| RestrictedExpression::new_string(request.risk().name().to_owned()));
    put("confidence", &|| share(facts.confidence));
    put("ask_below", &|| share(facts.ask_below));
    // What the two above come to, without reading decimals.
    let unsure = facts.confidence.unwrap_or_default() < facts.ask_below.unwrap_or_default();
    put("unsure", &|| RestrictedExpression::new_bool(unsure));
    put("traced", &|| RestrictedExpression::new_bool(facts.traced));
    // What nobody follows may be anything.
    put("taint", &|| RestrictedExpression::new_bool(facts.taint || !facts.traced));
    put("plan", &|| RestrictedExpression::new_bool(facts.plan));
    put("approvals", &|| seen(approvals));
    if let Some(handed) = &request.principal.grant {
        put("grant", &|| grant(handed));
    }
    put("now", &|| RestrictedExpression::new_datetime(crate::datetime::text(facts.now)));
    for (name, value) in request.deed.attributes() {
        put(name, &|| match value {
            Plain::Bool(value) => RestrictedExpression::new_bool(value),
            Plain::Long(value) => RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX)),
            Plain::Text(value) => RestrictedExpression::new_string(value.to_owned()),
        });
    }
    if let Some(wanted) = wanted.of("history") {
        pairs.push(("history".to_owned(), history(policies, trial, wanted)?));
    }
    if let (Deed::CallTool { tool, provenance, .. }, Some(arguments)) = (&request.deed, arguments) {
        let none = Fields::new();
        let fields = policies.world.tools.get(*tool).map_or(&none, |tool| &tool.arguments);
        if let Some(wanted) = wanted.of("args") {
            let args = record(arguments, fields, wanted, &Place::Root("context.args"))?;
            pairs.push(("args".to_owned(), args));
        }
        if wanted.of("unseen").is_some() {
            let unseen = encode::unseen(arguments, fields, &Place::Root("context.args"))?;
            pairs.push(("unseen".to_owned(), RestrictedExpression::new_bool(unseen)));
        }
        if let Some(wanted) = wanted.of("provenance") {
            let named = provenance.iter().filter(|(name, _)| wanted.of(name).is_some() && fields.contains_key(name));
            let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
            let speakers = named.map(|(name, from)| {
                let sources = RestrictedExpression::new_set(from.sources.iter().map(|source| text(source)));
                let fields = vec![("trust".to_owned(), text(from.trust.as_str())), ("sources".to_owned(), sources)];
                whole("context.provenance", fields).map(|record| (name.clone(), record))
            });
            pairs.push(("provenance".to_owned(), whole("context.provenance", speakers.collect::<Result<_, _>>()?)?));
        }
    }
    Context::from_pairs(pairs).map_err(|e| Unfit { path: "context".to_owned(), problem: e.to_string() })
}

fn seen(approvals: &Seen) -> RestrictedExpression {
    let of = |pick: &dyn Fn(&Approver) -> Option<cedar_policy::EntityUid>| {
        RestrictedExpression::new_set(
            approvals.approvers.iter().filter_map(pick).map(RestrictedExpression::new_entity_uid),
        )
    };
    let users = of(&|a| match a {
        Approver::User(name) => Some(uid("User", name)),
        Approver::Role(_) => None,
    });
    let roles = of(&|a| match a {
        Approver::Role(name) => Some(uid("Role", name)),
        Approver::User(_) => None,
    });
    let fields = [("count", RestrictedExpression::new_long(approvals.count)), ("users", users), ("roles", roles)];
    RestrictedExpression::new_record(fields.map(|(name, value)| (name.to_owned(), value)))
        .expect("three different names")
}

fn history(policies: &Policies, trial: &Trial<'_>, wanted: &Wanted) -> Result<RestrictedExpression, Unfit> {
    let (request, arguments) = (trial.request, trial.arguments.as_deref().unwrap_or("{}"));
    let facts = &request.facts;
    let scope = request.principal.scope();
    let mut said = Vec::new();
    for (name, counter) in &policies.world.counters {
        if wanted.of(name).is_none() {
            continue;
        }
        let unfit = |problem: String| Unfit { path: format!("context.history.{name}"), problem };
        let value = facts.history.read(&Ask { name, counter, scope, now: facts.now, arguments }).map_err(unfit)?;
        trial.read.borrow_mut().insert(name.clone(), value.clone());
        let value = match value {
            Said::Bool(value) => RestrictedExpression::new_bool(value),
            Said::Long(value) => RestrictedExpression::new_long(value),
            Said::Decimal(value) => RestrictedExpression::new_decimal(decimal_text(value)),
            Said::Text(value) => RestrictedExpression::new_string(value.to_owned()),
        };
        said.push((name.clone(), value));
    }
    whole("context.history", said)
}

fn whole(path: &str, fields: Vec<(String, RestrictedExpression)>) -> Result<RestrictedExpression, Unfit> {
    RestrictedExpression::new_record(fields).map_err(|e| Unfit { path: path.to_owned(), problem: e.to_string() })
}

fn unfit(place: &Place<'_>, problem: impl Into<String>) -> Unfit {
    Unfit { path: place.to_string(), problem: problem.into() }
}

/// What a run was handed.
fn grant(handed: &crate::Handed) -> RestrictedExpression {
    let texts = |list: &Option<Vec<String>>| {
        list.clone().map(|list| RestrictedExpression::new_set(list.into_iter().map(RestrictedExpression::new_string)))
    };
    let long = |n: Option<u64>| n.map(|n| RestrictedExpression::new_long(n as i64));
    let fields = [
        ("by", Some(RestrictedExpression::new_entity_uid(uid("Agent", &handed.by)))),
        ("tools", texts(&handed.tools)),
        ("hosts", texts(&handed.hosts)),
        ("scopes", texts(&handed.scopes)),
        ("until", handed.until.map(|until| RestrictedExpression::new_datetime(crate::datetime::text(until)))),
        ("depth", long(handed.depth.map(u64::from))),
        ("tokens", long(handed.tokens)),
        ("usd", handed.usd.map(|usd| RestrictedExpression::new_decimal(decimal_text(usd.0.div_ceil(100) as i64)))),
        ("tool_calls", long(handed.tool_calls.map(u64::from))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    RestrictedExpression::new_record(fields).unwrap()
}

/// An object as a record of the attributes that are wanted.
///
/// # Errors
/// A wanted value that cannot be said, an attribute that must be there and is not, a name that stands twice.
fn record(text: &str, fields: &Fields, wanted: &Wanted, place: &Place<'_>) -> Result<RestrictedExpression, Unfit> {
    let members = Members::of(text).map_err(|problem| unfit(place, problem))?;
    let mut pairs = Vec::new();
    for (name, Field { shape, required }) in fields {
        let Some(wanted) = wanted.of(name) else { continue };
        let place = Place::Below(place, name);
        match members.get(name) {
            None | Some("null") if *required => return Err(unfit(&place, "is missing")),
            None | Some("null") => {}
            Some(text) => pairs.push((name.clone(), value(text, shape, wanted, &place)?)),
        }
    }
    RestrictedExpression::new_record(pairs).map_err(|e| unfit(place, e.to_string()))
}

fn value(text: &str, shape: &Shape, wanted: &Wanted, place: &Place<'_>) -> Result<RestrictedExpression, Unfit> {
    match shape {
        Shape::Bool => match text {
            "true" => Ok(RestrictedExpression::new_bool(true)),
            "false" => Ok(RestrictedExpression::new_bool(false)),
            _ => Err(unfit(place, "is neither true nor false")),
        },
        Shape::Long => json::scaled(text, 0)
            .map(RestrictedExpression::new_long)
            .ok_or_else(|| unfit(place, "is no whole number of 64 bits")),
        Shape::Decimal => json::scaled(text, json::PLACES)
            .map(|n| RestrictedExpression::new_decimal(json::decimal_text(n)))
            .ok_or_else(|| unfit(place, "is no number that a decimal of four places can hold")),
        Shape::Text => {
            // A text in JSON is never shorter than what it says.
            if text.len() > 6 * MAX_TEXT {
                return Err(unfit(place, format!("is longer than {MAX_TEXT} bytes")));
            }
            let said: Cow<'_, str> = read_text(text).ok_or_else(|| unfit(place, "is no text"))?;
            if said.len() > MAX_TEXT {
                return Err(unfit(place, format!("is longer than {MAX_TEXT} bytes")));
            }
            Ok(RestrictedExpression::new_string(said.into_owned()))
        }
        Shape::Set(element) => {
            let elements = json::elements(text).map_err(|problem| unfit(place, problem))?;
            if elements.len() > MAX_ELEMENTS {
                return Err(unfit(place, format!("has more than {MAX_ELEMENTS} elements")));
            }
            // Policies compare elements as a whole.
            let values = elements.iter().map(|raw| value(raw.get(), element, &Wanted::All, place));
            Ok(RestrictedExpression::new_set(values.collect::<Result<Vec<_>, _>>()?))
        }
        Shape::Record(fields) => record(text, fields, wanted, place),
    }
}

/// A JSON text; borrowed when it has no escapes.
fn read_text(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains(['\\', '"']) {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}
