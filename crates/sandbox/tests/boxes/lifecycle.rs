//! Nothing outlives: not the action, not the launcher, not the server.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio as ProcessStdio},
    time::Duration,
};

use stead_ports::sandbox::{BoxError, Boxes as _, Content, End, Mount, Stdio, WhenFull};
use stead_sandbox::{Namespaces, Settings};

use crate::lab::{Lab, Tried as _, capture, everyone, launcher, text, told};

/// A command that holds all it can: memory, processes, a layer, the output.
const GREEDY: &str = "yes > /workspace/filled & sleep 1000 & (setsid sleep 1000 &) ; echo runs; exec sleep 1000";

async fn greedy(lab: &Lab) -> stead_ports::sandbox::Running {
    let base = lab.folder("base");
    let mut spec = lab.spec(&["sh", "-c", GREEDY]);
    spec.limits.wall = Duration::from_secs(600);
    spec.mounts.push(Mount { at: "/workspace".into(), content: Content::Layered(base) });
    let mut running = lab.boxes.start(spec, Stdio::Pipes { keep: 100 }).await.unwrap();
    let mut line = [0; 5];
    tokio::io::AsyncReadExt::read_exact(&mut running.pipes.as_mut().unwrap().stdout, &mut line).await.unwrap();
    running
}

#[tokio::test]
async fn dropping_what_waits_for_a_box_kills_it() {
    for who in everyone() {
        let lab = Lab::new(who);
        drop(greedy(&lab).await);
        // Also while it is being started.
        for _ in 0..20 {
            let starting = lab.boxes.start(lab.spec(&["sleep", "1000"]), Stdio::Quiet);
            let _ = tokio::time::timeout(Duration::from_micros(300), starting).await;
        }
        lab.close().await;
    }
}

