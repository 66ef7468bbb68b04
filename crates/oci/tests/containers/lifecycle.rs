//! Nothing outlives: not the action, not the shim, not the server; and what both being killed leaves, the next start removes.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio as ProcessStdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use stead_oci::Containers;
use stead_ports::sandbox::{BoxError, Boxes as _, Content, End, Mount, Spec, Stdio, WhenFull};

use crate::lab::{Lab, Tried as _, capture, settings, text, told};

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

/// Processes that have this process as their parent: the shims.
fn shims() -> BTreeSet<u32> {
    let own = std::process::id();
    fs::read_dir(format!("/proc/{own}/task"))
        .unwrap()
        .flatten()
        .flat_map(|task| {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn dropping_what_waits_for_a_box_kills_it() {
    let lab = Lab::new();
    drop(greedy(&lab).await);
    // Also while it is being started.
    for _ in 0..5 {
        let starting = lab.boxes.start(lab.spec(&["sleep", "1000"]), Stdio::Quiet);
        let _ = tokio::time::timeout(Duration::from_millis(5), starting).await;
    }
    lab.close().await;
}

#[tokio::test]
async fn a_killed_box_says_so() {
    let lab = Lab::new();
    let running = greedy(&lab).await;
    running.control.kill();
    assert_eq!(running.end.await.unwrap().end, End::Killed);
    lab.close().await;
}

/// kill -9 of a shim: whoever waits is told, and the server removes the container that outlived it.
#[tokio::test]
async fn a_killed_shim_leaves_nothing() {
    let lab = Lab::new();
    lab.boxes.offer().await.unwrap();
    let before = shims();
    let running = greedy(&lab).await;
    let shim = *shims().difference(&before).next().unwrap();
    kill(shim);
    let error = running.end.await.unwrap_err();
    assert!(matches!(error, BoxError::Lost(_)), "{error}");
    assert_eq!(error.code().to_string(), "ST0225");
    assert_eq!(lab.sh("true").await.end, End::Exited(0));
    lab.close().await;
}

/// The role of a server that is killed: started by the tests below as a process of its own.
#[tokio::test]
#[ignore = "a part of another test"]
async fn server_that_is_killed() {
    let place = std::env::var("PLACE").unwrap();
    let boxes = Containers::new(settings(place.as_ref()));
    let words = ["sh", "-c", "sleep 1000 & exec sleep 1000"].map(str::to_owned).to_vec();
    let mut spec = Spec { command: stead_ports::sandbox::Command { words, ..Default::default() }, ..Spec::default() };
    spec.limits.wall = Duration::from_secs(600);
    let running = boxes.start(spec, Stdio::Quiet).await.unwrap();
    for pid in shims() {
        println!("shim {pid}");
    }
    std::mem::forget((running, boxes));
    println!("ready");
    std::future::pending::<()>().await;
}

/// Starts that server; it, and its shim.
fn server(lab: &Lab) -> (std::process::Child, u32) {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::server_that_is_killed", "--ignored", "--nocapture"])
        .env("PLACE", lab.bundles())
        .stdout(ProcessStdio::piped())
        .spawn()
        .unwrap();
    let mut shim = None;
    for line in BufReader::new(server.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, pid)) = line.split_once("shim ") {
            shim = pid.parse().ok();
        }
        if line.contains("ready") {
            break;
        }
    }
    (server, shim.unwrap())
}

/// The containers that a place knows: the process ids of their first processes.
fn containers(lab: &Lab) -> Vec<u32> {
    let below = |folder: &std::path::Path| -> Vec<_> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect()
    };
    let bundles = below(&lab.bundles()).into_iter().flat_map(|server| below(&server));
    bundles.filter_map(|bundle| fs::read_to_string(bundle.join("pid")).ok()?.trim().parse().ok()).collect()
}

async fn gone(pid: u32) {
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    tokio::time::timeout(Duration::from_secs(20), async {
        while lives() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("process {pid} lives on"));
}

/// kill -9 of the server: its shims see it, and end their containers. The folder is for the next start.
#[tokio::test]
async fn a_killed_server_takes_its_containers_along() {
    let lab = Lab::new();
    let (mut server, shim) = server(&lab);
    let [first] = containers(&lab)[..] else { panic!("{:?}", containers(&lab)) };
    server.kill().unwrap();
    server.wait().unwrap();
    gone(shim).await;
    gone(first).await;
    assert_eq!(lab.sh("true").await.end, End::Exited(0));
    lab.close().await;
}

/// kill -9 of both: the container lives on, and the next start removes it.
#[tokio::test]
async fn what_a_killed_server_and_its_killed_shim_leave_the_next_start_removes() {
    let lab = Lab::new();
    let (mut server, shim) = server(&lab);
    let [first] = containers(&lab)[..] else { panic!("{:?}", containers(&lab)) };
    kill(shim);
    server.kill().unwrap();
    server.wait().unwrap();
    gone(shim).await;
    assert!(fs::exists(format!("/proc/{first}")).unwrap(), "there is nothing to remove");
    lab.boxes.offer().await.unwrap();
    gone(first).await;
    lab.close().await;
}

/// Actions of all endings, several at once: the canaries of the lab find what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_actions_leave_nothing() {
    let lab = std::sync::Arc::new(Lab::new());
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    assert_eq!(lab.sh("true").await.end, End::Exited(0));
    let before = descriptors();
    let mut lanes = Vec::new();
    for lane in 0..4 {
        let lab = std::sync::Arc::clone(&lab);
        lanes.push(tokio::spawn(async move {
            for turn in 0..10 {
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
                // A first process cannot be killed from inside its pid namespace, not even by itself.
                let expected =
                    [End::Exited(0), End::Exited(0), End::Deadline, End::Exited(0), End::Output][(lane + turn) % 5];
                assert_eq!(outcome, expected);
            }
        }));
    }
    for lane in lanes {
        lane.await.unwrap();
    }
    let after = descriptors();
    assert!(after <= before + 4, "descriptors: {before} before, {after} after");
    std::sync::Arc::into_inner(lab).unwrap().close().await;
}

#[tokio::test]
async fn more_boxes_than_there_may_be_are_refused_and_room_comes_back() {
    let lab = Lab::with(|settings| settings.most = 2);
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
