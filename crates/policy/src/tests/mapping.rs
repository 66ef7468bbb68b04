//! Values are what the schema says they are: whatever fits a tool's JSON Schema is a request that fits the Cedar schema, or
//! is refused.

use std::cell::RefCell;

use cedar_policy::{Context, Request as CedarRequest};
use proptest::prelude::*;

use super::*;
use crate::{
    context::{Seen, Sources},
    entity::uid,
    wanted::Wanted,
};

/// A JSON Schema, and values of which some fit it.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        json!({ "type": "integer" }),
        json!({ "type": "number" }),
        json!({ "type": "string" }),
        json!({ "type": "boolean" }),
        json!({ "type": ["integer", "null"] }),
        json!({ "enum": ["a", "b"] }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
        json!({}),
    ]);
    let object = |inner: BoxedStrategy<Value>| {
        (prop::collection::btree_map("[a-c]", inner, 0..3), any::<bool>()).prop_map(|(properties, all)| {
            let required: Vec<String> = if all { properties.keys().cloned().collect() } else { Vec::new() };
            json!({ "type": "object", "properties": properties, "required": required })
        })
    };
    let node = leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
            object(inner.clone()),
            (object(inner.clone()), object(inner)).prop_map(|(a, b)| json!({ "oneOf": [a, b] })),
        ]
    });
    prop::collection::btree_map("[a-c]", node, 1..4)
        .prop_map(|properties| json!({ "type": "object", "properties": properties }))
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| if n.is_finite() { n.to_string() } else { "1e400".to_owned() }),
        (-99_999_i64..99_999).prop_map(|n| format!("{}.{:04}", n / 10_000, (n % 10_000).abs())),
        "[a-z\u{430}\"\\\\]{0,5}".prop_map(|s| Value::from(s).to_string()),
        Just("true".to_owned()),
        Just("null".to_owned()),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(","))),
            members(inner),
        ]
    })
}

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(", "))
    })
}

/// The context of a call with all that can be wanted.
fn whole_context(policies: &Policies, tool: &str, arguments: &str) -> Option<Context> {
    let history = History::new(policies.world().counters().clone());
    let principal = run();
    let deed = Deed::CallTool { tool, arguments, provenance: &[] };
    let request = Request { principal: &principal, deed, facts: facts(&history) };
    let fields = &policies.world.tools[tool].arguments;
    let approvals = Seen::default();
    let (arguments, read) = (Some(arguments), RefCell::default());
    let sources = Sources { policies, request: &request, arguments, fields, approvals: &approvals, read: &read };
    sources.build(&Wanted::All, &[]).ok().map(Context::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_built_fits_the_schema_that_policies_are_checked_against(
        schema in schema(),
        arguments in prop::collection::vec(members(value()), 1..6),
    ) {
        let tool = ToolSpec::new("t", "s", EffectClass::Keyed, Risk::Normal, &schema);
        let policies = Policies::apply(&[], [tool], 1).unwrap();
        let checked = policies.world().schema().unwrap();
        for arguments in arguments {
            let Some(context) = whole_context(&policies, "t", &arguments) else { continue };
            let request = CedarRequest::new(
                uid("Run", "run_1"), uid("Action", "t"), uid("Tool", "t"), context, Some(&checked),
            );
            prop_assert!(request.is_ok(), "{schema} {arguments}: {:?}", request.err());
        }
    }

    #[test]
    fn what_policies_read_is_the_same_whether_all_or_only_that_is_built(
        amount in any::<i64>(), note in "[a-z]{0,4}", bound in any::<i64>(),
    ) {
        let policies = with_default(&format!(
            "forbid (principal, action == Action::\"payments_refund\", resource)
             when {{ context.args.amount > {bound} || (context.args has note && context.args.note == \"ab\") }};"
        ));
        let arguments = format!(r#"{{"order":"1","amount":{amount},"note":"{note}"}}"#);
        let decision = decide(&policies, "payments_refund", &arguments);
        prop_assert_eq!(word(&decision) == "deny", amount > bound || note == "ab");
    }
}

#[test]
fn the_schema_can_be_read_as_cedar_writes_it() {
    let schema = only("").world().schema_text().unwrap();
    assert!(
        schema.contains("payments_refund") && schema.contains("amount") && schema.contains("approvals"),
        "{schema}"
    );
}

#[test]
fn a_set_knows_neither_order_nor_number() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"mail_send", resource) unless { context.args.to == ["a", "b"] };"#,
    );
    assert_eq!(word(&decide(&policies, "mail_send", r#"{"to":["b","a","b"],"body":""}"#)), "allow");
    assert_eq!(word(&decide(&policies, "mail_send", r#"{"to":["b"],"body":""}"#)), "deny");
}
