//! Counters of policies in real runs: of all runs together no more is done than policies let, over crashes, in turns, by sub-agents
//! and at once; and the journal says what each decision read.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use stead_core::{
    code,
    effect::{EffectClass, Outcome},
    fact::Fact,
    id::{RunId, VersionId},
    ruling::{Counted, Person},
    time::Span,
};
use stead_engine::Step;
use stead_ports::{journal::Status, tool::Output};

use crate::common::{
    Gate, HandClock, Lab, Node, TestTool, agent, agent_tool, ask, call, calls, lab_with, last_result, me, model, once,
    say, tool, turns,
};

const HOUR: Span = Span::from_secs(3_600);

const THREE_MAILS: &str = r#"@id("three-mails") @reason("no more than 3 mails an hour")
    forbid (principal, action == Action::"mail", resource) when { context.history.mails >= 3 };"#;
const MAILS: &str = "mails: { count: mail, by: agent, within: 1h }";

fn lab() -> (Lab, HandClock) {
    let clock = HandClock::new();
    (lab_with(Arc::new(clock.clone())), clock)
}

fn mail() -> TestTool {
    tool("mail", EffectClass::Irreversible)
}

/// An agent that sends one mail.
fn writer(lab: &Lab, mail: &TestTool) -> VersionId {
    lab.add(agent("writer").tool(mail).model(once("mail", json!({}))))
}

/// What decisions of a run read, in their order.
fn read(node: &Node, run: RunId) -> Vec<(String, Counted)> {
    let read = |fact: Fact| match fact {
        Fact::HistoryRead(f) => f.read.into_iter().map(|r| (r.name.to_string(), r.said)).collect(),
        _ => Vec::new(),
    };
    node.facts(run).into_iter().flat_map(|event| read(event.fact)).collect()
}

fn start(node: &Node, version: VersionId) -> RunId {
    let run = node.start(version, "x").run;
    node.completes(run);
    run
}

#[test]
fn of_64_runs_at_once_exactly_three_mail_and_a_crash_forgets_none() {
    let (lab, clock) = lab();
    let mail = mail();
    lab.policies.count(THREE_MAILS, MAILS, &[]);
    let v = writer(&lab, &mail);
    let node = lab.open();
    let engine = node.engine();
    let started = node.go(join_all((0..64).map(|_| engine.start(ask(v, "x")))));
    let runs: Vec<RunId> = started.into_iter().map(|started| started.unwrap().run).collect();
    runs.iter().for_each(|run| drop(node.completes(*run)));
    assert_eq!(mail.count(), 3);
    let denied: Vec<RunId> = runs.iter().copied().filter(|run| node.denials(*run) == [code::POLICY]).collect();
    assert_eq!(denied.len(), 61);
    for run in denied {
        assert_eq!(read(&node, run), [("mails".to_owned(), Counted::Number(3))]);
    }
    drop(engine);
    node.crash();
    let node = lab.open();
    let run = start(&node, v);
    assert_eq!((mail.count(), node.denials(run)), (3, vec![code::POLICY]));
    clock.advance(HOUR);
    start(&node, v);
    assert_eq!(mail.count(), 4, "an hour later it may");
}

#[test]
fn what_a_decision_read_stands_beside_its_verdict_and_why_tells_it() {
    let (lab, _) = lab();
    let mail = mail();
    lab.policies.count(THREE_MAILS, MAILS, &[]);
    let v = writer(&lab, &mail);
    let node = lab.open();
    for n in 0..4 {
        let run = start(&node, v);
        assert_eq!(read(&node, run), [("mails".to_owned(), Counted::Number(n))]);
        let why = node.go(node.engine().why_step(run, Step::Effect(1))).unwrap();
        assert!(matches!(&why.facts[0].fact, Fact::HistoryRead(f) if f.read[0].said == Counted::Number(n)));
    }
    assert_eq!(mail.count(), 3);
}

#[test]
fn calls_of_one_turn_see_each_other() {
    let (lab, _) = lab();
    let mail = mail();
    lab.policies.count(THREE_MAILS, MAILS, &[]);
    let five: Vec<(&str, serde_json::Value)> = (0..5).map(|_| ("mail", json!({}))).collect();
    let all = calls(&five);
    let script = model(move |call| if last_result(call).is_some() { say("end") } else { all.clone() });
    let v = lab.add(agent("writer").tool(&mail).model(script));
    let node = lab.open();
    let run = start(&node, v);
    assert_eq!((mail.count(), node.denials(run)), (3, vec![code::POLICY; 2]));
    let said: Vec<Counted> = read(&node, run).into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, [0, 1, 2, 3, 3].map(Counted::Number));
}

