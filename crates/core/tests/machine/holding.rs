//! An activation that is about to end, or only answers: what it learns counts, what it would begin waits for the next.

use stead_core::{
    budget::Limits,
    effect::{EffectClass, Outcome},
    fact::{Fact, Held, StopMode},
    run::{Command, Debt, Life},
    time::Span,
};

use crate::story::{Called, Story, agent, call, limited, text};

fn mail() -> Called {
    call("mail").is(EffectClass::Irreversible)
}

fn approve() -> Command {
    Command::Approve { effect: 1, approved: true, by: "ann".into(), note: None, signed: None }
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
        action: None,
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

#[test]
fn what_was_promised_and_not_sent_is_done_by_the_next_activation_as_if_it_had_never_been_tried() {
    let mut story = Story::begin(agent());
    story.replies([mail().attempts(1), mail().args(2).attempts(1)]);
    story.does_holding(Command::Unsent { model: false, effects: vec![2], why: Held::Draining });
    assert_eq!(story.dispatchable(), [1], "the other one has left");
    story.crashes();
    assert_eq!(story.unknown_effects(), [1]);
    story.does(Command::Tick);
    assert_eq!(story.dispatchable(), [2]);
    assert_eq!(story.state().call(2).map(|c| (c.attempt, c.tries)), Some((2, 0)));
    story.returns(2, "sent");
    assert_eq!(story.asked_model(), (2, 1));
}

#[test]
fn a_model_call_that_was_not_sent_costs_nothing_and_is_no_attempt() {
    let mut story = Story::begin(agent());
    let before = story.state().budget.clone();
    for n in 2..10 {
        story.does_holding(Command::Unsent { model: true, effects: Vec::new(), why: Held::Draining });
        assert_eq!(story.owed(), []);
        assert_eq!((story.state().budget.spent, story.state().budget.reserved.tokens), (before.spent, 0));
        story.crashes();
        story.does(Command::Tick);
        assert_eq!(story.owed(), [Debt::CallModel { turn: 1, attempt: n, model: 0 }]);
    }
    story.replies([]);
    assert_eq!(story.life(), Life::Completed);
}

#[test]
fn what_was_not_sent_of_a_run_that_a_limit_stops_is_withdrawn() {
    let limits = Limits { deadline: Some(Span::from_secs(10)), ..Limits::default() };
    let mut story = Story::begin(limited(limits));
    story.replies([mail(), mail().args(2)]);
    story.passes(11);
    story.does_holding(Command::Tick);
    assert_eq!(story.withdrawn(), [] as [u32; 0], "the machine does not know what has left");
    story.does_holding(Command::Unsent { model: false, effects: vec![2], why: Held::Draining });
    assert_eq!(story.withdrawn(), [2]);
    story.returns(1, "sent");
    assert_eq!(story.life(), Life::Failed(stead_core::code::BUDGET));
}
