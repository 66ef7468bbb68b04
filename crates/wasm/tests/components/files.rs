//! The folders that a component is given: read-only, and nothing beside them.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::fs::CWD;
use stead_ports::sandbox::{BoxError, End, Outcome};
use stead_wasm::Settings;

use crate::{
    lab::{Lab, text, told},
    text::{opens, run, with},
};

/// Letters of errors (wasi:filesystem/types, `error-code`).
const LOOP: &str = "P";
const NO_ENTRY: &str = "U";
const NOT_PERMITTED: &str = "`";
const READ_ONLY: &str = "b";

async fn open(lab: &Lab, path: &str, flags: &str) -> Outcome {
    lab.run_spec(lab.spec(&opens(), &[path, flags])).await.unwrap()
}

/// 22, 29: whatever leads out of the folder is refused, and what is in it is read.
#[tokio::test]
async fn only_what_is_below_the_folder_is_read() {
    let lab = Lab::new();
    let given = lab.given();
    fs::create_dir(given.join("sub")).unwrap();
    fs::write(given.join("sub/file"), "read").unwrap();
    symlink("sub/file", given.join("inner")).unwrap();
    symlink("/etc/passwd", given.join("absolute")).unwrap();
    symlink("../canary", given.join("above")).unwrap();
    symlink("..", given.join("up")).unwrap();
    symlink("/proc/self/root/etc/passwd", given.join("magic")).unwrap();
    symlink("again", given.join("again")).unwrap();
    for (path, said) in [("sub/file", "read"), ("inner", "read"), ("sub/../sub/file", "read"), ("missing", NO_ENTRY)] {
        let outcome = open(&lab, path, "01").await;
        assert_eq!(text(&outcome.stdout.bytes), said, "{path}: {}", told(&outcome));
    }
    for path in ["absolute", "above", "up/canary", "magic", "../canary", "/etc/passwd", "sub/../../canary", "again"] {
        let outcome = open(&lab, path, "01").await;
        let said = text(&outcome.stdout.bytes);
        assert!([NOT_PERMITTED, LOOP].contains(&said.as_str()), "{path}: {}", told(&outcome));
    }
    lab.close();
}

/// 28: while a component reads, somebody swaps a folder and a file for links to what lies beside its folder.
#[tokio::test]
async fn a_swap_of_directories_and_links_is_never_followed() {
    let lab = Lab::new();
    let given = lab.given();
    let outside = lab.folder("outside");
    fs::create_dir(given.join("sub")).unwrap();
    for (folder, said) in [(&outside, "of the host"), (&given.join("sub"), "inner"), (&given, "inner")] {
        fs::write(folder.join("file"), said).unwrap();
    }
    symlink(&outside, given.join("link")).unwrap();
    symlink(outside.join("file"), given.join("file-link")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let swaps = std::thread::spawn({
        let (done, given) = (Arc::clone(&done), given.clone());
        move || {
            while !done.load(Ordering::Relaxed) {
                for (a, b) in [("sub", "link"), ("file", "file-link")] {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(CWD, given.join(a), CWD, given.join(b), flags).unwrap();
                }
            }
        }
    });
    let mut read = 0;
    let mut wrong = None;
    // Until each was often what it says; what is refused is told by a letter.
    for turn in 0.. {
        let path = ["sub/file", "link/file", "file", "file-link"][turn % 4];
        let said = text(&open(&lab, path, "01").await.stdout.bytes);
        read += u32::from(said == "inner");
        if said.len() > 5 {
            wrong = Some(said);
        }
        if wrong.is_some() || read == 50 {
            break;
        }
    }
    done.store(true, Ordering::Relaxed);
    swaps.join().unwrap();
    assert_eq!(wrong, None);
    lab.close();
}

/// 3 to 5, 32: there is nowhere to write.
#[tokio::test]
async fn nothing_can_be_written_or_removed() {
    let lab = Lab::new();
    fs::write(lab.given().join("file"), "kept").unwrap();
    // Create, truncate; write alone, read and write.
    for (path, flags) in [("new", "11"), ("new", "13"), ("file", "02"), ("file", "03"), ("file", "81")] {
        let outcome = open(&lab, path, flags).await;
        let said = text(&outcome.stdout.bytes);
        assert!([NOT_PERMITTED, READ_ONLY].contains(&said.as_str()), "{path} {flags}: {}", told(&outcome));
    }
    let removes = with(
        "(data (i32.const 200) \"file\")",
        "(call $get-directories (i32.const 16))
         (call $unlink (i32.load (i32.load (i32.const 16))) (i32.const 200) (i32.const 4) (i32.const 32))
         (if (i32.load8_u (i32.const 32)) (then (call $letter (i32.load8_u (i32.const 33))) (return (i32.const 0))))
         (i32.const 0)",
    );
    let outcome = lab.run(&removes).await;
    assert!([NOT_PERMITTED, READ_ONLY].contains(&text(&outcome.stdout.bytes).as_str()), "{}", told(&outcome));
    assert_eq!(fs::read(lab.given().join("file")).unwrap(), b"kept");
    assert!(!lab.given().join("new").exists());
    lab.close();
}

/// A pipe in a folder has nobody at its other end: whoever opens it ends at the deadline, and its place is kept until the
/// host's thread has come back from there. Nothing else is held up.
#[tokio::test]
async fn whoever_waits_for_a_pipe_ends_at_its_deadline() {
    let lab = Lab::with(Settings { most: 2, ..Settings::default() });
    let pipe = lab.given().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut waits = lab.spec(&opens(), &["pipe", "01"]);
    waits.limits.wall = Duration::from_millis(300);
    let outcome = lab.run_spec(waits.clone()).await.unwrap();
    assert_eq!(outcome.end, End::Deadline, "{}", told(&outcome));
    assert_eq!(lab.run_spec(waits.clone()).await.unwrap().end, End::Deadline);
    assert!(matches!(lab.run_spec(waits.clone()).await, Err(BoxError::Busy(2))));
    // The other end comes, and with it the places.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap());
    let counts = run("(i32.const 0)");
    let again = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match lab.run_spec(lab.spec(&counts, &[])).await {
                Ok(outcome) => return outcome.end,
                Err(BoxError::Busy(_)) => tokio::task::yield_now().await,
                Err(e) => panic!("{e}"),
            }
        }
    });
    assert_eq!(again.await.unwrap(), End::Exited(0));
    lab.close();
}

/// 14 to 16, 44: one that is given no other folder than its own sees one.
#[tokio::test]
async fn only_the_granted_folder_is_there() {
    let lab = Lab::new();
    let counts = run("(call $get-directories (i32.const 16)) (call $letter (i32.load (i32.const 20))) (i32.const 0)");
    assert_eq!(text(&lab.run(&counts).await.stdout.bytes), "B");
    lab.close();
}
