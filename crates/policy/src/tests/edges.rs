//! Every edge has its action, its resource and its context.

use stead_core::sandbox::Tier;

use super::*;
use crate::{Edge, Operator};

fn deeds<'a>(run: &'a Asker, arguments: &'a str) -> Vec<Deed<'a>> {
    vec![
        call("orders_lookup", arguments),
        Deed::CallModel { model: "anthropic:claude-sonnet", max_output_tokens: 2_000 },
        Deed::Memory { project: "support", collection: "faq", bytes: 0, write: false },
        Deed::Memory { project: "support", collection: "faq", bytes: 10, write: true },
        Deed::SendMessage { agent: "other", bytes: 10, hops: 1 },
        Deed::StartAgent { agent: "refund-desk", hops: 1 },
        Deed::CreateSandbox { tier: Tier::Namespace, cpu_millis: 500, memory_bytes: 1 << 20, network: false },
        Deed::Connect { host: "api.example.com", port: 443, method: "GET", path: "/" },
        Deed::UseSecret { secret: "payments#token", tool: "payments_refund", host: "api.example.com" },
        Deed::ExportArtifact { name: "report.pdf", media_type: "application/pdf", bytes: 10 },
        Deed::Operate(Edge::Read),
        Deed::OperateAgent(Edge::StartRun, "refund-desk"),
        Deed::OperateRun(Edge::ControlRun, run),
        Deed::OperateRun(Edge::AnswerApproval, run),
        Deed::OperateAgent(Edge::ApplyAgent, "refund-desk"),
        Deed::Operate(Edge::ApplyPolicy),
        Deed::Operate(Edge::UseSandbox),
        Deed::Operate(Edge::ReadMetrics),
        Deed::Operate(Edge::Administer),
    ]
}

pub(super) fn operator() -> Principal {
    let user = User { name: "olga".to_owned(), roles: BTreeSet::from(["operator".to_owned()]) };
    Principal::operator(Operator { tenant: "acme".to_owned(), user })
}

fn ask(policies: &Policies, deed: &Deed<'_>, granted: bool) -> Decision {
    let history = History::default();
    let principal = if deed.edge().is_operators() { operator() } else { run() };
    let facts = Facts { granted, ..facts(&history) };
    policies.decide(&Request { principal: &principal, deed: deed.clone(), facts })
}

#[test]
fn every_edge_is_decided_and_denied_where_it_is_not_granted() {
    let (policies, run) = (with_default(""), asker());
    let deeds = deeds(&run, "{}");
    let edges: BTreeSet<Edge> = deeds.iter().map(Deed::edge).collect();
    assert_eq!(edges, BTreeSet::from(Edge::ALL));
    for deed in &deeds {
        assert_eq!(word(&ask(&policies, deed, true)), "allow", "{deed:?}");
        assert_eq!(word(&ask(&policies, deed, false)), "deny", "{deed:?}");
        assert_eq!(word(&ask(&only(""), deed, true)), "deny", "{deed:?}");
    }
}

/// A policy that reads everything there is of a context cannot be built from less, and is true only if all has the type
/// that the schema says.
#[test]
fn every_context_is_what_the_schema_says() {
    let all = "permit (principal, action, resource) when { context.granted && context.now > datetime(\"2025-01-01\") &&
        context.approvals.count == 0 && context.approvals.users.isEmpty() && context.traced && !context.taint && !context.plan };";
    let handed = "forbid (principal is Run, action, resource) unless { context has grant && context.grant.by == Agent::\"front\" &&
        context.grant has tools && context.grant.tools.contains(\"payments_*\") &&
        context.grant has hosts && context.grant.hosts == [\"*.example.com\"] &&
        context.grant has scopes && context.grant.scopes.isEmpty() &&
        context.grant has until && context.grant.until.durationSince(context.now) == duration(\"1m\") &&
        context.grant has depth && context.grant.depth == 1 && context.grant has tokens && context.grant.tokens == 9000 &&
        context.grant has usd && context.grant.usd == decimal(\"0.5001\") &&
        context.grant has tool_calls && context.grant.tool_calls == 12 };";
    let own = [
        ("call_model", "context.max_output_tokens == 2000 && resource in Provider::\"anthropic\""),
        ("read_memory", "context.bytes == 0 && resource in Project::\"support\""),
        ("write_memory", "context.bytes == 10 && resource == Memory::\"support/faq\""),
        ("send_message", "context.bytes == 10 && context.hops == 1 && resource in Tenant::\"acme\""),
        ("start_agent", "context.hops == 1 && resource == Agent::\"refund-desk\""),
        ("create_sandbox", "context.cpu_millis == 500 && context.memory_bytes == 1048576 && !context.network"),
        (
            "connect",
            "context.port == 443 && context.method == \"GET\" && context.path == \"/\" && resource in Domain::\"example.com\"",
        ),
        (
            "use_secret",
            "context.tool == \"payments_refund\" && context.host == \"api.example.com\" && resource in Secret::\"payments\"",
        ),
        ("export_artifact", "context.media_type == \"application/pdf\" && context.bytes == 10"),
        ("orders_lookup", "!context.unseen && resource.class == \"pure\" && resource in Toolset::\"orders\""),
        ("control_run", "resource in Agent::\"refund-desk\" && resource has user && principal in Role::\"operator\""),
    ];
    let gates: String = own
        .iter()
        .map(|(action, condition)| {
            format!("forbid (principal, action == Action::\"{action}\", resource) unless {{ {condition} }};\n")
        })
        .collect();
    let policies = only(&format!("{all}\n{handed}\n{gates}"));
    let run = asker();
    for deed in deeds(&run, "{}") {
        let decision = ask(&policies, &deed, true);
        assert_eq!(word(&decision), "allow", "{deed:?} {}", decision.why);
    }
}

#[test]
fn who_is_not_an_operator_operates_nothing_and_an_operator_is_no_run() {
    let policies = only("permit (principal, action, resource);");
    let history = History::default();
    let asks =
        |principal: &Principal, deed| word(&policies.decide(&Request { principal, deed, facts: facts(&history) }));
    assert_eq!(asks(&run(), Deed::Operate(Edge::Administer)), "deny");
    assert_eq!(asks(&operator(), call("orders_lookup", "{}")), "deny");
    // An edge that is not about the whole tenant.
    assert_eq!(asks(&operator(), Deed::Operate(Edge::ControlRun)), "deny");
}

#[test]
fn a_host_is_the_same_host_however_it_is_written() {
    let policies = with_default(
        r#"forbid (principal, action == Action::"connect", resource) unless { resource in Domain::"example.com" };"#,
    );
    let connect = |host| {
        let deed = Deed::Connect { host, port: 443, method: "", path: "" };
        word(&decide_with(&policies, deed, |facts| facts))
    };
    for host in ["api.example.com", "API.Example.COM.", "a.b.example.com"] {
        assert_eq!(connect(host), "allow", "{host}");
    }
    for host in ["example.com.evil.net", "notexample.com", "example.com", "169.254.169.254", "::1", ""] {
        assert_eq!(connect(host), "deny", "{host}");
    }
}
