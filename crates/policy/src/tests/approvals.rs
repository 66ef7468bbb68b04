//! Gates, and a forbid that only lacks an approval.

use stead_core::time::Span;

use super::*;
use crate::{Approver, Verdict};

const REFUND: &str = r#"{"order":"1","amount":2000}"#;

fn gates() -> Policies {
    with_default(
        r#"@id("finance") @require("approval") @approvers("finance, user:carol") @quorum("2") @ttl("1h")
           forbid (principal, action == Action::"payments_refund", resource) when { context.args.amount > 1000 };
           @id("security") @require("approval") @approvers("security") @quorum("1") @ttl("15m")
           forbid (principal, action == Action::"payments_refund", resource) when { context.args.amount > 1500 };"#,
    )
}

#[test]
fn gates_that_match_together_ask_for_all_that_each_asks_for() {
    let Verdict::Ask(asked) = decide(&gates(), "payments_refund", REFUND).verdict else { panic!("it asks") };
    assert_eq!((asked.quorum, asked.ttl), (2, Span::from_secs(900)));
    let ids: Vec<&str> = asked.requirements.iter().map(|(id, _)| &**id).collect();
    assert_eq!(ids, ["finance", "security"]);
    let enough = |by: &[(&str, &[&str])]| word(&approved(&gates(), "payments_refund", REFUND, by));
    assert_eq!(enough(&[("ann", &["finance"]), ("bob", &["finance"])]), "ask");
    assert_eq!(enough(&[("ann", &["finance"]), ("bob", &["finance", "security"])]), "allow");
    assert_eq!(enough(&[("ann", &["finance"]), ("carol", &[]), ("sam", &["security"])]), "allow");
    // One person is one person.
    assert_eq!(enough(&[("ann", &["finance"]), ("ann", &["finance", "security"])]), "ask");
}

#[test]
fn an_approval_of_what_is_forbidden_meanwhile_lets_nothing_through() {
    let now = with_default(
        r#"@require("approval") @approvers("finance") @quorum("1") @ttl("1h")
           forbid (principal, action == Action::"payments_refund", resource);
           @id("stopped") forbid (principal, action in Action::"call_tool", resource) when { context.risk != "low" };"#,
    );
    let decision = approved(&now, "payments_refund", REFUND, &[("ann", &["finance"])]);
    assert_eq!(word(&decision), "deny");
    assert_eq!(decision.why.forbade[0].policy.as_ref(), "stopped");
}

#[test]
fn a_forbid_that_only_lacks_an_approval_asks_for_the_least_that_lifts_it() {
    let policies = with_default(
        r#"@id("two") forbid (principal, action == Action::"payments_refund", resource)
           unless { context.approvals.count >= 2 && context.approvals.roles.containsAny([Role::"finance", Role::"cfo"]) };"#,
    );
    let decision = decide(&policies, "payments_refund", REFUND);
    let Verdict::Ask(asked) = &decision.verdict else { panic!("it asks") };
    assert_eq!((asked.quorum, asked.ttl), (2, crate::USUAL_TTL));
    assert_eq!(decision.why.gated[0].policy.as_ref(), "two");
    let role = |name: &str| Approver::Role(name.to_owned());
    let approvers = &asked.requirements[1].1.approvers;
    assert_eq!(approvers, &BTreeSet::from([role("finance"), role("cfo")]));
    let after = |by: &[(&str, &[&str])]| word(&approved(&policies, "payments_refund", REFUND, by));
    assert_eq!(after(&[("ann", &["finance"])]), "ask");
    assert_eq!(after(&[("ann", &["finance"]), ("bob", &[])]), "allow");
    assert_eq!(after(&[("ann", &[]), ("bob", &[])]), "ask");
}

