//! Boxes that stay: commands in them, their streams, ends and folders; frozen ones.

use std::{
    os::fd::AsFd as _,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use stead_ports::{
    sandbox::{
        BoxError, Boxes as _, Command, Content, End, Exec, ExecWhy, Mount, Property, Resident, Session, Spec, Streams,
    },
    workspace::Written,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Tried as _, Who, everyone, text};

fn command(script: &str) -> Command {
    let words = ["sh", "-c", script].map(str::to_owned).to_vec();
    Command { words, env: Vec::new(), dir: "/workspace".into() }
}

fn spec(lab: &Lab) -> Spec {
    let mut spec = lab.spec(&[]);
    spec.limits.wall = Duration::from_secs(600);
    spec.mounts.push(Mount { at: "/workspace".into(), content: Content::Layered(lab.folder("base")) });
    spec
}

async fn open(lab: &Lab) -> Resident {
    lab.boxes.open(spec(lab)).await.unwrap()
}

/// Runs a command to its end: output, errors, why.
async fn run(session: &dyn Session, script: &str) -> (String, String, ExecWhy) {
    let exec = session.exec(command(script), Streams::Pipes).await.unwrap();
    let Exec { hand: _hand, stdin, mut stdout, stderr, end } = exec;
    drop(stdin);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut stderr = stderr.unwrap();
    let (end, _, _) = tokio::join!(end, stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
    (text(&out), text(&err), end.why)
}

#[tokio::test]
async fn commands_follow_each_other_in_one_box_and_what_one_leaves_the_next_one_finds() {
    for who in everyone() {
        let lab = Lab::new(who);
        let kept = open(&lab).await;
        let session = &*kept.session;
        let first = run(session, "echo one > kept; id -u; pwd; echo oops >&2; exit 3").await;
        assert_eq!(first, ("1000\n/workspace\n".into(), "oops\n".into(), ExecWhy::Exited(3)));
        assert_eq!(run(session, "cat kept; kill -TERM $$").await, ("one\n".into(), String::new(), ExecWhy::Signal(15)));
        let error = session.exec(Command { words: vec!["no-such-program".into()], ..command("") }, Streams::Pipes);
        let error = error.await.err().unwrap();
        assert!(matches!(&error, BoxError::Command { program, .. } if program == "no-such-program"), "{error}");
        let usage = session.usage().await.unwrap();
        assert!(usage.wall > Duration::ZERO);
        session.kill();
        assert_eq!(kept.end.await.unwrap().end, End::Killed);
        let error = session.exec(command("true"), Streams::Pipes).await.err().unwrap();
        assert!(matches!(error, BoxError::Lost(_)), "{error}");
        lab.close().await;
    }
}

/// A command has what any other in a box has: see `abuse.rs` for what that keeps from it.
#[tokio::test]
async fn a_command_is_as_confined_as_the_first_of_any_box() {
    for who in everyone() {
        let lab = Lab::new(who);
        let kept = open(&lab).await;
        let script = "grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; ls /proc/self/fd; \
            ulimit -c; cat /proc/self/uid_map; touch /usr/x /etc/x 2>&1; sh -c 'kill -9 1' 2>&1; readlink /proc/1/exe 2>&1";
        let here = run(&*kept.session, script).await.0;
        let mut once = spec(&lab);
        once.command = command(script);
        let first = text(&lab.run_spec(once).await.unwrap().stdout.bytes);
        assert_eq!(here, first);
        assert!(here.contains("CapEff:\t0000000000000000") && here.contains("Seccomp:\t2"), "{here}");
        drop(kept);
        lab.close().await;
    }
}

/// What keeps commands runs as their user: they can neither look into it nor take its descriptors.
#[tokio::test]
async fn what_keeps_commands_is_closed_to_them() {
    for who in everyone() {
        let lab = Lab::new(who);
        let kept = open(&lab).await;
        let script = "for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n = self ] && continue; \
            case $(readlink $p/exe 2>/dev/null) in *stead*|*deleted*) echo seen $p;; esac; \
            if ! readlink $p/exe >/dev/null 2>&1; then ls $p/fd >/dev/null 2>&1 && echo open $p; \
            cat $p/environ $p/maps 2>/dev/null | head -c 1; (: < $p/mem) 2>/dev/null && echo memory $p; fi; done; echo done";
        assert_eq!(run(&*kept.session, script).await.0, "done\n");
        drop(kept);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_killed_command_takes_all_that_it_started_along_and_the_others_stay() {
    for who in everyone() {
        let lab = Lab::new(who);
        let kept = open(&lab).await;
        let other = kept.session.exec(command("echo up; exec cat"), Streams::Pipes).await.unwrap();
        // Double forks, new sessions, ignored signals.
        let script = "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM; sleep 1001 & exec sleep 1001' &) ; \
            (sleep 1001 &) ; echo up; while :; do sleep 1001; done";
        let mut exec = kept.session.exec(command(script), Streams::Pipes).await.unwrap();
        exec.stdout.read_exact(&mut [0; 3]).await.unwrap();
        exec.hand.signal(15);
        exec.hand.kill();
        assert_eq!(exec.end.await.why, ExecWhy::Killed);
        let left = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -x 'sleep 1001 '; done; echo none";
        assert_eq!(run(&*kept.session, left).await.0, "none\n");
        let mut other = other;
        other.stdin.write_all(b"hello\n").await.unwrap();
        drop(other.stdin);
        let mut out = Vec::new();
        let (end, _) = tokio::join!(other.end, other.stdout.read_to_end(&mut out));
        assert_eq!((text(&out), end.why), ("up\nhello\n".to_owned(), ExecWhy::Exited(0)));
        drop(kept);
        lab.close().await;
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_goes_on_and_leaves_no_zombie() {
    let lab = Lab::new(everyone()[0]);
    let kept = open(&lab).await;
    let (out, _, why) = run(&*kept.session, "mkfifo p; (echo late > p; exit 0) >/dev/null 2>&1 & echo now").await;
    assert_eq!((out.as_str(), why), ("now\n", ExecWhy::Exited(0)));
    assert_eq!(run(&*kept.session, "cat p").await.0, "late\n");
    let zombies = "i=0; while grep -q 'State:.Z' /proc/[0-9]*/status 2>/dev/null; do i=$((i+1)); [ $i = 200 ] && break; sleep 0.01; done; echo $i";
    assert_ne!(run(&*kept.session, zombies).await.0, "200\n");
    drop(kept);
    lab.close().await;
}

#[tokio::test]
async fn a_terminal_is_one_to_a_command_and_is_its_own() {
    for who in everyone() {
        let lab = Lab::new(who);
        let kept = open(&lab).await;
        for _ in 0..2 {
            let script = "test -t 0 && test -t 2 && stty size; stty -echo; read x; stty size; echo got $x > /dev/tty";
            let mut exec = kept.session.exec(command(script), Streams::Terminal { size: (24, 80) }).await.unwrap();
            let mut shown = Vec::new();
            while !text(&shown).contains("24 80") {
                assert!(exec.stdout.read_buf(&mut shown).await.unwrap() > 0, "{}", text(&shown));
            }
            exec.hand.resize((50, 132));
            exec.stdin.write_all(b"word\n").await.unwrap();
            let (end, _) = tokio::join!(exec.end, exec.stdout.read_to_end(&mut shown));
            assert_eq!(end.why, ExecWhy::Exited(0));
            let shown = text(&shown);
            assert!(shown.contains("50 132") && shown.ends_with("got word\r\n"), "{shown}");
        }
        drop(kept);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_folder_is_seen_from_outside_as_the_box_sees_it_and_a_link_leads_nowhere() {
    for who in everyone() {
        let lab = Lab::new(who);
        std::fs::write(lab.folder("base").join("below"), "from below").unwrap();
        let kept = open(&lab).await;
        assert_eq!(kept.session.folders(), [Path::new("/workspace"), Path::new("/tmp"), Path::new("/home/box")]);
        run(&*kept.session, "echo inside > new; ln -s /etc/passwd out; echo t > /tmp/t; ln -s ../../etc/passwd up")
            .await;
        let read = |at: &str, name: &str| {
            let folder = kept.session.folder(Path::new(at)).unwrap();
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let file = rustix::fs::openat2(folder.as_fd(), name, OFlags::RDONLY, Mode::empty(), how)?;
            let mut room = [0; 64];
            let n = rustix::io::read(file, &mut room)?;
            Ok::<_, rustix::io::Errno>(text(&room[..n]))
        };
        assert_eq!(read("/workspace", "below").unwrap(), "from below");
        assert_eq!((read("/workspace", "new").unwrap(), read("/tmp", "t").unwrap()), ("inside\n".into(), "t\n".into()));
        for link in ["out", "up"] {
            assert_eq!(read("/workspace", link), Err(rustix::io::Errno::XDEV));
        }
        assert!(kept.session.folder(Path::new("/etc")).is_none());
        drop(kept);
        lab.close().await;
    }
}

/// Frozen, a box does nothing; its layer is whole; and it goes on afterwards, or dies frozen.
#[tokio::test]
async fn a_frozen_box_stands_still_and_goes_on_afterwards() {
    for who in everyone() {
        let lab = Lab::new(who);
        let kept = open(&lab).await;
        let script = "i=0; echo $i > count; echo up; while :; do i=$((i+1)); echo $i > count; done";
        let mut exec = kept.session.exec(command(script), Streams::Pipes).await.unwrap();
        exec.stdout.read_exact(&mut [0; 3]).await.unwrap();
        let frozen = kept.session.freeze(Path::new("/workspace")).await;
        if who == Who::User && !lab.holds(Property::MemoryLimit).await {
            let error = frozen.err().unwrap();
            assert!(error.to_string().contains("nothing on this host can freeze"), "{error}");
            drop(kept);
            lab.close().await;
            continue;
        }
        let frozen = frozen.unwrap();
        let Written::Upper { dir, .. } = frozen.written().unwrap() else { panic!("a layer is an upper directory") };
        let count = || {
            let file = rustix::fs::openat(&dir, "count", OFlags::RDONLY, Mode::empty()).unwrap();
            let mut room = [0; 64];
            let n = rustix::io::read(file, &mut room).unwrap();
            text(&room[..n])
        };
        let first = count();
        let until = Instant::now() + Duration::from_millis(100);
        while Instant::now() < until {
            assert_eq!(count(), first);
        }
        drop(frozen);
        let until = Instant::now() + Duration::from_secs(10);
        while count() == first || count().is_empty() {
            assert!(Instant::now() < until, "it does not go on");
        }
        let error = kept.session.freeze(Path::new("/nowhere")).await.err().unwrap();
        assert!(matches!(error, BoxError::Spec(_)), "{error}");
        // Killed while it is frozen, it is dead all the same.
        let frozen = kept.session.freeze(Path::new("/workspace")).await.unwrap();
        kept.session.kill();
        let outcome = kept.end.await.unwrap();
        assert_eq!((outcome.end, outcome.layers.len()), (End::Killed, 1));
        drop(frozen);
        lab.close().await;
    }
}

/// kill -9 of the launcher while a box is frozen: it can die only when it is thawed, which the next launcher sees to.
#[tokio::test]
async fn a_frozen_box_of_a_killed_launcher_dies_when_the_next_one_begins() {
    if everyone()[0] != Who::Root {
        return;
    }
    let lab = Lab::new(Who::Root);
    let kept = open(&lab).await;
    let frozen = kept.session.freeze(Path::new("/workspace")).await.unwrap();
    let pid = rustix::process::Pid::from_raw(lab.launcher().await as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let error = kept.end.await.unwrap_err();
    assert!(matches!(error, BoxError::Lost(_)), "{error}");
    // As if this server had been killed too: nobody else thaws it.
    std::mem::forget(frozen);
    assert_eq!(lab.sh("true").await.end, End::Exited(0));
    lab.close().await;
}

#[tokio::test]
async fn letting_go_of_a_box_or_of_a_command_kills_it() {
    for who in everyone() {
        let lab = Lab::new(who);
        let kept = open(&lab).await;
        let exec = kept.session.exec(command("sleep 1001"), Streams::Pipes).await.unwrap();
        drop(exec);
        let look = "n=$((1000+1)); i=0; while grep -q $n /proc/[0-9]*/cmdline 2>/dev/null; do i=$((i+1)); [ $i = 500 ] && break; sleep 0.01; done; echo $((i < 500))";
        assert_eq!(run(&*kept.session, look).await.0, "1\n");
        drop(kept);
        lab.close().await;
    }
}

#[tokio::test]
async fn limits_of_a_box_that_stays_hold_for_all_commands_together_and_can_be_changed() {
    let lab = Lab::new(everyone()[0]);
    if !lab.holds(Property::PidsLimit).await || everyone()[0] != Who::Root {
        lab.close().await;
        return;
    }
    let kept = open(&lab).await;
    let session = &*kept.session;
    let change = stead_ports::sandbox::Change { pids: Some(8), ..Default::default() };
    session.limit(change).await.unwrap();
    let (_, err, _) = run(session, "for i in 1 2 3 4 5 6 7 8 9; do sleep 1001 >/dev/null 2>&1 & done; true").await;
    assert!(err.contains("fork"), "{err}");
    drop(kept);
    lab.close().await;
}
