//! What decides in the product (slices, prepared conditions, values made directly, kept answers) decides as Cedar's public
//! interface does, on random sets and random requests, errors and reasons included.

use proptest::prelude::*;

use super::*;
use crate::{Confidence, Outcome, Provenance, Trust};

/// What a policy is, beside its scope.
const EFFECTS: [&str; 5] = [
    "permit",
    "permit",
    "forbid",
    "@require(\"approval\") @approvers(\"boss\") @quorum(\"1\") @ttl(\"1m\") forbid",
    "@reason(\"no\") forbid",
];
const PRINCIPALS: [&str; 6] = [
    "principal",
    "principal is Run",
    "principal in Session::\"ses_1\"",
    "principal == Run::\"run_2\"",
    "principal in Agent::\"refund-desk\"",
    "principal is Run in Session::\"ses_2\"",
];
/// True of some requests, false of others, or, as a product that leaves 64 bits, an error.
const OF_ALL: [&str; 26] = [
    "context.granted",
    "context.granted && context.risk != \"critical\"",
    "context.unsure",
    "context.taint && !context.plan",
    "context.traced && context.taint",
    "context.risk == \"high\"",
    "context.confidence.lessThan(decimal(\"0.5\"))",
    "context.confidence == context.ask_below",
    "context.now > datetime(\"2025-06-01\")",
    "context.now.toTime() < duration(\"12h1s\")",
    "principal is Run && principal has user && principal.user == User::\"alice\"",
    "principal is Run && principal has user && principal.user in Role::\"support\"",
    "principal is Run && principal.callers.contains(Agent::\"front\")",
    "principal in Session::\"ses_2\"",
    "User::\"alice\" in Role::\"support\"",
    "context.approvals.count >= 2",
    "context.approvals.count == 1",
    "!context.approvals.users.contains(User::\"u0\")",
    "context.approvals.roles.contains(Role::\"boss\")",
    "context.approvals.users.containsAny([User::\"u0\", User::\"u1\"])",
    "context.approvals.count * 9223372036854775807 > 0",
    "context has grant && context.grant.by == Agent::\"front\"",
    "context has grant && !(context.grant has until)",
    "context has grant && context.grant has until && context.grant.until < context.now",
    "context has grant && context.grant has tools && context.grant.tools.contains(\"orders_lookup\")",
    "context has grant && context.grant has usd && context.grant.usd.greaterThan(decimal(\"0.5\"))",
];
const OF_REFUNDS: [&str; 13] = [
    "context.args.amount > 1000",
    "context.args.amount * 4611686018427387904 > 5",
    "context.args has rate && context.args.rate.greaterThan(decimal(\"1.5\"))",
    "context.args has rate && context.args.rate == decimal(\"-0.0001\")",
    "context.args has note && context.args.note like \"*@example.com\"",
    "{\"o\": context.args.order, \"a\": context.args.amount} == {\"o\": \"1\", \"a\": 1}",
    "context.unseen",
    "context.provenance has amount && context.provenance.amount.sources.contains(\"model\")",
    "context.provenance has order && context.provenance.order.trust == \"trusted\"",
    "resource.class == \"keyed\" && resource.risk == \"normal\"",
    "resource in Toolset::\"payments\"",
    "resource == Tool::\"payments_refund\"",
    "context.args.order == \"\\u{e4}\"",
];
const OF_MAILS: [&str; 5] = [
    "[\"a@example.com\", \"b@example.com\"].containsAll(context.args.to)",
    "context.args.to.contains(\"c@example.org\")",
    "context.args.to.isEmpty()",
    "context.args has cc",
    "context.args.to == [\"b@example.com\", \"a@example.com\"]",
];
const OF_HOSTS: [&str; 4] = [
    "resource in Domain::\"example.com\"",
    "context.port == 443 && context.method == \"GET\"",
    "context.path like \"/v1/*\"",
    "resource is Host in Domain::\"com\"",
];
const OF_MODELS: [&str; 2] = ["context.max_output_tokens > 1000", "resource in Provider::\"anthropic\""];

