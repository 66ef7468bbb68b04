//! Hard limits: the call that would cross one is not made.

use serde_json::json;
use stead_core::{
    budget::{Limits, MicroUsd},
    code::{self, Code},
    effect::EffectClass,
    time::Span,
};
use stead_engine::StartRun;

use crate::common::*;

/// Runs an agent that never stops by itself, under limits; how it ends and how often it called its model and tool.
fn runaway(limits: Limits, priced: bool, max_turns: u32) -> (Code, usize, usize) {
    let lab = lab();
    let look = tool("look", EffectClass::Pure);
    let maker = agent("a").tool(&look).config(|c| {
        c.limits = limits;
        c.max_turns = max_turns;
    });
    let price = priced.then_some(PRICE);
    let v = lab.add(maker.priced(price, model(|c| call("look", json!({ "turn": c.turn })))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let (code, why) = node.fails(run);
    assert!(!why.is_empty());
    node.empties();
    (code, tally(&node.kinds(run)).get("model_replied").copied().unwrap_or(0), look.count())
}

#[test]
fn each_limit_stops_the_run_with_its_code() {
    let none = Limits::default();
    let tokens = Limits { tokens: Some(1_000), ..none.clone() };
    let (code, calls, _) = runaway(tokens, true, 1_000);
    assert_eq!(code, code::BUDGET);
    assert!((5..66).contains(&calls), "{calls}");
    let usd = Limits { usd: Some(MicroUsd(1_000)), ..none.clone() };
    let (code, calls, _) = runaway(usd.clone(), true, 1_000);
    assert_eq!(code, code::BUDGET);
    assert!((5..66).contains(&calls), "{calls}");
    assert_eq!(runaway(usd, false, 1_000), (code::UNPRICED, 0, 0));
    let few = Limits { tool_calls: Some(3), ..none.clone() };
    assert_eq!(runaway(few, true, 1_000), (code::BUDGET, 4, 3));
    assert_eq!(runaway(none, true, 5), (code::TURNS, 5, 5));
}

#[test]
fn a_callers_limits_can_only_tighten_the_manifests() {
    let lab = lab();
    let look = tool("look", EffectClass::Pure);
    let maker = agent("a").tool(&look).config(|c| c.limits.tool_calls = Some(3));
    let v = lab.add(maker.model(model(|c| call("look", json!({ "turn": c.turn })))));
    let node = lab.open();
    for (asked, made) in [(2, 2), (100, 3)] {
        let before = look.count();
        let limits = Limits { tool_calls: Some(asked), ..Limits::default() };
        let run = node.go(node.engine().start(StartRun { limits, ..ask(v, "x") })).unwrap().run;
        assert_eq!((node.fails(run).0, look.count() - before), (code::BUDGET, made));
    }
}

#[test]
fn working_time_and_calendar_time_are_limits() {
    for (limits, works) in [
        (Limits { active: Some(Span::from_secs(60)), ..Limits::default() }, true),
        (Limits { deadline: Some(Span::from_secs(60)), ..Limits::default() }, true),
        (Limits { deadline: Some(Span::from_secs(60)), ..Limits::default() }, false),
    ] {
        let clock = HandClock::new();
        let lab = lab_with(std::sync::Arc::new(clock.clone()));
        let gate = Gate::closed();
        let mut act = tool("act", EffectClass::Irreversible).gated(&gate);
        act.rules.ask = !works;
        let v = lab.add(agent("a").tool(&act).config(|c| c.limits = limits).model(once("act", json!({}))));
        let node = lab.open();
        let run = node.start(v, "x").run;
        if works {
            node.go(gate.arrived());
        } else {
            node.asked(run);
            node.empties();
        }
        clock.advance(Span::from_secs(61));
        gate.open(1);
        assert_eq!(node.fails(run).0, code::BUDGET);
        node.empties();
    }
}

#[test]
fn waiting_for_a_human_is_not_work() {
    let clock = HandClock::new();
    let lab = lab_with(std::sync::Arc::new(clock.clone()));
    let act = tool("act", EffectClass::Irreversible).asks();
    let limits = Limits { active: Some(Span::from_secs(60)), ..Limits::default() };
    let v = lab.add(agent("a").tool(&act).config(|c| c.limits = limits).model(once("act", json!({}))));
    let node = lab.open();
    let run = node.start(v, "x").run;
    let effect = node.asked(run);
    clock.advance(Span::from_secs(86_400));
    node.approve(effect, true).unwrap();
    assert_eq!(node.completes(run), "done");
}
