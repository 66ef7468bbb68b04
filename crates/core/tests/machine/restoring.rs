//! A run out of a backup: what it may have done in the life that was lost is never done again unasked.

use stead_core::{
    budget::Limits,
    effect::{EffectClass, Outcome, Reconciled},
    fact::{AskReason, Fact, StopMode},
    run::{Admit, CallPhase, Command, Debt, Life, Refusal},
    time::{Span, Timestamp},
};

use crate::story::{Called, Story, agent, call, text};

/// The backup was taken a minute before the story begins to be told again.
const TAKEN: Timestamp = Timestamp(1_000_000_000);

fn restored(story: &mut Story) {
    story.passes(60);
    story.crashes_silently();
    story.does(Command::Restore { generation: 2, taken: TAKEN });
    assert!(story.state().paused, "it waits for an operator");
    assert!(story.dispatchable().is_empty());
    story.does(Command::Recover);
}

/// A run that was restored before the model was asked.
fn before_the_reply() -> Story {
    let mut story = Story::begin(agent());
    restored(&mut story);
    story.does(Command::Resume);
    story.does(Command::Tick);
    story
}

fn reason(story: &Story, effect: u32) -> Option<AskReason> {
    match story.state().call(effect)?.phase {
        CallPhase::Asking { reason, .. } => Some(reason),
        _ => None,
    }
}

fn mail() -> Called {
    call("mail").is(EffectClass::Irreversible)
}

fn pay() -> Called {
    call("pay").is(EffectClass::Keyed)
}

#[test]
fn a_restored_run_pauses_and_says_why() {
    let mut story = Story::begin(agent());
    restored(&mut story);
    let said = story.facts().find_map(|f| match f {
        Fact::Restored(f) => Some((f.generation, f.taken)),
        _ => None,
    });
    assert_eq!(said, Some((2, TAKEN)));
    assert_eq!(story.count(|f| matches!(f, Fact::Paused)), 1);
    story.does(Command::Resume);
    story.does(Command::Tick);
    story.replies([]);
    assert_eq!(story.life(), Life::Completed);
    assert_eq!(story.tries(Command::Restore { generation: 3, taken: TAKEN }), Err(Refusal::Ended));
}

#[test]
fn what_a_later_reply_asks_for_is_not_done_unasked() {
    let mut story = before_the_reply();
    let classes = [EffectClass::Irreversible, EffectClass::Compensable, EffectClass::Reconcilable];
    story.replies(classes.map(|class| call("mail").is(class)));
    for effect in 1..=3 {
        assert_eq!(reason(&story, effect), Some(AskReason::Restored));
    }
    assert!(story.dispatchable().is_empty());
    story.human_says(1, true).unwrap();
    assert_eq!(story.dispatchable(), [1], "it did not happen, do it now");
    story.returns(1, "sent");
    story.human_says(2, false).unwrap();
    story.human_says(3, false).unwrap();
    assert_eq!(story.unknown_effects(), [2, 3], "what was left alone may have happened");
    assert_eq!(story.intents(2) + story.intents(3), 0);
}

#[test]
fn the_mark_stays_for_the_rest_of_the_run() {
    let mut story = before_the_reply();
    for effect in 1..=3 {
        story.replies([call("read")]);
        story.returns(effect, "read");
    }
    story.replies([mail()]);
    assert_eq!(reason(&story, 4), Some(AskReason::Restored));
}

#[test]
fn what_changes_nothing_is_simply_done_again() {
    let mut story = before_the_reply();
    story.replies([call("read"), call("box").is(EffectClass::Contained)]);
    assert_eq!(story.dispatchable(), [1, 2]);
}

#[test]
fn a_business_key_is_used_again_while_it_lives() {
    let mut story = before_the_reply();
    story.replies([pay().key("order-1").key_lives(3_600)]);
    assert_eq!(story.dispatchable(), [1]);
    story.refuses(1);
    assert_eq!(story.unknown_effects(), [1], "a refusal now says nothing about what was done before");

    let mut story = before_the_reply();
    story.replies([pay().key("order-1").key_lives(60)]);
    assert_eq!(reason(&story, 1), Some(AskReason::Restored), "its life is counted from the backup");
}

#[test]
fn an_effect_id_is_a_key_only_for_a_call_that_was_in_the_backup() {
    let mut story = before_the_reply();
    story.replies([pay()]);
    assert_eq!(reason(&story, 1), Some(AskReason::Restored), "the number may have named another call");

    let mut story = Story::begin(agent());
    story.replies([pay()]);
    restored(&mut story);
    story.does(Command::Resume);
    story.does(Command::Tick);
    assert_eq!(story.dispatchable(), [1], "the same call under the same key");
    assert_eq!(story.intents(1), 2);

    let mut story = Story::begin(agent());
    story.does(Command::Pause);
    story.replies([pay(), pay().key("order-1"), mail()]);
    restored(&mut story);
    story.does(Command::Resume);
    assert_eq!(story.dispatchable(), [1, 2]);
    assert_eq!(reason(&story, 3), Some(AskReason::Restored), "undecided in the backup, perhaps done since");
}

