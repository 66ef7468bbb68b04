//! What session sandboxes share with the actions of agents: what makes boxes, the cache of trees, and the watch.

use std::fs;

use stead_core::{code, sandbox::Property};

use super::kit::{Lab, refused, sh};

/// Processes that this server has started.
fn children(lab: &Lab) -> usize {
    let told = fs::read_to_string(lab.env.path().join(".stead/server.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let server = told["pid"].to_string();
    // `PID (NAME) STATE PPID …` (proc_pid_stat(5)).
    let parent = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some(stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned())
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(parent).filter(|of| *of == server).count()
}

#[tokio::test]
async fn agents_and_callers_have_one_launcher_and_one_cache() {
    let lab = Lab::new();
    lab.env.write(
        "a/agent.yaml",
        "stead: v1\nname: a\nmodel: { rehearsal: ./s.yaml }\ninstructions: Work.\ntools:\n  sh: { command: [bash, -c], workspace: rw }\n",
    );
    lab.env.write(
        "a/s.yaml",
        "rules:\n- when: { user: . }\n  call: [{ tool: sh, args: { command: 'echo mine > mark; cat mark' } }]\n- when: { tool: sh }\n  say: '{{result.stdout}}'\n",
    );
    assert_eq!(children(&lab), 0, "nothing is started before it is needed");
    assert_eq!(lab.env.stead("run --quiet a go").succeeds().stdout.trim(), "mine");
    assert_eq!(children(&lab), 1);
    let sandbox = lab.create().await;
    // A session of an agent and a session sandbox have nothing of each other.
    assert_eq!(lab.run(sandbox.id, "ls; echo own > mark; cat mark").await.0, "own\n");
    assert_eq!(lab.env.stead("run --quiet a go").succeeds().stdout.trim(), "mine");
    assert_eq!(children(&lab), 1, "one launcher makes the boxes of both");
    assert!(lab.env.path().join(".stead/workspaces").is_dir() && !lab.env.path().join(".stead/sandboxes").exists());
    assert_eq!(lab.server.stop(), Some(0));
}

#[tokio::test]
async fn a_sandbox_that_takes_too_much_of_the_host_is_stopped_and_whoever_asks_hears_why() {
    let lab = Lab::with("[sandbox]\nmemory = \"96Mi\"\n");
    let (greedy, calm) = (lab.create().await, lab.create().await);
    if let Some(why) = greedy.not_held.get(&Property::Accounting) {
        eprintln!("not tried: this host cannot tell what a sandbox holds: {why}");
        return;
    }
    let start = sh("exec python3 -c 'import time; x = bytearray(160 << 20); time.sleep(1000)'");
    // It may be stopped before its command is known to have begun.
    let _ = lab.client.exec(greedy.id, &start, None).await;
    let error = loop {
        match lab.client.sandbox(greedy.id).await {
            Err(error) if error.code == code::SANDBOX_LOST => {}
            Err(error) => break Err::<(), _>(error),
            Ok(_) => {}
        }
    };
    let error = refused(error, 410, code::SESSION_SANDBOX_GONE);
    assert!(error.detail.contains("too much memory") && error.detail.contains("ST0300"), "{error}");
    assert_eq!(lab.run(calm.id, "echo here").await.0, "here\n");
    lab.server.stop();
}
