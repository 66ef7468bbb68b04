//! An activation that is about to end, or only answers: what it learns counts, what it would begin waits for the next.

use stead_core::{
    effect::{EffectClass, Outcome},
    fact::{Fact, StopMode},
    run::{Command, Debt, Life},
};

use crate::story::{Called, Story, agent, call, text};

fn mail() -> Called {
    call("mail").is(EffectClass::Irreversible)
}

fn approve() -> Command {
    Command::Approve { effect: 1, approved: true, by: "ann".into(), note: None }
}

#[test]
fn an_irreversible_effect_approved_while_holding_goes_out_in_the_next_activation() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    story.does_holding(approve());
    assert_eq!(story.intents(1), 0, "nobody would dispatch it");
    assert!(story.state().held());
    story.crashes();
    assert_eq!(story.count(|f| matches!(f, Fact::EffectUnknown(_))), 0, "nothing was under way");
    story.does(Command::Tick);
    assert_eq!(story.dispatchable(), [1]);
    assert!(!story.state().held());
}

#[test]
fn an_outcome_that_comes_while_holding_is_kept_and_the_model_is_asked_by_the_next_activation() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.does_holding(Command::Outcome {
        effect: 1,
        attempt: 1,
        outcome: Outcome::Returned(text("sent")),
        error: false,
    });
    assert_eq!(story.owed(), []);
    story.crashes();
    story.does(Command::Tick);
    assert_eq!(story.owed(), [Debt::CallModel { turn: 2, attempt: 1, model: 0 }]);
}

#[test]
fn a_stop_ends_a_run_that_is_held() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    story.does_holding(approve());
    story.does_holding(Command::Stop { mode: StopMode::Cancel, dispatched: Vec::new() });
    assert_eq!(story.life(), Life::Cancelled);
}
