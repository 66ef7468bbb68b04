//! The stop of all runs: how long its acknowledgement takes with 10,000 runs that sleep, and how long until all have ended behind it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stead_core::{effect::EffectClass, time::Timestamp};
use stead_ports::{
    journal::Status,
    switches::{NewSwitch, What},
};

use super::{
    agent::{Seen, a_run, engine, noop},
    suspended::suspend,
};

/// Runs that are there when all are stopped.
const RUNS: usize = 10_000;

/// The milliseconds until the stop is acknowledged, and the seconds until every run has ended.
pub(crate) fn case() -> Value {
    let dir = super::scratch();
    let seen = Arc::new(Seen::default());
    super::runtime().block_on(async {
        let engine = engine(dir.path(), noop(EffectClass::Keyed, true, &seen)).await;
        let runs = suspend(&engine, RUNS).await.len();
        let (tenant, by) = (a_run().tenant, "bench".into());
        let stop = NewSwitch {
            tenant,
            what: What::Runs,
            name: "cancel".into(),
            on: false,
            by,
            at: Timestamp(0),
            reason: String::new(),
        };
        let begin = Instant::now();
        engine.turn(stop).await.expect("the stop is acknowledged");
        let acknowledged = begin.elapsed();
        loop {
            let counts = engine.journal().count(None).await.expect("the store answers");
            let left: u64 = counts.iter().filter(|(status, _)| !status.ended()).map(|(_, n)| *n).sum();
            let cancelled = counts.iter().find(|(status, _)| *status == Status::Cancelled).map_or(0, |(_, n)| *n);
            if left == 0 {
                assert_eq!(cancelled as usize, runs, "every run was cancelled");
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ms = acknowledged.as_secs_f64() * 1e3;
        json!({ "runs": runs, "acknowledged_ms": ms, "all_ended_s": begin.elapsed().as_secs_f64() })
    })
}
