//! An agent used as a tool: a child run with a slice of its parent's budget.

use stead_core::{
    budget::Limits,
    code,
    effect::Ended,
    fact::{Fact, StopMode},
    run::{Debt, Life, Refusal},
};

use crate::story::{Called, Story, agent, call, limited};

fn research() -> Called {
    call("research").child(Limits::default())
}

fn tokens(n: u64) -> Limits {
    Limits { tokens: Some(n), ..Limits::default() }
}

/// The limits of the children that are owed a start.
fn slices(story: &Story) -> Vec<Option<u64>> {
    let limits = story.owed().into_iter().filter_map(|d| match d {
        Debt::StartChild { limits, .. } => Some(limits.tokens),
        _ => None,
    });
    limits.collect()
}

#[test]
fn a_child_is_named_after_its_effect_and_owed_until_it_ends() {
    let mut story = Story::begin(agent());
    story.replies([research()]);
    let (child, _) = story.state().effect_id(1).child();
    let start = [Debt::StartChild { effect: 1, child, limits: Limits::default() }];
    assert_eq!(story.owed(), start);
    story.crashes();
    assert_eq!(story.owed(), start, "starting it again finds the same run");
    story.child_ends(1, Ended::Returned, 10).unwrap();
    assert_eq!(story.last_said(), "1: done");
    assert_eq!(story.child_ends(1, Ended::Returned, 10), Err(Refusal::Stale), "an end that is told twice");
}

#[test]
fn children_started_together_share_what_is_left_evenly() {
    let mut story = Story::begin(limited(tokens(1_000)));
    story.replies_using(100, [research(), research(), research()]);
    assert_eq!(slices(&story), [Some(300), Some(300), Some(300)]);
    assert_eq!(story.state().budget.reserved.tokens, 900);
}

#[test]
fn a_child_gets_no_more_than_its_manifest_grants() {
    let mut story = Story::begin(limited(tokens(1_000)));
    story.replies_using(100, [call("research").child(tokens(50))]);
    assert_eq!(slices(&story), [Some(50)]);
}

#[test]
fn a_child_is_settled_at_what_it_spent_and_the_rest_comes_back() {
    let mut story = Story::begin(limited(tokens(1_000)));
    story.replies_using(100, [research()]);
    assert_eq!(slices(&story), [Some(900)]);
    story.child_ends(1, Ended::Returned, 200).unwrap();
    assert_eq!(story.state().budget.spent.tokens, 300);
    assert_eq!(story.life(), Life::Live);
    assert!(story.state().budget.reserved.tokens < 300, "only the next model call is set aside");
}

#[test]
fn a_child_that_spends_all_leaves_nothing_for_its_parent() {
    let mut story = Story::begin(limited(tokens(1_000)));
    story.replies_using(100, [research()]);
    story.child_ends(1, Ended::Refused, 900).unwrap();
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
}

#[test]
fn no_more_children_are_started_than_allowed() {
    let mut story = Story::begin(limited(Limits { children: Some(1), ..Limits::default() }));
    story.replies([research()]);
    story.child_ends(1, Ended::Returned, 1).unwrap();
    story.replies([research()]);
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    assert_eq!(story.count(|f| matches!(f, Fact::ChildStarted(_))), 1);
}

#[test]
fn a_stopped_parent_stops_its_children_and_ends_after_them() {
    for mode in [StopMode::Cancel, StopMode::Kill] {
        let mut story = Story::begin(agent());
        story.replies([research(), call("read")]);
        let (child, _) = story.state().effect_id(1).child();
        story.stops(mode, &[]);
        assert_eq!(story.owed(), [Debt::StopChild { effect: 1, child, mode }]);
        assert_eq!(story.life(), Life::Live);
        story.child_ends(1, Ended::Withdrawn, 5).unwrap();
        assert_eq!(story.life(), Life::Cancelled);
        assert_eq!(story.state().budget.spent.tokens, 15);
    }
}

#[test]
fn a_child_call_can_wait_for_a_human_too() {
    let mut story = Story::begin(limited(tokens(1_000)));
    story.replies_using(100, [research().asks(), research()]);
    assert_eq!(slices(&story), [Some(450)], "a share is kept for the one that waits");
    story.human_says(1, true).unwrap();
    assert_eq!(slices(&story), [Some(450), Some(450)]);
}
