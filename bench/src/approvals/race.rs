//! Races for one statement: brought several times at once, under another nonce, by another person, to another action, and again after
//! processes of the engine were killed with SIGKILL in the middle. What the tool did is in a file that it writes before it answers.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use stead_core::{
    effect::EffectClass,
    fact::Fact,
    id::{EffectId, Name, RunId},
    ruling::{Nonce, Person, Signed},
};
use stead_engine::{DefaultPolicy, Demand, Directories, Engine, Options, Ports, Signing, clock::SystemClock, human};
use stead_ports::{
    clock::Clock as _,
    journal::{ApprovalFilter, RunFilter},
};
use stead_store::{SqliteOptions, SqliteStore};
use stead_trust::{
    directory::{Directory, Enrolment, Entry, Root, RootKey, What},
    receipt::Receipt,
    statement::Statement,
};

use super::kit::{envelope, signer};
use crate::durable::{
    agent::{CALLS, One, Seen, a_run, noop},
    runtime, scratch,
};

/// Questions that are raced for at once.
const AT_ONCE: usize = 128;
/// Times that one statement is brought.
const BROUGHT: u64 = 6;
/// Processes that are killed.
const KILLS: usize = 20;

/// What came of it.
pub(super) struct Races {
    pub(super) tried: u64,
    pub(super) double: u64,
    pub(super) crashes: usize,
    pub(super) executed: u64,
    pub(super) expected: u64,
    pub(super) seconds: f64,
}

/// Keys in one process: whose they are stands in its memory alone.
#[derive(Debug)]
struct Fixed(Arc<Directory>);

impl Directories for Fixed {
    fn current(&self, _: &Name) -> Signing {
        Signing { demand: Demand::Always, directory: Some(self.0.clone()), unknown: false }
    }
}

fn directory() -> Directory {
    let at = 1;
    let root = RootKey { holder: "root".into(), key: signer(1).public().clone() };
    let what = What::Root(Root { threshold: 1, keys: vec![root], personal: false });
    let entry = Entry { tenant: "default".into(), seq: 0, previous: None, at, what };
    let mut directory = Directory::begin(&envelope(&entry, &[&signer(1)])).expect("is a root");
    for (name, key) in [("ann", 10), ("bob", 11)] {
        let (key, human) = (signer(key).public().clone(), human(&name.into()));
        let what = What::Enrol(Enrolment { key, human, roles: Vec::new(), passkey: None });
        let (seq, previous) = (directory.next(), Some(directory.head()));
        let entry = Entry { tenant: "default".into(), seq, previous, at, what };
        directory.add(&envelope(&entry, &[&signer(1)])).expect("the root may");
    }
    directory
}

