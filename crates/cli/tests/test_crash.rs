//! `stead run` is killed with `kill -9`, again and again, at any moment. The services that it talks to run outside and
//! count: a refund is made once for each order however often it is asked for, under one key; a mail is never sent twice;
//! no run whose id was printed is lost.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::JoinHandle,
    time::Duration,
};

use crate::common::{Serving, TestEnvironment};

/// Kills in all, over both lanes, of a process that had printed the id of its run, which had not ended.
const KILLS: u32 = 200;
/// Kills of one run at most; then it may finish.
const KILLS_EACH: u32 = 3;
/// The longest that a process lives before it is killed, from its start or from the line with the run's id. A run that is
/// left alone takes about this long.
const LIFE: Duration = Duration::from_millis(60);

#[test]
fn a_run_killed_at_any_moment_is_finished_by_resume_and_nothing_is_done_twice() {
    let (one, two) = (std::thread::spawn(|| lane(1)), std::thread::spawn(|| lane(2)));
    let (one, two) = (one.join().unwrap(), two.join().unwrap());
    // Kills that hardly ever fall between an intent and its outcome would prove nothing of effects.
    assert!(one.open + two.open >= 10, "{one:?} {two:?}");
}

/// What the kills of a lane met.
#[derive(Debug, Default)]
struct Tally {
    /// The run's id had been printed, and the run had not ended.
    inside: u32,
    /// Of those: an effect had been intended and nothing was known of its outcome.
    open: u32,
    /// Mails of which nobody knows whether they left, and that were left at that.
    unsent: u32,
}

/// A folder of its own, with services of its own.
fn lane(seed: u64) -> Tally {
    let env = TestEnvironment::with_refund_desk();
    let serve = |name: &str| Serving::with_url(env.command(["demo-service", name, "--data", "outside"]));
    let (payments, mail) = (serve("payments"), serve("mail"));
    point_at(&env, &payments.banner, &mail.banner);

    let (mut random, mut order, mut tally) = (seed, 2_000, Tally::default());
    // On a slow machine kills fall elsewhere: then there are more of them.
    while tally.inside < KILLS / 2 || (tally.open < 5 && tally.inside < KILLS * 13 / 20) {
        order += 1;
        one_order(&env, order, &mut random, &mut tally);
    }
    check(&env, order - 2_000, tally.unsent);
    tally
}

/// Runs one order to its end.
fn one_order(env: &TestEnvironment, order: u32, random: &mut u64, tally: &mut Tally) {
    let input = format!("Refund order {order}");
    let (mut kills, mut run) = (0, None::<String>);
    loop {
        let mut process = match &run {
            Some(run) => Process::start(env, &["run", "--yes", "--resume", run]),
            None => Process::start(env, &["run", "--yes", "refund-desk", &input]),
        };
        if kills < KILLS_EACH && process.killed(random) {
            kills += 1;
            let (_, told) = process.end();
            let printed = run_id(&told);
            // A run whose id was printed must be there; one that was killed before may have been accepted.
            run = run.or_else(|| printed.clone()).or_else(|| accepted(env, &input));
            if let Some(printed) = printed {
                assert_eq!(Some(&printed), run.as_ref(), "order {order}");
                let last = last_fact(env, &printed);
                tally.inside += u32::from(!matches!(last.as_str(), "run_completed" | "run_failed" | "run_cancelled"));
                tally.open += u32::from(last == "effect_intended");
            }
            continue;
        }
        match process.end() {
            (Some(0), _) => return,
            // Nobody knows whether the mail left: a human says that it is to be left at that.
            (Some(3), told) => {
                tally.unsent += 1;
                env.stead(&format!("approvals deny {}", env.approval())).succeeds();
                run = run_id(&told);
            }
            other => panic!("order {order}: {other:?}"),
        }
    }
}

/// A process of `stead run`, and what it writes to stderr.
struct Process {
    child: Child,
    told: JoinHandle<String>,
    /// Hears once the run's id has been printed; nothing, if the process ends before.
    printed: Receiver<()>,
}

impl Process {
    fn start(env: &TestEnvironment, args: &[&str]) -> Self {
        let mut child = env.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut from = BufReader::new(child.stderr.take().unwrap());
        let (tell, printed) = channel();
        let told = std::thread::spawn(move || {
            let mut told = Vec::new();
            while from.read_until(b'\n', &mut told).unwrap() > 0 {
                if run_id(&String::from_utf8_lossy(&told)).is_some() {
                    let _ = tell.send(());
                }
            }
            String::from_utf8_lossy(&told).into_owned()
        });
        Self { child, told, printed }
    }

