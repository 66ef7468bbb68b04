//! `stead run` is killed with `kill -9`, again and again, at any moment. The services that it talks to run outside and
//! count: a refund is made once for each order however often it is asked for, under one key; a mail is never sent twice;
//! no run that was accepted is lost.

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    time::Duration,
};

use crate::common::{Serving, TestEnvironment};

/// Kills in all, over both lanes.
const KILLS: u32 = 200;
/// Kills of one run at most; then it may finish.
const KILLS_EACH: u32 = 3;
/// The longest that a process lives before it is killed. A run that is left alone takes about this long.
const LIFE: Duration = Duration::from_millis(120);

#[test]
fn a_run_killed_at_any_moment_is_finished_by_resume_and_nothing_is_done_twice() {
    let (one, two) = (std::thread::spawn(|| lane(1)), std::thread::spawn(|| lane(2)));
    one.join().unwrap();
    two.join().unwrap();
}

/// A folder of its own, with services of its own.
fn lane(seed: u64) {
    let env = TestEnvironment::with_refund_desk();
    let serve = |name: &str| Serving::with_url(env.command(["demo-service", name, "--data", "outside"]));
    let (payments, mail) = (serve("payments"), serve("mail"));
    point_at(&env, &payments.banner, &mail.banner);

    let mut random = seed;
    let (mut kills, mut order, mut left_unsent) = (0, 2_000, 0);
    while kills < KILLS / 2 {
        order += 1;
        let (killed, denied) = one_order(&env, order, &mut random);
        kills += killed;
        left_unsent += denied;
    }
    let orders = order - 2_000;
    check(&env, orders, left_unsent);
}

/// Runs one order to its end. Gives how often it was killed, and 1 if its mail's outcome was unknown and was left so.
fn one_order(env: &TestEnvironment, order: u32, random: &mut u64) -> (u32, u32) {
    let input = format!("Refund order {order}");
    let (mut kills, mut denied, mut resume) = (0, 0, false);
    loop {
        let args = if resume {
            vec!["run", "--quiet", "--yes", "--resume"]
        } else {
            vec!["run", "--quiet", "--yes", "refund-desk", &input]
        };
        let mut child = env.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if kills < KILLS_EACH && killed(&mut child, random) {
            kills += 1;
            resume = true;
            continue;
        }
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => return (kills, denied),
            // Nobody knows whether the mail left: a human says that it is to be left at that.
            Some(3) => {
                denied = 1;
                env.stead(&format!("approvals deny {}", env.approval())).succeeds();
                resume = true;
            }
            // It was killed before the run was accepted, or after it was over.
            Some(1) if told.contains("no unfinished run") => match status(env, &input).as_deref() {
                Some("completed") => return (kills, denied),
                None => resume = false,
                other => panic!("order {order}: {other:?}"),
            },
            other => panic!("order {order}: exit {other:?}: {told}"),
        }
    }
}

/// Kills a process at some moment of its life. Whether it was still alive then.
fn killed(child: &mut Child, random: &mut u64) -> bool {
    // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *random;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let moment = (z ^ (z >> 31)) % u64::try_from(LIFE.as_micros()).unwrap();
    // Nothing is waited for: this is the moment of the kill.
    std::thread::sleep(Duration::from_micros(moment));
    if child.try_wait().unwrap().is_some() {
        return false;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

fn status(env: &TestEnvironment, input: &str) -> Option<String> {
    let runs = env.json("runs ls --json --limit 500");
    let mut found = runs["items"].as_array().unwrap().iter().filter(|r| r["title"] == input);
    found.next().map(|r| r["status"].as_str().unwrap().to_owned())
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
