//! Decisions in an engine: with counters, each of them durable with the facts that follow from it; and what the gate, and budgets above
//! runs, add to the durable steps of [`crate::durable`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json, value::RawValue};
use stead_core::{
    budget::{Caps, MicroUsd, Per, Usage},
    effect::{EffectClass, Outcome},
    id::Name,
    message::{Reply, StopReason, ToolCall},
    time::{Span, Timestamp},
};
use stead_engine::{DefaultPolicy, PolicySets, specs};
use stead_policy::{Policies, Source};
use stead_ports::{
    BoxFuture,
    agent::Agent,
    journal::{BudgetKey, SetBudget},
    model::{DeltaSink, Model, ModelCall, ModelError},
    tool::{Invocation, Output, Tool},
};

use crate::durable::{
    agent::{a_run, agent, engine_under},
    runtime, scratch, steps,
};

/// Runs at once.
const CALLERS: usize = 256;
/// Turns of a run, and calls that the model makes in each.
const TURNS: u32 = 4;
const CALLS: usize = 16;

/// One set for every version.
#[derive(Debug)]
struct Fixed(Arc<Policies>);

impl PolicySets for Fixed {
    fn current(&self, _: &Name, _: &Agent) -> Option<Arc<Policies>> {
        Some(self.0.clone())
    }
}

fn fixed(agent: &Agent, files: &[Source]) -> Arc<dyn PolicySets> {
    let policies = Policies::apply(files, specs(agent), 1).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::new(Fixed(Arc::new(policies)))
}

fn source(file: &str, text: &str) -> Source {
    Source { file: file.to_owned(), text: text.to_owned() }
}

struct Calls(Name);

impl Model for Calls {
    fn name(&self) -> &Name {
        &self.0
    }

    fn call(&self, call: ModelCall, _: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        let mut reply = Reply { usage: Usage { input: 10, output: 5, ..Usage::default() }, ..Reply::default() };
        if call.turn <= TURNS {
            reply.calls.extend((0..CALLS).map(|n| ToolCall {
                id: format!("call_{n}"),
                name: "noop".to_owned(),
                arguments: RawValue::from_string(format!("{{\"n\":{n}}}")).expect("valid JSON"),
            }));
            reply.stop = StopReason::ToolCalls;
        }
        Box::pin(std::future::ready(Ok(reply)))
    }
}

struct Counts(Arc<AtomicU64>);

impl Tool for Counts {
    fn call(&self, _: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        self.0.fetch_add(1, Relaxed);
        Box::pin(std::future::ready(Outcome::Returned(Output::ok("ok"))))
    }
}

/// Calls a second that were decided with what counters of the agent and the tenant said, let go, counted and answered: all of it
/// durable.
fn history(time: Duration) -> f64 {
    let dir = scratch();
    let done = Arc::new(AtomicU64::new(0));
    let model = Arc::new(Calls("noop".into()));
    let agent = agent(EffectClass::Pure, false, model, Arc::new(Counts(done.clone())), TURNS + 1);
    let limit = "forbid (principal, action == Action::\"noop\", resource) \
        when { context.history.calls >= 1000000000 || context.history.ever >= 1000000000 };";
    let counters = "calls: { count: noop, by: agent, within: 1h }\never: { count: all, by: tenant }\n";
    let files = [Source::default_policy(), source("limit.cedar", limit), source("history.yaml", counters)];
    let policies = fixed(&agent, &files);
    runtime().block_on(async {
        let engine = engine_under(dir.path(), agent, policies).await;
        let round = async |time: Duration| {
            let (begin, before) = (Instant::now(), done.load(Relaxed));
            let callers = (0..CALLERS).map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    while begin.elapsed() < time {
                        engine.start_and_wait(a_run()).await.expect("the run ends");
                    }
                })
            });
            for caller in callers.collect::<Vec<_>>() {
                caller.await.expect("the caller ends");
            }
            (done.load(Relaxed) - before) as f64 / begin.elapsed().as_secs_f64()
        };
        round(time / 4).await;
        round(time).await
    })
}

/// What the default policy adds to durable steps, against one `permit` for everything, in per cent: the two take turns.
fn overhead(time: Duration) -> f64 {
    let agent = crate::durable::agent::noop(EffectClass::Irreversible, false, &Arc::default());
    let bare = fixed(&agent, &[source("all.cedar", "permit (principal, action, resource);")]);
    let full = fixed(&agent, &[Source::default_policy()]);
    let rate = |policies: &Arc<dyn PolicySets>| {
        let cell = steps::cell_under(EffectClass::Irreversible, 64, time, policies.clone(), &[]);
        cell["steps_per_s"].as_f64().unwrap_or(0.0)
    };
    by_turns(|| rate(&bare), || rate(&full))
}

/// What budgets of the tenant and of the agent, each day and each month, add to durable steps, against none, in per cent.
fn budgets(time: Duration) -> f64 {
    let caps = Caps {
        tokens: Some(1 << 50),
        usd: Some(MicroUsd(1 << 50)),
        tool_calls: Some(1 << 40),
        active: Some(Span(1 << 60)),
        ..Caps::default()
    };
    let of = |agent: Option<&str>, per| {
        let key = BudgetKey { tenant: "default".into(), agent: agent.map(Name::from), per };
        SetBudget { key, caps, at: Timestamp(0), by: "bench".into() }
    };
    let four = [Per::Day, Per::Month].map(|per| [of(None, per), of(Some("bench"), per)]).concat();
    let rate = |budgets: &[SetBudget]| {
        let policies = Arc::new(DefaultPolicy::default());
        let cell = steps::cell_under(EffectClass::Irreversible, 64, time, policies, budgets);
        cell["steps_per_s"].as_f64().unwrap_or(0.0)
    };
    by_turns(|| rate(&[]), || rate(&four))
}

/// How much more is done without something than with it, in per cent: three rounds of each.
fn by_turns(without: impl Fn() -> f64, with: impl Fn() -> f64) -> f64 {
    let rounds = (0..3).map(|_| (without(), with()));
    let (without, with) = rounds.fold((0.0, 0.0), |(a, b), (without, with)| (a + without, b + with));
    (without / with - 1.0) * 100.0
}

/// The figures, by their keys.
pub(super) fn figures(span: Duration) -> [(&'static str, Value); 3] {
    let tenth = |pct: f64| json!((pct * 10.0).round() / 10.0);
    [
        ("history_durable_per_s", json!(history(span).round())),
        ("durable_overhead_pct", tenth(overhead(span / 2))),
        ("budgets_overhead_pct", tenth(budgets(span / 2))),
    ]
}
