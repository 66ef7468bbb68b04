//! What a command must not be able to do, whoever's launcher made its box, and whether a zygote started it. The numbers are those of the list of abuse cases
//! that each tier has to pass (docs/sandbox.md).

use std::{collections::BTreeMap, time::Duration};

use libc::{EACCES, EAFNOSUPPORT, EINVAL, ENOSYS, EPERM, ESRCH};
use stead_ports::sandbox::{Content, End, Mount, Property};

use crate::lab::{Lab, every_way as everyone, text, told};

/// What the probe prints: for each name `None` if it was allowed, else the error.
async fn probe(lab: &Lab, what: &str) -> BTreeMap<String, Option<i32>> {
    let outcome = lab.run(&["/data/probe", what]).await;
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    text(&outcome.stdout.bytes)
        .lines()
        .map(|line| {
            let (name, result) = line.split_once(' ').unwrap();
            (name.to_owned(), result.parse().ok())
        })
        .collect()
}

/// 13, 17 to 19, 21, 23 to 27, 41, 42, 46: one by one, so that a call that got through is named.
#[tokio::test]
async fn system_calls_that_reach_beyond_the_box_are_refused() {
    for who in everyone() {
        let lab = Lab::new(who);
        let mut results = probe(&lab, "calls").await;
        for (name, expected) in [
            // Not a matter of the filter: there is nobody to send it to, and no right.
            ("kill_all", ESRCH),
            ("kill_host", ESRCH),
            ("nice", EACCES),
            ("sched_fifo", EPERM),
            ("setuid_root", EINVAL),
            ("setgroups", EPERM),
            ("clone3_user", ENOSYS),
            // As if the kernel did not know them.
            ("io_setup", ENOSYS),
            ("statmount", ENOSYS),
            ("listmount", ENOSYS),
            ("open_tree_attr", ENOSYS),
            ("cachestat", ENOSYS),
            ("memfd_secret", ENOSYS),
            ("sched_core", EINVAL),
            ("memory_map", EINVAL),
        ] {
            assert_eq!(results.remove(name), Some(Some(expected)), "{name} as {who:?}");
        }
        assert!(results.len() > 40, "{results:?}");
        for (name, result) in results {
            assert_eq!(result, Some(EPERM), "{name} as {who:?}");
        }
        lab.close().await;
    }
}

/// 27: the gates of other architectures.
#[tokio::test]
async fn other_gates_into_the_kernel_kill() {
    for who in everyone() {
        let lab = Lab::new(who);
        for gate in ["x32", "int80"] {
            assert_eq!(lab.run(&["/data/probe", gate]).await.end, End::Signal(libc::SIGSYS), "{gate}");
        }
        lab.close().await;
    }
}

/// 38
#[tokio::test]
async fn only_ordinary_sockets_can_be_made() {
    for who in everyone() {
        let lab = Lab::new(who);
        let results = probe(&lab, "sockets").await;
        for family in ["packet", "netlink", "vsock", "alg", "bluetooth"] {
            assert_eq!(results[family], Some(EAFNOSUPPORT), "{family}");
        }
        for kind in ["raw", "raw6", "icmp", "sctp", "sctp6", "mptcp"] {
            assert_eq!(results[kind], Some(EPERM), "{kind}");
        }
        assert_eq!((results["tcp"], results["unix"]), (None, None));
        lab.close().await;
    }
}

/// 1
#[tokio::test]
async fn a_fork_bomb_meets_the_limit_of_processes_and_dies_at_its_deadline() {
    for who in everyone() {
        let lab = Lab::new(who);
        let mut spec = lab.spec(&["python3", "-c", "import os\nwhile True:\n try: os.fork()\n except OSError: pass"]);
        spec.limits.pids = Some(64);
        spec.limits.wall = Duration::from_millis(1500);
        spec.requires.insert(Property::PidsLimit);
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(outcome.end, End::Deadline, "{}", told(&outcome));
        assert_eq!(outcome.end.code().map(|c| c.to_string()).as_deref(), Some("ST0227"));
        if lab.holds(Property::MemoryLimit).await {
            assert!(outcome.usage.pids_refused.is_some_and(|n| n > 0), "{:?}", outcome.usage);
        }
        assert_eq!(lab.sh("echo usable").await.end, End::Exited(0));
        lab.close().await;
    }
}

