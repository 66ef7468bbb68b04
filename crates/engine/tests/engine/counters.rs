//! What an engine counts: money that is not known is no figure, ends and failures are told apart.

use serde_json::json;
use stead_core::{code, effect::EffectClass, effect::Outcome, id::Name};
use stead_ports::tool::Output;

use crate::common::*;

fn ended(node: &Node) -> Vec<(&'static str, u64)> {
    node.engine().stats().effects_ended.into_iter().filter(|(_, n)| *n > 0).collect()
}

#[test]
fn money_that_is_not_known_makes_the_sum_unknown_and_tokens_are_counted_on() {
    let lab = lab();
    let node = lab.open();
    let priced = lab.add(agent("priced").model(turns(vec![say("x")])).account("openai#TEAM"));
    let unpriced = lab.add(agent("unpriced").priced(None, turns(vec![say("x")])));
    node.completes(node.start(priced, "x").run);
    let stats = node.engine().stats();
    assert_eq!((stats.spent.tokens, stats.spent.usd.map(|usd| usd.0)), (15, Some(15)));
    node.completes(node.start(unpriced, "x").run);
    let stats = node.engine().stats();
    assert_eq!((stats.spent.tokens, stats.spent.usd), (30, None));
    let by = |name: &str| stats.spent_by[&Name::from(name)];
    assert_eq!((by("openai").tokens, by("openai").usd.map(|usd| usd.0)), (15, Some(15)));
    assert_eq!((by("none").tokens, by("none").usd), (15, None));
    let attempts: Vec<_> = stats.attempts.iter().map(|(provider, took)| (provider.as_str(), took.count())).collect();
    assert_eq!(attempts, [("none", 1), ("openai", 1)]);
}

#[test]
fn effects_are_counted_by_how_they_ended_and_failures_by_their_code() {
    let lab = lab();
    let node = lab.open();
    let says = |name: &str, outcome: Outcome<Output>| {
        tool(name, EffectClass::Irreversible).does(move |_| {
            let outcome = outcome.clone();
            async move { outcome }
        })
    };
    let wrong = says("wrong", Outcome::Returned(Output::error("no")));
    let refused_by = says("refused", Outcome::Refused(Output::error("no")));
    let lost = says("lost", Outcome::Unknown(Output::error("?")));
    let good = tool("good", EffectClass::Pure);
    let asks = tool("asks", EffectClass::Irreversible).asks();
    for (one, counted) in [(&good, "returned"), (&wrong, "error"), (&refused_by, "refused"), (&lost, "unknown")] {
        let before = ended(&node).iter().find(|(how, _)| *how == counted).map_or(0, |(_, n)| *n);
        let v = lab.add(agent(counted).tool(one).model(once(one.name(), json!({}))));
        node.completes(node.start(v, "x").run);
        assert_eq!(ended(&node).iter().find(|(how, _)| *how == counted), Some(&(counted, before + 1)));
    }
    let v = lab.add(agent("asks").tool(&asks).model(once("asks", json!({}))));
    let (denied, stopped) = (node.start(v, "x").run, node.start(v, "x").run);
    node.approve(node.asked(denied), false).unwrap();
    node.completes(denied);
    node.asked(stopped);
    node.go(node.engine().stop(stopped, stead_core::fact::StopMode::Cancel, me())).unwrap();
    node.end(stopped);
    assert_eq!(
        ended(&node),
        [("returned", 1), ("error", 1), ("refused", 1), ("unknown", 1), ("withdrawn", 1), ("denied", 1)]
    );
    let bad = lab.add(agent("bad").model(std::sync::Arc::new(|_, _| Box::pin(async { Err(refused()) }))));
    node.fails(node.start(bad, "x").run);
    let stats = node.engine().stats();
    assert_eq!(stats.failures[&("model", code::MODEL_REFUSED)], 1);
    assert_eq!(stats.failures.iter().filter(|((of, _), _)| *of == "run").map(|(_, n)| n).sum::<u64>(), 1);
    assert_eq!(stats.lasted.map(|took| took.count()), stats.runs_ended);
    assert_eq!(stats.calls["other"].count(), 4);
}
