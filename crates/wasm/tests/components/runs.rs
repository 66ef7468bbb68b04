//! What goes in and what comes out, and what the tier refuses.

use std::{os::unix::fs::symlink, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use stead_ports::sandbox::{
    BoxError, Boxes as _, Change, Content, End, Property, Root, Source, Spec, Stdio, Tier, WhenFull,
};

use crate::{
    lab::{Lab, capture, text, told},
    text::{alone, run, with},
};

#[tokio::test]
async fn a_component_ends_well_or_not_and_both_are_told() {
    let lab = Lab::new();
    for (component, end) in [
        (run("(i32.const 0)"), End::Exited(0)),
        (run("(i32.const 1)"), End::Exited(1)),
        (run("(call $exit (i32.const 0)) (unreachable)"), End::Exited(0)),
        (run("(call $exit (i32.const 1)) (unreachable)"), End::Exited(1)),
        (alone("", "(i32.const 0)"), End::Exited(0)),
    ] {
        let outcome = lab.run(&component).await;
        assert_eq!(outcome.end, end, "{}", told(&outcome));
        assert_eq!(outcome.evidence.tier, Tier::Wasm);
    }
    lab.close();
}

/// 7, 40: byte for byte, and nothing that it was not given.
#[tokio::test]
async fn it_gets_its_words_environment_and_input_and_its_outputs_come_back() {
    let lab = Lab::new();
    // What it reads it says twice, on both outputs; then the numbers of its variables and arguments.
    let component = run("(call $read-in (call $get-stdin) (i64.const 100) (i32.const 0))
         (call $say (i32.load (i32.const 4)) (i32.load (i32.const 8)))
         (call $write (call $get-stderr) (i32.load (i32.const 4)) (i32.load (i32.const 8)) (i32.const 64))
         (call $get-environment (i32.const 16)) (call $letter (i32.load (i32.const 20)))
         (call $get-arguments (i32.const 16)) (call $letter (i32.load (i32.const 20)))
         (i32.const 0)");
    let mut spec = lab.spec(&component, &["one", "two"]);
    spec.command.env = vec![("ONLY".into(), "this".into())];
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let stdio = Stdio::Capture {
        input: Bytes::from_static(b"in\0put\xff\xfe\x1b[2J"),
        keep: 1000,
        full: WhenFull::Kill,
        follower: Some(Arc::new(move |source, piece: &[u8]| hears.lock().push((source, piece.to_vec())))),
    };
    let outcome = lab.boxes.run(spec, stdio).await.unwrap();
    assert_eq!(&outcome.stdout.bytes[..], b"in\0put\xff\xfe\x1b[2JBD", "{}", told(&outcome));
    assert_eq!(&outcome.stderr.bytes[..], b"in\0put\xff\xfe\x1b[2J");
    let heard = heard.lock().clone();
    let both = [Source::Stdout, Source::Stderr].map(|source| (source, b"in\0put\xff\xfe\x1b[2J".to_vec()));
    assert_eq!(heard[..2], both);
    lab.close();
}

/// 43
#[tokio::test]
async fn instances_share_nothing() {
    let lab = Lab::new();
    // Says what the last one left in its memory, and leaves something.
    let component = run("(call $letter (i32.load8_u (i32.const 1000)))
         (i32.store8 (i32.const 1000) (i32.const 5)) (i32.const 0)");
    for _ in 0..20 {
        assert_eq!(text(&lab.run(&component).await.stdout.bytes), "A");
    }
    lab.close();
}

/// 31: beside the bounds of its memory, a handle that it was never given.
#[tokio::test]
async fn a_trap_is_an_end_by_a_signal_and_is_explained() {
    let lab = Lab::new();
    for (body, words) in [
        ("(unreachable)", "unreachable"),
        ("(i32.load (i32.const -4))", "out of bounds memory access"),
        ("(i32.div_s (i32.const 1) (i32.const 0))", "integer divide by zero"),
    ] {
        let outcome = lab.run(&run(body)).await;
        assert_eq!(outcome.end, End::Signal(6), "{}", told(&outcome));
        assert!(text(&outcome.stderr.bytes).contains(words), "{}", told(&outcome));
    }
    // A host's function that is given what is not the component's memory.
    let outcome = lab.run(&run("(call $say (i32.const -100) (i32.const 1000)) (i32.const 0)")).await;
    assert_eq!(outcome.end, End::Signal(6), "{}", told(&outcome));
    // And a handle that it was never given.
    let outcome =
        lab.run(&run("(call $write (i32.const 77) (i32.const 0) (i32.const 1) (i32.const 64)) (i32.const 0)")).await;
    assert_eq!(outcome.end, End::Signal(6), "{}", told(&outcome));
    lab.close();
}

/// 33, 38, 39: not refused when it tries, but not there to try.
#[tokio::test]
async fn what_is_not_given_cannot_be_imported() {
    let lab = Lab::new();
    for (interface, function) in [
        ("wasi:sockets/instance-network@0.2.0", "instance-network"),
        ("wasi:http/outgoing-handler@0.2.0", "handle"),
        ("host:secret/steal", "all"),
    ] {
        let component = with("", "(i32.const 0)").replacen(
            "(component",
            &format!("(component (import \"{interface}\" (instance (export \"{function}\" (func))))"),
            1,
        );
        let error = lab.run_spec(lab.spec(&component, &[])).await.unwrap_err();
        assert!(matches!(&error, BoxError::Command { why, .. } if why.contains(interface)), "{error}");
        assert_eq!(error.code().to_string(), "ST0223");
    }
    lab.close();
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let lab = Lab::new();
    let mut spec = lab.spec(&run("(i32.const 0)"), &[]);
    for bytes in [&b"#!/bin/sh\n"[..], b"", b"\0asm\x01\0\0\0", b"\x7fELF", b"(component)"] {
        std::fs::write(lab.given().join("it.wasm"), bytes).unwrap();
        let error = lab.run_spec(spec.clone()).await.unwrap_err();
        assert!(matches!(error, BoxError::Command { .. }), "{error}");
    }
    // One that exports nothing to run.
    std::fs::write(lab.given().join("it.wasm"), wat::parse_str("(component)").unwrap()).unwrap();
    assert!(matches!(lab.run_spec(spec.clone()).await, Err(BoxError::Command { .. })));
    for program in ["/etc/passwd", "it.wasm", "/data/../data/it.wasm", "/data/missing.wasm", "/data"] {
        spec.command.words[0] = program.to_owned();
        assert!(matches!(lab.run_spec(spec.clone()).await, Err(BoxError::Command { .. })), "{program}");
    }
    // A link is not followed, and a pipe not waited for.
    symlink("/etc/passwd", lab.given().join("link.wasm")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(lab.given().join("pipe.wasm")).status().unwrap();
    assert!(pipe.success());
    for program in ["/data/link.wasm", "/data/pipe.wasm"] {
        spec.command.words[0] = program.to_owned();
        assert!(matches!(lab.run_spec(spec.clone()).await, Err(BoxError::Command { .. })), "{program}");
    }
    lab.close();
}

/// 34 to 37, 45, 46: there is no way out, no layer and no terminal.
#[tokio::test]
async fn what_the_tier_has_no_notion_of_is_refused() {
    let lab = Lab::new();
    let spec = lab.spec(&alone("", "(i32.const 0)"), &[]);
    let changed = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        spec
    };
    for bad in [
        changed(&|s| s.egress = Some(3128)),
        changed(&|s| s.root = Root::Folder("/".into())),
        changed(&|s| s.command.dir = "/data".into()),
        changed(&|s| s.mounts[0].content = Content::ReadWrite(lab.given())),
        changed(&|s| s.mounts[0].content = Content::Layered(lab.given())),
    ] {
        let error = lab.run_spec(bad).await.unwrap_err();
        assert!(matches!(error, BoxError::Spec(_)), "{error}");
    }
    for stdio in [Stdio::Terminal { size: (24, 80) }, Stdio::Pipes { keep: 10 }] {
        let error = lab.boxes.start(spec.clone(), stdio).await.err().unwrap();
        assert!(matches!(error, BoxError::Spec(_)), "{error}");
    }
    for property in [Property::PidsLimit, Property::CpuLimit, Property::SyscallFilter, Property::OwnKernel] {
        let error = lab.run_spec(changed(&|s| {
            s.requires.insert(property);
        }));
        let error = error.await.unwrap_err();
        assert!(matches!(error, BoxError::Lacks { tier: Tier::Wasm, .. }), "{error}");
    }
    let held = changed(&|s| s.requires = [Property::MemoryLimit, Property::DiskQuota, Property::EgressControl].into());
    assert_eq!(lab.run_spec(held).await.unwrap().end, End::Exited(0));
    lab.close();
}

#[tokio::test]
async fn one_that_runs_can_be_killed_and_dropping_what_waits_for_it_kills_it() {
    let lab = Lab::with(stead_wasm::Settings { most: 1, ..stead_wasm::Settings::default() });
    let mut spec = lab.spec(&alone("", "(loop (br 0)) (i32.const 0)"), &[]);
    spec.limits.wall = Duration::from_secs(600);
    let running = lab.boxes.start(spec.clone(), Stdio::Quiet).await.unwrap();
    assert!(matches!(lab.boxes.start(spec.clone(), Stdio::Quiet).await, Err(BoxError::Busy(1))));
    let error = running.control.limit(Change { memory: Some(1), ..Change::default() }).await.unwrap_err();
    assert!(matches!(error, BoxError::Lacks { .. }), "{error}");
    let control = Arc::clone(&running.control);
    assert!(control.usage().await.unwrap().memory.is_some());
    control.kill();
    let outcome = running.end.await.unwrap();
    assert_eq!(outcome.end, End::Killed);
    assert!(matches!(control.usage().await, Err(BoxError::Lost(_))));
    assert!(outcome.usage.cpu.is_some());

    drop(lab.boxes.start(spec.clone(), Stdio::Quiet).await.unwrap());
    // There is room again as soon as it is gone.
    let again = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match lab.boxes.start(spec.clone(), capture("", WhenFull::Kill)).await {
                Ok(running) => return running,
                Err(BoxError::Busy(_)) => tokio::task::yield_now().await,
                Err(e) => panic!("{e}"),
            }
        }
    });
    again.await.unwrap().control.kill();
    lab.close();
}
