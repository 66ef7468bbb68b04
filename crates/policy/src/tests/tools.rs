//! Lint, cases, difference and replay.

use insta::assert_snapshot;
use stead_core::effect::Ended;

use super::*;
use crate::{Case, Change, Event, Happened, Outcome, Recorded, diff, replay};

fn lint(text: &str) -> String {
    only(text).lint().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_never_takes_effect_is_told() {
    assert_snapshot!(lint(
        r#"@id("stop") forbid (principal, action in Action::"call_tool", resource);
permit (principal in Agent::"refund-desk", action == Action::"orders_lookup", resource);
permit (principal, action == Action::"call_model", resource) when { context.max_output_tokens > 1 && false };
forbid (principal, action in Action::"call_tool", resource == Tool::"mail_sned") when { context.taint };
"#), @r##"
    the policy set: no gate watches `wire`, whose risk is critical
      hint: the default policy has such a gate; leave it in, or write one
    p.cedar:2:1: never takes effect: the policy `stop` always forbids all that it is about
      hint: leave one of the two out, or give the other a condition
    p.cedar:3:1: policy is impossible: the policy expression evaluates to false for all valid requests
    p.cedar:4:1: never matches: no agent has Tool::"mail_sned"
      hint: did you mean `mail_send`?
    p.cedar:4:1: never takes effect: the policy `stop` always forbids all that it is about
      hint: leave one of the two out, or give the other a condition
    "##);
}

#[test]
fn doors_that_stand_wider_open_than_they_look_are_told() {
    assert_snapshot!(lint(
        r#"permit (principal, action, resource);
permit (principal, action == Action::"orders_lookup", resource);
permit (principal, action in Action::"call_tool", resource in Toolset::"payments");
"#), @r##"
    the policy set: no gate watches `wire`, whose risk is critical
      hint: the default policy has such a gate; leave it in, or write one
    p.cedar:1:1: permits every call of `mail_send` (irreversible) and of 2 other tools
      hint: add a `when` that says which calls, or name only tools that are pure
    p.cedar:3:1: permits every call of `payments_refund` (keyed)
      hint: add a `when` that says which calls, or name only tools that are pure
    "##);
}

#[test]
fn a_gate_on_what_waits_for_nobody_is_told() {
    let gate = |action: &str| {
        lint(&format!(
            "@require(\"approval\") @approvers(\"a\") @quorum(\"1\") @ttl(\"1h\")\nforbid (principal, {action}, resource);\n\
             @require(\"approval\") @approvers(\"a\") @quorum(\"1\") @ttl(\"1h\")\nforbid (principal, action == Action::\"wire\", resource);"
        ))
    };
    assert_snapshot!(gate(r#"action == Action::"export_artifact""#), @r##"
    p.cedar:1:1: denies as a plain `forbid` does: `export_artifact` waits for nobody's approval
      hint: say who may do it in `unless`, or put the gate on a tool's call
    "##);
    assert!(gate(r#"action in Action::"operate""#).contains("`operate` waits for nobody's approval"));
    assert!(gate(r#"action in [Action::"call_model", Action::"start_run"]"#).contains("`call_model` waits"));
    // A call waits, and a connection has the approvals of its call.
    for waits in [r#"action == Action::"connect""#, r#"action == Action::"mail_send""#, "action"] {
        assert_eq!(gate(waits), "", "{waits}");
    }
}

#[test]
fn letters_that_look_alike_are_told() {
    let said = lint(
        "forbid (principal, action == Action::\"mail_send\", resource) when { context.args.body == \"pаypal\" };\n@require(\"approval\") @approvers(\"x\") @quorum(\"1\") @ttl(\"1m\") forbid (principal, action == Action::\"wire\", resource);",
    );
    assert_snapshot!(said, @r##"p.cedar:1:89: string `"pаypal"` contains mixed scripts"##);
}

#[test]
fn cases_are_asked_and_tell_what_decided() {
    let policies = with_default(
        r#"@id("small") @require("approval") @approvers("finance") @quorum("1") @ttl("15m")
           forbid (principal, action == Action::"payments_refund", resource) when { context.args.amount > 1000 };"#,
    );
    let text = r#"
cases:
  - name: a small refund
    call: payments_refund
    args: { order: "1", amount: 1000 }
    expect: allow
  - name: a large refund
    call: payments_refund
    args: '{"order":"1","amount":1001}'
    expect: ask
    by: [small]
  - name: approved
    call: payments_refund
    args: { order: "1", amount: 1001 }
    approvals: [{ user: ann, roles: [finance] }]
    expect: allow
  - name: a host
    do: { connect: { host: example.com } }
    given: { granted: false }
    expect: deny
    by: [not-granted]
  - name: an operator
    as: { user: olga, roles: [operator] }
    do: { control_run: {} }
    expect: allow
  - name: wrong on purpose
    call: orders_lookup
    expect: deny
    by: [small]
"#;
    let results: Vec<_> = Case::read("tests.yaml", text).unwrap().iter().map(|case| case.ask(&policies)).collect();
    let failed: Vec<&str> = results.iter().filter(|r| !r.passed()).map(|r| r.name.as_str()).collect();
    assert_eq!(failed, ["wrong on purpose"]);
    assert_eq!(results[5].missing, ["small"]);
    let refused = |text| Case::read("tests.yaml", text).unwrap_err()[0].to_string();
    assert_snapshot!(refused("cases: [{ name: x, expect: allow }]"), @"tests.yaml: case `x`: has one of `call` and `do`");
    assert_snapshot!(refused("cases: [{ name: x, call: y, expect: maybe }]"), @"tests.yaml:1:37: unknown variant `maybe`, expected one of allow, deny, ask");
}

#[test]
fn a_policy_that_only_moved_is_no_difference() {
    let a = only(
        "permit (principal, action, resource);\n@id(\"x\") forbid (principal, action, resource) when { context.granted };",
    );
    let b = only(
        "\n// moved\npermit (principal, action, resource);\n@id(\"x\") forbid (principal, action, resource) unless { context.granted };\n@id(\"y\") forbid (principal is User, action, resource);",
    );
    let told = |changes: Vec<Change>| changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(diff(&a, &a), []);
    assert_snapshot!(told(diff(&a, &b)), @r##"
    changed x
    - @id("x") forbid (principal, action, resource) when { context.granted };
    + @id("x") forbid (principal, action, resource) unless { context.granted };
    added y
    + @id("y") forbid (principal is User, action, resource);
    "##);
    assert_snapshot!(told(diff(&b, &a)), @r##"
    changed x
    - @id("x") forbid (principal, action, resource) unless { context.granted };
    + @id("x") forbid (principal, action, resource) when { context.granted };
    removed y
    - @id("y") forbid (principal is User, action, resource);
    "##);
}

#[test]
fn history_decided_again_names_every_flip() {
    let counters = Source {
        file: "history.yaml".to_owned(),
        text: "mails: { count: mail_send, by: agent, within: 1h }".to_owned(),
    };
    let limit = source(
        r#"@id("three") forbid (principal, action == Action::"mail_send", resource) when { context.history.mails >= 3 };"#,
    );
    let new = Policies::apply(&[Source::default_policy(), counters, limit], tools(), 8).unwrap();
    let principal = run();
    let nothing = History::default();
    let arguments = r#"{"to":[],"body":""}"#;
    let ids: Vec<String> = (0..6).map(|n| format!("e{n}")).collect();
    let mut recorded = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let at = Timestamp(i64::try_from(n).unwrap() * 60_000_000);
        let facts = Facts { now: at, ..facts(&nothing) };
        let request = Request { principal: &principal, deed: call("mail_send", arguments), facts };
        recorded.push(Recorded::Decided { id, request, was: Outcome::Allow });
        let event = Event {
            at,
            scope: principal.scope(),
            tool: "mail_send",
            arguments: Some(arguments),
            happened: Happened::Sent { approved: false },
        };
        recorded.push(Recorded::Happened(event));
        recorded.push(Recorded::Happened(Event { happened: Happened::Ended(Ended::Returned), ..event }));
    }
    let replayed = replay(&new, recorded.clone());
    assert_eq!(replayed.decided, 6);
    let flips: Vec<(&str, &str)> =
        replayed.flips.iter().map(|f| (f.id.as_str(), Outcome::from(&f.now.verdict).name())).collect();
    assert_eq!(flips, [("e3", "deny"), ("e4", "deny"), ("e5", "deny")]);
    assert_eq!(replayed.flips[0].now.why.forbade[0].values, [("context.history.mails".to_owned(), "3".to_owned())]);
    assert_eq!(replay(&with_default(""), recorded).flips, []);
}

#[test]
fn a_history_of_other_counters_denies() {
    let counters = Source { file: "history.yaml".to_owned(), text: "mails: { count: mail_send, by: run }".to_owned() };
    let limit =
        source(r#"forbid (principal, action == Action::"mail_send", resource) when { context.history.mails > 3 };"#);
    let policies = Policies::apply(&[Source::default_policy(), counters, limit], tools(), 1).unwrap();
    let ask = |history: &History| {
        let deed = call("mail_send", r#"{"to":[],"body":""}"#);
        word(&policies.decide(&Request { principal: &run(), deed, facts: facts(history) }))
    };
    assert_eq!(ask(&History::new(policies.world().counters().clone())), "allow");
    assert_eq!(ask(&History::default()), "deny");
}
