//! Sandboxes: from asking for a box until `true` in it has ended and all is dead, beside plain spawn and wait, bubblewrap
//! and runc, in turns in the same run.

mod ours;
mod peers;
#[cfg(feature = "wasm")]
mod wasm;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// What is asked at once where it is about how many there are in a second.
const CALLERS: usize = 8;

/// How often, and how long.
pub(crate) struct Amount {
    /// Starts of each kind, one after the other.
    starts: usize,
    /// Rounds in which the kinds take turns.
    rounds: usize,
    /// How long boxes are made by several callers.
    burst: Duration,
    /// Boxes after which what is left over is counted.
    cycles: usize,
}

/// Microseconds of each start.
#[derive(Default)]
struct Times(Vec<u64>);

impl Times {
    fn add(&mut self, begun: Instant) {
        self.0.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }

    fn at(&self, hundredths: usize) -> u64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or(0)
    }

    fn json(&self) -> Value {
        json!({ "p50_us": self.at(50), "p99_us": self.at(99) })
    }
}

pub(crate) fn main(quick: bool, as_json: bool) -> ExitCode {
    let amount = if quick {
        Amount { starts: 25, rounds: 6, burst: Duration::from_secs(2), cycles: 300 }
    } else {
        Amount { starts: 100, rounds: 10, burst: Duration::from_secs(8), cycles: 10_000 }
    };
    match crate::durable::runtime().block_on(measure(&amount)) {
        Ok(mut out) => {
            // What boxes are given: the way out, and the files.
            out["egress"] = crate::egress::measure(quick);
            let workspaces = crate::durable::runtime().block_on(crate::workspace::measure(if quick { 10 } else { 40 }));
            out["workspace_commit_ms"] = workspaces["workspace_commit_ms"].clone();
            out["wasm"] = match crate::durable::runtime().block_on(components(&amount)) {
                Ok(found) => found,
                Err(why) => json!({ "absent": why }),
            };
            out["quick"] = quick.into();
            if !as_json && let Some(all) = out.as_object() {
                for (key, value) in all {
                    println!("{key:<14} {value}");
                }
            }
            println!("{out}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("bench sandbox: {why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "wasm")]
async fn components(amount: &Amount) -> Result<Value, String> {
    wasm::measure(amount.starts * amount.rounds).await
}

#[cfg(not(feature = "wasm"))]
async fn components(_: &Amount) -> Result<Value, String> {
    Err("built without the feature `wasm`".to_owned())
}

async fn measure(amount: &Amount) -> Result<Value, String> {
    let boxes = ours::Ours::new().await?;
    let peers = peers::Peers::find();
    let (mut plain, mut own, mut wrapped, mut contained) =
        (Times::default(), Times::default(), Times::default(), Times::default());
    // In turns, so that what else the machine does meets all alike.
    for round in 0..=amount.rounds {
        let mut kept = (Times::default(), Times::default(), Times::default(), Times::default());
        for _ in 0..amount.starts {
            peers::plain(&mut kept.0)?;
        }
        for _ in 0..amount.starts {
            boxes.one(&mut kept.1).await?;
        }
        for _ in 0..amount.starts {
            peers.bubblewrap(&mut kept.2)?;
        }
        for _ in 0..amount.starts.div_ceil(5) {
            peers.runc(&mut kept.3)?;
        }
        // The first round warms all up.
        if round > 0 {
            plain.0.extend(kept.0.0);
            own.0.extend(kept.1.0);
            wrapped.0.extend(kept.2.0);
            contained.0.extend(kept.3.0);
        }
    }
    let mut namespace = own.json();
    namespace["per_s_c8"] = json!(boxes.burst(CALLERS, amount.burst).await?);
    namespace["rss_bytes"] = json!(boxes.memory().await?);
    let mut bubblewrap = wrapped.json();
    bubblewrap["per_s_c8"] = json!(peers.burst(CALLERS, amount.burst)?);
    let leaks = boxes.leaks(CALLERS, amount.cycles).await?;
    let runc = if contained.0.is_empty() { json!({ "absent": peers.no_runc() }) } else { contained.json() };
    Ok(json!({
        "vfork_exec": plain.json(), "namespace": namespace, "bubblewrap": bubblewrap, "runc": runc, "leaks": leaks,
    }))
}
