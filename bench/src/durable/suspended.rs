//! Runs that wait for a human: what they weigh, and how quickly they go on.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};
use stead_core::{
    effect::EffectClass,
    id::{EffectId, RunId},
};
use stead_engine::Engine;
use stead_ports::journal::Status;

use super::agent::{Seen, a_run, engine, noop};

/// Callers of the second resumption: as many as the drivers of other runtimes use.
const CALLERS: usize = 64;

/// Suspends `runs` runs at their first tool call, then approves the first calls of 10,000 of them at once, and of 10,000
/// others by a few callers.
pub(crate) fn case(runs: usize) -> Value {
    let dir = super::scratch();
    let seen = Arc::new(Seen::default());
    let resume = runs.min(10_000);
    super::runtime().block_on(async {
        let engine = engine(dir.path(), noop(EffectClass::Keyed, true, &seen)).await;
        // A few first, so that what the process takes once is not counted as theirs.
        let mut started = suspend(&engine, 1_000).await;
        let before = rss();
        started.extend(suspend(&engine, runs).await);
        let rss_delta = rss().saturating_sub(before);
        let disk = du(dir.path()) / started.len() as u64;
        let at_once = approve(&engine, &started[..resume], resume).await;
        let others = suspend(&engine, resume).await;
        let by_few = approve(&engine, &others[..resume], CALLERS).await;
        json!({
            "runs": runs, "rss_delta_bytes": rss_delta, "disk_bytes_per_run": disk, "resume_10000_s": at_once,
            "resume_10000_by_64_s": by_few,
        })
    })
}

/// Approves the first call of each run, `callers` at a time; returns the seconds until all are acknowledged.
async fn approve(engine: &Engine, runs: &[RunId], callers: usize) -> f64 {
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for chunk in runs.chunks(runs.len().div_ceil(callers)) {
        let (engine, chunk) = (engine.clone(), chunk.to_vec());
        tasks.push(tokio::spawn(async move {
            for run in chunk {
                engine
                    .approve(EffectId { run, n: 1 }, true, "bench".into(), None, None)
                    .await
                    .expect("the approval counts");
            }
        }));
    }
    for task in tasks {
        task.await.expect("the caller ends");
    }
    // An approval that is acknowledged is durable together with the intent it released: the run has gone on.
    begin.elapsed().as_secs_f64()
}

pub(super) async fn suspend(engine: &Engine, runs: usize) -> Vec<RunId> {
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (engine, count) = (engine.clone(), runs / 64 + 1);
        tasks.push(tokio::spawn(async move {
            let mut out = Vec::with_capacity(count);
            for _ in 0..count {
                out.push(engine.start(a_run()).await.expect("the run starts").run);
            }
            out
        }));
    }
    let mut out = Vec::new();
    for task in tasks {
        out.extend(task.await.expect("the caller ends"));
    }
    // All of them asleep: none is running any more, and none is in memory.
    loop {
        let counts = engine.journal().count(None).await.expect("the store answers");
        let running = counts.iter().find(|(s, _)| *s == Status::Running).map_or(0, |(_, n)| *n);
        if running == 0 && engine.stats().loaded == 0 {
            return out;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Resident memory of this process, in bytes.
pub(crate) fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes that a directory takes on disk.
pub(crate) fn du(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return meta.blocks() * 512;
    }
    std::fs::read_dir(path).map_or(0, |dir| dir.flatten().map(|e| du(&e.path())).sum())
}