const REFUNDS: [&str; 14] = [
    r#"{"order":"1","amount":1}"#,
    r#"{"order":"1","amount":2}"#,
    r#"{"order":"\u00e4","amount":5000,"rate":1.5001}"#,
    r#"{"order":"1","amount":5e3,"rate":-0.0001,"note":"to ada@example.com"}"#,
    r#"{"order":"1","amount":1,"note":"a\u0040example.com","more":1}"#,
    r#"{"order":"1","amount":1,"note":null,"rate":null}"#,
    r#"{"order":"1","amount":1.5}"#,
    r#"{"order":"1","amount":9223372036854775808}"#,
    r#"{"order":"1","amount":1,"amount":2}"#,
    r#"{"order":"1","amount":1,"rate":0.00001}"#,
    r#"{"order":1,"amount":"1"}"#,
    r#"{"amount":1}"#,
    "{",
    "",
];
const MAILS: [&str; 6] = [
    r#"{"to":["a@example.com","b@example.com","a@example.com"],"body":""}"#,
    r#"{"to":["c@example.org"],"body":"hello","cc":"a@example.com"}"#,
    r#"{"to":[],"body":"","cc":null}"#,
    r#"{"to":"a@example.com","body":""}"#,
    r#"{"to":[{"__entity":{"type":"User","id":"alice"}}],"body":""}"#,
    r#"{"body":""}"#,
];

