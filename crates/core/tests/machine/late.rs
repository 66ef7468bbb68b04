//! Answers that come late, twice, or out of order.

use stead_core::{
    effect::{EffectClass, Outcome},
    fact::{Fact, StopMode},
    run::Refusal,
};

use crate::story::{Story, agent, call, text};

fn mail() -> crate::story::Called {
    call("mail").is(EffectClass::Irreversible)
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut story = Story::begin(agent());
    story.replies([mail(), call("read")]);
    story.returns(1, "sent");
    assert_eq!(story.answers_late(1, 1, Outcome::Returned(text("sent"))), Err(Refusal::Stale));
    assert_eq!(story.answers_late(1, 1, Outcome::Unknown(text("?"))), Err(Refusal::Stale));
    assert_eq!(story.count(|f| matches!(f, Fact::EffectReturned(_))), 1);
}

#[test]
fn a_late_answer_in_the_open_turn_takes_the_place_of_the_unknown_one() {
    let mut story = Story::begin(agent());
    story.replies([mail(), call("read")]);
    story.crashes();
    assert_eq!(story.unknown_effects(), [1]);
    story.answers_late(1, 1, Outcome::Returned(text("sent"))).unwrap();
    assert!(story.unknown_effects().is_empty());
    story.returns(2, "B");
    assert_eq!(story.conversation(), ["user", "reply", "1: sent", "2: B"]);
}

#[test]
fn a_late_answer_after_its_turn_is_a_note_and_corrects_the_ledger() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.crashes();
    assert_eq!(story.asked_model(), (2, 1));
    story.answers_late(1, 1, Outcome::Refused(text("no such address"))).unwrap();
    assert!(story.unknown_effects().is_empty());
    assert_eq!(story.last_said(), "note: no such address");
    story.replies([mail()]);
    assert_eq!(story.dispatchable(), [2], "an equal call needs no approval any more");
}

#[test]
fn a_note_never_stands_between_a_reply_and_its_results() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.crashes();
    story.replies([call("read"), call("look")]);
    story.returns(3, "C");
    story.answers_late(1, 1, Outcome::Returned(text("sent"))).unwrap();
    story.returns(2, "B");
    let tail = story.conversation().split_off(3);
    assert_eq!(tail, ["reply", "2: B", "3: C", "note: sent"]);
}

#[test]
fn an_answer_of_an_attempt_before_says_nothing_about_the_one_under_way() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.not_sent(1);
    story.waits(1);
    assert_eq!(story.dispatchable(), [1], "the second attempt is under way");
    for outcome in [Outcome::NotSent(text("again")), Outcome::Unknown(text("?")), Outcome::Refused(text("no"))] {
        assert_eq!(story.answers_late(1, 1, outcome), Err(Refusal::Stale));
    }
    story.returns(1, "sent");
    assert_eq!(story.intents(1), 2);
}

#[test]
fn that_an_attempt_before_did_happen_counts_while_another_is_under_way() {
    let mut story = Story::begin(agent());
    story.replies([call("pay").is(EffectClass::Keyed)]);
    story.unknown(1);
    story.waits(1);
    assert_eq!(story.intents(1), 2);
    story.answers_late(1, 1, Outcome::Returned(text("paid"))).unwrap();
    assert_eq!(story.last_said(), "1: paid");
}

#[test]
fn a_late_refusal_settles_only_what_had_one_attempt() {
    let mut story = Story::begin(agent());
    story.replies([call("pay").is(EffectClass::Keyed).attempts(2)]);
    story.unknown(1);
    story.waits(1);
    story.unknown(1);
    assert_eq!(story.unknown_effects(), [1]);
    for attempt in [1, 2] {
        assert_eq!(story.answers_late(1, attempt, Outcome::Refused(text("no"))), Err(Refusal::Stale));
    }
    story.answers_late(1, 1, Outcome::Returned(text("paid"))).unwrap();
    assert!(story.unknown_effects().is_empty());
}

#[test]
fn nothing_is_taken_in_after_the_end() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.stops(StopMode::Kill, &[1]);
    assert!(story.life().ended());
    assert_eq!(story.answers_late(1, 1, Outcome::Returned(text("sent"))), Err(Refusal::Stale));
    assert_eq!(story.human_says(1, true), Err(Refusal::Ended));
}

#[test]
fn an_equal_call_needs_a_human_while_an_outcome_is_unknown() {
    let mut story = Story::begin(agent());
    story.replies([mail().args(1)]);
    story.crashes();
    story.replies([mail().args(1), mail().args(2), call("read")]);
    assert!(story.is_asking(2), "equal arguments");
    assert_eq!(story.dispatchable(), [3, 4]);
    story.human_says(2, true).unwrap();
    assert_eq!(story.dispatchable(), [2, 3, 4]);
}

#[test]
fn an_equal_key_needs_a_human_too() {
    let mut story = Story::begin(agent());
    let pay = || call("pay").is(EffectClass::Irreversible).key("order-7").args(1);
    story.replies([pay()]);
    story.crashes();
    story.replies([pay()]);
    assert!(story.is_asking(2));
}
