//! Boxes for MCP servers: one for one run, with pipes, gone when it is dropped.

use std::time::Duration;

use stead_core::{
    sandbox::{BoxLimits, Property, Tier},
    time::Span,
};
use stead_ports::connect::Connects;
use stead_workshop::{Server, Settings};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::kit::{Kit, Run, run, settings};

async fn serve(kit: &Kit, run: &Run, script: &str, settings: &Settings) -> Server {
    let words = ["sh", "-c", script].map(str::to_owned).to_vec();
    kit.shop
        .serve(
            run.run,
            run.tenant.clone(),
            "mail".into(),
            words,
            settings,
            (BoxLimits::default(), &Connects::default()),
        )
        .await
        .unwrap()
}

/// Waits until no box is left.
async fn gone(kit: &Kit) {
    while kit.shop.counts() != (0, 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_server_answers_its_run_until_it_is_dropped_and_then_all_of_it_is_dead() {
    let kit = Kit::new().await;
    let script = "sleep 100 & echo mine > /tmp/own; while read line; do echo \"got $line\"; cat /tmp/*; done";
    let mut first = serve(&kit, &run(1), script, &settings()).await;
    let mut second = serve(&kit, &run(2), "ls /tmp; cat", &settings()).await;
    let pipes = first.pipes().unwrap();
    assert!(first.pipes().is_none());
    let (mut stdin, mut lines) = (pipes.stdin, BufReader::new(pipes.stdout).lines());
    for n in ["one", "two"] {
        stdin.write_all(format!("{n}\n").as_bytes()).await.unwrap();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), format!("got {n}"));
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "mine");
    }
    // The other run's server has nothing of it.
    let pipes = second.pipes().unwrap();
    let (mut other, mut said) = (pipes.stdin, BufReader::new(pipes.stdout).lines());
    other.write_all(b"hello\n").await.unwrap();
    assert_eq!(said.next_line().await.unwrap().unwrap(), "hello");
    drop(first);
    assert_eq!(lines.next_line().await.unwrap(), None, "its output ends with it");
    kit.shop.release(run(2).run);
    assert_eq!(second.ended().await.why, "it was killed");
    gone(&kit).await;
    kit.close().await;
}

#[tokio::test]
async fn what_a_server_uses_is_told_once_to_whoever_asks_and_also_when_it_is_dead() {
    let kit = Kit::new().await;
    let script = "exec python3 -c '
import sys, time
for line in sys.stdin:
    until = time.process_time() + 0.2
    while time.process_time() < until: pass
    print(line, end=\"\", flush=True)
    if line == \"end\\n\": sys.exit(3)
'";
    let mut server = serve(&kit, &run(1), script, &settings()).await;
    let pipes = server.pipes().unwrap();
    let (mut stdin, mut lines) = (pipes.stdin, BufReader::new(pipes.stdout).lines());
    let mut work = async |word: &str| {
        stdin.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), word);
    };
    work("one").await;
    let wall = Duration::from_millis(7);
    let first = server.used(wall).await;
    assert_eq!((first.tier, first.wall), (Tier::Namespace, Span::from_millis(7)));
    assert!(first.held.contains(&Property::EgressControl));
    let measured = !first.not_held.contains(&Property::Accounting);
    assert!(measured, "NOT RUN: this needs control groups; run it as root, or with a delegated group");
    let fifth = Span::from_millis(200);
    assert!(first.cpu.unwrap() >= fifth && first.memory_peak.unwrap() > 1 << 20, "{first:?}");
    assert!(server.used(wall).await.cpu.unwrap() < fifth, "it was told already");
    work("end").await;
    assert_eq!(server.ended().await.why, "it ended by itself with exit code 3");
    assert!(server.used(wall).await.cpu.unwrap() >= fifth, "what it used last, its end tells");
    assert_eq!(server.used(wall).await.cpu, Some(Span(0)));
    drop(server);
    gone(&kit).await;
    kit.close().await;
}

#[tokio::test]
async fn a_server_that_ends_by_itself_leaves_its_last_words() {
    let kit = Kit::new().await;
    let server = serve(&kit, &run(1), "echo 'no such \u{1b}[1mmodule' >&2; exit 7", &settings()).await;
    let ended = server.ended().await;
    assert_eq!(
        (ended.why.as_str(), ended.stderr.as_str()),
        ("it ended by itself with exit code 7", "no such \\u{1b}[1mmodule")
    );
    drop(server);
    gone(&kit).await;
    kit.close().await;
}
