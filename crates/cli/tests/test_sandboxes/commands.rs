//! Commands: their output, their terminals, their ends.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use stead_api::sandbox::{ExecState, OutputSource, StartExec, TerminalSize};
use stead_client::Output;
use stead_core::{code, time::Span};

use super::kit::{Lab, refused, runs, sh, text, unique};

#[tokio::test]
async fn output_is_taken_up_again_after_a_lost_connection_and_a_key_runs_a_command_once() {
    let lab = Lab::new();
    let id = lab.create().await.id;
    let start = StartExec { stdin: true, ..sh("echo one; read x; echo $x; echo run >> runs; cat runs") };
    let exec = lab.client.exec(id, &start, Some("step-1")).await.unwrap();
    let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
    let Output::Chunk(first) = follow.next().await.unwrap().unwrap() else { panic!("no output") };
    assert_eq!((first.seq, first.data), (1, STANDARD.encode("one\n")));
    let last = follow.last();
    drop(follow);
    // Asked again, it is the same one; another command with this key is refused.
    assert_eq!(lab.client.exec(id, &start, Some("step-1")).await.unwrap().n, exec.n);
    refused(lab.client.exec(id, &sh("true"), Some("step-1")).await, 409, code::IDEMPOTENCY);
    lab.client.exec_input(id, exec.n, "two\n".into(), true).await.unwrap();
    let mut follow = lab.client.follow_exec(id, exec.n, last).unwrap();
    let mut out = String::new();
    loop {
        match follow.next().await.unwrap().unwrap() {
            Output::Chunk(chunk) => out += &text(&STANDARD.decode(chunk.data).unwrap()),
            Output::Exit(exit) => break assert_eq!(exit.end.code, Some(0)),
            Output::Lost(lost) => panic!("{lost:?}"),
        }
    }
    assert_eq!(out, "two\nrun\n");
    assert!(follow.next().await.is_none());
    // Without a stream it is there at once, from any number on.
    let page = lab.client.exec_output(id, exec.n, 0).await.unwrap();
    assert_eq!((page.chunks[0].seq, page.exit.unwrap().seq), (1, page.next));
    assert!(lab.client.exec_output(id, exec.n, page.next).await.unwrap().exit.is_none());
    refused(lab.client.exec_output(id, 99, 0).await, 404, code::NOT_FOUND);
    refused(lab.client.exec_input(id, exec.n, "late".into(), false).await, 409, code::SANDBOX_INPUT);
    lab.server.stop();
}

#[tokio::test]
async fn what_is_lost_of_a_flood_is_told_and_the_end_is_heard() {
    let lab = Lab::new();
    let id = lab.create().await.id;
    let exec = lab.client.exec(id, &sh("yes | head -c 5000000; echo end"), None).await.unwrap();
    let ended = loop {
        let state = lab.client.exec_state(id, exec.n).await.unwrap();
        if state.end.state != ExecState::Running {
            break state;
        }
    };
    assert_eq!(ended.end.code, Some(0));
    let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
    let Output::Lost(lost) = follow.next().await.unwrap().unwrap() else { panic!("nothing is lost") };
    assert_eq!(lost.from, 1);
    let (mut next, mut last) = (lost.to + 1, Vec::new());
    loop {
        match follow.next().await.unwrap().unwrap() {
            Output::Chunk(chunk) => {
                assert_eq!(chunk.seq, next);
                next += 1;
                last = STANDARD.decode(chunk.data).unwrap();
            }
            Output::Exit(exit) => break assert_eq!(exit.seq, next),
            Output::Lost(lost) => panic!("{lost:?}"),
        }
    }
    assert!(last.ends_with(b"end\n"));
    lab.server.stop();
}

#[tokio::test]
async fn a_terminal_is_typed_into_and_resized_and_commands_are_killed_and_end_in_time() {
    let lab = Lab::new();
    let id = lab.create().await.id;
    let start = StartExec {
        terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        ..sh("stty size; stty -echo; read x; stty size; echo got $x")
    };
    let exec = lab.client.exec(id, &start, None).await.unwrap();
    let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
    let mut shown = String::new();
    while !shown.contains("24 80") {
        let Output::Chunk(chunk) = follow.next().await.unwrap().unwrap() else { panic!("{shown}") };
        assert_eq!(chunk.source, OutputSource::Terminal);
        shown += &text(&STANDARD.decode(chunk.data).unwrap());
    }
    lab.client.exec_resize(id, exec.n, TerminalSize { rows: 50, columns: 132 }).await.unwrap();
    lab.client.exec_input(id, exec.n, "word\n".into(), false).await.unwrap();
    while let Output::Chunk(chunk) = follow.next().await.unwrap().unwrap() {
        shown += &text(&STANDARD.decode(chunk.data).unwrap());
    }
    assert!(shown.contains("50 132") && shown.ends_with("got word\r\n"), "{shown}");

    let end = async |start: &StartExec, signal: Option<Option<i32>>| {
        let exec = lab.client.exec(id, start, None).await.unwrap();
        if let Some(signal) = signal {
            lab.client.exec_kill(id, exec.n, signal).await.unwrap();
        }
        let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
        loop {
            if let Output::Exit(exit) = follow.next().await.unwrap().unwrap() {
                return (exit.end.state, exit.end.signal);
            }
        }
    };
    let word = unique(1);
    let stubborn = sh(&format!("trap '' TERM; (setsid sleep {word} &); sleep {word}; sleep {word}"));
    assert_eq!(end(&stubborn, Some(None)).await, (ExecState::Killed, None));
    assert!(!runs(&word), "something of it lives on");
    let plain = StartExec { command: vec!["sleep".into(), word.clone()], ..StartExec::default() };
    assert_eq!(end(&plain, Some(Some(15))).await, (ExecState::Signalled, Some(15)));
    let timed = StartExec { timeout: Some(Span(100_000)), ..stubborn };
    assert_eq!(end(&timed, None).await, (ExecState::Timeout, None));
    assert!(!runs(&word), "something of it lives on");
    refused(
        lab.client.exec(id, &StartExec { command: vec!["no-such".into()], ..plain }, None).await,
        422,
        code::SANDBOX_COMMAND,
    );
    lab.server.stop();
}