/// 8 to 11: no way of living on.
#[tokio::test]
async fn grandchildren_daemons_and_zombies_end_with_the_action() {
    for who in everyone() {
        let lab = Lab::new(who);
        // It ignores what can be ignored, leaves its session twice, keeps stdout open, and leaves zombies behind.
        let daemon = "
import os, signal, time
for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE): signal.signal(s, signal.SIG_IGN)
for _ in range(20):
    if os.fork() == 0: os._exit(0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: pass
        while True: time.sleep(1)
    os._exit(0)
print('left', flush=True)
";
        let outcome = lab.python(daemon).await;
        assert_eq!((outcome.end, text(&outcome.stdout.bytes)), (End::Exited(0), "left\n".to_owned()));

        let mut spec = lab.spec(&["python3", "-c", &format!("{daemon}\nwhile True: pass")]);
        spec.limits.wall = Duration::from_millis(800);
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(outcome.end, End::Deadline, "{}", told(&outcome));
        assert!(outcome.usage.wall >= Duration::from_millis(800));
        lab.close().await;
    }
}

/// 20: a set-user-id program in a folder of the host gains nothing.
#[tokio::test]
async fn a_set_user_id_program_gains_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    for who in everyone() {
        let lab = Lab::new(who);
        let folder = lab.folder("work");
        std::fs::copy("/usr/bin/id", folder.join("id")).unwrap();
        std::fs::set_permissions(folder.join("id"), std::fs::Permissions::from_mode(0o6755)).unwrap();
        let mut spec = lab.spec(&["/workspace/id", "-u"]);
        spec.mounts.push(Mount { at: "/workspace".into(), content: Content::ReadOnly(folder) });
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(text(&outcome.stdout.bytes), "1000\n", "{}", told(&outcome));
        let outcome =
            lab.sh("id -u; grep -E '^(CapEff|CapBnd|CapPrm|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status").await;
        let expected = "1000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
                        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(text(&outcome.stdout.bytes), expected);
        lab.close().await;
    }
}

/// 42
#[tokio::test]
async fn no_limit_can_be_raised_and_no_core_is_written() {
    for who in everyone() {
        let lab = Lab::new(who);
        for (name, result) in probe(&lab, "raise").await {
            assert_eq!(result, Some(EPERM), "{name}");
        }
        let outcome = lab.sh("cd /tmp; sh -c 'kill -SEGV $$'; ls").await;
        assert!(!text(&outcome.stdout.bytes).contains("core"), "{}", told(&outcome));
        lab.close().await;
    }
}

/// Root in the box is nobody outside: what it writes belongs to a user without rights.
#[tokio::test]
async fn whoever_it_says_it_is_inside_it_is_nobody_outside() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    for who in everyone() {
        let lab = Lab::new(who);
        let folder = lab.folder("open");
        let user = lab.boxes.user().await.unwrap();
        if crate::lab::is_root() {
            chown(&folder, Some(user), Some(user)).unwrap();
        }
        let mut spec =
            lab.spec(&["sh", "-c", "echo x > /workspace/made; chmod 4755 /workspace/made; ls -ln /workspace/made"]);
        spec.mounts.push(Mount { at: "/workspace".into(), content: Content::ReadWrite(folder.clone()) });
        let outcome = lab.run_spec(spec).await.unwrap();
        let made = std::fs::metadata(folder.join("made")).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o7000), (user, 0), "{}", told(&outcome));
        assert_ne!(user, 0);
        lab.close().await;
    }
}
