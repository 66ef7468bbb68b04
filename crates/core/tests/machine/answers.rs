//! Answers that do not satisfy the output's schema: sent back in bounded repair turns, each of which costs as any turn does.

use stead_core::{
    budget::Limits,
    code,
    fact::{Fact, RunConfig},
    run::{Command, Life},
};

use crate::story::{Story, agent, call, limited};

fn repairing(repairs: Option<u8>) -> RunConfig {
    RunConfig { repairs, ..agent() }
}

fn repairs(story: &Story) -> Vec<Option<u8>> {
    let repairs = story.facts().filter_map(|f| match f {
        Fact::AnswerRejected(f) => Some(f.repair),
        _ => None,
    });
    repairs.collect()
}

#[test]
fn an_answer_that_does_not_fit_is_sent_back_with_what_is_wrong() {
    let mut story = Story::begin(repairing(Some(2)));
    story.answers_badly("- $.total: no number");
    assert_eq!(story.conversation(), ["user", "reply", "rejected: - $.total: no number"]);
    assert_eq!(story.asked_model(), (2, 1));
    story.replies([]);
    assert_eq!((story.life(), repairs(&story)), (Life::Completed, vec![Some(1)]));
}

#[test]
fn an_answer_that_never_fits_ends_the_run_after_the_last_repair() {
    for allowed in [0, 1, 3] {
        let mut story = Story::begin(repairing(Some(allowed)));
        for n in 1..=allowed {
            story.answers_badly("no JSON");
            assert_eq!((story.life(), repairs(&story).pop()), (Life::Live, Some(Some(n))));
        }
        story.answers_badly("no JSON");
        assert_eq!(story.life(), Life::Failed(code::ANSWER_SCHEMA));
        assert_eq!(repairs(&story).pop(), Some(None));
    }
}

#[test]
fn calls_between_two_answers_give_no_repairs_back() {
    let mut story = Story::begin(repairing(Some(1)));
    story.answers_badly("no JSON");
    story.replies([call("read")]);
    story.returns(1, "B");
    story.answers_badly("no JSON");
    assert_eq!(story.life(), Life::Failed(code::ANSWER_SCHEMA));
}

#[test]
fn a_repair_turn_is_reserved_settled_and_counted_as_any_turn() {
    // Two turns of 100 and what was said fit, three do not.
    let mut story =
        Story::begin(RunConfig { repairs: Some(9), ..limited(Limits { tokens: Some(250), ..Limits::default() }) });
    story.answers_badly("no JSON");
    assert!(story.state().budget.reserved.tokens > 100 && story.state().budget.spent.tokens == 10);
    while story.life() == Life::Live {
        story.answers_badly("no JSON");
    }
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    let mut story = Story::begin(RunConfig { max_turns: 2, ..repairing(Some(9)) });
    story.answers_badly("no JSON");
    story.answers_badly("no JSON");
    assert_eq!(story.life(), Life::Failed(code::TURNS));
}

#[test]
fn a_crash_in_a_repair_turn_gives_no_repairs_back() {
    let mut story = Story::begin(repairing(Some(1)));
    story.answers_badly("no JSON");
    story.crashes();
    story.answers_badly("no JSON");
    assert_eq!(story.life(), Life::Failed(code::ANSWER_SCHEMA));
}

#[test]
fn an_answer_that_comes_while_the_run_is_paused_is_sent_back_when_it_goes_on() {
    let mut story = Story::begin(repairing(Some(1)));
    story.does(Command::Pause);
    story.answers_badly("no JSON");
    assert_eq!((story.life(), story.owed()), (Life::Live, vec![]));
    story.does(Command::Resume);
    assert_eq!(story.asked_model(), (2, 1));
}

#[test]
fn a_run_that_was_started_before_answers_were_checked_ends_with_any_answer() {
    let mut story = Story::begin(repairing(None));
    story.answers_badly("no JSON");
    assert_eq!((story.life(), repairs(&story)), (Life::Completed, vec![]));
}

#[test]
fn a_reply_whose_calls_are_all_denied_is_no_answer() {
    let mut story = Story::begin(repairing(Some(1)));
    story.replies([call("nonsense").invalid()]);
    assert_eq!((story.life(), story.asked_model()), (Life::Live, (2, 1)));
}