/// Races for so many questions, and looks at what was done.
pub(super) fn run(races: u64) -> Races {
    let dir = scratch();
    let begun = Instant::now();
    let runs = races.div_ceil(u64::from(CALLS));
    let mut crashes = 0;
    let mut next = 0x5eed_u64;
    loop {
        let mut child = spawn(dir.path(), runs);
        if crashes == KILLS {
            assert!(child.wait().expect("the child ends").success(), "it finishes what is left");
            break;
        }
        // Somewhere in its work, and never at the same place.
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let until = Instant::now() + Duration::from_millis(150 + next % 900);
        let ended = loop {
            match child.try_wait().expect("the child can be asked") {
                Some(status) => break Some(status),
                None if Instant::now() >= until => break None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        if let Some(status) = ended {
            assert!(status.success(), "it finishes");
            break;
        }
        child.kill().expect("the child can be killed");
        child.wait().expect("the child ends");
        crashes += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    looked_at(dir.path(), runs * u64::from(CALLS), crashes, seconds)
}

/// What the journals and the tool's own file say.
fn looked_at(dir: &Path, questions: u64, crashes: usize, seconds: f64) -> Races {
    let mut done: HashMap<String, u64> = HashMap::new();
    for line in std::fs::read_to_string(dir.join("ledger")).unwrap_or_default().lines() {
        *done.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let mut double: u64 = done.values().map(|times| times - 1).sum();
    let mut unknown = 0;
    runtime().block_on(async {
        let (engine, _) = open(dir, true).await;
        let mut nonces = BTreeSet::new();
        for run in all(&engine).await {
            for event in engine.facts(run, 0, 10_000).await.expect("the journal can be read") {
                match event.fact {
                    Fact::ApprovalsUsed(f) => double += f.nonces.iter().filter(|n| !nonces.insert(**n)).count() as u64,
                    // It may have been done, and is not done again.
                    Fact::EffectUnknown(f) => unknown += u64::from(!done.contains_key(&key(run, f.effect))),
                    _ => {}
                }
            }
        }
    });
    let executed = done.len() as u64;
    Races { tried: questions * BROUGHT, double, crashes, executed, expected: questions - unknown, seconds }
}

pub(super) fn key(run: RunId, effect: u32) -> String {
    format!("{:032x}{effect:08x}", run.0)
}

fn spawn(dir: &Path, runs: u64) -> Child {
    let program = std::env::current_exe().expect("this program has a file");
    let mut command = Command::new(program);
    command.args(["approvals-child", &runs.to_string()]).arg(dir);
    command.stdout(Stdio::null()).spawn().expect("the child starts")
}

pub(super) async fn open(dir: &Path, at_rest: bool) -> (Engine, Arc<Seen>) {
    let seen = Arc::new(Seen::with_ledger(&dir.join("ledger")));
    let agent = noop(EffectClass::Irreversible, true, &seen);
    let store = loop {
        match SqliteStore::open(&dir.join("data"), SqliteOptions::default()) {
            Ok(store) => break store,
            // The one that was killed lets go of it in its own time.
            Err(error) if error.code == stead_core::code::DATA_LOCKED => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    let store = Arc::new(store);
    let ports = Ports {
        people: Arc::new(stead_ports::people::Everybody),
        journal: store.clone(),
        switches: store,
        agents: Arc::new(One(agent)),
        clock: Arc::new(SystemClock),
        policies: Arc::new(DefaultPolicy::default()),
        directories: Arc::new(Fixed(Arc::new(directory()))),
    };
    let options = Options { max_active: 20_000, at_rest, ..Options::default() };
    (Engine::open(ports, options).await.expect("the engine opens"), seen)
}

pub(super) async fn all(engine: &Engine) -> Vec<RunId> {
    let filter = RunFilter { tenant: "default".into(), limit: u32::MAX, ..RunFilter::default() };
    let runs = engine.journal().runs(&filter).await.expect("the store answers");
    runs.into_iter().map(|row| row.id).collect()
}

/// A process: starts what is not started yet, and answers what is asked until nothing is.
pub(crate) fn child(args: &[&str]) -> ExitCode {
    let [runs, dir] = args else { return ExitCode::from(2) };
    let runs: u64 = runs.parse().expect("a number of runs");
    runtime().block_on(async {
        let (engine, _) = open(Path::new(dir), false).await;
        let starting = stream::iter(0..runs).for_each_concurrent(AT_ONCE, |n| {
            let engine = engine.clone();
            async move {
                let name: Name = n.to_string().as_str().into();
                let start = stead_engine::StartRun { idempotency: Some((name, [1; 32])), ..a_run() };
                engine.start(start).await.expect("the run starts");
            }
        });
        let earlier: Arc<Mutex<Vec<Signed>>> = Arc::default();
        let answering = answer(&engine, &earlier, runs);
        tokio::join!(starting, answering);
    });
    ExitCode::SUCCESS
}

/// Answers until all runs have ended.
async fn answer(engine: &Engine, earlier: &Arc<Mutex<Vec<Signed>>>, runs: u64) {
    loop {
        let filter = ApprovalFilter { tenant: "default".into(), limit: 1_000, ..ApprovalFilter::default() };
        let open = engine.approvals(&filter).await.expect("the store answers").items;
        if open.is_empty() {
            let counts = engine.journal().count(None).await.expect("the store answers");
            let ended: u64 = counts.into_iter().filter(|(status, _)| status.ended()).map(|(_, n)| n).sum();
            if ended == runs {
                return;
            }
            tokio::task::yield_now().await;
        }
        let races = stream::iter(open.into_iter().map(|question| question.effect));
        races.for_each_concurrent(AT_ONCE, |effect| race(engine, earlier, effect)).await;
    }
}

/// One statement, brought in many ways at once.
async fn race(engine: &Engine, earlier: &Arc<Mutex<Vec<Signed>>>, effect: EffectId) {
    let Ok(Some(asked)) = engine.question(effect).await else { return };
    if !asked.open {
        return;
    }
    let (key, expires) = (signer(10), asked.question.asked + 86_400);
    let nonce = SystemClock.random();
    let statement = Statement::about(&asked.question, true, human(&"ann".into()), key.public().id(), nonce, expires);
    let text = statement.to_text();
    let receipt = Receipt { key: key.public().clone(), signature: key.sign_text(&text), text };
    let receipt: Name = receipt.to_text().as_str().into();
    let right = Signed { nonce: Nonce(nonce), receipt: receipt.clone(), page: None };
    let renamed = Signed { nonce: Nonce(SystemClock.random()), receipt, page: None };
    let old = {
        let mut earlier = earlier.lock();
        earlier.push(right.clone());
        let n = earlier.len();
        if n > 512 { Some(earlier.swap_remove(usize::from(nonce[0]))) } else { earlier.first().cloned() }
    };
    let brought = [
        ("ann", Some(right.clone())),
        ("bob", old),
        ("bob", Some(renamed)),
        ("bob", Some(right.clone())),
        ("ann", Some(right.clone())),
        ("ann", Some(right)),
    ];
    let give = |(who, signed): (&str, Option<Signed>)| {
        let who = Person { name: who.into(), roles: Vec::new() };
        engine.approve(effect, true, who, None, signed.map(Box::new))
    };
    futures_util::future::join_all(brought.map(give)).await;
}
