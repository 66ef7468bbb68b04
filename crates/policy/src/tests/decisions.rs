//! Permit, forbid, gate, transform, and what goes wrong.

use super::*;
use crate::{Confidence, Verdict};

#[test]
fn without_a_policy_everything_is_denied() {
    let none = Policies::apply(&[], tools(), 1).unwrap();
    let decision = decide(&none, "orders_lookup", "{}");
    assert_eq!(
        decision.verdict,
        Verdict::Deny("Not done: no policy permits `orders_lookup` on `orders_lookup`.".into())
    );
    assert_eq!((decision.epoch, decision.digest), (1, none.digest()));
}

#[test]
fn forbid_wins_and_tells_its_reason() {
    let policies = with_default(
        r#"@id("no-weekends") @reason("refunds rest today")
           forbid (principal, action == Action::"payments_refund", resource) when { context.args.amount > 10 };"#,
    );
    assert_eq!(word(&decide(&policies, "payments_refund", r#"{"order":"1","amount":10}"#)), "allow");
    let decision = decide(&policies, "payments_refund", r#"{"order":"1","amount":11}"#);
    assert_eq!(decision.verdict, Verdict::Deny("Not done: refunds rest today (policy `no-weekends`)".into()));
    assert_eq!(
        decision.why.to_string(),
        "forbidden by no-weekends\n  refunds rest today\n  context.args.amount = 11\n"
    );
}

#[test]
fn an_allowed_call_names_its_permits_and_explain_gives_their_values() {
    let policies = with_default("");
    let decision = decide(&policies, "orders_lookup", "{}");
    assert_eq!(decision.why.to_string(), "permitted by granted\n");
    let history = History::default();
    let principal = run();
    let request = Request { principal: &principal, deed: call("orders_lookup", "{}"), facts: facts(&history) };
    assert_eq!(policies.explain(&request).why.to_string(), "permitted by granted\n  context.granted = true\n");
}

#[test]
fn what_the_manifest_does_not_grant_no_policy_permits() {
    let policies = with_default("permit (principal, action, resource);");
    let decision = decide_with(&policies, call("orders_lookup", "{}"), |facts| Facts { granted: false, ..facts });
    assert_eq!(word(&decision), "deny");
    assert_eq!(decision.why.forbade[0].policy.as_ref(), "not-granted");
}

#[test]
fn a_critical_tool_asks_by_default_whatever_the_model_reports() {
    let policies = with_default("");
    assert_eq!(word(&decide(&policies, "wire", r#"{"iban":"x"}"#)), "ask");
    // A reported risk tightens, and never loosens.
    let normal = |tool, arguments| decide_with(&policies, call(tool, arguments), |f| Facts { risk: Risk::Normal, ..f });
    assert_eq!(word(&normal("wire", r#"{"iban":"x"}"#)), "ask");
    let critical = decide_with(&policies, call("orders_lookup", "{}"), |f| Facts { risk: Risk::Critical, ..f });
    assert_eq!(word(&critical), "ask");
}

#[test]
fn a_confidence_that_is_low_or_missing_asks_where_the_manifest_has_a_threshold() {
    let policies = with_default("");
    let with = |confidence: Option<f64>, ask_below: Option<f64>| {
        let decision = decide_with(&policies, call("orders_lookup", "{}"), |facts| Facts {
            confidence: confidence.and_then(Confidence::new),
            ask_below: ask_below.and_then(Confidence::new),
            ..facts
        });
        word(&decision)
    };
    assert_eq!(with(None, None), "allow");
    assert_eq!(with(None, Some(0.7)), "ask");
    assert_eq!(with(Some(0.69), Some(0.7)), "ask");
    assert_eq!(with(Some(0.7), Some(0.7)), "allow");
    assert_eq!(with(Some(f64::NAN), Some(0.7)), "ask");
    assert_eq!(with(Some(7.0), Some(0.7)), "ask");
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies_be_it_permit_forbid_or_gate() {
    for policy in [
        "permit (principal, action == Action::\"payments_refund\", resource) when { context.args.amount * 2 > 0 };",
        "forbid (principal, action == Action::\"payments_refund\", resource) when { context.args.amount * 2 < 0 };",
        "@require(\"approval\") @approvers(\"a\") @quorum(\"1\") @ttl(\"1m\")
         forbid (principal, action == Action::\"payments_refund\", resource) when { context.args.amount * 2 < 0 };",
    ] {
        let policies = with_default(policy);
        assert_eq!(word(&decide(&policies, "payments_refund", r#"{"order":"1","amount":1}"#)), "allow", "{policy}");
        let decision = decide(&policies, "payments_refund", r#"{"order":"1","amount":9223372036854775807}"#);
        assert_eq!(word(&decision), "deny", "{policy}");
        assert_eq!(decision.why.erred.len(), 1);
        assert!(decision.why.erred[0].error.as_ref().unwrap().contains("overflow"));
    }
}

#[test]
fn an_argument_that_cannot_be_said_denies_when_a_policy_reads_it() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"payments_refund", resource)
           when { context.args has rate && context.args.rate.greaterThan(decimal("1.5")) };"#,
    );
    let with =
        |rate: &str| decide(&policies, "payments_refund", &format!(r#"{{"order":"1","amount":1,"rate":{rate}}}"#));
    assert_eq!(word(&with("1.5")), "allow");
    assert_eq!(word(&with("1.5001")), "deny");
    for rate in ["1e400", "1.00001", "922337203685478", "\"1\"", "{}"] {
        let decision = with(rate);
        let Verdict::Deny(told) = &decision.verdict else { panic!("{rate}") };
        assert!(told.starts_with("Not done: `context.args.rate` is no number"), "{told}");
    }
    // Nobody reads this one.
    assert_eq!(word(&decide(&policies, "payments_refund", r#"{"order":"1","amount":1e400}"#)), "allow");
}

#[test]
fn arguments_cannot_smuggle() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"payments_refund", resource) when { context.args.amount > 10 };
           forbid (principal, action == Action::"mail_send", resource) when { context.unseen };
           forbid (principal, action == Action::"mail_send", resource)
           unless { ["ada@example.com"].containsAll(context.args.to) };"#,
    );
    let refund = |arguments| word(&decide(&policies, "payments_refund", arguments));
    assert_eq!(refund(r#"{"order":"1","amount":1,"amount":100}"#), "deny");
    assert_eq!(refund(r#"{"order":"1","amount":1,"\u0061mount":100}"#), "deny");
    assert_eq!(refund(r#"{"order":"1","amount":{"__extn":{"fn":"decimal","arg":"1"}}}"#), "deny");
    assert_eq!(refund(r#"{"order":"1"}"#), "deny");
    assert_eq!(refund(r#"{"order":"1","amount":null}"#), "deny");
    assert_eq!(refund("[]"), "deny");
    let mail = |arguments| word(&decide(&policies, "mail_send", arguments));
    assert_eq!(mail(r#"{"to":["ada@example.com"],"body":"hi"}"#), "allow");
    assert_eq!(mail(r#"{"to":["ada@example.com"],"body":"hi","bcc":"eve@example.com"}"#), "deny");
    // A Cyrillic letter is another text.
    assert_eq!(mail(r#"{"to":["аda@example.com"],"body":"hi"}"#), "deny");
    assert_eq!(mail(r#"{"to":["ada@example.com","eve@example.com"],"body":"hi"}"#), "deny");
}

#[test]
fn huge_arguments_deny_where_they_are_read() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"mail_send", resource)
           when { context.args.body like "*secret*" || context.args.to.contains("eve") };"#,
    );
    let body = "x".repeat(crate::MAX_TEXT);
    assert_eq!(word(&decide(&policies, "mail_send", &format!(r#"{{"to":[],"body":"{body}"}}"#))), "allow");
    assert_eq!(word(&decide(&policies, "mail_send", &format!(r#"{{"to":[],"body":"{body}x"}}"#))), "deny");
    let members: Vec<String> = (0..=crate::MAX_MEMBERS).map(|n| format!("\"m{n}\":1")).collect();
    assert_eq!(word(&decide(&policies, "mail_send", &format!("{{{}}}", members.join(",")))), "deny");
    let many = vec!["\"a\""; crate::MAX_ELEMENTS + 1].join(",");
    assert_eq!(word(&decide(&policies, "mail_send", &format!(r#"{{"to":[{many}],"body":""}}"#))), "deny");
}

#[test]
fn a_transform_writes_the_arguments_anew_before_anything_else_sees_them() {
    let policies = with_default(
        r#"@id("no-cards") @transform("redact") @fields("args.body, args.cc")
           forbid (principal, action == Action::"mail_send", resource) when { context.args.body like "*4111*" };
           forbid (principal, action == Action::"mail_send", resource) when { context.args.body like "*1111*" };"#,
    );
    let plain = decide(&policies, "mail_send", r#"{"to":[],"body":"hi"}"#);
    assert_eq!((word(&plain), plain.arguments), ("allow", None));
    let decision = decide(&policies, "mail_send", r#"{"to":[],"body":"4111 1111","cc":"x"}"#);
    assert_eq!(word(&decision), "allow");
    assert_eq!(decision.arguments.unwrap(), r#"{"to":[],"body":"[redacted]","cc":"[redacted]"}"#);
    assert_eq!(decision.why.transformed[0].policy.as_ref(), "no-cards");
}

#[test]
fn what_cannot_be_transformed_is_not_done() {
    let policies = with_default(
        r#"@transform("redact") @fields("args.note")
           forbid (principal, action == Action::"payments_refund", resource) when { context.args.amount > 0 };"#,
    );
    let deep = format!("{}\"x\"{}", "[".repeat(100_000), "]".repeat(100_000));
    for note in ["7", "{}", &deep] {
        let arguments = format!(r#"{{"order":"1","amount":1,"note":{note}}}"#);
        assert_eq!(word(&decide(&policies, "payments_refund", &arguments)), "deny");
    }
}

#[test]
fn a_tool_that_nobody_knows_counts_as_the_worst() {
    let policies = with_default("");
    let decision = decide(&policies, "rm_rf", "{}");
    assert_eq!(word(&decision), "ask");
    assert_eq!(decision.why.gated[0].policy.as_ref(), "critical");
}

#[test]
fn a_schema_that_changed_under_a_live_run_denies() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"payments_refund", resource) when { context.args.amount > 10 };"#,
    );
    // The run's own tool takes a text now; the policy was checked against a number.
    let decision = decide(&policies, "payments_refund", r#"{"order":"1","amount":"9"}"#);
    assert_eq!(
        decision.verdict,
        Verdict::Deny(
            "Not done: `context.args.amount` is no whole number of 64 bits, so no policy can judge it.".into()
        )
    );
}

#[test]
fn who_asks_for_whom_can_be_asked_for() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"payments_refund", resource)
           unless { principal has user && principal.user in Role::"support" };
           forbid (principal in Agent::"refund-desk", action == Action::"mail_send", resource)
           when { principal.callers.contains(Agent::"front") };
           forbid (principal in Agent::"front", action == Action::"orders_lookup", resource);"#,
    );
    assert_eq!(word(&decide(&policies, "payments_refund", r#"{"order":"1","amount":1}"#)), "allow");
    assert_eq!(word(&decide(&policies, "mail_send", r#"{"to":[],"body":""}"#)), "deny");
    // A child is not within the agent that called it.
    assert_eq!(word(&decide(&policies, "orders_lookup", "{}")), "allow");
}

#[test]
fn what_nobody_follows_counts_as_read() {
    let policies =
        with_default(r#"forbid (principal, action == Action::"mail_send", resource) when { context.taint };"#);
    let mail = r#"{"to":[],"body":""}"#;
    let said = |traced, taint| {
        word(&decide_with(&policies, call("mail_send", mail), |facts| Facts { traced, taint, ..facts }))
    };
    assert_eq!((said(true, false), said(true, true)), ("allow", "deny"));
    assert_eq!(said(false, false), "deny", "nobody knows what it has read");
    // The default policy asks about what it knows.
    let mail = |traced| {
        let policies = with_default("");
        word(&decide_with(&policies, call("mail_send", mail), |facts| Facts { traced, taint: true, ..facts }))
    };
    assert_eq!((mail(true), mail(false)), ("ask", "allow"));
}
