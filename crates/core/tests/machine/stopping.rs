//! Pause, cancel, kill: what may still happen, and what may not.

use stead_core::{
    budget::Limits,
    effect::EffectClass,
    fact::{Fact, StopMode},
    run::{Command, Debt, Life, Refusal},
    time::Span,
};

use crate::story::{Called, Story, agent, call, limited};

fn mail() -> Called {
    call("mail").is(EffectClass::Irreversible)
}

#[test]
fn nothing_new_starts_while_paused_and_what_is_under_way_may_finish() {
    let mut story = Story::begin(agent());
    story.replies([mail(), call("read")]);
    story.does(Command::Pause);
    story.returns(1, "sent");
    story.returns(2, "B");
    assert_eq!(story.owed(), [], "the next turn waits");
    story.does(Command::Pause);
    assert_eq!(story.count(|f| matches!(f, Fact::Paused)), 1, "a pause of a paused run is nothing");
    story.does(Command::Resume);
    assert_eq!(story.asked_model(), (2, 1));
}

#[test]
fn a_reply_that_comes_while_paused_is_kept_and_its_calls_wait() {
    let mut story = Story::begin(agent());
    story.does(Command::Pause);
    story.replies([mail(), call("read")]);
    assert_eq!(story.owed(), []);
    assert_eq!(story.intents(1), 0);
    story.does(Command::Resume);
    assert_eq!(story.dispatchable(), [1, 2]);
}

#[test]
fn a_model_call_lost_while_paused_is_made_again_after_it() {
    let mut story = Story::begin(agent());
    story.does(Command::Pause);
    story.crashes();
    assert_eq!(story.owed(), []);
    story.does(Command::Resume);
    story.does(Command::Tick);
    assert_eq!(story.owed(), [Debt::CallModel { turn: 1, attempt: 2, model: 0 }]);
}

#[test]
fn after_a_stop_is_acknowledged_nothing_new_starts() {
    let classes = [EffectClass::Keyed, EffectClass::Irreversible, EffectClass::Reconcilable, EffectClass::Contained];
    for mode in [StopMode::Cancel, StopMode::Kill] {
        for dispatched in [vec![], vec![1], vec![2, 3]] {
            let mut story = Story::begin(agent());
            let effects = classes.iter().map(|class| call("act").is(*class));
            story.replies(effects.chain([call("read"), mail().asks()]));
            story.stops(mode, &dispatched);
            for _ in 0..5 {
                for debt in story.owed() {
                    let allowed = match &debt {
                        Debt::Dispatch { effect } => dispatched.contains(effect),
                        Debt::Recover { .. } | Debt::Reconcile { .. } => true,
                        _ => false,
                    };
                    assert!(allowed, "{mode:?} {dispatched:?}: {debt:?}");
                }
                assert!(story.human_says(6, true).is_err(), "a yes after the stop opens nothing");
                story.waits(60);
                story.crashes();
            }
            assert_eq!(story.count(|f| matches!(f, Fact::EffectIntended(_))), classes.len());
            assert_eq!(story.count(|f| matches!(f, Fact::ModelRequested(_))), 1);
        }
    }
}

#[test]
fn cancel_withdraws_what_was_not_dispatched_and_lets_the_rest_finish() {
    let mut story = Story::begin(agent());
    story.replies([mail().args(1), mail().args(2), mail().asks().args(3), call("read")]);
    story.stops(StopMode::Cancel, &[1]);
    assert_eq!(story.withdrawn(), [2, 3, 4]);
    assert_eq!(story.dispatchable(), [1], "under way, and owed to nobody else");
    assert_eq!(story.life(), Life::Live);
    story.returns(1, "sent");
    assert_eq!(story.life(), Life::Cancelled);
    assert!(story.unknown_effects().is_empty());
}

#[test]
fn kill_abandons_what_is_under_way_as_unknown() {
    let mut story = Story::begin(agent());
    story.replies([mail().args(1), mail().args(2)]);
    story.stops(StopMode::Kill, &[1]);
    assert_eq!(story.life(), Life::Cancelled);
    assert_eq!(story.unknown_effects(), [1]);
    assert_eq!(story.withdrawn(), [2]);
}

#[test]
fn kill_after_cancel_is_harder_and_cancel_after_either_is_nothing() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.stops(StopMode::Cancel, &[1]);
    story.stops(StopMode::Cancel, &[1]);
    assert_eq!(story.count(|f| matches!(f, Fact::CancelRequested(_))), 1);
    story.stops(StopMode::Kill, &[1]);
    assert_eq!(story.life(), Life::Cancelled);
    assert_eq!(story.tries(Command::Stop { mode: StopMode::Kill, dispatched: vec![] }), Err(Refusal::Ended));
}

