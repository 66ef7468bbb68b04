//! What is refused when a set is applied, and how it is told.

use insta::assert_snapshot;

use super::*;

#[test]
fn a_type_error_is_told_with_place_and_hint() {
    assert_snapshot!(problems("forbid (principal, action == Action::\"payments_refund\", resource)\nwhen { context.args.amount > \"1000\" };"), @"p.cedar:2:30: unexpected type: expected Long but saw String");
    assert_snapshot!(problems("forbid (principal, action == Action::\"payments_refund\", resource)\nwhen { context.args.amuont > 1000 };"), @r##"
    p.cedar:2:8: attribute `args.amuont` in context for Action::"payments_refund" not found
      hint: did you mean `amount`?
    "##);
    assert_snapshot!(problems("forbid (principal, action == Action::\"payments_refund\", resource)\nwhen { context.args.rate.greaterThan(decimal(\"1.0\")) };"), @r##"
    p.cedar:2:8: unable to guarantee safety of access to optional attribute `args.rate` in context for Action::"payments_refund"
      hint: try testing for the attribute's presence with `context.args has rate && ..`
    "##);
    assert_snapshot!(problems("forbid (principal, action == Action::\"payment_refund\", resource);"), @r##"
    p.cedar:1:30: unrecognized action `Action::"payment_refund"`
      hint: did you mean `Action::"payments_refund"`?
    "##);
    assert_snapshot!(problems("forbid (principal, action, resource) when { context.args.amount > 1 };"), @r##"
    p.cedar:1:45: attribute `args.amount` in context for Action::"mail_send" not found
      hint: did you mean `body`?
    "##);
}

#[test]
fn what_does_not_parse_is_told_with_its_place() {
    assert_snapshot!(problems("permit (principal, action, resource)\nwhen { context.granted ;"), @r##"
    p.cedar:2:24: unexpected token `;`
      hint: expected `!=`, `&&`, `(`, `*`, `+`, `-`, `.`, `<`, `<=`, `==`, `>`, `>=`, `[`, `||`, `}`, `has`, `in`, `is`, or `like`
    "##);
    assert_snapshot!(problems("permit (principal == ?principal, action, resource);"), @r##"
    p.cedar: has a template
      hint: name who and what; `?principal` and `?resource` have no place here
    "##);
}

#[test]
fn bad_annotations_refuse_the_set() {
    let gate = |annotations: &str| problems(&format!("{annotations}\nforbid (principal, action, resource);"));
    let all = [
        r#"@require("approval") @aprovers("x") @quorum("1") @ttl("1m")"#,
        r#"@require("approvals") @approvers("x") @quorum("1") @ttl("1m")"#,
        r#"@require("approval") @approvers("x") @quorum("0") @ttl("1m")"#,
        r#"@require("approval") @approvers("x") @quorum("9") @ttl("1m")"#,
        r#"@require("approval") @approvers("x") @quorum("1") @ttl("soon")"#,
        r#"@require("approval") @approvers("x") @quorum("1") @ttl("31d")"#,
        r#"@require("approval") @approvers("x") @quorum("1")"#,
        r#"@require("approval") @approvers("x") @ttl("1m")"#,
        r#"@require("approval") @quorum("1") @ttl("1m")"#,
        r#"@require("approval") @approvers("x,,y") @quorum("1") @ttl("1m")"#,
        r#"@require("approval") @approvers("user:x") @quorum("2") @ttl("1m")"#,
        r#"@approvers("x")"#,
        r#"@transform("drop") @fields("args.note")"#,
        r#"@transform("redact")"#,
        r#"@transform("redact") @fields("note")"#,
        r#"@transform("redact") @fields("args.note") @require("approval")"#,
        r#"@transform("redact") @fields("args.note")"#,
    ];
    let told: Vec<String> = all.iter().map(|annotations| gate(annotations)).collect();
    assert_snapshot!(told.join("\n"), @r##"
    p.cedar:1:1: there is no annotation `@aprovers`
      hint: did you mean `@approvers`?
    p.cedar:1:1: `@require("approvals")` is nothing that a gate can require
      hint: write `@require("approval")`
    p.cedar:1:1: `@quorum("0")` is no number of humans
      hint: write a number from 1 to 8
    p.cedar:1:1: `@quorum("9")` is no number of humans
      hint: write a number from 1 to 8
    p.cedar:1:1: `@ttl("soon")` is no span of at most 30 days
      hint: write `90s`, `15m`, `12h` or `7d`
    p.cedar:1:1: `@ttl("31d")` is no span of at most 30 days
      hint: write `90s`, `15m`, `12h` or `7d`
    p.cedar:1:1: a gate has `@ttl`
      hint: write `@ttl("15m")`
    p.cedar:1:1: a gate has `@quorum`
      hint: write `@quorum("1")`
    p.cedar:1:1: a gate has `@approvers`
      hint: write `@approvers("finance-supervisor")`
    p.cedar:1:1: `@approvers("x,,y")` names nobody
      hint: list roles, or people as `user:NAME`, with commas between them
    p.cedar:1:1: `@quorum("2")` is more than the people listed
      hint: list more people, or a role
    p.cedar:1:1: `@approvers` stands alone
      hint: a gate has `@require("approval")`, a transform `@transform("redact")`
    p.cedar:1:1: `@transform("drop")` is no transform
      hint: write `@transform("redact")`
    p.cedar:1:1: a transform has `@fields`
      hint: write `@fields("args.body, args.note")`
    p.cedar:1:1: `note` names no argument
      hint: write `@fields("args.body, args.note")`
    p.cedar:1:1: a policy has `@require` or `@transform`, not both
      hint: write two policies
    p.cedar:1:1: a transform names the tools whose arguments it replaces
      hint: write `action == Action::"TOOL"` or `action in [Action::"TOOL", …]`
    "##);
}

#[test]
fn what_only_tightens_permits_nothing() {
    assert_snapshot!(problems("permit (principal, action, resource) when { context.confidence.greaterThan(decimal(\"0.9\")) };"), @r##"
    p.cedar:1:1: a `permit` reads `context.confidence`, which may only tighten
      hint: `context` as a whole reads it too; write a `forbid` or a gate, or use `resource.risk`
    "##);
    assert!(
        problems("permit (principal, action, resource) when { context.risk == \"normal\" };")
            .contains("may only tighten")
    );
    assert!(try_apply("permit (principal, action in Action::\"call_tool\", resource is Tool) when { resource.risk == \"normal\" };").is_ok());
}

#[test]
fn other_refusals() {
    assert_snapshot!(problems("@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\")\nforbid (principal, action, resource);"), @r##"
    p.cedar:3:1: there are two policies `a`
      hint: the other is at p.cedar:1; give each an `@id` of its own
    "##);
    assert_snapshot!(problems("@require(\"approval\") @approvers(\"x\") @quorum(\"1\") @ttl(\"1m\")\npermit (principal, action, resource);"), @r##"
    p.cedar:1:1: a gate is a `forbid`, and this is a `permit`
      hint: write `forbid`: what is forbidden is lifted by the approval or the transform
    "##);
    assert_snapshot!(problems("@transform(\"redact\") @fields(\"args.amount\")\nforbid (principal, action == Action::\"payments_refund\", resource);"), @r##"
    p.cedar:1:1: `args.amount` is no text of `payments_refund`
      hint: a transform replaces texts; name one that the tool's schema has
    "##);
    assert_snapshot!(problems("@transform(\"redact\") @fields(\"args.note\")\nforbid (principal, action in [Action::\"payments_refund\", Action::\"connect\"], resource);"), @r##"
    p.cedar:1:1: a transform names an action that has no arguments
      hint: name only tools
    "##);
    assert_snapshot!(problems("@require(\"approval\") @approvers(\"x\") @quorum(\"1\") @ttl(\"1m\")\nforbid (principal, action, resource) unless { context.approvals.count > 1 };"), @r##"
    p.cedar:1:1: a gate or transform reads `context.approvals`
      hint: a gate asks for approvals itself; a `forbid` without `@require` may look at them
    "##);
}

#[test]
fn a_tool_may_not_be_called_as_another_action() {
    let tool = ToolSpec::new("connect", "net", EffectClass::Pure, Risk::Normal, &json!({ "type": "object" }));
    let problems = Policies::apply(&[], [tool], 1).unwrap_err();
    assert_snapshot!(problems[0], @r##"
    agent.yaml: a tool may not be called `connect`: that is an action of policies
      hint: give its entry in the manifest another name
    "##);
}

#[test]
fn a_digest_is_that_of_the_files_whatever_their_order() {
    let (a, b) =
        (Source { file: "a.cedar".into(), text: String::new() }, source("permit (principal, action, resource);"));
    let digest = |files: &[Source]| Policies::apply(files, tools(), 1).unwrap().digest();
    assert_eq!(digest(&[a.clone(), b.clone()]), digest(&[b.clone(), a.clone()]));
    assert_ne!(digest(&[a.clone(), b]), digest(&[a]));
}

#[test]
fn the_default_policy_fits_every_set_of_tools() {
    assert!(Policies::apply(&[Source::default_policy()], [], 1).is_ok());
    assert!(Policies::apply(&[Source::default_policy()], tools(), 1).unwrap().lint().is_empty());
}

#[test]
fn two_files_that_declare_one_counter_are_refused() {
    let counters = |file: &str| Source { file: file.into(), text: "mails: { count: mail_send, by: run }\n".into() };
    let both = [counters("history.yaml"), counters("desk/policy/history.yaml")];
    assert_snapshot!(Policies::apply(&both, tools(), 1).unwrap_err()[0], @r"
    desk/policy/history.yaml: there are two counters `mails`
      hint: give it another name: the set and the agent's own policies share them
    ");
    assert!(Policies::apply(&both[..1], tools(), 1).is_ok());
}

#[test]
fn policies_without_an_id_are_told_apart_by_folder_file_and_line() {
    let same = |file: &str| Source { file: file.into(), text: "forbid (principal, action, resource);".into() };
    let policies = Policies::apply(&[same("a.cedar"), same("gates/a.cedar")], tools(), 1).unwrap();
    assert_eq!(policies.ids().collect::<Vec<_>>(), ["a.cedar:1", "gates/a.cedar:1"]);
}

#[test]
fn the_files_of_a_set_are_known_by_their_names() {
    for name in ["a.cedar", "gates/large refunds.cedar", "history.yaml", "tools.yaml", "tests.yaml"] {
        assert!(Source::belongs(name), "{name}");
    }
    let long = format!("{}.cedar", "a".repeat(101));
    for name in
        ["", ".cedar", "a.yaml", "../a.cedar", "more/a.cedar", "gates/history.yaml", "a\n.cedar", ".a.cedar", &long]
    {
        assert!(!Source::belongs(name), "{name}");
    }
}

#[test]
fn a_tool_that_is_always_forbidden_is_named_with_the_policy_that_does_it() {
    let barred = |text: &str| {
        let barred = with_default(text).barred("acme", "refund-desk", &tools());
        barred.iter().map(|b| format!("{} {}:{}", b.tool, b.policy, b.line)).collect::<Vec<_>>()
    };
    let bank = "@id(\"no-bank\")\nforbid (principal, action, resource in Toolset::\"bank\");";
    assert_eq!(barred(bank), ["wire no-bank:1"]);
    assert_eq!(
        barred(r#"@id("x") forbid (principal in Agent::"refund-desk", action == Action::"mail_send", resource);"#),
        ["mail_send x:1"]
    );
    assert_eq!(
        barred(
            r#"@id("x") forbid (principal is Run in Tenant::"acme", action in Action::"call_tool", resource is Tool);"#
        )
        .len(),
        4
    );
    for text in [
        r#"forbid (principal in Agent::"other", action, resource);"#,
        r#"forbid (principal, action, resource) when { context.taint };"#,
        r#"forbid (principal, action == Action::"connect", resource);"#,
        r#"@require("approval") @approvers("x") @quorum("1") @ttl("1m") forbid (principal, action, resource);"#,
    ] {
        assert_eq!(barred(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_loosened_default_policy_is_told_and_a_wrong_one_refused() {
    let set = |text: &str| {
        let file = Source { file: "default.yaml".to_owned(), text: text.to_owned() };
        Policies::apply(&[Source::default_policy(), file], tools(), 1)
    };
    let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_snapshot!(told(set("without: { unplanned: [mail_send], critical: all }").unwrap().lint()), @r##"
    default.yaml: the gate `critical` of the default policy does not hold for any tool
      hint: write a gate of your own for what should still be asked
    default.yaml: the gate `unplanned` of the default policy does not hold for `mail_send`
      hint: write a gate of your own for what should still be asked
    "##);
    let whole = set("without: { critical: all }").unwrap();
    assert!(!whole.ids().any(|id| id == "critical") && whole.ids().any(|id| id == "unplanned"));
    let refused = |text: &str| told(set(text).unwrap_err());
    assert_snapshot!(refused("without: { granted: all }"), @r##"
    default.yaml: `granted` is no gate of the default policy that can be done without
      hint: they are critical, unsure, unplanned
    "##);
    assert_snapshot!(refused("without: { unplaned: all, unsure: [mail_sent], critical: [] }"), @r##"
    default.yaml: `critical` names no tool
      hint: leave it out, or write `all`
    default.yaml: `unplaned` is no gate of the default policy that can be done without
      hint: did you mean `unplanned`?
    default.yaml: no agent has the tool `mail_sent`
      hint: did you mean `mail_send`?
    "##);
    assert_snapshot!(refused("without: { unsure: some }"), @"default.yaml:1:20: write a list of tools, or `all`");
    assert_snapshot!(refused("with: {}"), @"default.yaml:1:1: unknown field `with`, expected one of without");
}
