//! People are reminded, and others let in, though nobody keeps the run in memory and its process was killed meanwhile; and whoever
//! follows questions hears of it.

use futures_util::StreamExt as _;
use serde_json::json;
use stead_core::{code, effect::EffectClass, fact::Fact, ruling::Person, time::Span};
use stead_engine::{AskedId, Told, Turn};
use stead_ports::journal::Status;

use crate::common::*;

const PATIENT: &str = r#"
    @id("large") @require("approval") @approvers("finance") @quorum("1") @ttl("8h") @remind("1h") @escalate("2h:leads")
    forbid (principal, action == Action::"pay", resource);
"#;

fn lead() -> Person {
    Person { name: "lea".into(), roles: vec!["leads".into()] }
}

#[test]
fn a_question_is_reminded_and_escalated_by_itself_also_over_a_kill() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    lab.policies.apply(PATIENT);
    let pay = tool("pay", EffectClass::Irreversible);
    let v = lab.add(agent("desk").tool(&pay).model(once("pay", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    node.empties();
    assert_eq!(node.status(run), Status::Waiting);
    node.go(node.engine().approve(effect, true, lead(), None, None)).unwrap();
    assert_eq!(pay.count(), 0, "nobody has let her in");
    node.empties();
    node.crash();
    // Its time comes while nobody is there.
    clock.advance(Span::from_secs(2 * 3_600));
    let node = lab.open();
    let told = |fact: &Fact| match fact {
        Fact::ApprovalReminded(f) => Some(format!("reminder {}", f.reminder)),
        Fact::ApprovalEscalated(f) => Some(format!("{} of {}", f.to, f.policy)),
        _ => None,
    };
    let all = || node.facts(run).iter().filter_map(|event| told(&event.fact)).collect::<Vec<_>>();
    node.go(async {
        while node.engine().facts(run, 0, 1_000).await.unwrap().iter().filter_map(|e| told(&e.fact)).count() < 2 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(all(), ["leads of large", "reminder 1"]);
    let view = node.go(node.engine().view(run)).unwrap().approvals;
    assert_eq!((view[0].reminders, view[0].escalated.len()), (1, 1));
    assert_eq!(pay.count(), 0, "what she said before counts by what counted then");
    node.go(node.engine().approve(effect, true, lead(), None, None)).unwrap();
    node.completes(run);
    assert_eq!(pay.count(), 1);
}

#[test]
fn whoever_follows_questions_hears_of_each_turn_and_goes_on_where_they_were() {
    let lab = lab();
    lab.policies.apply(PATIENT);
    let pay = tool("pay", EffectClass::Irreversible);
    let v = lab.add(agent("desk").tool(&pay).model(once("pay", json!({}))));
    let node = lab.open();
    let engine = node.engine();
    let mut follow = Box::pin(engine.asked_events(tenant(), None));
    let mut next = || node.go(follow.next()).unwrap();
    assert!(matches!(next(), Told::Reset(_)), "it begins with what is open");
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    let Told::Event(opened) = next() else { panic!("nothing was missed") };
    assert_eq!((&opened.turn, opened.effect), (&Turn::Opened, effect));
    let finance = Person { name: "ann".into(), roles: vec!["finance".into()] };
    node.go(engine.approve(effect, true, finance, None, None)).unwrap();
    node.completes(run);
    let turns = [next(), next()].map(|told| match told {
        Told::Event(event) => event.turn,
        Told::Reset(_) => panic!("nothing was missed"),
    });
    assert_eq!(turns, [Turn::Approved("ann".into()), Turn::Closed]);
    // Who comes back hears what they missed; another tenant hears nothing of it; and who was elsewhere begins again.
    let mut again = Box::pin(engine.asked_events(tenant(), Some(opened.id)));
    let Some(Told::Event(event)) = node.go(again.next()) else { panic!("nothing was missed") };
    assert_eq!(event.turn, Turn::Approved("ann".into()));
    let elsewhere = AskedId { life: opened.id.life ^ 1, ..opened.id };
    let mut elsewhere = Box::pin(engine.asked_events(tenant(), Some(elsewhere)));
    assert!(matches!(node.go(elsewhere.next()), Some(Told::Reset(_))));
    let mut other = Box::pin(engine.asked_events("other".into(), Some(opened.id)));
    assert!(futures_util::FutureExt::now_or_never(other.next()).is_none());
}

#[test]
fn an_operator_bounds_how_often_a_run_asks_whatever_its_manifest_says() {
    let mut lab = lab();
    lab.options.max_asks = 2;
    let act = tool("act", EffectClass::Irreversible).asks();
    let mut replies: Vec<_> = (0..4).map(|n| call("act", json!({ "n": n }))).collect();
    replies.push(say("done"));
    let v = lab.add(agent("a").tool(&act).config(|c| c.max_asks = Some(1_000)).model(turns(replies)));
    let node = lab.open();
    let run = node.start(v, "x").run;
    for _ in 0..2 {
        let effect = node.asked(run);
        node.approve(effect, true).unwrap();
    }
    assert_eq!(node.completes(run), "done");
    assert_eq!(act.count(), 2);
    assert_eq!(node.denials(run), [code::ASKS_FULL, code::ASKS_FULL]);
    assert_eq!(node.engine().stats().asked, [2, 0, 0, 2]);
}
