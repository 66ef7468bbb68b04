//! `kill -9` with 1,000 runs under way: how soon work goes on, and what was lost or done twice.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Write,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use stead_core::{
    effect::EffectClass,
    fact::{AfterUnknown, Fact},
};
use stead_engine::Engine;
use stead_ports::journal::{RunFilter, Status};

use super::agent::{CALLS, Seen, a_run, engine, noop};

/// Runs under way at once.
pub(super) const RUNS: usize = 1_000;
const CLASSES: [(&str, EffectClass); 4] = [
    ("pure", EffectClass::Pure),
    ("keyed", EffectClass::Keyed),
    ("compensable", EffectClass::Compensable),
    ("irreversible", EffectClass::Irreversible),
];

/// What one killed process left behind, once another has finished it.
struct Aftermath {
    first_ms: u128,
    last_ms: u128,
    lost: u64,
    repeated: u64,
    other_key: u64,
}

/// Kills a process of each class in the middle and finishes its runs in another.
pub(crate) fn case() -> Value {
    let mut out = serde_json::Map::new();
    let (mut first, mut last, mut lost) = (0, 0, 0);
    for (name, class) in CLASSES {
        let after = one(name, class);
        first = first.max(after.first_ms);
        last = last.max(after.last_ms);
        lost += after.lost;
        out.insert(format!("repeated_{name}"), after.repeated.into());
        if class == EffectClass::Keyed {
            out.insert("repeated_under_another_key".into(), after.other_key.into());
        }
    }
    out.insert("runs".into(), RUNS.into());
    out.insert("first_step_ms".into(), u64::try_from(first).unwrap_or(u64::MAX).into());
    out.insert("last_step_ms".into(), u64::try_from(last).unwrap_or(u64::MAX).into());
    out.insert("lost".into(), lost.into());
    out.into()
}

fn one(name: &str, class: EffectClass) -> Aftermath {
    let dir = super::scratch();
    let ledger = dir.path().join("ledger");
    let mut child = spawn("durable-child", "start", name, dir.path());
    let lines = |n: usize| -> bool {
        // A third of the steps, so that every run is under way and none is far from its middle.
        std::fs::metadata(&ledger).is_ok_and(|m| m.len() > n as u64 * 80)
    };
    let begin = Instant::now();
    while !lines(RUNS * CALLS as usize / 3) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the runs do not get under way");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("the child can be killed");
    child.wait().expect("the child ends");
    let before = std::fs::read_to_string(&ledger).expect("the ledger can be read");

    let begin = Instant::now();
    let mut child = spawn("durable-child", "finish", name, dir.path());
    let size = before.len() as u64;
    while std::fs::metadata(&ledger).is_ok_and(|m| m.len() == size) && begin.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_micros(500));
    }
    let first_ms = begin.elapsed().as_millis();
    let status = child.wait().expect("the child ends");
    let last_ms = begin.elapsed().as_millis();
    let times = super::crash::ledger(dir.path());
    // Nothing is lost when every run whose start was acknowledged has ended, and each of its effects was executed or
    // settled as unknown (never dispatched, but nobody could know).
    let acked = std::fs::read_to_string(dir.path().join("acked")).expect("the acknowledged runs can be read");
    let (ended, unexecuted) = aftermath(&dir.path().join("data"), class, &times);
    let missing = acked.lines().filter(|run| !ended.contains(*run)).count() as u64;
    let lost = if status.success() { missing + unexecuted } else { RUNS as u64 };
    let repeated = times.values().filter(|t| t.len() > 1).count() as u64;
    let other_key = times.values().filter(|t| t.iter().any(|k| k != &t[0])).count() as u64;
    Aftermath { first_ms, last_ms, lost, repeated, other_key }
}

/// The runs that completed, and how many of their effects were neither executed nor settled as unknown.
pub(super) fn aftermath(
    dir: &Path,
    class: EffectClass,
    executed: &HashMap<String, Vec<String>>,
) -> (HashSet<String>, u64) {
    let seen = Arc::new(Seen::default());
    super::runtime().block_on(async {
        let engine = engine(dir, noop(class, false, &seen)).await;
        let filter = RunFilter { tenant: "default".into(), limit: 10_000, ..RunFilter::default() };
        let (mut ended, mut unexecuted) = (HashSet::new(), 0);
        for row in engine.journal().runs(&filter).await.expect("the store answers") {
            if row.state.status == Status::Completed {
                ended.insert(row.id.to_string());
            }
            let mut effects: Vec<String> = (1..=CALLS).map(|n| format!("{:032x}{n:08x}", row.id.0)).collect();
            for event in engine.facts(row.id, 0, 1_000).await.expect("the facts can be read") {
                if let Fact::EffectUnknown(f) = &event.fact
                    && f.then == AfterUnknown::Tell
                {
                    let name = format!("{:032x}{:08x}", row.id.0, f.effect);
                    effects.retain(|e| *e != name);
                }
            }
            unexecuted += effects.iter().filter(|e| !executed.contains_key(e.as_str())).count() as u64;
        }
        (ended, unexecuted)
    })
}

/// What was executed: the keys of each effect's executions. A line that is being written is passed over.
pub(super) fn ledger(dir: &Path) -> HashMap<String, Vec<String>> {
    let text = std::fs::read_to_string(dir.join("ledger")).unwrap_or_default();
    let mut times: HashMap<String, Vec<String>> = HashMap::new();
    for (effect, key) in text.lines().filter_map(|line| line.split_once(' ')) {
        times.entry(effect.to_owned()).or_default().push(key.to_owned());
    }
    times
}

/// The class of that name.
pub(super) fn class_of(name: &str) -> Option<EffectClass> {
    CLASSES.iter().find(|(n, _)| *n == name).map(|(_, class)| *class)
}

/// Starts this program again, as a process that may be killed.
pub(super) fn spawn(case: &str, what: &str, class: &str, dir: &Path) -> Child {
    let exe = std::env::current_exe().expect("this program has a path");
    Command::new(exe)
        .args([case, what, class])
        .arg(dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("this program can be started again")
}

/// The process that is killed, and the one that finishes.
pub(crate) fn child(args: &[&str]) -> ExitCode {
    let [what, class, dir] = args else { return ExitCode::from(2) };
    let Some(class) = class_of(class) else { return ExitCode::from(2) };
    let dir = Path::new(dir);
    let seen = Arc::new(Seen::with_ledger(&dir.join("ledger")));
    super::runtime().block_on(async {
        let engine = engine(&dir.join("data"), noop(class, false, &seen)).await;
        if *what == "start" {
            start_all(&engine, dir).await;
        }
        loop {
            let counts = engine.journal().count(None).await.expect("the store answers");
            let of = |s: Status| counts.iter().find(|(c, _)| *c == s).map_or(0, |(_, n)| *n);
            if of(Status::Failed) + of(Status::Cancelled) > 0 {
                return ExitCode::FAILURE;
            }
            if counts.iter().all(|(s, n)| s.ended() || *n == 0) {
                return ExitCode::SUCCESS;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

/// Starts all runs at once, and writes down which are acknowledged.
pub(super) async fn start_all(engine: &Engine, dir: &Path) {
    let acked = File::options().create(true).append(true).open(dir.join("acked")).expect("it can be made");
    let acked = Arc::new(acked);
    let tasks: Vec<_> = (0..RUNS)
        .map(|_| {
            let (engine, acked) = (engine.clone(), acked.clone());
            tokio::spawn(async move {
                let run = engine.start(a_run()).await.expect("the run starts").run;
                let _ = (&*acked).write_all(format!("{run}\n").as_bytes());
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
}
