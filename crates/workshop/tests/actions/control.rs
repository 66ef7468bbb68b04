//! A hand on actions that run: limits, kills, the watch, and many at once.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use stead_core::{
    effect::Outcome,
    sandbox::{BoxLimits, Property},
    time::Span,
};
use stead_ports::{
    sandbox::{Boxes as _, Limits},
    tool::{Left, Output},
};
use stead_workshop::Settings;
use tokio::task::JoinHandle;

use crate::kit::{Kit, Run, run, settings, told};

/// Starts a script, and waits until its box runs.
async fn begun(kit: &Arc<Kit>, run: &Run, script: &str, settings: &Settings) -> JoinHandle<Outcome<Output>> {
    let before = kit.shop.counts().0;
    let (tool, script) = (kit.shell_with(settings), script.to_owned());
    let (of, mut run) = (Arc::clone(kit), run.clone());
    let task = tokio::spawn(async move { of.call(&mut run, &tool, json!({"command": script})).await });
    while kit.shop.counts().0 == before && !task.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    task
}

async fn closed(kit: Arc<Kit>) {
    Arc::into_inner(kit).unwrap().close().await;
}

#[track_caller]
fn ended(report: &Value) -> &str {
    report["ended"].as_str().unwrap_or_else(|| panic!("{report}"))
}

#[tokio::test]
async fn the_end_of_a_run_kills_its_actions_and_no_others() {
    let kit = Arc::new(Kit::new().await);
    let mine = begun(&kit, &run(1), "echo x > a; sleep 100", &settings()).await;
    let other = begun(&kit, &run(2), "read -t 1 < /dev/zero; sleep 0.2; echo well", &settings()).await;
    kit.shop.release(run(1).run);
    let report = told(mine.await.unwrap());
    assert!(ended(&report).starts_with("ST0006"), "{report}");
    assert_eq!(report["workspace"]["kept"], false);
    assert_eq!(told(other.await.unwrap())["stdout"], "well\n");
    closed(kit).await;
}

#[tokio::test]
async fn an_action_that_nobody_waits_for_any_more_is_killed() {
    let kit = Arc::new(Kit::new().await);
    let task = begun(&kit, &run(1), "sleep 100", &settings()).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    closed(kit).await;
}

