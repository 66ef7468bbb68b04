//! Hard limits: the run stops before the call that would cross one.

use stead_core::{
    budget::{Limit, Limits, MicroUsd},
    code,
    effect::EffectClass,
    fact::{Fact, RunConfig},
    run::{Command, Debt, Life, Retry},
    time::Span,
};

use crate::story::{Story, agent, call, failure, limited, model};

fn limits() -> Limits {
    Limits::default()
}

fn stopped_by(story: &Story) -> Option<Limit> {
    story.facts().find_map(|f| match f {
        Fact::CancelRequested(c) => c.limit,
        _ => None,
    })
}

#[test]
fn tokens_are_set_aside_before_a_call_and_settled_after_it() {
    let mut story = Story::begin(limited(Limits { tokens: Some(1_000), ..limits() }));
    let aside = story.state().budget.reserved.tokens;
    assert!(aside >= 100, "the input and all the output it may produce");
    story.replies_using(70, [call("read")]);
    let budget = &story.state().budget;
    assert_eq!((budget.spent.tokens, budget.reserved.tokens), (70, 0));
}

#[test]
fn a_run_stops_before_the_call_that_would_cross_its_tokens() {
    let mut story = Story::begin(limited(Limits { tokens: Some(300), ..limits() }));
    story.replies_using(150, [call("read")]);
    story.returns(1, "B");
    story.replies_using(100, [call("read")]);
    story.returns(2, "C");
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    assert_eq!(stopped_by(&story), Some(Limit::Tokens));
    assert_eq!(story.count(|f| matches!(f, Fact::ModelRequested(_))), 2);
}

#[test]
fn a_looping_agent_stops_before_the_call_that_would_cross_its_budget() {
    let limit = 20_000;
    let mut story = Story::begin(RunConfig { max_turns: 1_000, ..limited(Limits { tokens: Some(limit), ..limits() }) });
    for effect in 1..1_000 {
        let reserved = story.state().budget.reserved.tokens;
        assert!(story.state().budget.spent.tokens + reserved <= limit);
        // As hungry as it was allowed to be.
        story.replies_using(reserved, [call("read")]);
        story.returns(effect, "again");
        if story.life().ended() {
            break;
        }
    }
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    let spent = story.state().budget.spent.tokens;
    assert!(spent > limit / 2 && spent <= limit, "{spent}");
}

#[test]
fn what_a_call_used_beyond_its_reservation_blocks_the_next() {
    let mut story = Story::begin(limited(Limits { tokens: Some(1_000), ..limits() }));
    story.replies_using(5_000, [call("read")]);
    assert_eq!(story.life(), Life::Live, "it is settled, and its calls are made");
    story.returns(1, "B");
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
}

#[test]
fn an_answer_is_not_taken_back_because_it_overshot() {
    let mut story = Story::begin(limited(Limits { tokens: Some(1_000), ..limits() }));
    story.replies_using(5_000, []);
    assert_eq!(story.life(), Life::Completed);
}

#[test]
fn money_is_limited_by_the_price_of_the_model() {
    let mut story = Story::begin(limited(Limits { usd: Some(MicroUsd(250)), ..limits() }));
    story.replies_using(200, [call("read")]);
    story.returns(1, "B");
    assert_eq!(stopped_by(&story), Some(Limit::Usd));
    assert_eq!(story.state().budget.spent.usd, Some(MicroUsd(200)));
}

fn unpriced() -> stead_core::fact::ModelConfig {
    stead_core::fact::ModelConfig { price: None, ..model("unpriced") }
}

#[test]
fn a_money_limit_refuses_a_model_whose_price_is_unknown() {
    let config =
        RunConfig { models: vec![unpriced()], ..limited(Limits { usd: Some(MicroUsd(1_000_000)), ..limits() }) };
    let story = Story::begin(config);
    assert_eq!(story.life(), Life::Failed(code::UNPRICED));
}

#[test]
fn a_money_limit_passes_over_an_unpriced_model_for_a_priced_one() {
    let limit = Limits { usd: Some(MicroUsd(1_000_000)), ..limits() };
    let story = Story::begin(RunConfig { models: vec![unpriced(), model("priced")], ..limited(limit) });
    assert_eq!(story.owed(), [Debt::CallModel { turn: 1, attempt: 1, model: 1 }]);
}

#[test]
fn without_a_money_limit_an_unknown_price_makes_the_sum_unknown_not_zero() {
    let mut story = Story::begin(RunConfig { models: vec![unpriced()], ..agent() });
    story.replies_using(70, []);
    assert_eq!(story.state().budget.spent.usd, None);
    assert_eq!(story.state().budget.spent.tokens, 70);
}

#[test]
fn a_lost_model_call_is_settled_at_all_that_was_set_aside() {
    let mut story = Story::begin(agent());
    let aside = story.state().budget.reserved.tokens;
    story.crashes();
    assert_eq!(story.state().budget.spent.tokens, aside);
    assert_eq!(story.owed(), [Debt::CallModel { turn: 1, attempt: 2, model: 0 }]);
    let lost = |f: &Fact| matches!(f, Fact::ModelFailed(m) if m.estimated && m.code == code::MODEL_LOST);
    assert_eq!(story.count(lost), 1);
}

