//! Working memory: what the next model call sees.

use stead_core::{
    context::{Seen, view},
    effect::EffectClass,
    fact::{Fact, RunConfig},
    run::EntryKind,
};

use crate::story::{Story, agent, call};

const LONG: &str = "a long result, longer than what stands in its place once it is cleared from view, so that clearing \
                    it is worth the trouble: a long result, longer than what stands in its place once it is cleared";

fn small() -> RunConfig {
    RunConfig { context_tokens: 300, ..agent() }
}

fn read_turns(story: &mut Story, turns: std::ops::RangeInclusive<u32>) {
    for effect in turns {
        story.replies([call("read")]);
        story.returns(effect, LONG);
    }
}

fn cleared(story: &Story) -> Vec<u32> {
    let effects = view(story.state()).filter_map(|seen| match seen {
        Seen::Cleared(e) => match e.kind {
            EntryKind::Result { effect, .. } => Some(effect),
            _ => Some(0),
        },
        Seen::Whole(_) => None,
    });
    effects.collect()
}

#[test]
fn old_results_leave_the_view_when_it_outgrows_its_budget_and_stay_in_the_journal() {
    let mut story = Story::begin(small());
    read_turns(&mut story, 1..=6);
    assert!(story.state().view_tokens <= 300, "{}", story.state().view_tokens);
    assert!(!cleared(&story).is_empty());
    assert_eq!(story.conversation().iter().filter(|l| l.ends_with(LONG)).count(), 6);
    assert!(story.count(|f| matches!(f, Fact::ContextCompacted(_))) > 0, "what the model saw is a fact");
}

#[test]
fn the_results_of_the_last_turn_are_never_cleared() {
    let mut story = Story::begin(small());
    for turn in 0..4 {
        story.replies([call("read"), call("look")]);
        story.returns(turn * 2 + 1, LONG);
        story.returns(turn * 2 + 2, LONG);
        let gone = cleared(&story);
        assert!(!gone.contains(&(turn * 2 + 1)) && !gone.contains(&(turn * 2 + 2)), "turn {turn}: {gone:?}");
    }
}

#[test]
fn errors_and_what_people_and_models_said_stay_in_view() {
    let mut story = Story::begin(small());
    story.replies([call("mail").is(EffectClass::Irreversible)]);
    story.crashes();
    read_turns(&mut story, 2..=8);
    let gone = cleared(&story);
    assert!(!gone.contains(&1), "an unknown outcome must not be forgotten");
    assert!(!gone.contains(&0), "nor what was said");
}

#[test]
fn the_view_is_cleared_in_strides_so_that_its_beginning_stays_the_same_for_many_turns() {
    let mut story = Story::begin(RunConfig { context_tokens: 3_000, max_turns: 100, ..agent() });
    read_turns(&mut story, 1..=80);
    let strides = story.count(|f| matches!(f, Fact::ContextCompacted(_)));
    assert!((2..10).contains(&strides), "{strides} in 80 turns");
}

#[test]
fn a_view_that_cannot_shrink_is_left_alone() {
    let mut story = Story::begin(RunConfig { context_tokens: 10, ..agent() });
    story.replies([call("read")]);
    story.returns(1, LONG);
    assert_eq!(story.asked_model(), (2, 1));
    assert_eq!(story.count(|f| matches!(f, Fact::ContextCompacted(_))), 0);
}
