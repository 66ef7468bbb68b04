//! The context of a request: the attributes that its slice reads, typed, and no others.

use cedar_policy::{Context, RestrictedExpression};

use crate::{
    encode::{self, Place, Unfit},
    entity::uid,
    gate::Approver,
    history::Said,
    json::decimal_text,
    policies::Policies,
    request::{Confidence, Deed, Request},
    shape::Fields,
    tool::Risk,
    wanted::Wanted,
};

/// Approvals as policies see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) count: i64,
    pub(crate) approvers: Vec<Approver>,
}

/// Builds what is wanted of a request's context.
///
/// # Errors
/// What cannot be said to Cedar exactly; the decision denies.
pub(crate) fn build(
    policies: &Policies,
    request: &Request<'_>,
    arguments: Option<&str>,
    approvals: &Seen,
    wanted: &Wanted,
) -> Result<Context, Unfit> {
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
    put("risk", &|| RestrictedExpression::new_string(risk(request).name().to_owned()));
    put("confidence", &|| share(facts.confidence));
    put("ask_below", &|| share(facts.ask_below));
    // What the two above come to, without reading decimals.
    let unsure = facts.confidence.unwrap_or_default() < facts.ask_below.unwrap_or_default();
    put("unsure", &|| RestrictedExpression::new_bool(unsure));
    put("taint", &|| RestrictedExpression::new_bool(facts.taint));
    put("plan", &|| RestrictedExpression::new_bool(facts.plan));
    put("approvals", &|| seen(approvals));
    put("now", &|| RestrictedExpression::new_datetime(crate::datetime::text(facts.now)));
    for (name, value) in request.deed.attributes() {
        put(name, &|| value.expression());
    }
    if let Some(wanted) = wanted.of("history") {
        pairs.push(("history".to_owned(), history(policies, request, arguments, wanted)?));
    }
    if let (Deed::CallTool { tool, provenance, .. }, Some(arguments)) = (&request.deed, arguments) {
        let none = Fields::new();
        let fields = policies.world.tools.get(*tool).map_or(&none, |tool| &tool.arguments);
        if let Some(wanted) = wanted.of("args") {
            let args = encode::record(arguments, fields, wanted, &Place::Root("context.args"))?;
            pairs.push(("args".to_owned(), args));
        }
        if wanted.of("unseen").is_some() {
            let unseen = encode::unseen(arguments, fields, &Place::Root("context.args"))?;
            pairs.push(("unseen".to_owned(), RestrictedExpression::new_bool(unseen)));
        }
        if let Some(wanted) = wanted.of("provenance") {
            let named = provenance.iter().filter(|(name, _)| wanted.of(name).is_some() && fields.contains_key(name));
            let speakers = named.map(|(name, who)| (name.clone(), RestrictedExpression::new_string(who.clone())));
            pairs.push(("provenance".to_owned(), whole("context.provenance", speakers.collect())?));
        }
    }
    Context::from_pairs(pairs).map_err(|e| Unfit { path: "context".to_owned(), problem: e.to_string() })
}

/// The risk of what is done: the manifest's or the reported one, whichever is worse.
fn risk(request: &Request<'_>) -> Risk {
    let own = match request.deed {
        // A tool that nobody knows counts as the worst.
        Deed::CallTool { tool, .. } => request.principal.tools.get(tool).map_or(Risk::Critical, |known| known.risk),
        _ => Risk::Normal,
    };
    own.max(request.facts.risk)
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

fn history(
    policies: &Policies,
    request: &Request<'_>,
    arguments: Option<&str>,
    wanted: &Wanted,
) -> Result<RestrictedExpression, Unfit> {
    let facts = &request.facts;
    let scope = request.principal.scope();
    let mut said = Vec::new();
    for (name, counter) in &policies.world.counters {
        if wanted.of(name).is_none() {
            continue;
        }
        let unfit = |problem: String| Unfit { path: format!("context.history.{name}"), problem };
        // A history that was folded for other counters says nothing about these.
        if facts.history.counters().get(name) != Some(counter) {
            return Err(unfit("is not what this history counts".to_owned()));
        }
        let value = facts.history.read(name, &scope, facts.now, arguments.unwrap_or("{}")).map_err(unfit)?;
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