#[test]
fn an_open_question_is_asked_again() {
    let mut config = agent();
    config.approval_ttl = Some(Span::from_secs(90));
    let mut story = Story::begin(config);
    story.replies([mail().asks(), call("read").asks(), pay().asks()]);
    restored(&mut story);
    assert_eq!(reason(&story, 1), Some(AskReason::Restored));
    assert_eq!(reason(&story, 2), Some(AskReason::Manifest));
    assert_eq!(reason(&story, 3), Some(AskReason::Manifest));
    assert_eq!(story.count(|f| matches!(f, Fact::ApprovalRequested(_))), 6);
    assert_eq!(story.wakes_in(), Some(90.0), "the time to answer begins anew");
    story.does(Command::Resume);
    story.human_says(3, true).unwrap();
    assert_eq!(story.dispatchable(), [3]);
    story.refuses(3);
    assert_eq!(story.unknown_effects(), [3], "that it may be done says not that it was not");
    story.waits(90);
    assert_eq!(story.unknown_effects(), [3, 1], "nobody answered: it may have happened");
}

#[test]
fn a_yes_that_was_not_used_is_asked_for_again() {
    let mut story = Story::begin(agent());
    story.replies([mail().asks()]);
    story.does(Command::Pause);
    story.human_says(1, true).unwrap();
    restored(&mut story);
    story.does(Command::Resume);
    assert_eq!(reason(&story, 1), Some(AskReason::Restored));
    assert_eq!(story.intents(1), 0);
}

#[test]
fn an_intent_in_the_backup_is_settled_by_its_class() {
    let mut story = Story::begin(agent());
    let settles = call("book").is(EffectClass::Reconcilable).settles_in(30);
    story.replies([mail(), mail().args(2).asks_when_unknown(), settles, pay()]);
    restored(&mut story);
    assert_eq!(story.unknown_effects(), [1]);
    assert_eq!(reason(&story, 2), Some(AskReason::OutcomeUnknown));
    story.does(Command::Resume);
    story.does(Command::Tick);
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 3 }, Debt::Dispatch { effect: 4 }]);
    story.reconciles(3, Reconciled::Absent);
    assert_eq!(story.intents(3), 1, "the last attempt may have left just before the loss");
    story.waits(30);
    story.reconciles(3, Reconciled::Absent);
    assert_eq!(story.intents(3), 2);
    assert!(story.answers_late(1, 1, Outcome::Refused(text("no"))).is_err(), "of which attempt?");
}

#[test]
fn a_call_that_was_to_be_tried_again_is_doubted() {
    let mut story = Story::begin(agent());
    story.replies([mail(), call("book").is(EffectClass::Reconcilable), pay()]);
    for effect in 1..=3 {
        story.not_sent(effect);
    }
    restored(&mut story);
    assert_eq!(reason(&story, 1), Some(AskReason::Restored));
    story.does(Command::Resume);
    story.does(Command::Tick);
    assert_eq!(story.owed(), [Debt::Reconcile { effect: 2 }, Debt::Dispatch { effect: 3 }]);
}

#[test]
fn a_child_of_a_restored_run_is_restored() {
    let mut story = Story::begin(agent());
    story.replies([call("ask").is(EffectClass::Keyed).child(Limits::default())]);
    restored(&mut story);
    story.does(Command::Resume);
    assert!(matches!(story.owed()[..], [Debt::StartChild { effect: 1, .. }]), "it is found by its name");
    let mark = story.state().restored;
    let mut child = Story::child_of(agent(), Some(Admit::default()), mark);
    assert!(!child.state().paused);
    child.replies([pay(), mail()]);
    assert_eq!((reason(&child, 1), reason(&child, 2)), (Some(AskReason::Restored), Some(AskReason::Restored)));
}

#[test]
fn a_second_restore_forgets_nothing_of_the_first() {
    let mut story = before_the_reply();
    story.replies([pay().key("order-1").key_lives(100)]);
    story.crashes_silently();
    story.does(Command::Restore { generation: 3, taken: TAKEN.after(Span::from_secs(60)) });
    let mark = story.state().restored.unwrap();
    assert_eq!((mark.generation, mark.taken, mark.known), (3, TAKEN, 1));
    story.passes(45);
    story.does(Command::Recover);
    assert_eq!(story.unknown_effects(), [1], "its key's life is counted from the first backup");
}

#[test]
fn a_run_that_was_being_stopped_ends() {
    let mut story = Story::begin(agent());
    story.replies([mail()]);
    story.stops(StopMode::Cancel, &[1]);
    story.crashes_silently();
    story.does(Command::Restore { generation: 2, taken: TAKEN });
    story.does(Command::Recover);
    assert_eq!(story.life(), Life::Cancelled);
    assert_eq!(story.unknown_effects(), [1]);
}