/// The launcher has no room for one more order when nobody waits for a box any more: it is killed all the same.
#[tokio::test]
async fn a_box_that_is_dropped_while_the_launcher_is_overwhelmed_is_killed() {
    use std::task::{Context, Waker};

    use rustix::process::{Pid, Signal, kill_process};
    for who in everyone() {
        let lab = Lab::with(who, |settings| settings.ahead = 0);
        let running = greedy(&lab).await;
        let launcher = lab.launcher().await;
        let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
        // The first is its helper.
        let init = children.split_whitespace().last().unwrap().to_owned();
        let launcher = Pid::from_raw(launcher as i32).unwrap();
        kill_process(launcher, Signal::STOP).unwrap();
        let mut asked = Vec::new();
        loop {
            let mut usage = running.control.usage();
            match usage.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                std::task::Poll::Pending => asked.push(usage),
                std::task::Poll::Ready(answer) => {
                    assert!(matches!(answer, Err(BoxError::Busy(_))), "{answer:?}");
                    break;
                }
            }
        }
        drop(asked);
        let control = running.control;
        drop(running.end);
        kill_process(launcher, Signal::CONT).unwrap();
        tokio::time::timeout(Duration::from_secs(20), async {
            while std::path::Path::new("/proc").join(&init).exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("it runs on");
        drop(control);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_killed_box_says_so() {
    for who in everyone() {
        let lab = Lab::new(who);
        let running = greedy(&lab).await;
        running.control.kill();
        assert_eq!(running.end.await.unwrap().end, End::Killed);
        lab.close().await;
    }
}

/// kill -9 of the launcher: its boxes die with it, who waited is told, the next box has a new one, and what was left is swept.
#[tokio::test]
async fn a_killed_launcher_takes_its_boxes_along_and_the_next_one_sweeps() {
    for who in everyone() {
        let lab = Lab::new(who);
        for _ in 0..3 {
            let running = greedy(&lab).await;
            let pid = lab.launcher().await;
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid as i32).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
            let error = running.end.await.unwrap_err();
            assert!(matches!(error, BoxError::Lost(_)), "{error}");
            assert_eq!(error.code().to_string(), "ST0225");
        }
        assert_eq!(lab.sh("true").await.end, End::Exited(0));
        lab.close().await;
    }
}

/// The role of a server that is killed: started by the test below as a process of its own.
#[tokio::test]
#[ignore = "a part of another test"]
async fn server_that_is_killed() {
    for who in everyone() {
        let boxes = Namespaces::new(Settings { launcher: launcher(who), ..Settings::default() });
        let script = format!("sleep {0} & exec sleep {0}", std::env::var("SLEEP").unwrap());
        let command = stead_ports::sandbox::Command {
            words: ["sh", "-c", &script].map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let mut spec = stead_ports::sandbox::Spec { command, ..Default::default() };
        spec.limits.wall = Duration::from_secs(600);
        let running = boxes.start(spec, Stdio::Quiet).await.unwrap();
        println!("launcher {}", boxes.launcher().await.unwrap());
        std::mem::forget((running, boxes));
    }
    println!("ready");
    std::future::pending::<()>().await;
}

/// Starts it, with commands that sleep so long; gives its launchers too.
fn server(lab: &Lab, sleep: &str) -> (Child, Vec<String>) {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::server_that_is_killed", "--ignored", "--nocapture"])
        .env("SLEEP", sleep)
        .stdout(ProcessStdio::piped())
        .spawn()
        .unwrap();
    let mut launchers = Vec::new();
    for line in BufReader::new(server.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, pid)) = line.split_once("launcher ") {
            lab.note(pid.parse().unwrap());
            launchers.push(pid.to_owned());
        }
        if line.contains("ready") {
            break;
        }
    }
    assert_eq!(launchers.len(), everyone().len());
    (server, launchers)
}

/// Waits until that is so, for ten seconds.
async fn until(what: &str, is: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{what}"));
}

/// Whether a process is gone, or dead and not reaped yet.
fn gone(pid: &str) -> bool {
    !std::path::Path::new("/proc").join(pid).exists() || stat(pid).contains(") Z ")
}

/// kill -9 of the server: the launchers end, and leave nothing.
#[tokio::test]
async fn a_killed_server_takes_everything_along() {
    let lab = Lab::new(everyone()[0]);
    let (mut server, launchers) = server(&lab, "1000");
    server.kill().unwrap();
    server.wait().unwrap();
    for pid in launchers {
        until("a launcher lives on", || gone(&pid)).await;
    }
    lab.close().await;
}

/// kill -9 of both: no process lives on, and the next start removes the control groups. (A launcher of another test that begins
/// meanwhile sweeps as well; without any sweep they stay, and the lab finds them.)
#[tokio::test]
async fn what_a_killed_server_and_its_killed_launchers_leave_the_next_start_removes() {
    use rustix::process::{Pid, Signal, kill_process};
    let lab = Lab::new(everyone()[0]);
    let word = format!("1000.{}", std::process::id());
    let (mut server, launchers) = server(&lab, &word);
    let signal = |signal| {
        for pid in &launchers {
            kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), signal).unwrap();
        }
    };
    // So that they cannot take anything down when their server is gone.
    signal(Signal::STOP);
    server.kill().unwrap();
    server.wait().unwrap();
    signal(Signal::KILL);
    for pid in &launchers {
        until("a launcher lives on", || gone(pid)).await;
    }
    let lives = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.contains(&word));
    let pids =
        || fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    until("a command lives on", || !pids().any(|pid| lives(&pid))).await;
    // As each start of a server does: what dies late on a busy machine is swept by a later one.
    lab.close_with(stead_sandbox::sweep).await;
}

fn stat(pid: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default()
}