#[test]
fn who_was_approved_within_the_hour_is_paid_without_asking_also_after_a_crash() {
    let (lab, clock) = lab();
    let mut pay = tool("pay", EffectClass::Irreversible);
    pay.schema = json!({ "type": "object", "required": ["payee"], "properties": { "payee": { "type": "string" } } });
    let gate = r#"@id("new-payee") @require("approval") @approvers("supervisor") @quorum("1") @ttl("15m")
        forbid (principal, action == Action::"pay", resource) unless { context.history.known };"#;
    lab.policies.count(gate, "known: { seen: pay, of: payee, by: tenant, within: 1h, when: approved }", &[]);
    let pays = |name: &str, payee: &str| lab.add(agent(name).tool(&pay).model(once("pay", json!({ "payee": payee }))));
    let (ada, again, eve) = (pays("a", "ada"), pays("b", "ada"), pays("c", "eve"));
    let node = lab.open();
    let run = node.start(ada, "x").run;
    let effect = node.asked(run);
    let who = Person { name: "sue".into(), roles: vec!["supervisor".into()] };
    node.go(node.engine().approve(effect, true, who, None, None)).unwrap();
    node.completes(run);
    node.crash();
    let node = lab.open();
    start(&node, again);
    assert_eq!(pay.count(), 2);
    let other = node.start(eve, "x").run;
    node.asked(other);
    clock.advance(HOUR);
    let late = node.start(again, "x").run;
    node.asked(late);
    assert_eq!(pay.count(), 2);
}

#[test]
fn after_hr_data_was_read_there_is_no_web_in_that_session_nor_through_a_sub_agent() {
    let (lab, _) = lab();
    let (hr, web) = (tool("hr_read", EffectClass::Pure), tool("web_fetch", EffectClass::Pure));
    let forbid = r#"@id("no-web") forbid (principal, action == Action::"web_fetch", resource)
        when { context.history.read_hr > 0 };"#;
    lab.policies.count(forbid, "read_hr: { count: hr_read, by: session }", &[&hr, &web]);
    let child = lab.add(agent("researcher").tool(&web).model(once("web_fetch", json!({}))));
    let team = agent_tool("researcher", child, Default::default());
    let script = turns(vec![call("hr_read", json!({})), call("researcher", json!({ "input": "go" })), say("end")]);
    let desk = lab.add(agent("desk").tool(&hr).tool(&team).model(script));
    let direct = turns(vec![call("hr_read", json!({})), call("web_fetch", json!({})), say("end")]);
    let alone = lab.add(agent("alone").tool(&hr).tool(&web).model(direct));
    let node = lab.open();
    start(&node, desk);
    start(&node, alone);
    assert_eq!((hr.count(), web.count()), (2, 0));
    start(&node, child);
    assert_eq!(web.count(), 1, "who has not read it may");
}

#[test]
fn a_counter_that_is_new_begins_from_what_the_journals_say() {
    let (lab, _) = lab();
    let mail = mail();
    let v = writer(&lab, &mail);
    let node = lab.open();
    start(&node, v);
    node.crash();
    let node = lab.open();
    start(&node, v);
    lab.policies.count(THREE_MAILS, MAILS, &[]);
    start(&node, v);
    let run = start(&node, v);
    assert_eq!((mail.count(), node.denials(run)), (3, vec![code::POLICY]));
    assert_eq!(read(&node, run), [("mails".to_owned(), Counted::Number(3))]);
    // Another one that is new, in a process that has what the first one counts in what is kept.
    node.crash();
    let node = lab.open();
    let five = THREE_MAILS.replace("mails >= 3", "ever >= 4");
    lab.policies.count(&five, "ever: { count: all, by: tenant }", &[]);
    start(&node, v);
    let run = start(&node, v);
    assert_eq!((mail.count(), node.denials(run)), (4, vec![code::POLICY]));
}

