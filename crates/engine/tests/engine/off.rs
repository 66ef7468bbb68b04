//! What operators turn off begins no more once that is acknowledged, and goes on when it is on again.

use serde_json::json;
use stead_core::{
    budget::Limits,
    code,
    effect::EffectClass,
    id::{Name, RunId},
    ruling::Behalf,
    time::Timestamp,
};
use stead_engine::{Cause, StartRun};
use stead_ports::{
    journal::{RunFilter, Status},
    switches::{NewSwitch, What},
};

use crate::common::*;

fn switch(what: What, name: &str, on: bool) -> NewSwitch {
    let (by, reason) = ("olga".into(), "it acts up".to_owned());
    NewSwitch { tenant: tenant(), what, name: name.into(), on, by, at: Timestamp(0), reason }
}

fn off(node: &Node, what: What, name: &str) {
    node.go(node.engine().turn(switch(what, name, false))).unwrap();
}

fn on(node: &Node, what: What, name: &str) {
    node.go(node.engine().turn(switch(what, name, true))).unwrap();
}

/// Waits until every run of the tenant has ended, and tells how.
fn ends(node: &Node) -> Vec<Status> {
    let filter = RunFilter { tenant: tenant(), limit: 500, ..RunFilter::default() };
    let runs: Vec<RunId> = node.go(journal(node).runs(&filter)).unwrap().iter().map(|run| run.id).collect();
    runs.into_iter().map(|run| node.end(run).0).collect()
}

/// A lab with one permit, taken by a call of the first run; the others wait for it, for a human, for their session, for a child.
struct Busy {
    lab: Lab,
    gate: Gate,
    act: TestTool,
    plain: stead_core::id::VersionId,
}

fn busy() -> (Busy, Node) {
    let mut lab = lab();
    lab.options.max_tool_calls = 1;
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Irreversible).gated(&gate);
    let asks = tool("ask", EffectClass::Irreversible).asks();
    let plain = lab.add(agent("plain").tool(&act).model(once("act", json!({}))));
    let asking = lab.add(agent("asking").tool(&asks).model(once("ask", json!({}))));
    let child = agent_tool("plain", plain, Limits::default());
    let parent = lab.add(agent("parent").tool(&child).model(once("plain", json!({"input": "y"}))));
    let node = lab.open();
    node.start(plain, "x");
    node.go(gate.arrived());
    let session = node.session("plain", "one");
    for _ in 0..3 {
        node.start(plain, "x");
        node.start(parent, "x");
        node.start_in(plain, session, "x");
        let run = node.start(asking, "x").run;
        node.asked(run);
    }
    // What waits for a permit waits with a durable intent; a run that has not got there is stopped all the same.
    (Busy { lab, gate, act, plain }, node)
}

#[test]
fn after_all_runs_were_stopped_none_of_them_begins_an_effect_and_a_later_one_does() {
    let (busy, node) = busy();
    off(&node, What::Runs, "cancel");
    busy.gate.open(100);
    let ended = ends(&node);
    assert!(ended.iter().all(|status| *status == Status::Cancelled), "{ended:?}");
    assert!(ended.len() >= 13, "{ended:?}");
    assert_eq!(busy.act.count(), 1, "only the one that was under way");
    let later = node.start(busy.plain, "x").run;
    assert_eq!(node.completes(later), "done");
    assert_eq!(busy.act.count(), 2);
    node.empties();
}

#[test]
fn a_stop_of_all_runs_is_finished_by_the_next_process_and_nothing_begins_in_between() {
    let (busy, node) = busy();
    off(&node, What::Runs, "kill");
    node.crash();
    busy.gate.open(100);
    let node = busy.lab.open();
    let ended = ends(&node);
    assert!(ended.iter().all(|status| *status == Status::Cancelled), "{ended:?}");
    assert_eq!(busy.act.count(), 1);
    let rows = node.go(node.engine().past_switches(&tenant(), None, 10)).unwrap();
    assert_eq!(rows.len(), 1);
    node.empties();
}

#[test]
fn a_tool_that_is_off_is_denied_with_its_reason_also_to_a_call_that_waits_for_a_permit() {
    for class in [EffectClass::Irreversible, EffectClass::Pure] {
        let mut lab = lab();
        lab.options.max_tool_calls = 1;
        let gate = Gate::closed();
        let block = tool("block", EffectClass::Pure).gated(&gate);
        let act = tool("act", class);
        let a = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
        let b = lab.add(agent("b").tool(&block).model(once("block", json!({}))));
        let node = lab.open();
        let blocking = node.start(b, "x").run;
        node.go(gate.arrived());
        let waits = node.start(a, "x").run;
        let engine = node.engine();
        node.go(async {
            // Decided, and in line for the permit that the other has.
            while !engine.facts(waits, 0, 100).await.unwrap().iter().any(|f| kind(&f.fact) == "effect_decided") {}
        });
        off(&node, What::Tool, "act");
        let told = node.completes(waits);
        assert!(told.starts_with("ST0340: not done: the tool `act` was turned off by olga: it acts up"), "{told}");
        assert_eq!(node.denials(waits), [code::DISABLED]);
        // So is a call that is decided only now.
        let later = node.start(a, "x").run;
        assert!(node.completes(later).starts_with("ST0340"));
        assert_eq!(act.count(), 0);
        on(&node, What::Tool, "act");
        gate.open(10);
        let after = node.start(a, "x").run;
        assert_eq!(node.completes(after), "done");
        assert_eq!((node.completes(blocking), act.count()), ("done".to_owned(), 1));
        node.empties();
    }
}

