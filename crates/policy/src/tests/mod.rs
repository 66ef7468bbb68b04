//! What a policy set decides.
#![expect(clippy::unwrap_used, reason = "tests")]

mod apply;
mod approvals;
mod book;
mod decisions;
mod edges;
mod mapping;
mod random;
mod reference;
mod slices;
mod tools;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stead_core::{effect::EffectClass, time::Timestamp};

use crate::{
    Approval, Asker, Decision, Deed, Facts, Handed, History, Policies, Principal, Problem, Request, Risk, Source,
    ToolSpec, User,
};

/// Tools of a refund desk.
fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, set: &str, class, risk, properties: Value, required: &[&str]| {
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        ToolSpec::new(name, set, class, risk, &schema)
    };
    let text = || json!({ "type": "string" });
    vec![
        tool(
            "payments_refund",
            "payments",
            EffectClass::Keyed,
            Risk::Normal,
            json!({ "order": text(), "amount": { "type": "integer" }, "rate": { "type": "number" }, "note": text() }),
            &["order", "amount"],
        ),
        tool("wire", "bank", EffectClass::Irreversible, Risk::Critical, json!({ "iban": text() }), &["iban"]),
        tool(
            "mail_send",
            "mail",
            EffectClass::Irreversible,
            Risk::High,
            json!({ "to": { "type": "array", "items": text() }, "body": text(), "cc": { "type": ["string", "null"] } }),
            &["to", "body"],
        ),
        tool("orders_lookup", "orders", EffectClass::Pure, Risk::Normal, json!({ "order": text() }), &[]),
    ]
}

fn source(text: &str) -> Source {
    Source { file: "p.cedar".to_owned(), text: text.to_owned() }
}

fn try_apply(text: &str) -> Result<Policies, Vec<Problem>> {
    Policies::apply(&[source(text)], tools(), 7)
}

/// A set of these policies alone.
fn only(text: &str) -> Policies {
    try_apply(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A set of these policies and the default policy.
fn with_default(text: &str) -> Policies {
    Policies::apply(&[Source::default_policy(), source(text)], tools(), 7)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What it was handed, of which all is bounded.
fn handed() -> Handed {
    let texts = |all: &[&str]| Some(all.iter().map(|text| (*text).to_owned()).collect());
    Handed {
        by: "front".to_owned(),
        tools: texts(&["payments_*", "orders_lookup"]),
        hosts: texts(&["*.example.com"]),
        scopes: texts(&[]),
        until: Some(Timestamp(1_767_268_800_000_000 + 60_000_000)),
        depth: Some(1),
        tokens: Some(9_000),
        usd: Some(stead_core::budget::MicroUsd(500_050)),
        tool_calls: Some(12),
    }
}

fn asker() -> Asker {
    Asker {
        tenant: "acme".to_owned(),
        agent: "refund-desk".to_owned(),
        version: "ver_1".to_owned(),
        session: "ses_1".to_owned(),
        run: "run_1".to_owned(),
        user: Some(User { name: "alice".to_owned(), roles: BTreeSet::from(["support".to_owned()]) }),
        callers: BTreeSet::from(["front".to_owned()]),
        grant: Some(handed()),
    }
}

fn run() -> Principal {
    Principal::run(asker(), &tools())
}

fn facts(history: &History) -> Facts<'_> {
    Facts::empty(Timestamp(1_767_268_800_000_000), history)
}

fn call<'a>(tool: &'a str, arguments: &'a str) -> Deed<'a> {
    Deed::CallTool { tool, arguments, provenance: &[] }
}

/// What the set says to a tool call of a run.
fn decide(policies: &Policies, tool: &str, arguments: &str) -> Decision {
    decide_with(policies, call(tool, arguments), |facts| facts)
}

/// What it says to a deed, with other facts.
fn decide_with<'a>(
    policies: &Policies,
    deed: Deed<'a>,
    change: impl for<'f> FnOnce(Facts<'f>) -> Facts<'f>,
) -> Decision {
    let history = History::new(policies.world().counters().clone());
    policies.decide(&Request { principal: &run(), deed, facts: change(facts(&history)) })
}

/// The same call with approvals.
fn approved(policies: &Policies, tool: &str, arguments: &str, by: &[(&str, &[&str])]) -> Decision {
    let approvals: Vec<Approval> = by
        .iter()
        .map(|(user, roles)| Approval {
            user: (*user).to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..Approval::default()
        })
        .collect();
    let history = History::new(policies.world().counters().clone());
    let facts = Facts { approvals: &approvals, ..facts(&history) };
    policies.decide(&Request { principal: &run(), deed: call(tool, arguments), facts })
}

/// The verdict in a word.
fn word(decision: &Decision) -> &'static str {
    crate::Outcome::from(&decision.verdict).name()
}

/// Everything that is wrong with a set, as people read it.
fn problems(text: &str) -> String {
    let problems = try_apply(text).expect_err("it is refused");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
