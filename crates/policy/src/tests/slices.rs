//! A slice decides as the whole set does, errors included; and the same question has the same answer.

use proptest::prelude::*;

use super::*;
use crate::Outcome;

/// A random policy: its scope, and a condition that may be true, false or an error.
fn policy() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        "principal",
        "principal is Run",
        "principal is User",
        "principal == Run::\"run_1\"",
        "principal in Run::\"run_2\"",
        "principal in Session::\"ses_1\"",
        "principal in Session::\"ses_2\"",
        "principal in Version::\"ver_1\"",
        "principal in Version::\"ver_2\"",
        "principal in Agent::\"refund-desk\"",
        "principal in Agent::\"front\"",
        "principal is Run in Tenant::\"acme\"",
        "principal is Run in Tenant::\"other\"",
        "principal in Role::\"support\"",
        "principal == User::\"alice\"",
        "principal in Role::\"operator\"",
        "principal == User::\"olga\"",
    ]);
    let action = prop::sample::select(vec![
        "action",
        "action in Action::\"call_tool\"",
        "action == Action::\"mail_send\"",
        "action == Action::\"payments_refund\"",
        "action in [Action::\"payments_refund\", Action::\"connect\"]",
        "action in [Action::\"call_tool\", Action::\"connect\"]",
        "action == Action::\"connect\"",
        "action == Action::\"control_run\"",
        "action in Action::\"operate\"",
    ]);
    let resource = prop::sample::select(vec![
        "resource",
        "resource is Tool",
        "resource is Host",
        "resource == Tool::\"mail_send\"",
        "resource in Toolset::\"payments\"",
        "resource is Tool in Toolset::\"mail\"",
        "resource in Domain::\"example.com\"",
        "resource == Host::\"api.example.com\"",
        "resource in Session::\"ses_1\"",
        "resource in Agent::\"refund-desk\"",
        "resource == Run::\"run_1\"",
    ]);
    let condition = prop::sample::select(vec![
        "",
        "when { context.granted }",
        "when { context.taint }",
        "unless { context.taint }",
        "when { context.risk == \"critical\" }",
        "when { context.approvals.count > 0 }",
        "unless { context.approvals.count * 9223372036854775807 < 0 }",
        "when { context.plan || context.now < datetime(\"2020-01-01\") }",
    ]);
    let gate = "@require(\"approval\") @approvers(\"boss\") @quorum(\"1\") @ttl(\"1m\") forbid";
    let effect = prop::sample::select(vec!["permit", "permit", "forbid", gate]);
    (effect, principal, action, resource, condition).prop_filter_map("it fits", |(effect, p, a, r, c)| {
        let reads = c.contains("risk") && effect == "permit" || c.contains("approvals") && effect.starts_with('@');
        (!reads).then(|| format!("{effect} ({p}, {a}, {r}) {c};"))
    })
}

/// The set of those policies that fit the schema: a scope that can never match is refused when a set is applied.
fn fitting(policies: &[String]) -> Policies {
    let all = |wrong: &BTreeSet<usize>| {
        let line =
            |(n, policy): (usize, &String)| if wrong.contains(&(n + 1)) { String::new() } else { policy.clone() };
        let lines: Vec<String> = policies.iter().enumerate().map(line).collect();
        try_apply(&lines.join("\n"))
    };
    all(&BTreeSet::new()).or_else(|problems| all(&problems.iter().map(|p| p.line).collect())).unwrap()
}

fn questions(asker: &Asker) -> Vec<Deed<'_>> {
    vec![
        Deed::OperateRun(crate::Edge::ControlRun, asker),
        call("mail_send", r#"{"to":[],"body":""}"#),
        call("payments_refund", r#"{"order":"1","amount":1}"#),
        call("nobody_knows", "{}"),
        Deed::Connect { host: "api.example.com", port: 443, method: "GET", path: "/" },
        Deed::Connect { host: "10.0.0.1", port: 80, method: "GET", path: "/" },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_slice_decides_as_the_whole_set_does(
        policies in prop::collection::vec(policy(), 0..20),
        (granted, traced, taint, plan) in any::<(bool, bool, bool, bool)>(),
        approvals in 0..3_usize,
        critical in any::<bool>(),
    ) {
        let policies = fitting(&policies);
        let history = History::default();
        let approvals: Vec<Approval> =
            (0..approvals).map(|n| Approval { user: format!("u{n}"), roles: vec!["boss".to_owned()], ..Approval::default() }).collect();
        let (run, operator, asker) = (run(), super::edges::operator(), asker());
        for deed in questions(&asker) {
            let principal = if deed.edge().is_operators() { &operator } else { &run };
            let risk = if critical { Risk::Critical } else { Risk::Normal };
            let facts = Facts { granted, traced, taint, plan, risk, approvals: &approvals, ..facts(&history) };
            let request = Request { principal, deed, facts };
            let sliced = policies.explain(&request);
            let whole = super::reference::explain(&policies, &request);
            prop_assert_eq!(Outcome::from(&sliced.verdict), Outcome::from(&whole.verdict));
            prop_assert_eq!(&sliced, &whole);
            prop_assert_eq!(&sliced, &policies.explain(&request));
        }
    }
}

#[test]
fn a_policy_for_one_run_decides_for_that_run_alone_although_slices_are_shared() {
    let policies = with_default(r#"forbid (principal == Run::"run_2", action in Action::"call_tool", resource);"#);
    let history = History::default();
    let asks = |id: &str| {
        let principal = Principal::run(Asker { run: id.to_owned(), ..asker() }, &tools());
        word(&policies.decide(&Request {
            principal: &principal,
            deed: call("orders_lookup", "{}"),
            facts: facts(&history),
        }))
    };
    assert_eq!([asks("run_1"), asks("run_2"), asks("run_1")], ["allow", "deny", "allow"]);
}

#[test]
fn slices_are_forgotten_and_made_again_beyond_their_bound() {
    let policies =
        with_default(r#"forbid (principal, action == Action::"connect", resource == Host::"h7.example.com");"#);
    let (history, principal) = (History::default(), run());
    for n in 0..crate::cache::KEPT + 20 {
        let host = format!("h{n}.example.com");
        let deed = Deed::Connect { host: &host, port: 443, method: "", path: "" };
        let decision = policies.decide(&Request { principal: &principal, deed, facts: facts(&history) });
        assert_eq!(word(&decision), if n == 7 { "deny" } else { "allow" });
        assert!(policies.cache.len() <= crate::cache::KEPT);
    }
}
