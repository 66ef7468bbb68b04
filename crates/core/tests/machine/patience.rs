//! People are reminded, others are let in, and a run does not ask without end.

use stead_core::{
    code,
    effect::EffectClass,
    fact::{Fact, RunConfig, Verdict},
    ruling::{Asked, Escalate, GateAsks, Given},
    run::{CallPhase, Command, Gate, Life, MAX_REMINDERS, Ruling, State},
    time::{Span, Timestamp},
};

use crate::story::{Called, Story, agent, call};

const HOUR: u64 = 3_600;

/// A gate that asks for one of finance, reminds each hour, and lets leads in after half an hour and the head after two.
#[derive(Debug)]
struct Patient;

fn gate() -> GateAsks {
    let step = |secs, to: &str| Escalate { after: Span::from_secs(secs), to: to.into() };
    GateAsks {
        policy: "large".into(),
        approvers: vec!["finance".into()],
        quorum: 1,
        remind: Some(Span::from_secs(HOUR)),
        escalate: vec![step(HOUR / 2, "leads"), step(2 * HOUR, "user:max")],
        ..GateAsks::default()
    }
}

impl Gate for Patient {
    fn epoch(&self) -> Option<u64> {
        Some(3)
    }

    fn call(&self, _: &State, _: usize, _: Timestamp, given: &[Given]) -> Ruling {
        let allowed = Ruling::allow(3, vec!["granted".into()]);
        let gate = gate();
        let counts = |given: &Given| {
            let is = |who: &str| given.roles.iter().any(|role| **role == *who) || format!("user:{}", given.name) == who;
            is("finance")
                || gate.escalate.iter().any(|step| is(&step.to) && given.escalated.iter().any(|e| e.to == step.to))
        };
        if given.iter().any(counts) {
            return allowed;
        }
        let asked = Some(Asked { gates: vec![gate], quorum: 1 });
        Ruling {
            verdict: Verdict::Ask,
            by: vec!["large".into()],
            asked,
            ttl: Some(Span::from_secs(24 * HOUR)),
            ..allowed
        }
    }

    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        Ruling::allow(3, Vec::new())
    }
}

fn pay() -> Called {
    call("pay").is(EffectClass::Irreversible)
}

fn told(story: &Story) -> Vec<String> {
    let told = |fact: &Fact| match fact {
        Fact::ApprovalReminded(f) => Some(format!("reminder {}", f.reminder)),
        Fact::ApprovalEscalated(f) => Some(format!("{} of {}", f.to, f.policy)),
        Fact::ApprovalExpired(_) => Some("expired".to_owned()),
        _ => None,
    };
    story.facts().filter_map(told).collect()
}

#[test]
fn people_are_reminded_and_others_let_in_when_their_time_has_come() {
    let mut story = Story::guarded(agent(), &Patient);
    story.replies([pay()]);
    assert_eq!(story.wakes_in(), Some(1_800.0));
    story.waits(HOUR / 2);
    assert_eq!(told(&story), ["leads of large"]);
    assert_eq!(story.wakes_in(), Some(1_800.0));
    story.waits(HOUR / 2);
    assert_eq!(told(&story), ["leads of large", "reminder 1"]);
    // Nothing happens before its time, and nothing twice.
    story.waits(1);
    story.does(Command::Tick);
    assert_eq!(told(&story).len(), 2);
    // Nobody looked for ten hours: what was missed is made up for once.
    story.crashes_silently();
    story.waits(10 * HOUR);
    assert_eq!(told(&story)[2..], ["user:max of large", "reminder 2"]);
    assert_eq!(story.wakes_in(), Some(3_600.0));
}

#[test]
fn who_was_let_in_counts_from_then_on_and_what_they_said_before_does_not() {
    let mut story = Story::guarded(agent(), &Patient);
    story.replies([pay()]);
    story.approves(1, "lea", "leads").unwrap();
    assert_eq!(story.intents(1), 0, "nobody has let her in");
    story.waits(HOUR / 2);
    assert_eq!(story.intents(1), 0, "what she said before counts by what counted then");
    story.crashes();
    story.approves(1, "lea", "leads").unwrap();
    assert_eq!(story.dispatchable(), [1]);
}

#[test]
fn a_no_and_an_answer_end_it_for_everybody() {
    let mut story = Story::guarded(agent(), &Patient);
    story.replies([pay()]);
    story.approves(1, "ann", "finance").unwrap();
    story.waits(3 * HOUR);
    assert!(told(&story).is_empty(), "nobody is asked any more");
    let mut story = Story::guarded(agent(), &Patient);
    story.replies([pay()]);
    story.waits(HOUR / 2);
    story.does(Command::Approve { effect: 1, approved: false, by: "ann".into(), note: None, signed: None });
    story.waits(30 * HOUR);
    assert_eq!(told(&story), ["leads of large"]);
    assert_eq!(story.last_said(), "1 failed: ST0044: a human (ann) denied this action.");
}

