//! The zygote itself: what it may, where its forks are, how many there are, how it ends.

use std::{
    fs,
    time::{Duration, Instant},
};

use stead_ports::sandbox::{Boxes as _, End, Served, Stdio, WhenFull};

use crate::{
    lab::{Lab, Tried as _, Who, capture, everyone, text, told, zygote_of},
    zygote::{by_zygote, served},
};

/// Processes below one that run Python.
fn zygotes(launcher: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
    let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    children
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .filter(|pid| name(pid).starts_with("python"))
        .collect()
}

fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap().to_owned()
}

/// What the descriptors of a process lead to, those that it closes meanwhile left out.
fn descriptors(pid: u32) -> Vec<String> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    all.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect()
}

#[tokio::test]
async fn a_zygote_has_no_right_but_to_enter_boxes_and_no_descriptor_but_its_socket() {
    for who in everyone() {
        let lab = Lab::new(by_zygote(who));
        lab.warm("lab").await;
        let launcher = lab.launcher().await;
        let found = zygotes(launcher);
        assert_eq!(found.len(), 1, "{found:?}");
        let zygote = found[0];
        // CAP_SYS_CHROOT and CAP_SYS_ADMIN; in a namespace of users of its own, over nothing but that, CAP_SETFCAP too.
        let rights = if who == Who::Root { "0000000000240000" } else { "0000000080240000" };
        for key in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(zygote, key), rights, "{key} as {who:?}");
        }
        assert_eq!(status(zygote, "CapBnd"), "0".repeat(16));
        assert_eq!(
            (status(zygote, "NoNewPrivs"), status(zygote, "Seccomp"), status(zygote, "Threads")),
            ("1".into(), "2".into(), "1".into())
        );
        let user = lab.boxes.user().await.unwrap().to_string();
        assert!(status(zygote, "Uid").split('\t').all(|id| id == user), "{}", status(zygote, "Uid"));
        for kind in ["net", "ipc", "uts"] {
            let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            assert_ne!(namespace(zygote), namespace(launcher), "{kind}");
        }
        // While it forks into a box that is made ahead, it also has what that box gave.
        let until = Instant::now() + Duration::from_secs(10);
        let mut open = descriptors(zygote);
        while open.len() > 4 && Instant::now() < until {
            open = descriptors(zygote);
        }
        let socket = open.pop().unwrap();
        assert!(open == ["/dev/null"; 3] && socket.starts_with("socket:"), "{open:?} {socket}");
        let environment = fs::read_to_string(format!("/proc/{zygote}/environ")).unwrap();
        assert_eq!(environment.split('\0').filter(|v| !v.is_empty()).count(), 5, "{environment}");
        lab.close().await;
    }
}

/// The parent of a process, and its command's name.
fn parent_and_name(pid: u32) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    Some((rest.split(' ').nth(1)?.parse().ok()?, name.to_owned()))
}

#[tokio::test]
async fn a_fork_lives_in_the_namespaces_and_groups_of_its_box_below_its_init() {
    let Some(who) = everyone().into_iter().find(|who| *who == Who::Root) else { return };
    let lab = Lab::new(by_zygote(who));
    lab.warm("lab").await;
    let script = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'here-i-am', 0, 0, 0); print('up', flush=True); sys.stdin.read()";
    let running = lab.boxes.start(lab.spec(&["python3", "-c", script]), Stdio::Pipes { keep: 1000 }).await.unwrap();
    let mut pipes = running.pipes.unwrap();
    let mut up = [0; 3];
    tokio::io::AsyncReadExt::read_exact(&mut pipes.stdout, &mut up).await.unwrap();
    let processes =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let launcher = lab.launcher().await;
    let below = |pid: &u32| {
        let (parent, name) = parent_and_name(*pid)?;
        (name == "here-i-am" && parent_and_name(parent)?.0 == launcher).then_some((*pid, parent))
    };
    let (command, init) = processes.filter_map(|pid| below(&pid)).next().unwrap();
    for kind in ["pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(namespace(command), namespace(init), "{kind}");
        assert_ne!(namespace(command), namespace(launcher), "{kind}");
    }
    let users = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_ne!(users(command), users(init));
    let groups = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(command), groups(init));
    drop(pipes.stdin);
    assert_eq!(running.end.await.unwrap().end, End::Exited(0));
    lab.close().await;
}

#[tokio::test]
async fn a_zygote_that_is_killed_is_replaced_and_actions_go_on() {
    for who in everyone() {
        let lab = Lab::new(by_zygote(who));
        lab.warm("lab").await;
        let launcher = lab.launcher().await;
        let first = zygotes(launcher)[0];
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(first as i32).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        let spec = lab.spec(&["python3", "-c", "print(1)"]);
        for _ in 0..20 {
            let outcome = lab.boxes.run(spec.clone(), capture(WhenFull::Drop)).await.unwrap();
            assert_eq!(text(&outcome.stdout.bytes), "1\n", "{}", told(&outcome));
        }
        lab.warm("lab").await;
        assert_ne!(zygotes(launcher), [first]);
        lab.close().await;
    }
}

#[tokio::test]
async fn there_are_eight_zygotes_at_most_and_the_one_longest_unused_makes_room() {
    let lab = Lab::new(by_zygote(everyone()[0]));
    let launcher = {
        lab.warm("0").await;
        lab.launcher().await
    };
    for tenant in 1..10 {
        lab.warm(&tenant.to_string()).await;
        assert!(zygotes(launcher).len() <= 8, "{:?}", zygotes(launcher));
    }
    let mut spec = lab.spec(&["python3", "-c", ""]);
    spec.zygote = Some(zygote_of("9"));
    assert!(matches!(served(&lab, spec.clone()).await, Served::Forked { .. }));
    spec.zygote = Some(zygote_of("0"));
    assert!(matches!(served(&lab, spec).await, Served::Cold { .. }), "the first one is still there");
    lab.close().await;
}
