//! What a box may use, and that it is told when it met the bound.

use std::time::Duration;

use stead_ports::sandbox::{Boxes as _, Change, End, Stdio, WhenFull};
use stead_testkit::boxes::Later;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Tried as _, capture, resident, text, told};

/// 1 to 5: each bound holds and is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_processes_bytes_files_and_sizes_end_at_their_bounds() {
    let lab = Lab::new();
    let before = resident();
    // `tail` keeps all of a line that never ends.
    let mut greedy = Lab::bare(&["tail", "/dev/zero"]);
    greedy.limits.memory = Some(32 << 20);
    let script = "
head -c 6000000 /dev/zero > /tmp/a; echo a $?
head -c 6000000 /dev/zero > ~/b; echo b $?; wc -c < ~/b; rm /tmp/a ~/b
truncate -s 1099511627776 /tmp/sparse 2>/dev/null; echo sparse $?
i=0; while true > /tmp/$i; do i=$((i+1)); [ $i -lt 1000 ] || break; done 2>/dev/null; echo files $i
rm -f /tmp/*
n=0; while [ $n -lt 60 ]; do sleep 1000 & n=$((n+1)); done 2>/tmp/refused
jobs -p | wc -l; grep -c . /tmp/refused; echo end";
    let mut spec = Lab::bare(&["sh", "-c", script]);
    (spec.limits.disk, spec.limits.inodes, spec.limits.file, spec.limits.pids) = (8 << 20, 200, 7 << 20, Some(32));
    let (greedy, outcome) = tokio::join!(lab.run_spec(greedy), lab.run_spec(spec));
    let (greedy, outcome) = (greedy.unwrap(), outcome.unwrap());
    assert_eq!(greedy.end, End::Memory, "{}", told(&greedy));
    assert!(greedy.usage.oom_kills.is_some_and(|n| n > 0));
    assert!(resident() < before + (64 << 10), "the server grew from {before} to {} KiB", resident());
    let said = told(&outcome);
    assert!(said.contains("a 0\nb 1\n"), "{said}");
    assert!(!said.contains("sparse 0"), "{said}");
    let files = said.lines().find_map(|line| line.strip_prefix("files ")).unwrap().parse::<u32>().unwrap();
    assert!((150..=216).contains(&files), "{said}");
    // A shell that cannot fork stops.
    assert!(outcome.usage.pids_refused.is_some_and(|n| n > 0), "{:?} {said}", outcome.usage);
    stead_testkit::boxes::a_fork_bomb_meets_the_limit_of_processes_and_dies_at_its_deadline(&lab).await;
    lab.close().await;
}

/// 6, 8 to 11: nothing lives on, whoever holds what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_and_the_cap_of_output_end_everything() {
    let lab = Lab::new();
    let daemon = "trap '' TERM HUP INT PIPE; (setsid sh -c 'trap \"\" TERM; while :; do :; done' &); sleep 1000 & ";
    let mut spec = Lab::bare(&["sh", "-c", &format!("{daemon} echo left; exit 7")]);
    spec.limits.wall = Duration::from_secs(100);
    // The command ends, and what it left is dead, though it holds the output.
    let endless = lab.machines.run(Lab::bare(&["yes"]), capture(WhenFull::Kill));
    let (outcome, endless) = tokio::join!(lab.run_spec(spec), endless);
    let (outcome, endless) = (outcome.unwrap(), endless.unwrap());
    assert_eq!((outcome.end, text(&outcome.stdout.bytes)), (End::Exited(7), "left\n".to_owned()));
    assert_eq!((endless.end, endless.stdout.bytes.len()), (End::Output, 1 << 20));
    let mut spec = Lab::bare(&["sh", "-c", &format!("{daemon} echo runs; while :; do :; done")]);
    spec.limits.wall = Duration::from_secs(4);
    let later = Later::than(Duration::from_secs(4), &lab).await;
    let outcome = lab.run_spec(spec).await.unwrap();
    later.was_not_reached("a machine", &outcome).await;
    assert_eq!(text(&outcome.stdout.bytes), "runs\n");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_box_that_runs_can_be_changed_and_it_can_be_killed() {
    let lab = Lab::new();
    let script =
        "read x; head -c 20000000 /dev/zero | tail | wc -c; read x; head -c 20000000 /dev/zero | tail | wc -c; cat";
    let mut spec = Lab::bare(&["sh", "-c", script]);
    spec.limits.memory = Some(8 << 20);
    let running = lab.machines.start(spec, Stdio::Pipes { keep: 4096 }).await.unwrap();
    let (mut pipes, control) = (running.pipes.unwrap(), running.control);
    let end = tokio::spawn(running.end);
    pipes.stdin.write_all(b"\n").await.unwrap();
    let mut count = [0; 2];
    pipes.stdout.read_exact(&mut count).await.unwrap();
    assert_eq!(text(&count), "0\n");
    let error = control.limit(Change { memory: Some(1 << 30), ..Change::default() }).await.unwrap_err();
    assert_eq!(error.code().to_string(), "ST0221", "{error}");
    control.limit(Change { memory: Some(60 << 20), pids: Some(50), cpu_milli: Some(2000) }).await.unwrap();
    pipes.stdin.write_all(b"\n").await.unwrap();
    let mut count = [0; 9];
    pipes.stdout.read_exact(&mut count).await.unwrap();
    assert_eq!(text(&count), "20000000\n");
    let usage = control.usage().await.unwrap();
    assert!(
        usage.cpu.is_some_and(|cpu| !cpu.is_zero()) && usage.memory.is_some_and(|bytes| bytes > 16 << 20),
        "{usage:?}"
    );
    // The kernel may end `head` beside `tail`.
    assert!(usage.pids.is_some_and(|n| n >= 1) && usage.oom_kills.is_some_and(|n| n >= 1), "{usage:?}");
    control.kill();
    assert_eq!(end.await.unwrap().unwrap().end, End::Killed);
    assert!(control.limit(Change::default()).await.is_err() && control.usage().await.is_err());
    lab.close().await;
}
