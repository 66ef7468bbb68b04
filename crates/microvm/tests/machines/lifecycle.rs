//! Nothing outlives: not the action, not the server.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio as ProcessStdio},
    time::Duration,
};

use stead_microvm::Machines;
use stead_ports::sandbox::{BoxError, Boxes as _, Content, Mount, Stdio};

use crate::lab::{Lab, settings, text};

/// Processes of machines below one, by what they are: `qemu` or a role.
fn machines(of: u32) -> Vec<(u32, String)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if parent == Some(of) && !stat.contains(") Z ") {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            out.push((pid, text(&words).replace('\0', " ")));
        }
    }
    out
}

fn status(pid: u32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Dropping what waits kills the machine; a machine that dies is told; and meanwhile its process has nothing that it does not need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_has_few_rights_and_dies_with_whoever_waits_for_it() {
    let lab = Lab::new();
    let spec = Lab::bare(&["sleep", "1000"]);
    let running = lab.machines.start(spec.clone(), Stdio::Quiet).await.unwrap();
    let mine = machines(std::process::id());
    let (pid, words) = mine.iter().find(|(_, words)| words.contains("qemu-system")).unwrap();
    assert!(!words.contains("-netdev") && words.contains("-sandbox on"), "{words}");
    assert_eq!((status(*pid, "NoNewPrivs:"), status(*pid, "Seccomp:")), ("1".into(), "2".into()));
    assert_eq!(status(*pid, "CapEff:").trim_start_matches('0'), "");
    if rustix::process::geteuid().is_root() {
        assert_eq!(status(*pid, "Uid:"), "1398013952 1398013952 1398013952 1398013952");
        assert_eq!(status(*pid, "Groups:"), "");
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        assert_ne!(network(&pid.to_string()), network("self"));
    }
    drop(running);
    // A machine that is killed from outside is lost, with what it did.
    let running = lab.machines.start(spec, Stdio::Quiet).await.unwrap();
    let mine = machines(std::process::id());
    let pid = mine.iter().rfind(|(_, words)| words.contains("qemu-system")).unwrap().0;
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let error = running.end.await.unwrap_err();
    assert!(matches!(error, BoxError::Lost(_)), "{error}");
    // Also while one is being started.
    for after in [1, 300, 1500] {
        let starting = lab.machines.start(Lab::bare(&["true"]), Stdio::Quiet);
        let _ = tokio::time::timeout(Duration::from_millis(after), starting).await;
    }
    lab.close().await;
}

/// The role of a server that is killed: started by the test below as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of another test"]
async fn server_that_is_killed() {
    let machines = Machines::new(settings());
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let mut spec = Lab::bare(&["sleep", "1000"]);
    spec.limits.wall = Duration::from_secs(600);
    spec.mounts = vec![Mount { at: "/workspace".into(), content: Content::Layered(tests.into()) }];
    let running = machines.start(spec, Stdio::Quiet).await.unwrap();
    println!("ready");
    std::mem::forget((running, machines));
    std::future::pending::<()>().await;
}

/// kill -9 of the server: no QEMU and no place lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_takes_everything_along() {
    let lab = Lab::new();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::server_that_is_killed", "--ignored", "--nocapture"])
        .stdout(ProcessStdio::piped())
        .spawn()
        .unwrap();
    let ready = BufReader::new(server.stdout.take().unwrap()).lines().any(|line| line.unwrap().contains("ready"));
    assert!(ready, "the server ended early");
    let its = machines(server.id());
    assert!(its.iter().any(|(_, words)| words.contains("qemu-system")), "{its:?}");
    assert!(its.iter().any(|(_, words)| words.contains(" place")), "{its:?}");
    server.kill().unwrap();
    server.wait().unwrap();
    for (pid, words) in its {
        let gone = || {
            let stat =
                std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        tokio::time::timeout(Duration::from_secs(10), async {
            while !gone() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{words} lives on"));
    }
    lab.close().await;
}
