//! What happens to an effect whose process dies, by class; and what its attempts come to.

use stead_core::{
    effect::{EffectClass, Outcome, Recovery},
    fact::Fact,
    id::ActivationId,
    run::{Debt, Refusal, owes},
    time::Timestamp,
};

use crate::story::{Story, agent, call, text};

#[test]
fn a_pure_call_needs_no_intent_and_is_run_again_after_a_crash() {
    let mut story = Story::begin(agent());
    story.replies([call("read")]);
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }]);
    story.crashes();
    assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }]);
    assert_eq!(story.intents(1), 0);
    story.returns(1, "42");
    assert_eq!(story.last_said(), "1: 42");
}

#[test]
fn only_the_activation_that_intended_an_effect_may_dispatch_it() {
    for class in [
        EffectClass::Contained,
        EffectClass::Keyed,
        EffectClass::Reconcilable,
        EffectClass::Compensable,
        EffectClass::Irreversible,
    ] {
        let mut story = Story::begin(agent());
        story.replies([call("act").is(class)]);
        assert_eq!(story.intents(1), 1, "{class:?}");
        assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }]);
        story.crashes_silently();
        assert_eq!(story.owed(), [Debt::Recover { effect: Some(1), rule: class.recovery() }]);
    }
}

#[test]
fn a_contained_effect_is_run_again_after_a_crash_with_a_new_intent() {
    let mut story = Story::begin(agent());
    story.replies([call("build").is(EffectClass::Contained)]);
    for crash in 1..=5 {
        story.crashes();
        assert_eq!(story.owed(), [Debt::Dispatch { effect: 1 }], "lost attempts do not count");
        assert_eq!(story.intents(1), 1 + crash);
    }
    story.returns(1, "built");
    assert_eq!(story.last_said(), "1: built");
}

#[test]
fn no_irreversible_or_compensable_effect_is_dispatched_again_after_a_crash() {
    for class in [EffectClass::Irreversible, EffectClass::Compensable] {
        let mut told = Story::begin(agent());
        told.replies([call("mail").is(class)]);
        let mut asked = Story::begin(agent());
        asked.replies([call("mail").is(class).asks_when_unknown()]);
        for story in [&mut told, &mut asked] {
            story.crashes_silently();
            assert_eq!(story.owed(), [Debt::Recover { effect: Some(1), rule: Recovery::Surface }], "{class:?}");
            for _ in 0..10 {
                story.crashes();
                assert!(story.dispatchable().is_empty(), "{class:?}");
                story.passes(3_600);
            }
            assert_eq!(story.intents(1), 1);
        }
        assert_eq!(told.unknown_effects(), [1]);
        assert!(told.conversation()[2].starts_with("1 failed: ST0043: the outcome is unknown"), "{}", told.last_said());
        assert_eq!(told.state().turn, 2, "the model goes on with what it was told");
        assert!(asked.is_asking(1));
    }
}

#[test]
fn the_rule_of_each_class_is_the_one_of_the_table() {
    let rule = |class: EffectClass| class.recovery();
    assert_eq!(rule(EffectClass::Pure), Recovery::Repeat);
    assert_eq!(rule(EffectClass::Contained), Recovery::Repeat);
    assert_eq!(rule(EffectClass::Keyed), Recovery::RepeatSameKey);
    assert_eq!(rule(EffectClass::Reconcilable), Recovery::Reconcile);
    assert_eq!(rule(EffectClass::Compensable), Recovery::Surface);
    assert_eq!(rule(EffectClass::Irreversible), Recovery::Surface);
}

#[test]
fn an_intent_of_another_activation_is_never_dispatched_whoever_looks() {
    let mut story = Story::begin(agent());
    story.replies([call("mail").is(EffectClass::Irreversible), call("read")]);
    for activation in [0, 2, u64::MAX] {
        let owed: Vec<Debt> = owes(story.state(), ActivationId(activation), Timestamp(i64::MAX)).collect();
        assert!(!owed.contains(&Debt::Dispatch { effect: 1 }), "{activation}");
        assert!(owed.contains(&Debt::Dispatch { effect: 2 }), "a pure call is anyone's");
    }
}

