//! Steps a second and the time of a step, for a number of runs at once.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stead_core::effect::EffectClass;
use stead_engine::{DefaultPolicy, PolicySets};
use stead_ports::journal::SetBudget;

use super::agent::{Seen, a_run, engine_under, logged, noop};

/// A closed loop: each caller starts a run, waits for its end, starts the next.
pub(crate) fn cell(class: EffectClass, callers: usize, time: Duration) -> Value {
    cell_under(class, callers, time, Arc::new(DefaultPolicy::default()), &[])
}

/// The same under policies, and under budgets above the runs.
pub(crate) fn cell_under(
    class: EffectClass,
    callers: usize,
    time: Duration,
    policies: Arc<dyn PolicySets>,
    budgets: &[SetBudget],
) -> Value {
    measured(class, callers, time, policies, budgets, false)
}

/// The same as [`cell`], with the audit log behind it.
pub(crate) fn logged_cell(class: EffectClass, callers: usize, time: Duration) -> Value {
    measured(class, callers, time, Arc::new(DefaultPolicy::default()), &[], true)
}

fn measured(
    class: EffectClass,
    callers: usize,
    time: Duration,
    policies: Arc<dyn PolicySets>,
    budgets: &[SetBudget],
    log: bool,
) -> Value {
    let dir = super::scratch();
    let seen = Arc::new(Seen::default());
    let (steps, elapsed) = super::runtime().block_on(async {
        let agent = noop(class, false, &seen);
        let engine = match log {
            true => logged(dir.path(), agent, policies).await.0,
            false => engine_under(dir.path(), agent, policies).await,
        };
        for budget in budgets {
            engine.set_budget(budget.clone()).await.expect("the budget is set");
        }
        let round = async |time: Duration| {
            let begin = Instant::now();
            let tasks: Vec<_> = (0..callers)
                .map(|_| {
                    let engine = engine.clone();
                    tokio::spawn(async move {
                        while begin.elapsed() < time {
                            engine.start_and_wait(a_run()).await.expect("the run ends");
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("the caller ends");
            }
            begin.elapsed()
        };
        // A first round brings the log to its size, as in a server that has been up for a while.
        round(time / 4).await;
        seen.gaps.lock().clear();
        let before = seen.steps.load(Relaxed);
        let elapsed = round(time).await;
        (seen.steps.load(Relaxed) - before, elapsed)
    });
    let mut gaps = std::mem::take(&mut *seen.gaps.lock());
    gaps.sort_unstable();
    json!({
        "steps_per_s": (steps as f64 / elapsed.as_secs_f64()).round(),
        "p50_us": percentile(&gaps, 0.50),
        "p99_us": percentile(&gaps, 0.99),
    })
}

/// The value below which that part of the sorted values lies.
pub(crate) fn percentile(sorted: &[u32], part: f64) -> u32 {
    sorted.get((sorted.len().saturating_sub(1) as f64 * part) as usize).copied().unwrap_or(0)
}