#[test]
fn a_forbid_that_no_approval_lifts_is_no_question() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"payments_refund", resource)
           unless { context.approvals.count >= 2 && context.args.amount < 10 };
           forbid (principal, action == Action::"mail_send", resource) when { context.approvals.count >= 0 };"#,
    );
    assert_eq!(word(&decide(&policies, "payments_refund", REFUND)), "deny");
    assert_eq!(word(&decide(&policies, "payments_refund", r#"{"order":"1","amount":1}"#)), "ask");
    assert_eq!(word(&decide(&policies, "mail_send", r#"{"to":[],"body":""}"#)), "deny");
}

#[test]
fn a_permit_may_ask_for_approval_too() {
    let policies = only(
        r#"permit (principal, action == Action::"wire", resource) when { context.approvals.users.contains(User::"carol") };"#,
    );
    assert_eq!(word(&decide(&policies, "wire", r#"{"iban":"x"}"#)), "ask");
    assert_eq!(word(&approved(&policies, "wire", r#"{"iban":"x"}"#, &[("dave", &[])])), "ask");
    assert_eq!(word(&approved(&policies, "wire", r#"{"iban":"x"}"#, &[("carol", &[])])), "allow");
}

#[test]
fn a_gate_whose_annotations_are_lost_closes_the_door() {
    let policies = with_default(r#"forbid (principal, action == Action::"payments_refund", resource);"#);
    assert_eq!(word(&decide(&policies, "payments_refund", REFUND)), "deny");
}

/// Nobody approves what is done on their own behalf.
const NOT_ONESELF: &str = r#"@id("not-oneself") @reason("nobody approves their own run")
    forbid (principal, action in Action::"call_tool", resource)
    when { principal has user && context.approvals.users.contains(principal.user) };"#;

#[test]
fn who_approved_may_be_why_it_is_forbidden() {
    let policies = with_default(NOT_ONESELF);
    let wire = r#"{"iban":"x"}"#;
    let after = |by: &[(&str, &[&str])]| approved(&policies, "wire", wire, by);
    assert_eq!(word(&after(&[])), "ask", "it is critical");
    assert_eq!(word(&after(&[("bob", &["supervisor"])])), "allow");
    let own = after(&[("alice", &["supervisor"])]);
    assert_eq!((word(&own), own.why.forbade[0].policy.as_ref()), ("deny", "not-oneself"));
    assert_eq!(word(&after(&[("alice", &[]), ("bob", &["supervisor"])])), "deny");

    // No more than one, and nobody's friend.
    let policies = with_default(
        r#"@id("one") forbid (principal, action == Action::"payments_refund", resource)
           unless { context.approvals.count == 1 };
           @id("veto") forbid (principal, action == Action::"payments_refund", resource)
           when { context.approvals.users.contains(User::"mallory") && !context.approvals.roles.contains(Role::"admin") };"#,
    );
    let after = |by: &[(&str, &[&str])]| word(&approved(&policies, "payments_refund", REFUND, by));
    assert_eq!(after(&[]), "ask");
    assert_eq!(after(&[("ann", &[])]), "allow");
    assert_eq!(after(&[("ann", &[]), ("bob", &[])]), "deny");
    assert_eq!(after(&[("mallory", &[])]), "deny");
    assert_eq!(after(&[("mallory", &["admin"])]), "allow");
}

#[test]
fn who_may_not_approve_is_found_beside_those_who_may() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"payments_refund", resource)
           unless { context.approvals.count >= 1 && context.approvals.roles.containsAll([Role::"finance", Role::"legal"]) };
           forbid (principal, action == Action::"payments_refund", resource)
           when { context.approvals.users.containsAny([User::"bob", User::"mallory"]) };"#,
    );
    let decision = decide(&policies, "payments_refund", REFUND);
    let Verdict::Ask(asked) = &decision.verdict else { panic!("finance and legal can lift it") };
    let role = |name: &str| BTreeSet::from([Approver::Role(name.to_owned())]);
    let mut named: Vec<_> = asked.requirements[1..].iter().map(|(_, r)| r.approvers.clone()).collect();
    named.sort();
    assert_eq!(named, [role("finance"), role("legal")]);
    let after = |by: &[(&str, &[&str])]| word(&approved(&policies, "payments_refund", REFUND, by));
    assert_eq!(after(&[("ann", &["finance"])]), "ask");
    assert_eq!(after(&[("ann", &["finance"]), ("cem", &["legal"])]), "allow");
    assert_eq!(after(&[("bob", &["finance"]), ("cem", &["legal"])]), "deny");
}

const PATIENT: &str = r#"@id("finance") @require("approval") @approvers("finance") @quorum("1") @ttl("4h")
    @remind("1h") @escalate("30m:leads, 2h:user:max")
    forbid (principal, action == Action::"payments_refund", resource);"#;

/// What is said to an approval that was given when people had been asked for so many minutes.
fn given_after(policies: &Policies, minutes: u64, user: &str, roles: &[&str]) -> &'static str {
    let escalated = policies.escalated(Span::from_secs(60 * minutes));
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let approvals = [Approval { user: user.to_owned(), roles, signed: None, escalated }];
    let history = History::new(policies.world().counters().clone());
    let facts = Facts { approvals: &approvals, ..facts(&history) };
    word(&policies.decide(&Request { principal: &run(), deed: call("payments_refund", REFUND), facts }))
}

#[test]
fn who_comes_in_by_escalation_counts_from_then_on_and_lowers_nothing() {
    let policies = with_default(PATIENT);
    assert_eq!(given_after(&policies, 29, "lea", &["leads"]), "ask");
    assert_eq!(given_after(&policies, 30, "lea", &["leads"]), "allow");
    assert_eq!(given_after(&policies, 119, "max", &[]), "ask");
    assert_eq!(given_after(&policies, 120, "max", &[]), "allow");
    assert_eq!(given_after(&policies, 200, "eve", &["support"]), "ask", "nobody else");
    let two = with_default(&PATIENT.replace("@quorum(\"1\")", "@quorum(\"2\")"));
    assert_eq!(given_after(&two, 30, "lea", &["leads"]), "ask", "it takes as many people as before");
    let stopped = with_default(&format!(
        "{PATIENT}\n@id(\"stopped\") forbid (principal, action in Action::\"call_tool\", resource);"
    ));
    assert_eq!(given_after(&stopped, 30, "lea", &["leads"]), "deny", "what is forbidden stays forbidden");
    // A policy that has no such step any more lets nobody in, whatever was taken before.
    let before = policies.escalated(Span::from_secs(7_200));
    let now = with_default(&PATIENT.replace("@escalate(\"30m:leads, 2h:user:max\")", ""));
    let approvals = [Approval { user: "lea".into(), roles: vec!["leads".into()], signed: None, escalated: before }];
    let history = History::new(now.world().counters().clone());
    let facts = Facts { approvals: &approvals, ..facts(&history) };
    assert_eq!(word(&now.decide(&Request { principal: &run(), deed: call("payments_refund", REFUND), facts })), "ask");
}

#[test]
fn a_step_of_one_gate_opens_no_other_gate() {
    let policies = with_default(&format!(
        r#"{PATIENT}
        @id("security") @require("approval") @approvers("security") @quorum("1") @ttl("4h")
        forbid (principal, action == Action::"payments_refund", resource);"#
    ));
    assert_eq!(given_after(&policies, 200, "lea", &["leads"]), "ask");
    assert_eq!(given_after(&policies, 200, "lea", &["leads", "security"]), "allow");
}

#[test]
fn waits_that_cannot_be_are_refused() {
    let with = |more: &str| {
        let gate = r#"@require("approval") @approvers("finance") @quorum("1") @ttl("4h")"#;
        problems(&format!("{gate} {more} forbid (principal, action == Action::\"payments_refund\", resource);"))
    };
    for (more, why) in [
        (r#"@remind("soon")"#, "no span of a minute or more"),
        (r#"@remind("30s")"#, "no span of a minute or more"),
        (r#"@remind("4h")"#, "nobody is asked any more"),
        (r#"@escalate("30m")"#, "does not say when and who"),
        (r#"@escalate("30m:")"#, "names nobody"),
        (r#"@escalate("5h:leads")"#, "nobody is asked any more"),
        (r#"@escalate("2h:leads, 1h:user:max")"#, "comes before the step"),
        (r#"@escalate("1h:leads, 2h:leads")"#, "`leads` may approve already"),
        (r#"@escalate("1h:finance")"#, "`finance` may approve already"),
    ] {
        let said = with(more);
        assert!(said.contains(why), "{more}: {said}");
    }
    let stray = problems(r#"@remind("1h") permit (principal, action, resource);"#);
    assert!(stray.contains("`@remind` stands alone"), "{stray}");
}
