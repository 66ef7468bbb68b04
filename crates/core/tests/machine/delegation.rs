//! On whose behalf a run works: grants of the agents above it, and a person whose time ends.

use stead_core::{
    budget::Limits,
    code,
    effect::EffectClass::{Irreversible, Pure},
    fact::{Fact, Held, RunConfig},
    grant::{Delegated, Grant, GrantRule, Granted},
    ruling::Behalf,
    run::{CallPhase, Command, Debt, Life, Refusal, wake_at},
    time::{Span, Timestamp},
};

use crate::story::{Story, agent, call};

/// When stories begin.
const BEGIN: Timestamp = Timestamp(1_000_000_000);
const HOUR: u64 = 3_600;

fn ann() -> Behalf {
    let lasts = Span::from_secs(HOUR);
    Behalf {
        user: Some("ann".into()),
        delegated: Some(Delegated { until: BEGIN.after(lasts), lasts }),
        ..Behalf::default()
    }
}

fn granted(grant: Grant) -> Behalf {
    Behalf { callers: vec!["boss".into()], grants: vec![Granted { by: 0, grant }], ..Behalf::default() }
}

fn asked(story: &Story) -> Option<u32> {
    story.state().renewing.map(|r| r.effect)
}

fn says(story: &mut Story, effect: u32, approved: bool, by: &str) -> Result<(), Refusal> {
    story.tries(Command::Approve { effect, approved, by: by.into(), note: None, signed: None })
}

#[test]
fn an_expired_delegation_asks_before_anything_more_begins_and_only_that_person_renews_it() {
    let mut story = Story::on_behalf(agent(), ann());
    story.replies([call("mail").is(Irreversible)]);
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }]);
    story.passes(HOUR);
    story.returns(1, "sent");
    let question = asked(&story).expect("the next model call would be on ann's behalf");
    assert!(story.owed().is_empty() && story.life() == Life::Live);
    assert_eq!(
        says(&mut story, question, true, "bob").unwrap_err(),
        Refusal::Conflict("only the person on whose behalf the run works can let it go on")
    );
    assert!(story.tries(Command::Renew { by: "bob".into() }).is_err());
    story.does(Command::Tick);
    assert!(story.owed().is_empty(), "nothing but the person changes that");
    says(&mut story, question, true, "ann").unwrap();
    assert!(asked(&story).is_none() && !story.state().behalf.is_over(story.now()));
    story.replies([call("mail").is(Irreversible).args(1)]);
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 3 }], "the question has an ordinal of its own");
}

#[test]
fn a_call_that_was_let_go_and_not_sent_before_the_end_waits_for_the_person() {
    let mut story = Story::on_behalf(agent(), ann());
    story.replies([call("mail").is(Irreversible), call("look").is(Pure)]);
    let until = BEGIN.after(Span::from_secs(HOUR));
    assert_eq!(wake_at(story.state(), story.now()), Some(until), "somebody must look when it is over");
    story.passes(HOUR);
    story.does(Command::Unsent { model: false, effects: vec![1], why: Held::Ended });
    story.does(Command::Tick);
    let question = asked(&story).unwrap();
    assert!(story.owed().is_empty(), "not even what only reads: {:?}", story.owed());
    story.crashes();
    assert!(story.owed().is_empty());
    says(&mut story, question, true, "ann").unwrap();
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }, Debt::Dispatch { effect: 2 }]);
}

#[test]
fn what_the_person_does_about_the_run_renews_it_now_and_then() {
    let mut story = Story::on_behalf(agent(), ann());
    story.replies([call("mail").is(Irreversible)]);
    let renewals = |story: &Story| story.facts().filter(|f| matches!(f, Fact::DelegationRenewed(_))).count();
    story.does(Command::Renew { by: "ann".into() });
    assert_eq!(renewals(&story), 0, "it has just begun");
    story.passes(HOUR / 2);
    story.does(Command::Renew { by: "ann".into() });
    story.does(Command::Renew { by: "ann".into() });
    assert_eq!(renewals(&story), 1);
    story.passes(HOUR - 1);
    story.returns(1, "sent");
    assert!(asked(&story).is_none());
}

#[test]
fn a_no_of_anybody_stops_the_run_and_so_does_silence() {
    let mut story = Story::on_behalf(agent(), ann());
    story.passes(HOUR);
    story.replies([call("mail").is(Irreversible)]);
    let question = asked(&story).unwrap();
    says(&mut story, question, false, "bob").unwrap();
    assert_eq!(story.life(), Life::Cancelled);
    assert!(!story.facts().any(|f| matches!(f, Fact::EffectIntended(_))));

    let mut story = Story::on_behalf(RunConfig { approval_ttl: Some(Span::from_secs(60)), ..agent() }, ann());
    story.passes(HOUR);
    story.replies([call("mail").is(Irreversible)]);
    assert!(asked(&story).is_some());
    story.passes(60);
    story.does(Command::Tick);
    assert_eq!(story.life(), Life::Cancelled);
}

#[test]
fn a_call_outside_of_a_grant_is_denied_and_one_inside_is_made_until_the_grant_ends() {
    let grant = Grant {
        tools: Some(vec!["mail_*".into()]),
        until: Some(BEGIN.after(Span::from_secs(60))),
        depth: Some(0),
        ..Grant::default()
    };
    let mut story = Story::on_behalf(agent(), granted(grant));
    story.replies([
        call("pay").is(Irreversible),
        call("mail_send").is(Irreversible),
        call("mail_ask").child(Limits::default()),
    ]);
    let denied = |story: &Story, effect: u32| {
        story.facts().any(|f| matches!(f, Fact::EffectDecided(d) if d.effect == effect && d.code == Some(code::GRANT)))
    };
    assert!(denied(&story, 1) && !denied(&story, 2));
    assert!(denied(&story, 3), "an agent below would be one deeper than the grant lets");
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 2 }]);
    story.passes(60);
    story.does(Command::Unsent { model: false, effects: vec![2], why: Held::Ended });
    story.does(Command::Tick);
    assert!(denied(&story, 2), "it was let go, and the grant has ended since");
    assert_eq!(story.life(), Life::Live, "the model is told, and may say so");
}

#[test]
fn what_a_child_is_granted_is_a_fact_that_no_later_try_changes() {
    let mut story = Story::begin(agent());
    let rule = GrantRule { tools: Some(Vec::new()), lasts: Some(Span::from_secs(60)), ..GrantRule::default() };
    story.replies([call("research").child(Limits::default()).grants(rule)]);
    let until = story.now().after(Span::from_secs(60));
    let held = |story: &Story| match &story.state().call(1).unwrap().phase {
        CallPhase::Child { grant, .. } => grant.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!((held(&story).until, held(&story).tools), (Some(until), Some(Vec::new())));
    story.passes(30);
    story.crashes();
    assert_eq!(held(&story).until, Some(until));
}