#[tokio::test]
async fn an_operators_limits_count_from_the_start_and_reach_what_runs() {
    let kit = Arc::new(Kit::new().await);
    let wall = Some(Span::from_millis(300));
    let mut short = Run { limits: BoxLimits { wall, ..BoxLimits::default() }, ..run(1) };
    let report = kit.sh(&mut short, "sleep 100").await;
    assert!(ended(&report).starts_with("ST0227"), "{report}");
    assert!(kit.boxes.offer().await.unwrap().holds(Property::PidsLimit).is_ok());
    // It forks one child at a time, which is always allowed, until the limit is changed while it does.
    let script = "exec python3 -c '
import os
while True:
    try: child = os.fork()
    except BlockingIOError: break
    if child == 0: os._exit(0)
    os.waitpid(child, 0)
print(\"refused\")'";
    let forks = begun(&kit, &run(2), script, &settings()).await;
    kit.shop.limit(run(2).run, BoxLimits { pids: Some(2), ..BoxLimits::default() }).await;
    assert_eq!(told(forks.await.unwrap())["stdout"], "refused\n");
    closed(kit).await;
}

#[tokio::test]
async fn when_all_hold_too_much_the_one_that_holds_most_of_its_own_goes_first_and_is_told_why() {
    let set = |host: &mut stead_workshop::HostLimits| {
        (host.memory, host.spare, host.every) = (Some(100 << 20), Some(0), Duration::from_millis(20));
        host.pressure = u16::MAX;
    };
    let kit = Arc::new(Kit::with(set).await);
    let measured = kit.boxes.offer().await.unwrap().holds(Property::Accounting).map(str::to_owned);
    measured.expect("NOT RUN: this needs control groups; run it as root, or with a delegated group");
    let _watch = kit.shop.watch();
    let hold = |mib: u32| format!("python3 -c 'import time; x = bytearray({mib} << 20); time.sleep(100)'");
    let given = |memory: u64| Settings { limits: Limits { memory: Some(memory), ..settings().limits }, ..settings() };
    // It holds more bytes, but little of what it was given.
    let large = begun(&kit, &run(1), &hold(64), &given(1 << 30)).await;
    let greedy = begun(&kit, &run(2), &hold(50), &given(80 << 20)).await;
    let report = told(greedy.await.unwrap());
    assert!(ended(&report).starts_with("ST0300") && ended(&report).contains("of 83886080 bytes"), "{report}");
    assert!(!large.is_finished());
    kit.shop.release(run(1).run);
    assert!(ended(&told(large.await.unwrap())).starts_with("ST0006"));
    closed(kit).await;
}

#[tokio::test]
async fn an_action_that_has_used_the_processor_time_that_its_run_had_left_is_stopped_and_told_why() {
    let kit = Arc::new(Kit::with(|host| host.every = Duration::from_millis(20)).await);
    let _watch = kit.shop.watch();
    let cpu = Some(Span::from_millis(200));
    let mut run = Run { left: Left { cpu, ..Left::default() }, ..run(1) };
    let report = kit.sh(&mut run, "echo lost > a; while :; do :; done").await;
    assert!(ended(&report).starts_with("ST0001") && ended(&report).contains("200 ms left"), "{report}");
    assert_eq!(kit.file(&run, "a").await, None, "nothing is kept of it");
    let report = kit.sh(&mut run, "echo short").await;
    assert_eq!(report["stdout"], "short\n", "who stays within it is left alone");
    closed(kit).await;
}

#[tokio::test]
async fn many_actions_of_many_sessions_all_end_though_few_may_run_at_once() {
    let kit = Arc::new(Kit::with(|host| host.boxes = 2).await);
    let tasks: Vec<_> = (1..=12)
        .map(|n| {
            let kit = Arc::clone(&kit);
            tokio::spawn(async move {
                let mut run = Run { tenant: format!("t{}", n % 3).as_str().into(), ..run(n) };
                let report = kit.sh(&mut run, &format!("echo {n} > own; cat own; ls")).await;
                assert!(kit.shop.counts().0 <= 2);
                (n, report["stdout"].as_str().unwrap().to_owned())
            })
        })
        .collect();
    for task in tasks {
        let (n, out) = task.await.unwrap();
        assert_eq!(out, format!("{n}\nown\n"));
    }
    closed(kit).await;
}

#[tokio::test]
async fn too_many_that_wait_are_not_sent() {
    let kit = Arc::new(Kit::with(|host| (host.boxes, host.waiting) = (1, 0)).await);
    let first = begun(&kit, &run(1), "sleep 100", &settings()).await;
    let tool = kit.shell();
    let outcome = kit.call(&mut run(2), &tool, json!({"command": "true"})).await;
    let Outcome::NotSent(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0301"), "{}", output.content);
    kit.shop.release(run(1).run);
    first.await.unwrap();
    closed(kit).await;
}

#[tokio::test]
async fn an_action_whose_box_was_lost_is_unknown_and_the_next_one_runs() {
    let kit = Arc::new(Kit::new().await);
    let task = begun(&kit, &run(1), "sleep 100", &settings()).await;
    let launcher = kit.boxes.launcher().await.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(launcher).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let outcome = task.await.unwrap();
    let Outcome::Unknown(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0225"), "{}", output.content);
    assert_eq!(kit.sh(&mut run(2), "echo again").await["stdout"], "again\n");
    closed(kit).await;
}

/// Abuse 44.
#[tokio::test]
async fn nothing_of_another_sessions_action_is_visible() {
    let kit = Arc::new(Kit::new().await);
    let mark = "gLk3-another-sessions-word";
    let script = format!("echo {mark} > word; cp word /tmp; cp word /dev/shm; MARK={mark} sleep 100");
    let other = begun(&kit, &run(1), &script, &settings()).await;
    // Its pattern is made there, so that its own command line is none.
    let search = "P=gLk3-another; P=$P-sessions-word
ls /workspace /opt /data /mnt /srv
grep -rlsa $P /workspace /tmp /home /dev/shm /opt /data /mnt /srv /var /run /etc
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c \"^MARK=\"
ls -d /proc/[0-9]* | wc -l";
    let report = kit.sh(&mut run(2), search).await;
    let out = report["stdout"].as_str().unwrap();
    assert!(!out.contains("word") && out.contains("\n0\n"), "{out}");
    let processes: u32 = out.lines().last().unwrap().trim().parse().unwrap();
    assert!(processes < 8, "{out}");
    kit.shop.release(run(1).run);
    other.await.unwrap();
    closed(kit).await;
}