    /// Kills it at some moment: of four kills, three after the run's id was printed and one after the start. Whether it
    /// was still alive then.
    fn killed(&mut self, random: &mut u64) -> bool {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
        *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        if !z.is_multiple_of(4) && self.printed.recv().is_err() {
            return false;
        }
        let moment = (z >> 2) % u64::try_from(LIFE.as_micros()).unwrap();
        // Nothing is waited for: this is the moment of the kill.
        std::thread::sleep(Duration::from_micros(moment));
        if self.child.try_wait().unwrap().is_some() {
            return false;
        }
        self.child.kill().unwrap();
        true
    }

    /// How it ended, and all that it wrote.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.told.join().unwrap())
    }
}

/// The run's id, which stands on a line of its own.
fn run_id(told: &str) -> Option<String> {
    let whole = |line: &&str| line.starts_with("run_") && line.ends_with('\n');
    told.split_inclusive('\n').find(whole).map(|line| line.trim_end().to_owned())
}

/// The run of that input, if it was accepted.
fn accepted(env: &TestEnvironment, input: &str) -> Option<String> {
    let runs = env.json("runs ls --json --limit 500");
    let mut found = runs["items"].as_array().unwrap().iter().filter(|r| r["title"] == input);
    found.next().map(|r| r["id"].as_str().unwrap().to_owned())
}

/// The kind of a run's last fact. The run must be there.
fn last_fact(env: &TestEnvironment, run: &str) -> String {
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    let last: serde_json::Value = serde_json::from_str(facts.lines().last().unwrap()).unwrap();
    last["fact"]["kind"].as_str().unwrap().to_owned()
}

/// Has the agent talk to services outside, and sell enough.
fn point_at(env: &TestEnvironment, payments: &str, mail: &str) {
    let path = env.path().join("refund-desk/agent.yaml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    let (manifest, _) = manifest.split_once("# Stand-ins for the two services").unwrap();
    let manifest = manifest.replace("${services.payments.url}", payments).replace("${services.mail.url}", mail);
    std::fs::write(path, manifest).unwrap();
    let path = env.path().join("refund-desk/shop.sql");
    let mut sql = std::fs::read_to_string(&path).unwrap();
    for order in 2_001..2_300 {
        sql.push_str(&format!(
            "INSERT INTO orders (id, customer, email, item, total_cents, currency, status) VALUES \
             ('{order}', 'Ada', 'ada{order}@example.com', 'Pen', {order}, 'USD', 'returned');\n"
        ));
    }
    std::fs::write(path, sql).unwrap();
}

fn check(env: &TestEnvironment, orders: u32, left_unsent: u32) {
    let runs = env.json("runs ls --json --limit 500");
    let runs = runs["items"].as_array().unwrap();
    assert_eq!(runs.len(), orders as usize, "one run for each order");
    assert!(runs.iter().all(|r| r["status"] == "completed"), "every run was finished");

    let mut refunds: BTreeMap<String, u32> = BTreeMap::new();
    for entry in ledger(env, "payments") {
        let key = entry["key"].as_str().unwrap().to_owned();
        if let Some(refund) = entry.get("refund") {
            assert_eq!(refund["order_id"], key, "the key is the order's number");
            *refunds.entry(key).or_default() += 1;
        } else {
            assert!(refunds.contains_key(&key), "a repeated request has the key of the first");
        }
    }
    assert_eq!(refunds.len(), orders as usize, "every order was refunded");
    assert!(refunds.values().all(|n| *n == 1), "once: {refunds:?}");

    let mut mails: BTreeMap<String, u32> = BTreeMap::new();
    for message in ledger(env, "mail") {
        *mails.entry(message["to"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(mails.values().all(|n| *n == 1), "no mail was sent twice: {mails:?}");
    let sent = u32::try_from(mails.len()).unwrap();
    assert!(sent + left_unsent >= orders, "{sent} mails, {left_unsent} left unsent, {orders} orders");
}

fn ledger(env: &TestEnvironment, name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(env.path().join(format!("outside/{name}.jsonl"))).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