fn policy() -> impl Strategy<Value = String> {
    let about = |scope: &'static str, own: &'static [&'static str]| {
        (Just(scope), prop::sample::select([own, OF_ALL.as_slice()].concat()))
    };
    let rest = prop_oneof![
        about("action, resource", &[]),
        about("action in Action::\"call_tool\", resource", &[]),
        about("action == Action::\"payments_refund\", resource", &OF_REFUNDS),
        about("action == Action::\"payments_refund\", resource", &OF_REFUNDS),
        about("action == Action::\"mail_send\", resource in Toolset::\"mail\"", &OF_MAILS),
        about("action == Action::\"connect\", resource is Host", &OF_HOSTS),
        about("action == Action::\"connect\", resource in Domain::\"example.com\"", &OF_HOSTS),
        about("action == Action::\"call_model\", resource", &OF_MODELS),
    ];
    let parts = (
        prop::sample::select(EFFECTS.as_slice()),
        prop::sample::select(PRINCIPALS.as_slice()),
        rest,
        prop::sample::select(vec!["when", "when", "unless"]),
    );
    let written = parts.prop_map(|(effect, principal, (rest, condition), word)| {
        format!("{effect} ({principal}, {rest}) {word} {{ {condition} }};")
    });
    let bare = prop::sample::select(vec![
        "permit (principal, action, resource);".to_owned(),
        "permit (principal in Session::\"ses_1\", action, resource);".to_owned(),
        "@transform(\"redact\") @fields(\"args.note\")
         forbid (principal, action == Action::\"payments_refund\", resource) when { context.args has note };"
            .replace('\n', ""),
    ]);
    prop_oneof![4 => written, 1 => bare]
}

/// The set without those that are refused: a permit that reads a risk, a gate that looks at approvals, a scope that can
/// never match.
fn fitting(mut policies: Vec<String>, by_default: bool) -> Policies {
    loop {
        let files = [source(&policies.join("\n")), Source::default_policy()];
        let refused = match Policies::apply(&files[..1 + usize::from(by_default)], tools(), 7) {
            Ok(policies) => return policies,
            Err(problems) => problems.iter().map(|problem| problem.line).collect::<BTreeSet<_>>(),
        };
        let before = policies.len();
        let lines = std::mem::take(&mut policies).into_iter().enumerate();
        policies = lines.filter(|(line, _)| !refused.contains(&(line + 1))).map(|(_, policy)| policy).collect();
        assert!(policies.len() < before, "what is refused stands in a line");
    }
}

#[test]
fn every_condition_that_is_tried_fits_somewhere() {
    let about = [
        ("action == Action::\"payments_refund\", resource", OF_REFUNDS.as_slice()),
        ("action == Action::\"mail_send\", resource", &OF_MAILS),
        ("action == Action::\"connect\", resource", &OF_HOSTS),
        ("action == Action::\"call_model\", resource", &OF_MODELS),
        ("action in Action::\"call_tool\", resource", &OF_ALL),
    ];
    for (scope, conditions) in about {
        for condition in conditions {
            only(&format!("forbid (principal, {scope}) when {{ {condition} }};"));
        }
    }
}

/// Who asks, which deed, and what is known: a question for one of the runs.
#[derive(Clone, Debug)]
struct Question {
    run: usize,
    deed: usize,
    arguments: prop::sample::Index,
    known: (bool, bool, bool, bool),
    risk: Risk,
    sure: (Option<u8>, Option<u8>),
    approvals: usize,
}

fn question() -> impl Strategy<Value = Question> {
    let share = || prop::option::of(0..=10_u8);
    let risk = prop::sample::select(vec![Risk::Normal, Risk::Normal, Risk::High, Risk::Critical]);
    let mostly = || prop::bool::weighted(0.8);
    (
        0..3_usize,
        0..6_usize,
        any::<prop::sample::Index>(),
        (mostly(), mostly(), any::<bool>(), any::<bool>()),
        risk,
        (share(), share()),
        0..3_usize,
    )
        .prop_map(|(run, deed, arguments, known, risk, sure, approvals)| Question {
            run,
            deed,
            arguments,
            known,
            risk,
            sure,
            approvals,
        })
}

/// Runs of one version, which share their slices and little else.
fn runs() -> [Principal; 3] {
    let of = |session: &str, run: &str, user: Option<(&str, &str)>, caller: &str| {
        let user = user.map(|(name, role)| User { name: name.to_owned(), roles: BTreeSet::from([role.to_owned()]) });
        let callers = BTreeSet::from([caller.to_owned()]);
        let (session, run) = (session.to_owned(), run.to_owned());
        // The second was handed no bounds, and nobody handed anything to the last.
        let grant = match caller {
            "front" if user.is_none() => None,
            "front" => Some(handed()),
            other => Some(Handed { by: other.to_owned(), ..Handed::default() }),
        };
        Principal::run(Asker { session, run, user, callers, grant, ..asker() }, &tools())
    };
    [
        of("ses_1", "run_1", Some(("alice", "support")), "front"),
        of("ses_2", "run_2", Some(("bob", "other")), "back"),
        of("ses_1", "run_3", None, "front"),
    ]
}

impl Question {
    fn deed(&self) -> Deed<'static> {
        let one = |of: &[&'static str]| of[self.arguments.index(of.len())];
        match self.deed {
            0 | 1 => {
                const SAID: &[(&str, Trust, &str)] = &[
                    ("amount", Trust::Untrusted, "model"),
                    ("order", Trust::Trusted, "user"),
                    ("nobody", Trust::Attested, "web:x"),
                ];
                let from =
                    |trust, who: &str| Provenance { trust, sources: vec![who.to_owned(), "operator".to_owned()] };
                let said: Vec<(String, Provenance)> =
                    SAID.iter().map(|(name, trust, who)| ((*name).to_owned(), from(*trust, who))).collect();
                let provenance: &'static [(String, Provenance)] =
                    if self.arguments.index(2) == 0 { said.leak() } else { &[] };
                Deed::CallTool { tool: "payments_refund", arguments: one(&REFUNDS), provenance }
            }
            2 => call("mail_send", one(&MAILS)),
            3 => {
                let host = one(&["api.example.com", "10.0.0.1", "Example.com.", "example.org"]);
                Deed::Connect { host, port: 443, method: "GET", path: one(&["/v1/x", "/"]) }
            }
            4 => Deed::CallModel { model: one(&["anthropic:claude", "openai:x"]), max_output_tokens: 2_000 },
            _ => call(one(&["orders_lookup", "wire", "nobody_knows"]), "{}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 1_000 }))]

    #[test]
    fn what_decides_is_what_cedar_says_of_the_whole_set(
        policies in prop::collection::vec(policy(), 0..10),
        by_default in any::<bool>(),
        questions in prop::collection::vec(question(), 1..12),
    ) {
        let policies = fitting(policies, by_default);
        let (runs, history) = (runs(), History::default());
        for question in &questions {
            let (granted, traced, taint, plan) = question.known;
            let share = |tenths: Option<u8>| tenths.and_then(|tenths| Confidence::new(f64::from(tenths) / 10.0));
            let approvals: Vec<Approval> = (0..question.approvals)
                .map(|n| Approval { user: format!("u{n}"), roles: vec!["boss".to_owned()], ..Approval::default() })
                .collect();
            let facts = Facts {
                granted, traced, taint, plan,
                risk: question.risk,
                confidence: share(question.sure.0),
                ask_below: share(question.sure.1),
                approvals: &approvals,
                ..facts(&history)
            };
            let request = Request { principal: &runs[question.run], deed: question.deed(), facts };
            let mut defined = super::reference::explain(&policies, &request);
            prop_assert_eq!(&policies.explain(&request), &defined);
            if defined.verdict == crate::Verdict::Allow {
                // No approval that was only thought of opens anything.
                prop_assert!(super::reference::hard_set_allows(&policies, &request, defined.arguments.as_deref()));
            }
            // Of what is allowed `decide` tells no values, and says the same when it has kept the answer.
            defined.why.permitted.iter_mut().for_each(|reason| reason.values.clear());
            prop_assert_eq!(&policies.decide(&request), &defined);
            prop_assert_eq!(Outcome::from(&policies.decide(&request).verdict), Outcome::from(&defined.verdict));
        }
    }
}

#[test]
fn an_answer_is_kept_only_where_nothing_but_facts_is_read() {
    let principal = run();
    let history = History::default();
    let keeps = |text: &str| {
        let policies = with_default(text);
        let request = Request { principal: &principal, deed: call("orders_lookup", "{}"), facts: facts(&history) };
        let trial = policies.trial(&request, |_, _, _| unreachable!("nothing is evaluated")).unwrap();
        trial.slice.answers.is_some()
    };
    assert!(keeps(""));
    assert!(keeps("permit (principal is Run, action, resource in Toolset::\"orders\") when { context.taint };"));
    assert!(keeps("permit (principal in Agent::\"refund-desk\", action, resource) unless { context.plan };"));
    for reads_more in [
        "principal in Run::\"run_1\", action, resource) when { context.taint };",
        "principal in Session::\"ses_1\", action, resource);",
        "principal, action, resource) when { principal == Run::\"run_1\" };",
        "principal, action, resource) when { User::\"alice\" in Role::\"support\" };",
        "principal, action, resource) when { context.approvals.count > 0 };",
        "principal, action, resource) when { context has grant };",
        "principal, action, resource) when { context.taint && context.approvals.count > 0 };",
        "principal, action, resource) when { context.now > datetime(\"2025-01-01\") };",
        "principal, action == Action::\"orders_lookup\", resource) when { context.args has order };",
        "principal, action == Action::\"orders_lookup\", resource) when { context.unseen };",
        "principal, action == Action::\"orders_lookup\", resource) when { resource.class == \"pure\" };",
    ] {
        assert!(!keeps(&format!("permit ({reads_more}")), "{reads_more}");
    }
}

#[test]
fn a_kept_answer_is_that_of_its_facts_alone() {
    let policies = with_default("forbid (principal, action, resource) when { context.taint && !context.plan };");
    for _ in 0..2 {
        for (traced, taint) in [(true, false), (true, true), (false, false)] {
            for plan in [true, false] {
                for granted in [true, false] {
                    for risk in [Risk::Normal, Risk::High, Risk::Critical] {
                        let decision = decide_with(&policies, call("orders_lookup", "{}"), |facts| Facts {
                            traced,
                            taint,
                            plan,
                            granted,
                            risk,
                            ..facts
                        });
                        let said = match (granted && (plan || (traced && !taint)), risk) {
                            (false, _) => "deny",
                            (true, Risk::Critical) => "ask",
                            (true, _) => "allow",
                        };
                        assert_eq!(word(&decision), said, "{taint} {plan} {granted} {risk:?}");
                    }
                }
            }
        }
    }
}
