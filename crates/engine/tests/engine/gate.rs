//! Policies before everything that a run begins: what they forbid is not done, what they ask for is waited for, what they write
//! is what is done; and the journal says which policies it was.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use stead_core::{
    code,
    effect::{EffectClass, OnUnknown, Outcome, Risk},
    fact::{AskReason, Fact, Verdict},
    ruling::{Behalf, Person},
};
use stead_engine::{EngineError, StartRun, Step};
use stead_ports::{agent::Also, connect::To, journal::Status, tool::Output};

use crate::common::{
    Gate, Lab, Node, TestTool, agent, agent_tool, ask, call, calls, hangs_once, lab, last_result, me, model, once, say,
    tool,
};

/// A payment of an amount to somebody, which writes down what it was given.
fn pay() -> (TestTool, Arc<Mutex<Vec<String>>>) {
    let given: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = given.clone();
    let mut pay = tool("pay", EffectClass::Irreversible).does(move |invocation| {
        noted.lock().push(invocation.arguments.get().to_owned());
        async { Outcome::Returned(Output::ok("paid")) }
    });
    pay.schema = json!({ "type": "object", "required": ["amount"],
        "properties": { "amount": { "type": "integer" }, "note": { "type": "string" } } });
    (pay, given)
}

const LARGE: &str = r#"
    @id("large") @reason("it is more than 100")
    @require("approval") @approvers("finance") @quorum("2") @ttl("15m")
    forbid (principal, action == Action::"pay", resource) when { context.args.amount > 100 };
"#;

