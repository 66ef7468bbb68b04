//! A plan is drawn before the first turn, in turns of its own; what cannot be drawn is done without.

use stead_core::{
    budget::Usage,
    code,
    effect::EffectClass,
    fact::{Fact, Verdict},
    ruling::{Given, PlanMark},
    run::{Command, Gate, Life, Phase, Planning, Retry, Ruling, State},
    time::Timestamp,
};

use crate::story::{Story, agent, call, failure, text};

fn planned(tries: u8) -> Story {
    let mut config = agent();
    config.plan = Some(tries);
    Story::begin(config)
}

fn plans(story: &mut Story, plan: Result<&'static str, &'static str>) {
    let (turn, attempt) = story.asked_model();
    let plan = plan.map(text).map_err(text);
    let usage = Usage { input: 10, ..Usage::default() };
    story.does(Command::Planned { turn, attempt, reply: text("the planner's reply"), usage, plan });
}

fn tries(story: &Story) -> Vec<Option<u8>> {
    let asked = |f: &Fact| match f {
        Fact::ModelRequested(f) => Some(f.planning),
        _ => None,
    };
    story.facts().filter_map(asked).collect()
}

#[test]
fn a_plan_is_drawn_first_and_is_no_part_of_the_conversation() {
    let mut story = planned(2);
    assert!(story.state().planning.wanted());
    plans(&mut story, Ok("do mail()"));
    assert!(matches!(&story.state().planning, Planning::Drawn(_)));
    assert_eq!(tries(&story), [Some(0), None], "the conversation's first turn follows");
    assert_eq!(story.conversation().len(), 1, "the task alone");
    assert_eq!(story.state().budget.spent.tokens, 10, "the planner is paid for");
    story.replies([]);
    assert_eq!(story.life(), Life::Completed);
}

#[test]
fn a_plan_that_cannot_be_read_is_tried_again_and_then_done_without() {
    let mut story = planned(1);
    plans(&mut story, Err("plan:1:4: there is no tool `mial`"));
    assert!(matches!(&story.state().planning, Planning::Wanted { tries: 1, last: Some(_) }));
    plans(&mut story, Err("plan:1:4: there is no tool `mial`"));
    assert_eq!(story.state().planning, Planning::Without);
    assert_eq!(tries(&story), [Some(0), Some(1), None]);
    story.replies([]);
    assert_eq!(story.life(), Life::Completed);
}

#[test]
fn an_attempt_at_a_plan_that_fails_or_is_lost_is_made_again() {
    let mut story = planned(0);
    story.model_fails(failure(code::MODEL_BUSY, Retry::After(None), false));
    story.waits(1);
    assert_eq!(tries(&story), [Some(0), Some(0)]);
    story.crashes();
    assert_eq!(tries(&story), [Some(0), Some(0), Some(0)]);
    plans(&mut story, Ok("do mail()"));
    assert!(matches!(story.state().phase, Phase::Model { .. }));
    assert_eq!(tries(&story).last(), Some(&None));
}

#[test]
fn a_reply_of_the_conversation_is_not_taken_for_a_plan_nor_a_plan_for_a_reply() {
    let mut story = planned(0);
    let reply = story.reply([]);
    assert!(story.tries(reply).is_err());
    let (turn, attempt) = story.asked_model();
    plans(&mut story, Ok("do mail()"));
    let again =
        Command::Planned { turn, attempt, reply: text("r"), usage: Usage::default(), plan: Ok(text("do other()")) };
    assert!(story.tries(again).is_err(), "it is frozen");
}

/// Lets every call through by slot 3.
#[derive(Debug)]
struct Slots;

impl Gate for Slots {
    fn epoch(&self) -> Option<u64> {
        Some(1)
    }

    fn call(&self, _: &State, _: usize, _: Timestamp, _: &[Given]) -> Ruling {
        let plan = Some(PlanMark::Used { slot: 3, element: None });
        Ruling { plan, ..Ruling::allow(1, vec!["granted".into()]) }
    }
    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        Ruling::allow(1, vec!["granted".into()])
    }
}

#[test]
fn a_slot_is_used_by_what_was_sent_and_free_again_after_what_was_not() {
    let mut config = agent();
    config.plan = Some(0);
    let mut story = Story::guarded(config, &Slots);
    plans(&mut story, Ok("do mail()"));
    let mail = || call("mail").is(EffectClass::Irreversible).attempts(1);
    story.replies([mail(), mail(), mail()]);
    assert_eq!(
        story.count(|f| matches!(f, Fact::EffectDecided(f) if f.verdict == Verdict::Allow && f.plan.is_some())),
        3
    );
    story.not_sent(1);
    story.unknown(2);
    story.refuses(3);
    let used: Vec<u32> = story.state().plan_marks.iter().map(|(effect, _)| *effect).collect();
    assert_eq!(used, [2, 3], "what may have been sent, and what was refused, has used its slot");
}
