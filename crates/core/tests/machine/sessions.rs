//! A session's runs: one in the foreground, the others wait; what one hands to the next.

use stead_core::{
    budget::Limits,
    code,
    effect::EffectClass,
    fact::{Fact, StopMode},
    run::{Admit, Command, Life, Refusal, Retry},
    time::Span,
};

use crate::story::{Called, Story, agent, call, failure, limited};

fn mail() -> Called {
    call("mail").is(EffectClass::Irreversible)
}

#[test]
fn a_queued_run_does_nothing_until_it_is_admitted() {
    let mut story = Story::queued(limited(Limits { deadline: Some(Span::from_secs(60)), ..Limits::default() }));
    assert_eq!(story.life(), Life::Queued);
    assert_eq!((story.owed(), story.wakes_in()), (vec![], None));
    story.waits(30);
    story.does(Command::Admit(Admit::default()));
    assert_eq!(story.asked_model(), (1, 1));
    assert_eq!(story.tries(Command::Admit(Admit::default())), Err(Refusal::Stale));
}

#[test]
fn a_deadline_runs_while_a_run_is_queued() {
    let mut story = Story::queued(limited(Limits { deadline: Some(Span::from_secs(60)), ..Limits::default() }));
    story.passes(60);
    story.does(Command::Admit(Admit::default()));
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    assert_eq!(story.count(|f| matches!(f, Fact::ModelRequested(_))), 0);
}

#[test]
fn a_queued_run_can_be_stopped_and_paused() {
    let mut story = Story::queued(agent());
    story.stops(StopMode::Cancel, &[]);
    assert_eq!(story.life(), Life::Cancelled);

    let mut story = Story::queued(agent());
    story.does(Command::Pause);
    story.does(Command::Admit(Admit::default()));
    assert_eq!(story.life(), Life::Live);
    assert_eq!(story.owed(), []);
    story.does(Command::Resume);
    assert_eq!(story.asked_model(), (1, 1));
}

#[test]
fn the_next_run_continues_the_conversation() {
    let mut first = Story::begin(agent());
    first.replies([call("read")]);
    first.returns(1, "42");
    first.replies([]);
    let second = first.next_run(agent(), Limits::default());
    assert_eq!(second.conversation(), ["user", "reply", "1: 42", "reply", "user"]);
    assert_eq!(second.state().base, Some(first.state().run));
    assert_eq!(second.state().turn, 1, "its turns are its own");
}

#[test]
fn unknown_effects_and_used_keys_pass_on_to_the_next_run() {
    let mut first = Story::begin(agent());
    let pay = |args| call("pay").is(EffectClass::Keyed).key("order-7").args(args);
    first.replies([mail(), pay(1)]);
    first.returns(2, "paid");
    first.crashes();
    first.stops(StopMode::Cancel, &[]);
    let mut second = first.next_run(agent(), Limits::default());
    second.replies([mail(), pay(2), pay(1)]);
    assert!(second.is_asking(1), "the mail may have been sent by the run before");
    assert_eq!(second.dispatchable(), [3]);
    let reused = |f: &Fact| matches!(f, Fact::EffectDecided(d) if d.code == Some(code::KEY_REUSED));
    assert_eq!(second.count(reused), 1);
}

/// [`Story`] folds its journal after each sentence and compares; here the sentences are as different as they come.
#[test]
fn folding_the_journal_gives_the_state_that_served() {
    let mut first = Story::begin(agent());
    first.replies([mail(), call("read")]);
    first.returns(2, "42");
    first.crashes();
    first.replies([]);
    assert!(first.life().ended());
    assert!(!first.state().carry().unknown.is_empty());

    let mut story = first.next_run(agent(), Limits::default());
    story.model_fails(failure(code::MODEL_BUSY, Retry::After(Some(Span::from_secs(5))), true));
    story.does(Command::Pause);
    story.passes(10);
    story.does(Command::Resume);
    story.does(Command::Tick);
    story.replies([call("pay").is(EffectClass::Keyed).asks(), call("book").is(EffectClass::Reconcilable)]);
    story.does(Command::Approve {
        effect: 1,
        approved: true,
        by: "grace".into(),
        note: Some("fine".into()),
        signed: None,
    });
    story.not_sent(1);
    story.waits(60);
    story.refuses(1);
    story.unknown(2);
    story.stops(StopMode::Kill, &[2]);
    assert!(story.life().ended());
}

#[test]
fn a_session_grants_a_run_no_more_than_it_has_left() {
    let mut first = Story::begin(agent());
    first.replies_using(500, []);
    let mut second = first.next_run(agent(), Limits { tokens: Some(250), ..Limits::default() });
    assert_eq!(second.state().budget.limits.tokens, Some(250));
    second.replies_using(200, [call("read")]);
    second.returns(1, "B");
    assert_eq!(second.life(), Life::Failed(code::BUDGET));
}

#[test]
fn an_answer_to_an_effect_of_the_run_before_is_not_the_next_ones_business() {
    let mut first = Story::begin(agent());
    first.replies([mail()]);
    first.crashes();
    first.replies([]);
    let mut second = first.next_run(agent(), Limits::default());
    second.replies([call("read")]);
    second.returns(1, "B");
    assert_eq!(second.unknown_effects(), [1], "the mark of the run before stands");
}