#[test]
fn reminders_and_escalation_run_on_while_the_run_is_paused_and_end_with_it() {
    let mut story = Story::guarded(agent(), &Patient);
    story.replies([pay()]);
    story.does(Command::Pause);
    assert_eq!(story.wakes_in(), Some(1_800.0), "as an expiry does");
    story.waits(HOUR / 2);
    assert_eq!(told(&story), ["leads of large"]);
    story.approves(1, "lea", "leads").unwrap();
    assert_eq!(story.intents(1), 0, "it is recorded, and used when the run goes on");
    story.does(Command::Resume);
    assert_eq!(story.dispatchable(), [1]);

    let mut story = Story::guarded(agent(), &Patient);
    story.replies([pay()]);
    story.does(Command::Pause);
    story.waits(25 * HOUR);
    assert_eq!(
        told(&story).first().map(String::as_str),
        Some("expired"),
        "silence is a no, whoever might have been let in"
    );
    assert_eq!(told(&story).len(), 1);
}

#[test]
fn nobody_is_reminded_for_ever() {
    #[derive(Debug)]
    struct Nagging;
    impl Gate for Nagging {
        fn epoch(&self) -> Option<u64> {
            Some(3)
        }
        fn call(&self, _: &State, _: usize, _: Timestamp, _: &[Given]) -> Ruling {
            let gate = GateAsks { quorum: 1, remind: Some(Span::from_secs(60)), ..GateAsks::default() };
            let asked = Some(Asked { gates: vec![gate], quorum: 1 });
            Ruling { verdict: Verdict::Ask, asked, ..Ruling::allow(3, Vec::new()) }
        }
        fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
            Ruling::allow(3, Vec::new())
        }
    }
    let mut story = Story::guarded(agent(), &Nagging);
    story.replies([pay()]);
    for _ in 0..100 {
        story.waits(60);
    }
    assert_eq!(told(&story).len(), MAX_REMINDERS as usize);
    assert_eq!(story.wakes_in(), None);
}

#[test]
fn a_question_that_is_asked_anew_begins_with_those_it_asked_first() {
    let mut story = Story::guarded(agent(), &Patient);
    story.replies([pay()]);
    story.waits(HOUR);
    story.does(Command::Restore { generation: 2, taken: Timestamp(1_000_000_000) });
    assert!(story.is_asking(1));
    let call = story.state().call(1).unwrap();
    assert_eq!((call.reminders, call.escalated.len()), (0, 0));
    assert_eq!(story.wakes_in(), Some(1_800.0));
}

// ------------------------------------------------------------------------------------------------- caps

fn asks(story: &Story) -> usize {
    story.count(|fact| matches!(fact, Fact::ApprovalRequested(_)))
}

#[test]
fn a_looping_agent_reaches_people_no_more_often_than_it_may_however_it_words_it() {
    let config = RunConfig { max_asks: Some(3), max_turns: 2_000, ..agent() };
    let mut story = Story::begin(config);
    for n in 0..1_000_u32 {
        let tool = format!("pay_{n}");
        story.replies([call(&tool).is(EffectClass::Irreversible).args(n as u8).asks()]);
        let effect = n + 1;
        if story.is_asking(effect) {
            story.human_says(effect, false).unwrap();
        }
    }
    assert_eq!(asks(&story), 3);
    let denied = story.count(|f| matches!(f, Fact::EffectDecided(f) if f.code == Some(code::ASKS_FULL)));
    assert_eq!(denied, 997);
    assert!(
        story.last_said().contains("ST0380: not done, and nobody was asked: this run has put 3 questions"),
        "{}",
        story.last_said()
    );
    assert_eq!(story.state().life, Life::Live);
}

#[test]
fn no_more_questions_are_open_at_once_than_may_be() {
    let mut story = Story::begin(RunConfig { max_open_asks: Some(2), ..agent() });
    story.replies((0..50).map(|n| call("pay").is(EffectClass::Irreversible).args(n).asks()));
    assert_eq!(asks(&story), 2);
    let asking = story.state().calls.iter().filter(|c| matches!(c.phase, CallPhase::Asking { .. })).count();
    assert_eq!(asking, 2);
    story.crashes();
    story.human_says(1, true).unwrap();
    assert_eq!(asks(&story), 2, "what was denied is not asked when there is room");
    story.returns(1, "done");
    story.human_says(2, false).unwrap();
    story.replies([call("pay").is(EffectClass::Irreversible).args(60).asks()]);
    assert_eq!(asks(&story), 3);
}

#[test]
fn an_outcome_that_nobody_knows_is_told_where_nobody_may_be_asked() {
    let mut story = Story::begin(RunConfig { max_asks: Some(1), ..agent() });
    let pay = |n| call("pay").is(EffectClass::Irreversible).args(n).asks_when_unknown();
    story.replies([pay(1)]);
    story.unknown(1);
    assert!(story.is_asking(1));
    story.human_says(1, false).unwrap();
    story.replies([pay(2)]);
    story.unknown(2);
    assert!(!story.is_asking(2), "it stays unknown, and is never done again");
    assert_eq!((asks(&story), story.intents(2)), (1, 1));
}
