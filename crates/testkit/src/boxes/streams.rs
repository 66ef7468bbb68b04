//! What goes in and what comes out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use stead_ports::sandbox::{BoxError, End, Follower, Source, Stdio, WhenFull};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Lab, capture, resident, text, told};

/// All that is asked reaches the command, and all that it says its caller.
pub async fn a_command_gets_its_words_environment_folder_and_input_and_its_output_comes_back(lab: &dyn Lab) {
    let mut spec =
        lab.spec(&["sh", "-c", "pwd; id -u; hostname; echo \"$1 $GREETING\"; cat; echo oops >&2; exit 3", "sh", "a b"]);
    spec.command.env = vec![("GREETING".into(), "hällo".into())];
    let stdio =
        Stdio::Capture { input: Bytes::from_static(b"in\0put"), keep: 1000, full: WhenFull::Kill, follower: None };
    let outcome = lab.boxes().run(spec, stdio).await.unwrap();
    assert_eq!(outcome.end, End::Exited(3), "{}", told(&outcome));
    assert_eq!(text(&outcome.stdout.bytes), "/tmp\n1000\nbox\na b hällo\nin\0put");
    assert_eq!(text(&outcome.stderr.bytes), "oops\n");
}

/// By a signal that ends the first process of a box too.
pub async fn a_signal_and_a_code_are_told_apart(lab: &dyn Lab) {
    let outcome = lab.python("import ctypes; ctypes.string_at(0)").await;
    assert_eq!(outcome.end, End::Signal(libc::SIGSEGV), "{}", told(&outcome));
    assert_eq!(lab.sh("exit 139").await.end, End::Exited(139));
}

/// Nothing ran, and that is told.
pub async fn a_program_that_is_not_there_or_cannot_run_is_an_error_and_no_outcome(lab: &dyn Lab) {
    for program in ["no-such-program", "/etc/passwd", "/nowhere/at/all"] {
        let error = lab.run_spec(lab.spec(&[program])).await.unwrap_err();
        assert!(matches!(&error, BoxError::Command { program: p, .. } if p == program), "{error}");
        assert_eq!(error.code().to_string(), "ST0223");
    }
    let mut spec = lab.spec(&["true"]);
    spec.command.dir = "/not/there".into();
    assert!(matches!(lab.run_spec(spec).await, Err(BoxError::Command { .. })));
}

/// 7: stored bytewise.
pub async fn output_without_newlines_invalid_text_escapes_and_nul_come_back_byte_for_byte(lab: &dyn Lab) {
    let outcome = lab.sh(r"printf '\377\376\000\033[2J\033]0;x\007no newline'").await;
    assert_eq!(&outcome.stdout.bytes[..], b"\xff\xfe\0\x1b[2J\x1b]0;x\x07no newline");
}

/// 6: 10 GB on stdout.
pub async fn endless_output_is_cut_at_the_cap_and_killed_or_dropped_as_asked(lab: &dyn Lab) {
    let endless = lab.spec(&["sh", "-c", "yes | head -c 10000000000"]);
    lab.ready(&endless).await;
    let before = resident();
    let outcome = lab.boxes().run(endless, capture(WhenFull::Kill)).await.unwrap();
    assert_eq!(outcome.end, End::Output);
    assert_eq!(outcome.end.code().map(|c| c.to_string()).as_deref(), Some("ST0228"));
    assert_eq!(outcome.stdout.bytes.len(), 1 << 20);
    assert!(outcome.stdout.truncated() && outcome.stdout.total < 1 << 30);
    assert!(resident() < before + (16 << 10), "the server grew from {before} to {} KiB", resident());

    let outcome = lab.run(&["sh", "-c", "yes 2>/dev/null | head -c 3000000; echo end >&2"]).await;
    assert_eq!((outcome.end, outcome.stdout.total), (End::Exited(0), 3_000_000));
    assert_eq!((outcome.stdout.bytes.len(), text(&outcome.stderr.bytes)), (1 << 20, "end\n".to_owned()));
}

/// In pieces, while it goes on.
pub async fn a_follower_hears_output_while_the_command_runs(lab: &dyn Lab) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (tell, mut told_of) = tokio::sync::mpsc::unbounded_channel();
    let keep = Arc::clone(&heard);
    let follower: Follower = Arc::new(move |source, piece: &[u8]| {
        keep.lock().unwrap().push((source, text(piece)));
        let _ = tell.send(());
    });
    let stdio = Stdio::Capture { input: Bytes::new(), keep: 1000, full: WhenFull::Kill, follower: Some(follower) };
    let running = lab.boxes().start(lab.spec(&["sh", "-c", "echo now; exec sleep 60"]), stdio).await.unwrap();
    let control = Arc::clone(&running.control);
    let end = tokio::spawn(running.end);
    // It has not ended: it sleeps.
    told_of.recv().await.unwrap();
    control.kill();
    assert_eq!(end.await.unwrap().unwrap().end, End::Killed);
    assert_eq!(*heard.lock().unwrap(), [(Source::Stdout, "now\n".to_owned())]);
}

/// Both ways, until the input ends.
pub async fn pipes_carry_a_conversation(lab: &dyn Lab) {
    let spec = lab.spec(&["sh", "-c", "while read line; do echo \"heard $line\"; done; echo bye >&2"]);
    let running = lab.boxes().start(spec, Stdio::Pipes { keep: 100 }).await.unwrap();
    let mut pipes = running.pipes.unwrap();
    let mut answer = [0; 10];
    for word in ["one", "two"] {
        pipes.stdin.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        pipes.stdout.read_exact(&mut answer).await.unwrap();
        assert_eq!(text(&answer), format!("heard {word}\n"));
    }
    drop(pipes.stdin);
    let outcome = running.end.await.unwrap();
    assert_eq!((outcome.end, text(&outcome.stderr.bytes)), (End::Exited(0), "bye\n".to_owned()));
}

/// 46: a terminal of the box's own.
pub async fn a_terminal_is_one_to_the_command_and_can_be_resized(lab: &dyn Lab) {
    let script = "tty; stty size; stty -echo; read x; stty size; echo \"got $x\" > /dev/tty";
    let running = lab.boxes().start(lab.spec(&["sh", "-c", script]), Stdio::Terminal { size: (24, 80) }).await.unwrap();
    let mut pipes = running.pipes.unwrap();
    let mut shown = Vec::new();
    while !text(&shown).contains("24 80") {
        let n = pipes.stdout.read_buf(&mut shown).await.unwrap();
        assert!(n > 0, "it ended: {}", text(&shown));
    }
    running.control.resize((50, 132));
    pipes.stdin.write_all(b"word\n").await.unwrap();
    let outcome = tokio::spawn(running.end);
    pipes.stdout.read_to_end(&mut shown).await.unwrap();
    let shown = text(&shown);
    assert!(shown.starts_with("/dev/pts/0\r\n"), "{shown}");
    assert!(shown.contains("50 132") && shown.ends_with("got word\r\n"), "{shown}");
    assert_eq!(outcome.await.unwrap().unwrap().end, End::Exited(0));
}

/// Nobody waits for what will never be read.
pub async fn a_command_that_does_not_read_its_input_ends_all_the_same(lab: &dyn Lab) {
    let input = Bytes::from(vec![b'x'; 10 << 20]);
    let stdio = Stdio::Capture { input, keep: 100, full: WhenFull::Kill, follower: None };
    let mut spec = lab.spec(&["true"]);
    spec.limits.wall = Duration::from_secs(60);
    assert_eq!(lab.boxes().run(spec, stdio).await.unwrap().end, End::Exited(0));
}
