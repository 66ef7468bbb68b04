//! A human is asked: the run sleeps, costs nothing, and does what they say, once.

use stead_core::{
    effect::EffectClass,
    fact::{AskReason, Fact},
    run::{CallPhase, Command, Life, Refusal},
    time::Span,
};

use crate::story::{Called, Story, agent, call};

fn mail() -> Called {
    call("mail").is(EffectClass::Irreversible)
}

#[test]
fn a_call_that_asks_waits_for_a_human_and_then_goes() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    assert!(story.is_asking(1));
    assert_eq!(story.owed(), []);
    assert_eq!(story.wakes_in(), None, "for ever, if need be");
    assert!(!story.state().working(), "waiting for a human is not work");
    story.human_says(1, true).unwrap();
    assert_eq!(story.dispatchable(), [1]);
}

#[test]
fn a_denied_call_is_not_done_and_the_model_is_told() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    let note = Some("the customer is blocked".into());
    story.does(Command::Approve { effect: 1, approved: false, by: "ada".into(), note, signed: None });
    assert_eq!(story.intents(1), 0);
    assert_eq!(story.last_said(), "1 failed: ST0044: a human (ada) denied this action: the customer is blocked");
}

#[test]
fn an_approval_is_used_once() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    story.human_says(1, true).unwrap();
    assert!(matches!(story.human_says(1, true), Err(Refusal::Conflict(_))));
    assert!(matches!(story.human_says(1, false), Err(Refusal::Conflict(_))));
    assert_eq!(story.intents(1), 1);
    story.returns(1, "sent");
    story.replies([mail().asks()]);
    assert!(story.is_asking(2), "another effect needs another approval");
}

#[test]
fn an_approval_expires() {
    let mut config = agent();
    config.approval_ttl = Some(Span::from_secs(60));
    let mut story = Story::begin(config.clone());
    story.replies([mail().asks()]);
    assert_eq!(story.wakes_in(), Some(60.0));
    story.waits(60);
    assert_eq!(story.last_said(), "1 failed: ST0045: nobody approved this action in time; it was not done.");

    let mut story = Story::begin(config);
    story.replies([mail().asks()]);
    story.passes(61);
    story.human_says(1, true).unwrap();
    assert_eq!(story.count(|f| matches!(f, Fact::ApprovalGiven(_))), 0, "it came too late");
    assert_eq!(story.intents(1), 0);
}

#[test]
fn an_expiry_runs_on_while_the_run_is_paused() {
    let mut config = agent();
    config.approval_ttl = Some(Span::from_secs(60));
    let mut story = Story::begin(config);
    story.replies([mail().asks(), call("read")]);
    story.does(Command::Pause);
    assert_eq!(story.wakes_in(), Some(60.0));
    story.waits(60);
    assert_eq!(story.count(|f| matches!(f, Fact::ApprovalExpired(_))), 1);
}

#[test]
fn an_approval_given_while_paused_is_recorded_and_used_after_it() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    story.does(Command::Pause);
    story.human_says(1, true).unwrap();
    assert_eq!(story.intents(1), 0);
    assert_eq!(story.owed(), []);
    story.crashes();
    assert_eq!(story.intents(1), 0);
    story.does(Command::Resume);
    assert_eq!(story.dispatchable(), [1]);
}

#[test]
fn a_waiting_approval_survives_any_number_of_crashes() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    for _ in 0..5 {
        story.crashes();
    }
    assert!(story.is_asking(1));
    story.human_says(1, true).unwrap();
    assert_eq!(story.dispatchable(), [1]);
}

#[test]
fn a_human_may_decide_about_an_unknown_outcome() {
    let unknown = || {
        let mut story = Story::begin(agent());
        story.replies([mail().asks_when_unknown()]);
        story.crashes();
        let phase = story.state().call(1).unwrap().phase.clone();
        assert!(matches!(phase, CallPhase::Asking { reason: AskReason::OutcomeUnknown, .. }), "{phase:?}");
        story
    };
    let mut story = unknown();
    story.human_says(1, true).unwrap();
    assert_eq!(story.dispatchable(), [1], "it did not happen, do it now");
    assert_eq!(story.intents(1), 2);
    story.refuses(1);
    assert!(story.unknown_effects().is_empty(), "the human's word counts for the attempt before");

    let mut story = unknown();
    story.human_says(1, false).unwrap();
    assert_eq!(story.unknown_effects(), [1], "leave it");
    assert_eq!(story.intents(1), 1);

    let mut story = unknown();
    story.returns(1, "sent");
    assert_eq!(story.last_said(), "1: sent", "the answer itself comes first");
    assert!(matches!(story.human_says(1, true), Err(Refusal::Conflict(_))));
}

#[test]
fn a_stopped_run_asks_nobody_about_an_unknown_outcome() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks_when_unknown()]);
    story.stops(stead_core::fact::StopMode::Cancel, &[1]);
    story.unknown(1);
    assert_eq!(story.life(), Life::Cancelled);
    assert_eq!(story.count(|f| matches!(f, Fact::ApprovalRequested(_))), 0);
}