/// A run that pays once, of a lab with these policies.
fn paying(policies: &str, amount: i64) -> (Lab, Node, stead_core::id::RunId, TestTool, Arc<Mutex<Vec<String>>>) {
    let lab = lab();
    lab.policies.apply(policies);
    let (pay, given) = pay();
    let v = lab.add(agent("desk").tool(&pay).model(once("pay", json!({ "amount": amount, "note": "for 4111" }))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    (lab, node, run, pay, given)
}

fn by(name: &str, role: &str) -> Person {
    Person { name: name.into(), roles: vec![role.into()] }
}

fn approve(node: &Node, effect: stead_core::id::EffectId, who: Person) -> Result<(), EngineError> {
    node.go(node.engine().approve(effect, true, who, None, None))
}

/// Every decision on effects: the verdict, the policies, the epoch.
fn decisions(node: &Node, run: stead_core::id::RunId) -> Vec<(Verdict, Vec<String>, u64)> {
    let decided = |fact: Fact| match fact {
        Fact::EffectDecided(f) => {
            let ruled = f.ruled?;
            Some((f.verdict, ruled.by.iter().map(ToString::to_string).collect(), ruled.epoch))
        }
        _ => None,
    };
    node.facts(run).into_iter().filter_map(|event| decided(event.fact)).collect()
}

#[test]
fn what_a_policy_forbids_is_not_done_and_the_journal_says_by_which_and_why() {
    let forbid = r#"@id("no-large") @reason("it is more than 100")
        forbid (principal, action == Action::"pay", resource) when { context.args.amount > 100 };"#;
    let (_lab, node, run, pay, _) = paying(forbid, 101);
    node.completes(run);
    assert_eq!(pay.count(), 0);
    assert_eq!(node.denials(run), [code::POLICY]);
    assert_eq!(decisions(&node, run), [(Verdict::Deny, vec!["no-large".to_owned()], 1)]);
    let why = node.go(node.engine().why_step(run, Step::Effect(1))).unwrap();
    let decided = why.facts.iter().find_map(|event| event.why.clone()).unwrap();
    assert_eq!(decided["forbade"][0]["values"]["context.args.amount"], "101");
    assert_eq!(decided["forbade"][0]["said"], "it is more than 100");
    // At the limit it is done.
    let (_lab, node, run, pay, _) = paying(forbid, 100);
    node.completes(run);
    assert_eq!((pay.count(), decisions(&node, run)), (1, vec![(Verdict::Allow, vec!["granted".to_owned()], 1)]));
}

#[test]
fn a_gate_is_satisfied_by_two_people_of_its_role_over_a_crash_and_by_nobody_else() {
    let (lab, node, run, pay, given) = paying(LARGE, 101);
    let effect = node.asked(run);
    let view = node.go(node.engine().view(run)).unwrap();
    let asked = &view.approvals[0];
    assert_eq!(asked.reason, AskReason::Policy);
    assert_eq!(
        asked.asked.as_ref().map(|a| (a.quorum, a.gates[0].approvers[0].to_string())),
        Some((2, "finance".into()))
    );
    approve(&node, effect, by("ann", "finance")).unwrap();
    approve(&node, effect, by("bob", "support")).unwrap();
    assert_eq!(approve(&node, effect, by("ann", "finance")).unwrap_err().code(), code::CONFLICT, "she counts once");
    node.empties();
    assert_eq!((pay.count(), node.status(run)), (0, Status::Waiting));
    node.crash();
    let node = lab.open();
    approve(&node, effect, by("cem", "finance")).unwrap();
    node.completes(run);
    assert_eq!(*given.lock(), [r#"{"amount":101,"note":"for 4111"}"#]);
    let verdicts: Vec<Verdict> = decisions(&node, run).into_iter().map(|d| d.0).collect();
    assert_eq!(verdicts, [Verdict::Ask, Verdict::Allow]);
}

#[test]
fn an_approval_is_weighed_by_the_policies_of_now() {
    let one = LARGE.replace("@quorum(\"2\")", "@quorum(\"1\")");
    let (lab, node, run, pay, _) = paying(&one, 101);
    let effect = node.asked(run);
    lab.policies.apply(r#"@id("closed") forbid (principal, action == Action::"pay", resource);"#);
    approve(&node, effect, by("ann", "finance")).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 0);
    let closed = (Verdict::Deny, vec!["closed".to_owned()], 2);
    assert_eq!(decisions(&node, run).last(), Some(&closed), "with the epoch that decided last");
}

#[test]
fn what_a_transform_writes_is_shown_approved_and_done() {
    let redact = r#"@id("no-notes") @transform("redact") @fields("args.note")
        forbid (principal, action == Action::"pay", resource)
        when { context.args has note && context.args.note like "*4111*" };"#;
    let one = LARGE.replace("@quorum(\"2\")", "@quorum(\"1\")");
    let (lab, node, run, _, given) = paying(&format!("{one}{redact}"), 101);
    let effect = node.asked(run);
    let view = node.go(node.engine().view(run)).unwrap();
    let written: Value = serde_json::from_str(&view.approvals[0].arguments).unwrap();
    assert_eq!(written, json!({ "amount": 101, "note": "[redacted]" }));
    node.crash();
    let node = lab.open();
    approve(&node, effect, by("ann", "finance")).unwrap();
    node.completes(run);
    assert_eq!(*given.lock(), [view.approvals[0].arguments.clone()], "byte for byte");
}

#[test]
fn without_policies_nothing_begins() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    lab.policies.lose();
    let node = lab.open();
    let run = node.start(v, "x").run;
    assert_eq!(node.fails(run).0, code::POLICY);
    assert_eq!(node.kinds(run).last().map(String::as_str), Some("run_failed"));
    assert!(!node.kinds(run).contains(&"model_requested".to_owned()), "not even the model was asked");
}

#[test]
fn a_model_that_policies_deny_is_passed_over() {
    let lab = lab();
    lab.policies
        .apply(r#"@id("no-first") forbid (principal, action == Action::"call_model", resource == Model::"test:0");"#);
    let v = lab.add(agent("a").model(model(|_| say("first"))).model(model(|_| say("second"))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    assert_eq!(node.completes(run), "second");
    assert!(node.kinds(run).contains(&"model_denied".to_owned()));
}

#[test]
fn what_is_critical_asks_without_a_policy_of_ones_own() {
    let lab = lab();
    let mut wire = tool("wire", EffectClass::Irreversible);
    wire.risk = Risk::Critical;
    let v = lab.add(agent("a").tool(&wire).model(once("wire", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    approve(&node, effect, by("bob", "support")).unwrap();
    assert_eq!(node.status(run), Status::Waiting, "a supervisor is asked for");
    approve(&node, effect, by("ann", "supervisor")).unwrap();
    node.completes(run);
    assert_eq!(wire.count(), 1);
}

#[test]
fn a_model_that_is_less_sure_than_it_should_be_asks_and_the_tool_never_sees_how_sure_it_was() {
    let lab = lab();
    let (pay, given) = pay();
    let sure = |share: Option<f64>| match share {
        Some(share) => json!({ "amount": 5, "stead_confidence": share }),
        None => json!({ "amount": 5 }),
    };
    let mut maker = agent("a").tool(&pay).model(model(move |call_| {
        let done = call_.messages.iter().filter(|m| matches!(&***m, stead_core::message::Message::Tool(_))).count();
        match done {
            0 => call("pay", sure(Some(0.9))),
            1 => call("pay", sure(Some(0.5))),
            2 => call("pay", sure(None)),
            _ => say("end"),
        }
    }));
    maker.ask_below = Some(7_000);
    let v = lab.add(maker);
    let node = lab.open();
    let run = node.start(v, "x").run;
    for _ in 0..2 {
        let effect = node.asked(run);
        approve(&node, effect, by("ann", "supervisor")).unwrap();
    }
    node.completes(run);
    assert_eq!(*given.lock(), [r#"{"amount":5}"#; 3]);
    let verdicts: Vec<Verdict> = decisions(&node, run).into_iter().map(|d| d.0).collect();
    assert_eq!(verdicts, [Verdict::Allow, Verdict::Ask, Verdict::Allow, Verdict::Ask, Verdict::Allow]);
}

fn connect(host: &str, each: bool) -> Also {
    Also::Connect { host: host.into(), port: 443, method: String::new(), path: String::new(), each }
}

/// A tool that asks for two paths of a host before it does something, and what it was told. `between` is done in the middle.
fn asking(between: impl Fn() + Send + Sync + 'static) -> (TestTool, Arc<Mutex<Vec<String>>>) {
    let (told, between): (Arc<Mutex<Vec<String>>>, _) = (Arc::default(), Arc::new(between));
    let noted = told.clone();
    let mut tool = tool("fetch", EffectClass::Irreversible).does(move |invocation| {
        let (noted, between) = (noted.clone(), between.clone());
        async move {
            for path in ["/open", "/closed"] {
                let to = To { host: "api.example.com", port: 443, method: "GET", path };
                let said = match invocation.connects.may(to).await {
                    Ok(ruled) => format!("{path} yes {:?}", ruled.map(|r| (r.epoch, r.by[0].to_string()))),
                    Err(barred) => {
                        let by: Vec<String> = barred.ruled.by.iter().map(ToString::to_string).collect();
                        format!("{path} no {} {by:?}", barred.ruled.epoch)
                    }
                };
                noted.lock().push(said);
                between();
            }
            Outcome::Returned(Output::ok("done"))
        }
    });
    tool.also = vec![connect("api.example.com", true)];
    (tool, told)
}

#[test]
fn a_connection_is_decided_by_the_policies_of_its_moment_with_its_method_and_path() {
    let lab = lab();
    lab.policies.apply(
        r#"@id("closed") forbid (principal in Agent::"desk", action == Action::"connect", resource in Domain::"example.com")
           when { context.path == "/closed" && context.method == "GET" };"#,
    );
    let (fetch, told) = asking(|| {});
    let v = lab.add(agent("desk").tool(&fetch).model(once("fetch", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.completes(run);
    // The call itself was let go: what its requests are is not known before they are made.
    assert_eq!(decisions(&node, run), [(Verdict::Allow, vec!["granted".to_owned()], 1)]);
    assert_eq!(*told.lock(), [r#"/open yes Some((1, "granted"))"#, r#"/closed no 1 ["closed"]"#]);

    // Another epoch counts from the next connection on, and none at all is no.
    let (policies, lost) = (lab.policies.clone(), lab.policies.clone());
    let all = r#"@id("all") forbid (principal, action == Action::"connect", resource) when { context.path != "" };"#;
    let (fetch, told) = asking(move || policies.apply(all));
    let v = lab.add(agent("desk2").tool(&fetch).model(once("fetch", json!({}))));
    node.completes(node.start(v, "x").run);
    assert_eq!(*told.lock(), [r#"/open yes Some((1, "granted"))"#, r#"/closed no 2 ["all"]"#]);
    lab.policies.apply("");
    let (fetch, told) = asking(move || lost.lose());
    let v = lab.add(agent("desk3").tool(&fetch).model(once("fetch", json!({}))));
    node.start(v, "x");
    node.empties();
    assert_eq!(told.lock()[1], "/closed no 0 []");
}

#[test]
fn a_gate_on_a_connection_is_opened_by_an_approval_of_its_call_alone() {
    let gate = r#"
        @id("host") @require("approval") @approvers("finance") @quorum("1") @ttl("15m")
        forbid (principal, action == Action::"connect", resource) when { context.path == "/closed" };"#;
    let both = format!(
        "{gate} @id(\"call\") @require(\"approval\") @approvers(\"finance\") @quorum(\"1\") @ttl(\"15m\")
        forbid (principal, action == Action::\"fetch\", resource);"
    );
    for (policies, approved) in [(gate, false), (both.as_str(), true)] {
        let lab = lab();
        lab.policies.apply(policies);
        let (fetch, told) = asking(|| {});
        let v = lab.add(agent("desk").tool(&fetch).model(once("fetch", json!({}))));
        let node = lab.open();
        let run = node.start(v, "x").run;
        if approved {
            let effect = node.asked(run);
            approve(&node, effect, by("ann", "finance")).unwrap();
        }
        node.completes(run);
        let told = told.lock();
        let expected = if approved { "/closed yes" } else { r#"/closed no 1 ["host"]"# };
        assert!(told[0].starts_with("/open yes") && told[1].starts_with(expected), "{told:?}");
    }
}

#[test]
fn what_a_call_does_beside_is_decided_too() {
    let lab = lab();
    lab.policies.apply(
        r#"@id("only-ours") forbid (principal, action == Action::"connect", resource)
           unless { resource in Domain::"example.com" };
           @id("no-keys") forbid (principal, action == Action::"use_secret", resource in Secret::"payments");"#,
    );
    let with = |name: &str, also: Also| {
        let mut tool = tool(name, EffectClass::Irreversible);
        tool.also = vec![also];
        tool
    };
    let ours = with("ours", connect("api.example.com", false));
    let theirs = with("theirs", connect("api.example.net", false));
    let keyed = with("keyed", Also::UseSecret { secret: "payments#token".into(), host: "api.example.com".into() });
    let all = calls(&[("ours", json!({})), ("theirs", json!({})), ("keyed", json!({}))]);
    let script = model(move |call_| if last_result(call_).is_some() { say("end") } else { all.clone() });
    let v = lab.add(agent("a").tool(&ours).tool(&theirs).tool(&keyed).model(script));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.completes(run);
    assert_eq!((ours.count(), theirs.count(), keyed.count()), (1, 0, 0));
    let denied: Vec<String> =
        decisions(&node, run).into_iter().filter(|d| d.0 == Verdict::Deny).flat_map(|d| d.1).collect();
    assert_eq!(denied, ["only-ours", "no-keys"]);
}

#[test]
fn a_child_is_known_with_those_above_it_and_the_person_they_all_work_for() {
    let lab = lab();
    lab.policies.apply(
        r#"@id("for-support") forbid (principal in Agent::"child", action in Action::"call_tool", resource == Tool::"act")
           unless { principal has user && principal.user in Role::"support" && principal.callers == [Agent::"parent"] };"#,
    );
    let act = tool("act", EffectClass::Irreversible);
    let child = lab.add(agent("child").tool(&act).model(once("act", json!({}))));
    let team = agent_tool("child", child, Default::default());
    let parent = lab.add(agent("parent").tool(&team).model(once("child", json!({ "input": "go" }))));
    let node = lab.open();
    let start = |version, user: Option<Person>| {
        let behalf = Behalf { user, ..Behalf::default() };
        node.go(node.engine().start(StartRun { behalf, actor: me(), ..ask(version, "x") })).unwrap().run
    };
    node.completes(start(parent, Some(by("ann", "support"))));
    assert_eq!(act.count(), 1);
    node.completes(start(parent, Some(by("bob", "sales"))));
    node.completes(start(parent, None));
    node.completes(start(child, Some(by("ann", "support"))));
    assert_eq!(act.count(), 1, "for nobody of support, or not below the parent, it is not done");
}

const CLOSED: &str = r#"@id("closed") forbid (principal, action == Action::"pay", resource);"#;

/// A run whose payment its manifest asks about, and no gate.
fn asked_by_the_manifest() -> (Lab, Node, stead_core::id::RunId, TestTool) {
    let lab = lab();
    let (pay, _) = pay();
    let pay = pay.asks();
    let v = lab.add(agent("desk").tool(&pay).model(once("pay", json!({ "amount": 1 }))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    (lab, node, run, pay)
}

#[test]
fn a_yes_to_what_the_manifest_asks_is_weighed_by_the_policies_of_now_too() {
    let (lab, node, run, pay) = asked_by_the_manifest();
    let effect = node.asked(run);
    lab.policies.apply(CLOSED);
    approve(&node, effect, by("ann", "finance")).unwrap();
    node.completes(run);
    assert_eq!(
        (pay.count(), decisions(&node, run).last().cloned()),
        (0, Some((Verdict::Deny, vec!["closed".into()], 1)))
    );

    // Where there are no policies the yes is kept, until there are; also over a crash.
    for crash in [false, true] {
        let (lab, mut node, run, pay) = asked_by_the_manifest();
        let effect = node.asked(run);
        lab.policies.lose();
        approve(&node, effect, by("ann", "finance")).unwrap();
        let view = node.go(node.engine().view(run)).unwrap();
        assert_eq!((pay.count(), view.approvals.len(), view.approvals[0].given.len()), (0, 1, 1));
        if crash {
            node.crash();
            node = lab.open();
        }
        lab.policies.find();
        node.completes(run);
        assert_eq!((pay.count(), decisions(&node, run).last().map(|d| d.0)), (1, Some(Verdict::Allow)));
    }
}

#[test]
fn what_nobody_knows_the_outcome_of_is_done_again_only_with_the_people_of_its_gate() {
    let lab = lab();
    let gate = Gate::closed();
    let mut act = hangs_once(EffectClass::Irreversible, &gate).on_unknown(OnUnknown::Ask);
    act.risk = Risk::Critical;
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    approve(&node, effect, by("ann", "supervisor")).unwrap();
    node.go(gate.arrived());
    node.crash();
    let node = lab.open();
    let effect = node.asked(run);
    let view = node.go(node.engine().view(run)).unwrap();
    assert_eq!(view.approvals[0].reason, AskReason::OutcomeUnknown);
    assert_eq!(&*view.approvals[0].asked.as_ref().unwrap().gates[0].approvers[0], "supervisor");
    approve(&node, effect, by("bob", "support")).unwrap();
    node.empties();
    assert_eq!((act.count(), node.status(run)), (1, Status::Waiting), "his word is not enough");
    approve(&node, effect, by("cem", "supervisor")).unwrap();
    node.completes(run);
    assert_eq!(act.count(), 2);
}

#[test]
fn what_was_allowed_before_a_pause_or_a_crash_is_decided_again_before_it_begins() {
    // Its connection was refused: it waits for its next attempt.
    let start = || {
        let lab = lab();
        let (mut pay, tried) = (tool("pay", EffectClass::Irreversible), Gate::closed());
        let noted = tried.clone();
        pay = pay.does(move |_| {
            noted.note();
            async { Outcome::NotSent(Output::error("nobody is there")) }
        });
        pay.rules.attempts = 100;
        pay.schema = json!({ "type": "object", "properties": { "amount": { "type": "integer" } } });
        let v = lab.add(agent("desk").tool(&pay).model(once("pay", json!({ "amount": 1 }))));
        let node = lab.open();
        let run = node.start(v, "x").run;
        node.go(tried.arrived());
        (lab, node, run, pay)
    };
    let (lab, node, run, pay) = start();
    node.go(node.engine().pause(run, me())).unwrap();
    node.empties();
    let before = pay.count();
    lab.policies.apply(CLOSED);
    node.go(node.engine().resume(run, me())).unwrap();
    node.completes(run);
    assert_eq!((pay.count(), decisions(&node, run).last().map(|d| d.0)), (before, Some(Verdict::Deny)));

    let (lab, node, run, pay) = start();
    node.crash();
    let before = pay.count();
    lab.policies.apply(CLOSED);
    let node = lab.open();
    node.completes(run);
    assert_eq!((pay.count(), node.denials(run)), (before, vec![code::POLICY]));
}

#[test]
fn what_is_asked_beside_a_call_is_told_of_in_its_reasons() {
    let lab = lab();
    lab.policies.apply(
        r#"@id("only-ours") @require("approval") @approvers("netops") @quorum("1") @ttl("15m")
           forbid (principal, action == Action::"connect", resource) unless { resource in Domain::"example.com" };"#,
    );
    let mut fetch = tool("fetch", EffectClass::Irreversible);
    fetch.risk = Risk::Critical;
    fetch.also = vec![Also::Connect {
        host: "api.example.net".into(),
        port: 443,
        method: String::new(),
        path: String::new(),
        each: false,
    }];
    let v = lab.add(agent("a").tool(&fetch).model(once("fetch", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.asked(run);
    let why = node.facts(run).into_iter().find_map(|event| event.why).unwrap();
    let gated: Vec<&str> = why["gated"].as_array().unwrap().iter().map(|g| g["policy"].as_str().unwrap()).collect();
    assert_eq!(gated, ["critical", "only-ours"], "{why}");
}
