//! Asking the destination whether it happened.

use stead_core::{
    effect::{EffectClass, Outcome, Reconciled},
    fact::{Fact, StopMode},
    run::{Command, Debt, Life, Refusal},
};

use crate::story::{Called, Story, agent, call, text};

fn book() -> Called {
    call("book").is(EffectClass::Reconcilable).settles_in(10)
}

fn lost(called: Called) -> Story {
    let mut story = Story::begin(agent());
    story.replies([called]);
    story.crashes();
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 1 }]);
    story
}

#[test]
fn an_effect_that_happened_returns_what_the_destination_tells() {
    let mut story = lost(book());
    story.reconciles(1, Reconciled::Happened(text("booked")));
    assert_eq!(story.last_said(), "1: booked");
    assert_eq!(story.intents(1), 1);
}

#[test]
fn absent_counts_only_when_asked_after_the_settle_time() {
    let mut story = lost(book());
    story.passes(3);
    story.reconciles(1, Reconciled::Absent);
    assert_eq!(story.owed(), [], "it is asked again, later");
    assert_eq!(story.wakes_in(), Some(7.0));
    story.passes(7);
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 1 }]);
    story.reconciles(1, Reconciled::Absent);
    assert_eq!(story.dispatchable(), [1], "it did not happen, so it is done now");
    assert_eq!(story.intents(1), 2);
}

#[test]
fn absent_asked_early_and_answered_late_does_not_count() {
    let mut story = lost(book());
    let asked = story.state().last_at;
    story.passes(60);
    story.does(Command::Reconciled { effect: 1, asked, answer: Reconciled::Absent });
    assert_eq!(story.intents(1), 1);
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 1 }], "asked again at once");
}

#[test]
fn a_question_that_fails_is_asked_again_a_few_times_then_the_outcome_is_unknown() {
    let mut story = lost(book().attempts(3));
    for _ in 0..3 {
        story.reconciles(1, Reconciled::StillUnknown);
        story.passes(60);
    }
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 1 }]);
    story.reconciles(1, Reconciled::StillUnknown);
    assert_eq!(story.unknown_effects(), [1]);
}

#[test]
fn an_answer_of_the_effect_itself_is_as_good() {
    let mut story = lost(book());
    story.answers_late(1, 1, Outcome::Returned(text("booked"))).unwrap();
    assert_eq!(story.last_said(), "1: booked");
    let stale =
        story.tries(Command::Reconciled { effect: 1, asked: story.state().last_at, answer: Reconciled::Absent });
    assert_eq!(stale, Err(Refusal::Stale));
}

#[test]
fn a_destination_that_breaks_and_knows_nothing_is_not_asked_for_ever() {
    let mut story = Story::begin(agent());
    story.replies([book().attempts(3)]);
    for _ in 0..10 {
        if story.dispatchable() == [1] {
            story.unknown(1);
        }
        story.passes(60);
        if story.owed() == [(Debt::Reconcile { effect: 1 })] {
            story.reconciles(1, Reconciled::Absent);
        }
    }
    assert_eq!(story.intents(1), 3);
    assert!(story.last_said().starts_with("1 failed: It did not happen"), "{}", story.last_said());
    assert!(story.unknown_effects().is_empty());
}

#[test]
fn a_cancelled_run_still_asks_and_a_killed_one_does_not() {
    let mut story = lost(book());
    story.stops(StopMode::Cancel, &[]);
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 1 }]);
    assert_eq!(story.life(), Life::Live);
    story.passes(60);
    story.reconciles(1, Reconciled::Absent);
    assert_eq!(story.life(), Life::Cancelled);
    assert_eq!(story.intents(1), 1, "it is not done any more");

    let mut story = lost(book());
    story.stops(StopMode::Kill, &[]);
    assert_eq!(story.life(), Life::Cancelled);
    assert_eq!(story.unknown_effects(), [1]);
}

#[test]
fn nobody_is_asked_while_the_run_is_paused() {
    let mut story = lost(book());
    story.does(Command::Pause);
    assert_eq!(story.owed(), []);
    story.does(Command::Resume);
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 1 }]);
    assert_eq!(story.count(|f| matches!(f, Fact::EffectReconciled(_))), 0);
}