#[test]
fn what_a_human_denies_does_not_count_and_what_failed_does() {
    let (lab, _) = lab();
    let failing = mail().does(|_| async { Outcome::Refused(Output::ok("no such address")) }).asks();
    let limit = r#"@id("one") forbid (principal, action == Action::"mail", resource)
        when { context.history.sent > 0 || context.history.returned > 0 || context.history.last == "refused" };"#;
    let counters = "sent: { count: mail, by: agent }\nreturned: { count: mail, by: agent, when: returned }\n\
        denied: { count: mail, by: agent, when: denied }\nlast: { last: mail, by: agent }";
    lab.policies.count(limit, counters, &[]);
    let v = writer(&lab, &failing);
    let node = lab.open();
    let run = node.start(v, "x").run;
    node.approve(node.asked(run), false).unwrap();
    node.completes(run);
    let next = node.start(v, "x").run;
    node.approve(node.asked(next), true).unwrap();
    node.completes(next);
    let said = |run| read(&node, run).into_iter().map(|(_, said)| said).collect::<Vec<_>>();
    // It is decided before it is asked about, and when the yes is in.
    let nothing = [Counted::Last("denied".into()), Counted::Number(0), Counted::Number(0)];
    assert_eq!(said(next), [nothing.clone(), nothing].concat());
    let last = node.start(v, "x").run;
    node.completes(last);
    assert_eq!(said(last), [Counted::Last("refused".into()), Counted::Number(0), Counted::Number(1)]);
    assert_eq!((failing.count(), node.denials(last)), (1, vec![code::POLICY]));
    assert_eq!(node.status(last), Status::Completed);
}

/// A run whose first attempt at `tool` was not sent, paused before its next: what it was let go for is decided again.
fn paused(node: &Node, version: VersionId, tried: &Gate) -> RunId {
    let run = node.start(version, "x").run;
    node.go(tried.arrived());
    node.go(node.engine().pause(run, me())).unwrap();
    node.empties();
    run
}

/// The same tool, which nobody answers the first time that it is tried.
fn not_sent_once(tool: TestTool) -> (TestTool, Gate) {
    let tried = Gate::closed();
    let noted = tried.clone();
    let first = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut tool = tool.does(move |_| {
        let fails = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        noted.note();
        async move {
            match fails {
                true => Outcome::NotSent(Output::error("nobody is there")),
                false => Outcome::Returned(Output::ok("sent")),
            }
        }
    });
    tool.rules.attempts = 100;
    (tool, tried)
}

#[test]
fn what_is_decided_again_counts_once_and_not_against_itself() {
    let (lab, clock) = lab();
    let (mail, tried) = not_sent_once(mail());
    let one = THREE_MAILS.replace(">= 3", ">= 1");
    lab.policies.count(&one, MAILS, &[]);
    let v = writer(&lab, &mail);
    let node = lab.open();
    let run = paused(&node, v, &tried);
    node.go(node.engine().resume(run, me())).unwrap();
    clock.advance(Span::from_secs(60));
    node.completes(run);
    assert_eq!(mail.count(), 2, "one attempt that failed, and one that did not");
    let said: Vec<Counted> = read(&node, run).into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, [0, 0].map(Counted::Number));
    let next = start(&node, v);
    assert_eq!((mail.count(), node.denials(next)), (2, vec![code::POLICY]));
    assert_eq!(read(&node, next), [("mails".to_owned(), Counted::Number(1))], "it counts once");
    clock.advance(HOUR);
    start(&node, v);
    assert_eq!(mail.count(), 3);
}

#[test]
fn a_call_does_not_make_itself_known() {
    let (lab, clock) = lab();
    let mut pay = tool("pay", EffectClass::Irreversible);
    pay.schema = json!({ "type": "object", "required": ["payee"], "properties": { "payee": { "type": "string" } } });
    let (pay, tried) = not_sent_once(pay);
    let v = lab.add(agent("desk").tool(&pay).model(once("pay", json!({ "payee": "eve" }))));
    let counter = "known: { seen: pay, of: payee, by: tenant }";
    lab.policies.count("", counter, &[]);
    let node = lab.open();
    let run = paused(&node, v, &tried);
    let gate = r#"@id("new-payee") @require("approval") @approvers("supervisor") @quorum("1") @ttl("15m")
        forbid (principal, action == Action::"pay", resource) unless { context.history.known };"#;
    lab.policies.count(gate, counter, &[]);
    node.go(node.engine().resume(run, me())).unwrap();
    clock.advance(Span::from_secs(60));
    node.asked(run);
    assert_eq!(pay.count(), 1, "nobody has been paid");
}
