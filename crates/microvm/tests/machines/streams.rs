//! What goes in and what comes out.

use std::sync::{Arc, Mutex};

use stead_ports::sandbox::{Boxes as _, End, Property, Source, Stdio, Tier, WhenFull};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Tried as _, text, told};

/// 7: and everything of it byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_gets_its_words_input_and_surroundings_and_its_output_comes_back() {
    let lab = Lab::new();
    let script =
        r"pwd; id -u; hostname; echo $1 $GIVEN; cat; printf '\377\376\000\033[2J no newline'; echo oops >&2; exit 3";
    let mut spec = Lab::bare(&["sh", "-c", script, "sh", "a b"]);
    spec.command.env = vec![("GIVEN".into(), "hällo".into())];
    spec.requires = [Property::OwnKernel, Property::MemoryLimit, Property::PidsLimit, Property::DiskQuota].into();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    let follower: stead_ports::sandbox::Follower =
        Arc::new(move |source, piece: &[u8]| keep.lock().unwrap().push((source, piece.to_vec())));
    let input = bytes::Bytes::from_static(b"in\0put");
    let stdio = Stdio::Capture { input, keep: 1000, full: WhenFull::Kill, follower: Some(follower) };
    let outcome = lab.machines.run(spec, stdio).await.unwrap();
    assert_eq!(outcome.end, End::Exited(3), "{}", told(&outcome));
    let expected = b"/tmp\n1000\nbox\na b h\xc3\xa4llo\nin\0put\xff\xfe\0\x1b[2J no newline";
    assert_eq!(&outcome.stdout.bytes[..], expected, "{}", told(&outcome));
    assert_eq!(text(&outcome.stderr.bytes), "oops\n");
    let of = |source| heard.lock().unwrap().iter().filter(|(s, _)| *s == source).flat_map(|(_, p)| p.clone()).collect();
    let (out, err): (Vec<u8>, Vec<u8>) = (of(Source::Stdout), of(Source::Stderr));
    assert_eq!((&out[..], &err[..]), (&expected[..], &b"oops\n"[..]));
    // The evidence names what runs it, and the host has measured what it used.
    assert_eq!(outcome.evidence.tier, Tier::Microvm);
    let kernel = &outcome.evidence.held[&Property::OwnKernel];
    assert!(kernel.starts_with("QEMU ") && kernel.contains("Linux "), "{kernel}");
    assert!(outcome.usage.cpu.is_some_and(|cpu| !cpu.is_zero()), "{:?}", outcome.usage);
    assert!(outcome.usage.memory_peak.is_some_and(|peak| peak > 16 << 20), "{:?}", outcome.usage);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipes_and_terminals_carry_conversations() {
    let lab = Lab::new();
    let spec = Lab::bare(&["sh", "-c", "while read line; do echo \"heard $line\"; done; echo bye >&2; kill -TERM $$"]);
    let running = lab.machines.start(spec, Stdio::Pipes { keep: 100 }).await.unwrap();
    let mut pipes = running.pipes.unwrap();
    let end = tokio::spawn(running.end);
    let mut answer = [0; 10];
    for word in ["one", "two"] {
        pipes.stdin.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        pipes.stdout.read_exact(&mut answer).await.unwrap();
        assert_eq!(text(&answer), format!("heard {word}\n"));
    }
    drop(pipes.stdin);
    let outcome = end.await.unwrap().unwrap();
    assert_eq!((outcome.end, text(&outcome.stderr.bytes)), (End::Signal(15), "bye\n".to_owned()));

    let script = "tty; stty size; read x; stty size; echo \"got $x\" > /dev/tty";
    let spec = Lab::bare(&["sh", "-c", script]);
    let running = lab.machines.start(spec, Stdio::Terminal { size: (24, 80) }).await.unwrap();
    let (mut pipes, control) = (running.pipes.unwrap(), running.control);
    let end = tokio::spawn(running.end);
    let mut shown = Vec::new();
    while !text(&shown).contains("24 80") {
        let n = pipes.stdout.read_buf(&mut shown).await.unwrap();
        assert!(n > 0, "it ended: {}", text(&shown));
    }
    control.resize((50, 132));
    // The answer to a question comes after what was ordered before it.
    control.limit(Default::default()).await.unwrap();
    pipes.stdin.write_all(b"word\n").await.unwrap();
    pipes.stdout.read_to_end(&mut shown).await.unwrap();
    let shown = text(&shown);
    assert!(shown.starts_with("/dev/pts/0\r\n"), "{shown}");
    assert!(shown.contains("50 132") && shown.ends_with("got word\r\n"), "{shown}");
    assert_eq!(end.await.unwrap().unwrap().end, End::Exited(0));
    lab.close().await;
}

/// What is missing is an error that says how to get it; what is asked wrongly is one too; a program that is not there is no outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_says_why() {
    let lab = Lab::with(|settings| settings.most = 1);
    let error = lab.run_spec(Lab::bare(&["no-such-program"])).await.unwrap_err();
    assert_eq!((error.code().to_string(), error.to_string().contains("no-such-program")), ("ST0223".into(), true));
    let mut spec = Lab::bare(&["true"]);
    spec.requires.insert(Property::SyscallFilter);
    assert_eq!(lab.run_spec(spec).await.unwrap_err().code().to_string(), "ST0221");
    let running = lab.machines.start(Lab::bare(&["sleep", "1000"]), Stdio::Quiet).await.unwrap();
    let error = lab.run_spec(Lab::bare(&["true"])).await.unwrap_err();
    assert_eq!(error.code().to_string(), "ST0224", "{error}");
    drop(running);
    lab.close().await;

    let lab = Lab::with(|settings| settings.translate = false);
    if let Err(error) = lab.machines.offer().await {
        assert_eq!(error.code().to_string(), "ST0220");
        assert!(error.to_string().contains("KVM"), "{error}");
    }
    lab.close().await;
}