#[test]
fn what_is_not_sent_or_unknown_after_a_stop_is_not_tried_again() {
    for class in [EffectClass::Contained, EffectClass::Keyed, EffectClass::Irreversible] {
        let mut story = Story::begin(agent());
        story.replies([call("act").is(class)]);
        story.stops(StopMode::Cancel, &[1]);
        story.not_sent(1);
        assert_eq!(story.life(), Life::Cancelled, "{class:?}");

        let mut story = Story::begin(agent());
        story.replies([call("act").is(class)]);
        story.stops(StopMode::Cancel, &[1]);
        story.unknown(1);
        assert_eq!(story.life(), Life::Cancelled, "{class:?}");
        assert_eq!(story.intents(1), 1);
    }
}

#[test]
fn an_effect_that_may_have_happened_is_not_called_withdrawn() {
    let mut story = Story::begin(agent());
    story.replies([call("pay").is(EffectClass::Keyed)]);
    story.crashes();
    assert_eq!(story.dispatchable(), [1]);
    story.stops(StopMode::Cancel, &[]);
    assert!(story.withdrawn().is_empty());
    assert_eq!(story.unknown_effects(), [1]);
}

#[test]
fn a_stop_that_finds_lost_work_settles_it_by_the_rules() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.crashes_silently();
    story.stops(StopMode::Cancel, &[]);
    assert!(story.withdrawn().is_empty(), "another activation may have sent it");
    assert_eq!(story.life(), Life::Live);
    story.does(Command::Recover);
    assert_eq!(story.unknown_effects(), [1]);
    assert_eq!(story.life(), Life::Cancelled);
}

#[test]
fn a_stop_ends_a_pause_and_cannot_be_paused() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.does(Command::Pause);
    story.stops(StopMode::Cancel, &[1]);
    assert!(!story.state().paused);
    assert!(matches!(story.tries(Command::Pause), Err(Refusal::Conflict(_))));
}

#[test]
fn a_stop_while_the_model_thinks_lets_no_call_of_its_reply_through() {
    let mut story = Story::begin(agent());
    let aside = story.state().budget.reserved;
    let reply = story.reply([call("read")]);
    story.stops(StopMode::Cancel, &[]);
    assert!(matches!(story.tries(reply), Err(Refusal::Stale | Refusal::Ended)));
    assert_eq!(story.owed(), []);
    assert_eq!(story.life(), Life::Cancelled);
    assert_eq!(story.state().budget.spent, aside, "what was set aside counts as spent");
    assert_eq!(story.state().budget.reserved.tokens, 0);
}

#[test]
fn a_stop_ends_the_wait_for_a_retry() {
    let mut story = Story::begin(agent());
    let busy = stead_core::code::MODEL_BUSY;
    story.model_fails(crate::story::failure(busy, stead_core::run::Retry::After(None), false));
    story.stops(StopMode::Cancel, &[]);
    assert_eq!(story.life(), Life::Cancelled);
}

#[test]
fn every_call_of_a_stopped_turn_still_has_its_result() {
    let mut story = Story::begin(agent());
    story.replies([mail().args(1), mail().args(2).asks(), call("read")]);
    story.stops(StopMode::Kill, &[1]);
    let said = story.conversation();
    let results: Vec<_> = said[2..].iter().map(|l| &l[..16]).collect();
    assert_eq!(results, ["1 failed: ST0043", "2 failed: ST0053", "3 failed: ST0053"]);
}

#[test]
fn a_persons_stop_after_a_limit_closes_the_gate_for_what_has_not_left() {
    let limits = Limits { deadline: Some(Span::from_secs(10)), ..Limits::default() };
    let mut story = Story::begin(limited(limits));
    story.replies([mail().args(1), mail().args(2)]);
    story.waits(10);
    assert_eq!(story.dispatchable(), [1, 2], "a limit does not know what has left");
    story.stops(StopMode::Cancel, &[1]);
    assert_eq!(story.dispatchable(), [1]);
    assert_eq!(story.withdrawn(), [2]);
    assert_eq!(story.count(|f| matches!(f, Fact::CancelRequested(_))), 1);
    story.returns(1, "sent");
    assert_eq!(story.life(), Life::Failed(stead_core::code::BUDGET), "it was the limit that stopped it");
}