#[test]
fn what_was_not_sent_is_tried_again_after_a_pause_whatever_its_class() {
    for class in [EffectClass::Pure, EffectClass::Irreversible] {
        let mut story = Story::begin(agent());
        story.replies([call("act").is(class).attempts(3)]);
        story.not_sent(1);
        assert!(story.dispatchable().is_empty());
        assert_eq!(story.wakes_in(), Some(0.2));
        story.waits(1);
        assert_eq!(story.dispatchable(), [1], "{class:?}");
        story.not_sent(1);
        assert_eq!(story.wakes_in(), Some(0.4), "pauses double");
        story.waits(1);
        story.not_sent(1);
        assert_eq!(story.last_said(), "1 failed: no connection");
        assert!(story.unknown_effects().is_empty(), "it certainly did not happen");
    }
}

#[test]
fn a_refusal_is_told_to_the_model_and_is_the_last_word() {
    let mut story = Story::begin(agent());
    story.replies([call("mail").is(EffectClass::Irreversible)]);
    story.refuses(1);
    assert_eq!(story.last_said(), "1 failed: refused");
    assert_eq!(story.answers_late(1, 1, Outcome::Returned(text("sent"))), Err(Refusal::Stale));
}

#[test]
fn a_pure_call_that_keeps_failing_without_an_answer_is_given_up_as_an_error() {
    let mut story = Story::begin(agent());
    story.replies([call("read").attempts(2)]);
    story.unknown(1);
    story.waits(1);
    story.unknown(1);
    assert_eq!(story.last_said(), "1 failed: 500");
    assert!(story.unknown_effects().is_empty(), "it changed nothing, so nothing is unknown");
}

#[test]
fn calls_run_beside_each_other_and_their_results_stand_in_the_order_of_the_calls() {
    let mut story = Story::begin(agent());
    story.replies([call("a"), call("b").is(EffectClass::Irreversible), call("c").invalid(), call("d")]);
    assert_eq!(story.dispatchable(), [1, 2, 4]);
    story.returns(4, "D");
    story.returns(2, "B");
    assert_eq!(story.conversation(), ["user", "reply"], "the turn is open");
    story.returns(1, "A");
    let said = ["user", "reply", "1: A", "2: B", "3 failed: no such tool", "4: D"];
    assert_eq!(story.conversation(), said);
    assert_eq!(story.asked_model(), (2, 1));
}

#[test]
fn recovery_of_the_first_of_several_calls_may_close_the_turn() {
    let mut story = Story::begin(agent());
    story.replies([call("mail").is(EffectClass::Irreversible), call("read"), call("look")]);
    story.returns(2, "B");
    story.returns(3, "C");
    story.crashes();
    assert_eq!(story.conversation().len(), 5);
    assert_eq!(story.asked_model(), (2, 1));
}

#[test]
fn a_second_crash_before_recovery_changes_nothing() {
    let mut story = Story::begin(agent());
    story.replies([call("mail").is(EffectClass::Irreversible)]);
    story.crashes_silently();
    story.crashes_silently();
    story.crashes();
    assert_eq!(story.count(|f| matches!(f, Fact::EffectUnknown(_))), 1);
    assert_eq!(story.unknown_effects(), [1]);
}

#[test]
fn what_may_have_happened_is_never_called_not_sent_because_a_later_attempt_was_not() {
    let mut story = Story::begin(agent());
    story.replies([call("pay").is(EffectClass::Keyed).attempts(1)]);
    story.crashes();
    assert_eq!(story.dispatchable(), [1], "repeated under its key");
    story.not_sent(1);
    assert_eq!(story.unknown_effects(), [1]);
    assert_eq!(story.count(|f| matches!(f, Fact::EffectNotSent(_))), 0);
}

#[test]
fn what_may_have_happened_is_never_called_refused_because_a_later_attempt_was() {
    let mut story = Story::begin(agent());
    story.replies([call("pay").is(EffectClass::Keyed)]);
    story.crashes();
    story.refuses(1);
    assert_eq!(story.unknown_effects(), [1], "its token may have expired in between");
    assert_eq!(story.count(|f| matches!(f, Fact::EffectRefused(_))), 0);
}

#[test]
fn a_call_that_cannot_be_made_costs_no_tool_call_and_is_told() {
    let mut story = Story::begin(agent());
    story.replies([call("nonsense").invalid()]);
    assert_eq!(story.state().budget.tool_calls, 0);
    assert_eq!(story.last_said(), "1 failed: no such tool");
    let denied = |f: &Fact| matches!(f, Fact::EffectDecided(d) if d.code.is_some());
    assert_eq!(story.count(denied), 1);
    assert!(!matches!(story.last_facts().last(), Some(Fact::RunFailed(_))));
}
