//! An agent used as a tool: a child run with a slice of its parent's budget.

use stead_core::{
    budget::{Amounts, Limits},
    code,
    effect::Ended,
    fact::{Fact, StopMode},
    run::{Debt, Life, Refusal},
    time::Span,
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
fn a_childs_budget_is_cut_from_its_parents_in_every_kind() {
    let limits = Limits {
        tokens: Some(1_000),
        usd: None,
        tool_calls: Some(10),
        active: Some(Span::from_secs(99)),
        deadline: Some(Span::from_secs(1_000)),
        children: Some(7),
        cpu: Some(Span::from_secs(60)),
        traffic: Some(600),
        disk: Some(60),
    };
    let mut story = Story::begin(limited(limits.clone()));
    let before = story.state().budget.active;
    story.replies_using(100, [research(), research(), call("read")]);
    let cut: Vec<Limits> = story
        .owed()
        .into_iter()
        .filter_map(|d| match d {
            Debt::StartChild { limits, .. } => Some(limits),
            _ => None,
        })
        .collect();
    let kinds = |l: &Limits| (l.tokens, l.tool_calls, l.children, l.cpu, l.traffic, l.disk);
    let seconds = |n| Some(Span::from_secs(n));
    assert_eq!(kinds(&cut[0]), (Some(450), Some(3), Some(2), seconds(20), Some(200), Some(20)));
    assert_eq!(kinds(&cut[1]), (Some(450), Some(4), Some(3), seconds(20), Some(200), Some(20)));
    // With what the run itself has used and the three calls, it is never more than all.
    let sum = cut.iter().map(Limits::amounts).fold(Amounts::default(), Amounts::plus);
    assert_eq!((sum.tool_calls + 3, sum.children + 2), (10, 7));
    assert!(sum.active.0 + before.0 <= limits.active.unwrap().0 && sum.active > Span::from_secs(60), "{sum:?}");
    assert_eq!(story.state().left().tool_calls, Some(0), "the children have it");
    story.returns(3, "B");
    // What the first did not use comes back; what it used is the parent's too.
    let used = Amounts {
        tokens: 1,
        tool_calls: 1,
        active: Span::from_secs(5),
        cpu: Span::from_secs(6),
        traffic: 7,
        disk: 8,
        children: 1,
        ..Amounts::default()
    };
    story.child_ends_using(1, Ended::Returned, used).unwrap();
    let left = story.state().left();
    assert_eq!((left.tool_calls, left.children), (Some(10 - 3 - 1 - 4), Some(7 - 2 - 1 - 3)));
    assert_eq!((left.cpu, left.traffic, left.disk), (seconds(60 - 6 - 20), Some(600 - 7 - 200), Some(60 - 8 - 20)));
    story.child_ends_using(2, Ended::Returned, Amounts { tool_calls: 4, ..Amounts::default() }).unwrap();
    assert_eq!(story.state().budget.tool_calls, 3 + 1 + 4);
    story.replies([call("read"), call("read"), call("read")]);
    assert_eq!(story.life(), Life::Failed(code::BUDGET), "two were left");
}

#[test]
fn a_child_that_works_as_long_as_its_parent_may_leaves_no_time() {
    let limits = Limits { active: Some(Span::from_secs(60)), ..Limits::default() };
    let mut story = Story::begin(limited(limits));
    story.replies([research()]);
    let left = story.state().left().active.unwrap();
    assert_eq!(left, Span(0), "the child has all of it");
    let all = Amounts { active: Span::from_secs(60), ..Amounts::default() };
    story.child_ends_using(1, Ended::Refused, all).unwrap();
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
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