/// Some hundred actions of all endings, several at once: the canaries of the lab find what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_actions_leave_nothing() {
    for who in everyone() {
        let lab = std::sync::Arc::new(Lab::new(who));
        let before = descriptors(&lab).await;
        let mut lanes = Vec::new();
        for lane in 0..4 {
            let lab = std::sync::Arc::clone(&lab);
            lanes.push(tokio::spawn(async move {
                for turn in 0..40 {
                    let outcome = match (lane + turn) % 5 {
                        0 => lab.sh("exit 0").await.end,
                        1 => lab.sh("sleep 1000 & kill -9 $$").await.end,
                        2 => {
                            let mut spec = lab.spec(&["sleep", "1000"]);
                            spec.limits.wall = Duration::from_millis(30);
                            lab.run_spec(spec).await.unwrap().end
                        }
                        3 => {
                            let _ = lab.run_spec(lab.spec(&["no-such-program"])).await.unwrap_err();
                            End::Exited(0)
                        }
                        _ => lab.boxes.run(lab.spec(&["yes"]), capture(WhenFull::Kill)).await.unwrap().end,
                    };
                    let expected =
                        [End::Exited(0), End::Signal(9), End::Deadline, End::Exited(0), End::Output][(lane + turn) % 5];
                    assert_eq!(outcome, expected);
                }
            }));
        }
        for lane in lanes {
            lane.await.unwrap();
        }
        // A box that is made ahead has six, and groups of dead ones are let go a little later.
        let until = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let after = descriptors(&lab).await;
            if after <= before + 10 {
                break;
            }
            assert!(std::time::Instant::now() < until, "descriptors: {before} before, {after} after");
        }
        std::sync::Arc::into_inner(lab).unwrap().close().await;
    }
}

/// Of this process and of the launcher, at rest.
async fn descriptors(lab: &Lab) -> usize {
    assert_eq!(lab.sh("true").await.end, End::Exited(0));
    let launcher = lab.launcher().await;
    let count = |pid: &str| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    count("self") + count(&launcher.to_string())
}

#[tokio::test]
async fn more_boxes_than_there_may_be_are_refused_and_room_comes_back() {
    let lab = Lab::with(everyone()[0], |settings| (settings.ahead, settings.most) = (0, 2));
    let spec = lab.spec(&["sleep", "1000"]);
    let one = lab.boxes.start(spec.clone(), Stdio::Quiet).await.unwrap();
    let two = lab.boxes.start(spec.clone(), Stdio::Quiet).await.unwrap();
    let error = lab.boxes.start(spec, Stdio::Quiet).await.err().unwrap();
    assert!(matches!(error, BoxError::Busy(2)), "{error}");
    one.control.kill();
    assert_eq!(one.end.await.unwrap().end, End::Killed);
    let outcome = lab.sh("echo again").await;
    assert_eq!(text(&outcome.stdout.bytes), "again\n", "{}", told(&outcome));
    drop(two);
    lab.close().await;
}

#[tokio::test]
async fn a_launcher_that_cannot_start_says_why() {
    let boxes = Namespaces::new(Settings { launcher: vec!["/bin/false".into()], ..Settings::default() });
    let error = boxes.offer().await.unwrap_err();
    assert!(matches!(error, BoxError::Unavailable { .. }), "{error}");
    assert_eq!(error.code().to_string(), "ST0220");

    // One that says nothing is not waited for.
    let launcher = ["/bin/sh", "-c", "exec sleep 1000"].map(Into::into).to_vec();
    let silent = Settings { launcher, patience: Duration::from_millis(200), ..Settings::default() };
    let error = Namespaces::new(silent).offer().await.unwrap_err();
    assert!(matches!(&error, BoxError::Unavailable { why, .. } if why.contains("said nothing")), "{error}");
}

/// Boxes are not bounded by the few descriptors that a server is started with.
#[tokio::test]
async fn a_launcher_takes_the_descriptors_that_its_boxes_need() {
    for who in everyone() {
        let words: Vec<String> =
            launcher(who).iter().map(|w| format!("'{}'", w.to_string_lossy().replace('\'', "'\\''"))).collect();
        let script = format!("ulimit -Sn 64; exec {} \"$@\"", words.join(" "));
        let lab = Lab::with(who, |s| s.launcher = ["/bin/sh", "-c", &script, "launcher"].map(Into::into).to_vec());
        let mut running = Vec::new();
        for _ in 0..30 {
            running.push(lab.boxes.start(lab.spec(&["sleep", "1000"]), Stdio::Quiet).await.unwrap());
        }
        drop(running);
        lab.close().await;
    }
}
