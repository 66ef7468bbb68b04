//! Idempotency keys: one key for an effect, one meaning for a business key, no longer than the destination remembers.

use stead_core::{code, effect::EffectClass, fact::Fact, run::Debt};

use crate::story::{Called, Story, agent, call};

fn refund(order: &str, args: u8) -> Called {
    call("refund").is(EffectClass::Keyed).key(order).args(args)
}

fn denied_for_reuse(story: &Story) -> usize {
    story.count(|f| matches!(f, Fact::EffectDecided(d) if d.code == Some(code::KEY_REUSED)))
}

#[test]
fn a_keyed_effect_is_repeated_as_the_same_effect_and_only_while_its_key_lives() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1).key_lives(60)]);
    story.crashes();
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }]);
    assert_eq!(story.state().calls.len(), 1);
    let call = story.state().call(1).unwrap();
    assert_eq!((call.head.key.as_deref(), call.attempt), (Some("order-1042"), 2));

    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1).key_lives(60)]);
    story.passes(60);
    story.crashes();
    assert_eq!(story.intents(1), 1, "a key that the destination has forgotten counts as irreversible");
    assert_eq!(story.unknown_effects(), [1]);
}

#[test]
fn a_key_with_other_arguments_is_refused() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1)]);
    story.returns(1, "refunded");
    story.replies([refund("order-1042", 2)]);
    assert_eq!(denied_for_reuse(&story), 1);
    assert_eq!(story.intents(2), 0);
}

#[test]
fn a_key_with_other_arguments_is_refused_within_one_reply_too() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1), refund("order-1042", 2), refund("order-7", 2)]);
    assert_eq!(story.dispatchable(), [1, 3]);
    assert_eq!(denied_for_reuse(&story), 1);
}

#[test]
fn a_business_key_may_be_used_again_with_the_same_arguments_and_by_another_tool() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1)]);
    story.returns(1, "refunded");
    story.replies([refund("order-1042", 1), call("ship").is(EffectClass::Keyed).key("order-1042").args(9)]);
    assert_eq!(story.dispatchable(), [2, 3]);
    assert_eq!(denied_for_reuse(&story), 0);
}

#[test]
fn a_key_that_was_never_intended_is_not_in_use() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1).asks()]);
    story.human_says(1, false).unwrap();
    story.replies([refund("order-1042", 2)]);
    assert_eq!(story.dispatchable(), [2]);
}

#[test]
fn the_life_of_a_key_is_counted_from_its_first_intent() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1).key_lives(60)]);
    story.passes(40);
    story.crashes();
    assert_eq!(story.dispatchable(), [1]);
    story.passes(40);
    story.crashes();
    assert_eq!(story.intents(1), 2);
    assert_eq!(story.unknown_effects(), [1]);
}

#[test]
fn a_key_that_dies_during_a_pause_is_not_used_after_it() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1).key_lives(60), call("read")]);
    story.does(stead_core::run::Command::Pause);
    story.crashes();
    story.passes(3_600);
    story.does(stead_core::run::Command::Resume);
    story.does(stead_core::run::Command::Tick);
    assert_eq!(story.intents(1), 1);
    assert_eq!(story.unknown_effects(), [1]);
    assert_eq!(story.dispatchable(), [2]);
}

#[test]
fn a_key_that_dies_during_the_last_wait_closes_the_turn() {
    let mut story = Story::begin(agent());
    story.replies([refund("order-1042", 1).key_lives(1), call("read"), call("look")]);
    story.returns(2, "B");
    story.returns(3, "C");
    story.unknown(1);
    story.waits(2);
    assert_eq!(story.unknown_effects(), [1]);
    assert_eq!(story.asked_model(), (2, 1));
}
