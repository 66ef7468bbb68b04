//! What is refused when a set is applied, and how it is told.

use insta::assert_snapshot;

use super::*;

#[test]
fn a_type_error_is_told_with_place_and_hint() {
    assert_snapshot!(problems("forbid (principal, action == Action::\"payments_refund\", resource)\nwhen { context.args.amount > \"1000\" };"), @"");
    assert_snapshot!(problems("forbid (principal, action == Action::\"payments_refund\", resource)\nwhen { context.args.amuont > 1000 };"), @"");
    assert_snapshot!(problems("forbid (principal, action == Action::\"payments_refund\", resource)\nwhen { context.args.rate.greaterThan(decimal(\"1.0\")) };"), @"");
    assert_snapshot!(problems("forbid (principal, action == Action::\"payment_refund\", resource);"), @"");
    assert_snapshot!(problems("forbid (principal, action, resource) when { context.args.amount > 1 };"), @"");
}

#[test]
fn what_does_not_parse_is_told_with_its_place() {
    assert_snapshot!(problems("permit (principal, action, resource)\nwhen { context.granted ;"), @"");
    assert_snapshot!(problems("permit (principal == ?principal, action, resource);"), @"");
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
    assert_snapshot!(told.join("\n"), @"");
}

#[test]
fn what_only_tightens_permits_nothing() {
    assert_snapshot!(problems("permit (principal, action, resource) when { context.confidence.greaterThan(decimal(\"0.9\")) };"), @"");
    assert!(
        problems("permit (principal, action, resource) when { context.risk == \"normal\" };")
            .contains("may only tighten")
    );
    assert!(try_apply("permit (principal, action in Action::\"call_tool\", resource is Tool) when { resource.risk == \"normal\" };").is_ok());
}

#[test]
fn other_refusals() {
    assert_snapshot!(problems("@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\")\nforbid (principal, action, resource);"), @"");
    assert_snapshot!(problems("@require(\"approval\") @approvers(\"x\") @quorum(\"1\") @ttl(\"1m\")\npermit (principal, action, resource);"), @"");
    assert_snapshot!(problems("@transform(\"redact\") @fields(\"args.amount\")\nforbid (principal, action == Action::\"payments_refund\", resource);"), @"");
    assert_snapshot!(problems("@transform(\"redact\") @fields(\"args.note\")\nforbid (principal, action in [Action::\"payments_refund\", Action::\"connect\"], resource);"), @"");
    assert_snapshot!(problems("@require(\"approval\") @approvers(\"x\") @quorum(\"1\") @ttl(\"1m\")\nforbid (principal, action, resource) unless { context.approvals.count > 1 };"), @"");
}

#[test]
fn a_tool_may_not_be_called_as_another_action() {
    let tool = ToolSpec::new("connect", "net", EffectClass::Pure, Risk::Normal, &json!({ "type": "object" }));
    let problems = Policies::apply(&[], [tool], 1).unwrap_err();
    assert_snapshot!(problems[0], @"");
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
