//! A server whose disk becomes full while runs are there. The disk is a small one of its own, in a mount namespace.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::lab::{Lab, config, problem};

const INSIDE: &str = "STEAD_TEST_FULL_DISK";

/// Runs a test again in a process that may mount, there with `dir` in the environment.
fn again(test: &str, dir: &Path) {
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, dir).stdin(Stdio::null());
    let status =
        command.status().unwrap_or_else(|e| panic!("{command:?}: {e}; install it: apt-get install util-linux"));
    assert!(status.success(), "{status}");
}

fn mount(dir: &Path) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(dir).status();
    let status = status.unwrap_or_else(|e| panic!("mount: {e}; install it: apt-get install mount"));
    assert!(status.success(), "{status}");
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}

/// Repeats a request until the disk is full for it.
async fn until_full(lab: &Lab, paths: &[String], body: &Value) {
    for n in 0..20_000 {
        let answer = lab.post(&paths[n % paths.len()], body).await;
        if !answer.status().is_success() {
            problem(answer, 503, "ST0143").await;
            return;
        }
    }
    panic!("the disk does not become full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_a_run_on_a_full_disk_is_refused_at_once_and_can_be_asked_again() {
    let Some(dir) = std::env::var_os(INSIDE) else {
        let dir = tempfile::tempdir().unwrap();
        return again(
            "full_disk::what_is_asked_of_a_run_on_a_full_disk_is_refused_at_once_and_can_be_asked_again",
            dir.path(),
        );
    };
    let disk = Path::new(&dir);
    mount(disk);
    let home = tempfile::tempdir_in(disk).unwrap();
    let settings = config(home.path());
    let lab = Lab::over(home, settings).await;
    let waiting = lab.waiting().await;
    let (run, approval) = (waiting.summary.id, waiting.approvals[0].id);
    let other = lab.start("asking").await;
    lab.client.wait(other, stead_api::run::WaitUntil::Waiting).await.unwrap();
    let ballast = disk.join("ballast");
    fill(&ballast);

    until_full(&lab, &["/v1/runs".into()], &json!({"agent": "asking", "input": "x".repeat(3_000)})).await;
    // What is smaller than the beginning of a run may still fit for a while.
    until_full(&lab, &["pause", "resume"].map(|verb| format!("/v1/runs/{other}/{verb}")), &json!({})).await;
    for path in ["cancel", "kill", "pause"].map(|verb| format!("/v1/runs/{run}/{verb}")) {
        let told = problem(lab.post(&path, &json!({})).await, 503, "ST0143").await;
        let detail = told["detail"].as_str().unwrap();
        assert_eq!(detail.contains("not acknowledged"), !path.ends_with("pause"), "{detail}");
    }
    let approve = format!("/v1/approvals/{approval}/approve");
    problem(lab.post(&approve, &json!({})).await, 503, "ST0143").await;
    assert_eq!(lab.client.run(run).await.unwrap().approvals.len(), 1);
    assert_eq!(lab.get("/healthz").await.status(), 200);

    fs::remove_file(&ballast).unwrap();
    lab.client.approve(approval, None).await.unwrap();
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("It was added."));
    lab.client.kill(other).await.unwrap();
    assert_eq!(lab.ended(other).await.summary.status, stead_api::run::Status::Cancelled);
}
