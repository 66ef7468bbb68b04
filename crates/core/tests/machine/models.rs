//! Attempts at models: retries, pauses, fallback.

use stead_core::{
    code,
    fact::{Fact, RunConfig},
    run::{Command, Debt, Life, Refusal, Retry},
    time::Span,
};

use crate::story::{Story, agent, call, failure, model, text};

fn attempt(turn: u32, attempt: u32, model: u8) -> [Debt; 1] {
    [Debt::CallModel { turn, attempt, model }]
}

fn two_models() -> RunConfig {
    RunConfig { models: vec![model("first"), model("second")], model_attempts: 2, ..agent() }
}

#[test]
fn a_reply_without_calls_ends_the_run() {
    let mut story = Story::begin(agent());
    assert_eq!(story.owed(), attempt(1, 1, 0));
    story.replies([]);
    assert_eq!(story.life(), Life::Completed);
    assert_eq!(story.owed(), []);
    assert_eq!(story.wakes_in(), None);
}

#[test]
fn a_failed_attempt_is_repeated_after_a_pause_that_doubles() {
    let mut story = Story::begin(agent());
    for (n, pause) in [(2, 1.0), (3, 2.0)] {
        story.model_fails(failure(code::MODEL_BUSY, Retry::After(None), false));
        assert_eq!(story.owed(), []);
        assert_eq!(story.wakes_in(), Some(pause));
        story.waits(pause as u64);
        assert_eq!(story.owed(), attempt(1, n, 0));
    }
    story.model_fails(failure(code::MODEL_BUSY, Retry::After(None), false));
    assert_eq!(story.life(), Life::Failed(code::MODEL_BUSY), "the only model says why");
}

#[test]
fn a_wait_asked_for_by_the_provider_is_kept_and_survives_a_crash() {
    let mut story = Story::begin(agent());
    story.model_fails(failure(code::MODEL_BUSY, Retry::After(Some(Span::from_secs(300))), false));
    story.crashes();
    assert_eq!(story.wakes_in(), Some(300.0));
    story.waits(299);
    assert_eq!(story.owed(), []);
    story.waits(1);
    assert_eq!(story.owed(), attempt(1, 2, 0));
}

#[test]
fn an_error_that_will_not_go_away_falls_back_to_the_next_model_at_once() {
    let mut story = Story::begin(two_models());
    story.model_fails(failure(code::MODEL_REFUSED, Retry::No, false));
    assert_eq!(story.owed(), attempt(1, 2, 1));
    story.model_fails(failure(code::MODEL_REFUSED, Retry::No, false));
    assert_eq!(story.life(), Life::Failed(code::MODEL_EXHAUSTED));
}

#[test]
fn a_model_that_has_used_up_its_attempts_is_left_for_the_next_and_each_turn_begins_with_the_first() {
    let mut story = Story::begin(two_models());
    story.model_fails(failure(code::MODEL_CUT, Retry::After(None), true));
    story.waits(1);
    story.model_fails(failure(code::MODEL_CUT, Retry::After(None), true));
    assert_eq!(story.owed(), attempt(1, 3, 1));
    story.replies([call("read")]);
    story.returns(1, "B");
    assert_eq!(story.owed(), attempt(2, 1, 0));
}

#[test]
fn a_lost_attempt_is_repeated_at_once_and_does_not_count_against_the_model() {
    let mut story = Story::begin(two_models());
    for n in 2..8 {
        story.crashes();
        assert_eq!(story.owed(), attempt(1, n, 0));
    }
}

#[test]
fn only_the_activation_that_asked_makes_the_call() {
    let mut story = Story::begin(agent());
    story.crashes_silently();
    assert!(matches!(story.owed()[..], [Debt::Recover { effect: None, .. }]));
}

#[test]
fn a_reply_of_an_attempt_that_was_given_up_is_not_taken() {
    let mut story = Story::begin(agent());
    story.crashes();
    let usage = stead_core::budget::Usage::default();
    let late = Command::ModelReplied { turn: 1, attempt: 1, reply: text("late"), usage, calls: vec![], misfit: None };
    assert_eq!(story.tries(late), Err(Refusal::Stale));
    story.replies([]);
    let twice = Command::ModelReplied { turn: 1, attempt: 2, reply: text("again"), usage, calls: vec![], misfit: None };
    assert_eq!(story.tries(twice), Err(Refusal::Stale));
}

#[test]
fn a_retry_waits_while_the_run_is_paused() {
    let mut story = Story::begin(agent());
    story.model_fails(failure(code::MODEL_BUSY, Retry::After(None), false));
    story.does(Command::Pause);
    assert_eq!(story.wakes_in(), None);
    story.waits(60);
    assert_eq!(story.owed(), []);
    story.does(Command::Resume);
    story.does(Command::Tick);
    assert_eq!(story.owed(), attempt(1, 2, 0));
}

#[test]
fn nothing_that_happens_meanwhile_ends_a_wait_early() {
    let mut story = Story::begin(agent());
    story.model_fails(failure(code::MODEL_BUSY, Retry::After(Some(Span::from_secs(60))), false));
    story.does(Command::Pause);
    story.does(Command::Resume);
    story.crashes();
    assert_eq!(story.owed(), []);
    assert_eq!(story.count(|f| matches!(f, Fact::ModelRequested(_))), 1);
}

#[test]
fn the_time_of_a_run_never_decreases() {
    let mut story = Story::begin(agent());
    let before = story.state().last_at;
    story.clock_goes_back(3_600);
    story.replies([call("read")]);
    assert_eq!(story.state().last_at, before);
    story.passes(3_601);
    story.returns(1, "B");
    assert!(story.state().last_at > before);
}

#[test]
fn an_attempt_that_its_provider_had_no_room_for_costs_nothing_and_counts_as_none() {
    let mut story = Story::begin(two_models());
    for n in 1..9 {
        let (turn, attempt) = story.asked_model();
        assert_eq!(attempt, n);
        let until = story.state().last_at.after(Span::from_secs(7));
        story.does(Command::ModelDeferred { turn, attempt, until, why: text("the provider's limit") });
        assert_eq!((story.owed(), story.wakes_in()), (vec![], Some(7.0)));
        assert_eq!(story.state().budget.reserved.tokens, 0);
        assert!(!story.state().working(), "a wait for a provider is no working time");
        story.waits(7);
    }
    story.replies([]);
    assert_eq!((story.life(), story.state().budget.spent.tokens), (Life::Completed, 10));
}

#[test]
fn runs_that_failed_together_do_not_come_back_together_and_none_too_early() {
    let asked = |secs| Retry::After(Some(Span::from_secs(secs)));
    let wakes_in = |retry, spread| {
        let mut story = Story::begin(agent());
        story.model_fails(stead_core::run::ModelFailure { spread, ..failure(code::MODEL_BUSY, retry, false) });
        story.wakes_in()
    };
    assert_eq!(wakes_in(asked(8), 0), Some(8.0));
    assert_eq!(wakes_in(asked(8), u16::MAX), Some(10.0));
    assert_eq!(wakes_in(Retry::After(None), u16::MAX), Some(1.25));
    assert_eq!(wakes_in(asked(86_400), u16::MAX), Some(86_430.0));
}