#[test]
fn tool_calls_are_counted_when_they_are_decided() {
    let mut story = Story::begin(limited(Limits { tool_calls: Some(2), ..limits() }));
    story.replies([call("read"), call("bad").invalid(), call("read")]);
    assert_eq!(story.dispatchable(), [1, 3]);
    story.returns(1, "A");
    story.returns(3, "C");
    story.replies([call("read")]);
    assert_eq!(stopped_by(&story), Some(Limit::ToolCalls));
    assert_eq!(story.withdrawn(), [4]);
}

#[test]
fn a_limit_met_in_the_middle_of_a_reply_lets_none_of_its_calls_go() {
    let mut story = Story::begin(limited(Limits { tool_calls: Some(2), ..limits() }));
    let mail = || call("mail").is(EffectClass::Irreversible);
    story.replies([mail().args(1), mail().args(2), mail().args(3)]);
    assert_eq!(story.owed(), []);
    assert_eq!(story.withdrawn(), [1, 2, 3]);
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
}

#[test]
fn an_intent_of_the_very_decision_that_meets_a_limit_is_withdrawn() {
    let mut story = Story::begin(limited(Limits { children: Some(0), ..limits() }));
    story.replies([call("mail").is(EffectClass::Irreversible), call("agent").child(limits())]);
    assert_eq!(story.owed(), [], "nobody has seen the intent, so nobody may act on it");
    assert_eq!(story.withdrawn(), [1, 2]);
    assert_eq!(stopped_by(&story), Some(Limit::Children));
}

#[test]
fn what_is_under_way_may_finish_when_a_limit_is_met() {
    let mut story = Story::begin(limited(Limits { deadline: Some(Span::from_secs(10)), ..limits() }));
    story.replies([call("mail").is(EffectClass::Irreversible), call("read")]);
    story.waits(10);
    assert_eq!(story.life(), Life::Live);
    story.returns(1, "sent");
    assert_eq!(story.life(), Life::Failed(code::BUDGET));
    assert_eq!(story.conversation()[2], "1: sent");
}

#[test]
fn a_deadline_is_calendar_time_and_waiting_counts() {
    let mut story = Story::begin(limited(Limits { deadline: Some(Span::from_secs(100)), ..limits() }));
    story.replies([call("mail").is(EffectClass::Irreversible).asks()]);
    assert_eq!(story.wakes_in(), Some(100.0));
    story.waits(100);
    assert_eq!(stopped_by(&story), Some(Limit::Deadline));
    assert_eq!(story.intents(1), 0);
}

#[test]
fn active_counts_work_and_not_the_wait_for_a_human() {
    let mut story = Story::begin(limited(Limits { active: Some(Span::from_secs(10)), ..limits() }));
    story.passes(3);
    story.replies([call("mail").is(EffectClass::Irreversible).asks()]);
    assert_eq!(story.state().budget.active, Span::from_secs(3));
    story.passes(3_600);
    story.human_says(1, true).unwrap();
    assert_eq!(story.state().budget.active, Span::from_secs(3));
    assert_eq!(story.wakes_in(), Some(7.0));
    story.waits(7);
    assert_eq!(stopped_by(&story), Some(Limit::Active));
}

#[test]
fn the_time_between_a_crash_and_the_next_load_is_not_work() {
    let mut story = Story::begin(limited(Limits { active: Some(Span::from_secs(10)), ..limits() }));
    story.passes(4);
    story.replies([call("read")]);
    story.passes(3_600);
    story.crashes_silently();
    assert_eq!(story.dispatchable(), [1]);
    story.does(Command::Tick);
    assert_eq!(story.life(), Life::Live);
    assert_eq!(story.wakes_in(), Some(6.0), "a due wait comes to something, or it would come again for ever");
    story.passes(2);
    story.returns(1, "B");
    assert_eq!(story.state().budget.active, Span::from_secs(6));
}

#[test]
fn a_run_takes_no_more_turns_than_its_manifest_allows() {
    let mut story = Story::begin(RunConfig { max_turns: 2, ..agent() });
    for effect in 1..=2 {
        story.replies([call("read")]);
        story.returns(effect, "B");
    }
    assert_eq!(story.life(), Life::Failed(code::TURNS));
    assert_eq!(story.count(|f| matches!(f, Fact::ModelRequested(_))), 2);
}

#[test]
fn an_attempt_that_the_provider_did_not_charge_costs_nothing() {
    let mut story = Story::begin(agent());
    story.model_fails(failure(code::MODEL_BUSY, Retry::After(None), false));
    assert_eq!(story.state().budget.spent.tokens, 0);
    assert_eq!(story.state().budget.reserved.tokens, 0);
}