#[test]
fn a_provider_that_is_off_is_passed_over_and_a_run_without_another_fails_with_the_code() {
    let lab = lab();
    let one = lab.add(agent("one").account("acme#KEY").model(turns(vec![say("hi")])));
    let node = lab.open();
    off(&node, What::Provider, "acme");
    let run = node.start(one, "x").run;
    let (code, why) = node.fails(run);
    assert_eq!(code, code::DISABLED);
    assert!(why.contains("the provider `acme` was turned off by olga: it acts up"), "{why}");
    on(&node, What::Provider, "acme");
    let run = node.start(one, "x").run;
    assert_eq!(node.completes(run), "hi");
    node.empties();
}

/// What holds a run, and what holds none.
#[test]
fn a_run_of_what_is_off_holds_and_goes_on_when_it_is_on_again() {
    type Which = fn(RunId, stead_core::id::VersionId) -> (What, String);
    let whichs: [Which; 5] = [
        |_, _| (What::Tenant, tenant().to_string()),
        |_, _| (What::Agent, "a".into()),
        |_, version| (What::Version, version.to_string()),
        |run, _| (What::Run, run.to_string()),
        |_, _| (What::Person, "ann".into()),
    ];
    for which in whichs {
        let lab = lab();
        let gate = Gate::closed();
        let (first, second) =
            (tool("first", EffectClass::Irreversible).gated(&gate), tool("second", EffectClass::Irreversible));
        let script = turns(vec![call("first", json!({})), call("second", json!({})), say("there")]);
        let v = lab.add(agent("a").tool(&first).tool(&second).model(script));
        let node = lab.open();
        let behalf = Behalf { user: Some("ann".into()), ..Behalf::default() };
        let run = node.go(node.engine().start(StartRun { behalf: behalf.clone(), ..ask(v, "x") })).unwrap().run;
        node.go(gate.arrived());
        let (what, name) = which(run, v);
        off(&node, what, &name);
        gate.open(10);
        node.empties();
        let causes = node.go(node.engine().why(run)).unwrap().causes;
        assert!(
            matches!(&causes[0], Cause::Off { what: w, name: n, by, .. } if **w == *what.as_str() && **n == *name && &**by == "olga"),
            "{causes:?}"
        );
        if what != What::Run {
            let error = node.go(node.engine().start(StartRun { behalf, ..ask(v, "x") })).unwrap_err();
            assert_eq!(error.code(), code::DISABLED, "{error}");
        }
        // Nor does the next process let it go on.
        node.crash();
        let node = lab.open();
        node.empties();
        assert_eq!((first.count(), second.count(), node.status(run)), (1, 0, Status::Running));
        on(&node, what, &name);
        assert_eq!(node.completes(run), "there");
        assert_eq!(second.count(), 1);
        node.empties();
    }
}

#[test]
fn what_is_off_in_a_tenant_is_on_in_another() {
    let lab = lab();
    let act = tool("act", EffectClass::Irreversible);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let elsewhere = NewSwitch { tenant: Name::from("globex"), ..switch(What::Tool, "act", false) };
    node.go(node.engine().turn(elsewhere)).unwrap();
    let run = node.start(v, "x").run;
    assert_eq!(node.completes(run), "done");
}

#[test]
fn a_run_whose_turn_came_while_it_was_off_takes_it_when_it_is_on_again() {
    let lab = lab();
    let gate = Gate::closed();
    let act = tool("act", EffectClass::Pure).gated(&gate);
    let v = lab.add(agent("a").tool(&act).model(once("act", json!({}))));
    let node = lab.open();
    let session = node.session("a", "k");
    let [first, second] = ["0", "1"].map(|input| node.start_in(v, session, input).run);
    node.go(gate.arrived());
    off(&node, What::Run, &second.to_string());
    gate.open(10);
    assert_eq!(node.completes(first), "done");
    node.empties();
    assert_eq!(node.status(second), Status::Queued);
    on(&node, What::Run, &second.to_string());
    assert_eq!(node.completes(second), "done");
    node.empties();
}

#[test]
fn a_child_of_a_run_that_is_off_holds_too() {
    let lab = lab();
    let gate = Gate::closed();
    let first = tool("first", EffectClass::Irreversible).gated(&gate);
    let second = tool("second", EffectClass::Irreversible);
    let script = turns(vec![call("first", json!({})), call("second", json!({})), say("there")]);
    let leaf = lab.add(agent("leaf").tool(&first).tool(&second).model(script));
    let mid = agent_tool("leaf", leaf, Limits::default());
    let mid = lab.add(agent("mid").tool(&mid).model(once("leaf", json!({"input": "y"}))));
    let top = agent_tool("mid", mid, Limits::default());
    let top = lab.add(agent("top").tool(&top).model(once("mid", json!({"input": "y"}))));
    let node = lab.open();
    let run = node.start(top, "x").run;
    node.go(gate.arrived());
    off(&node, What::Run, &run.to_string());
    gate.open(1);
    node.empties();
    assert_eq!(second.count(), 0);
    on(&node, What::Run, &run.to_string());
    node.completes(run);
    assert_eq!(second.count(), 1);
}
