//! What a command in a container must not be able to do. The numbers are those of the list of abuse cases that each tier has
//! to pass (docs/sandbox.md).

use std::{collections::BTreeMap, time::Duration};

use libc::{EACCES, ENOENT, ENOSYS, EPERM, EROFS, ESRCH};
use stead_ports::sandbox::{Content, End, Mount, Property};

use stead_oci::USER;

use crate::lab::{Lab, root, text, told};

/// What the tries print: for each name `None` if it was allowed, else the error.
async fn tries(lab: &Lab, what: &str) -> BTreeMap<String, Option<i32>> {
    let outcome = lab.run(&["/data/tries", what]).await;
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
    if root() {
        let lab = Lab::new();
        let mut results = tries(&lab, "calls").await;
        for (name, expected) in [
            // Not a matter of the filter: there is nobody to send it to, and no right.
            ("kill_all", ESRCH),
            ("kill_host", ESRCH),
            ("nice", EACCES),
            ("sched_fifo", EPERM),
            ("setgroups", EPERM),
            ("clone3_user", ENOSYS),
            // What a later kernel brings is not there.
            ("later", ENOSYS),
        ] {
            assert_eq!(results.remove(name), Some(Some(expected)), "{name}");
        }
        assert!(results.len() > 40, "{results:?}");
        for (name, result) in results {
            assert_eq!(result, Some(EPERM), "{name}");
        }
        lab.close().await;
    }
}

/// 27: the gates of other architectures.
#[tokio::test]
async fn other_gates_into_the_kernel_kill() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    for gate in ["x32", "int80"] {
        assert_eq!(lab.run(&["/data/tries", gate]).await.end, End::Signal(libc::SIGSYS), "{gate}");
    }
    lab.close().await;
}

/// 38
#[tokio::test]
async fn only_ordinary_sockets_can_be_made() {
    if root() {
        let lab = Lab::new();
        let results = tries(&lab, "sockets").await;
        for kind in ["packet", "netlink", "vsock", "alg", "bluetooth", "raw", "raw6", "icmp"] {
            assert_eq!(results[kind], Some(EPERM), "{kind}");
        }
        assert_eq!((results["tcp"], results["unix"]), (None, None));
        lab.close().await;
    }
}

/// 1
#[tokio::test]
async fn a_fork_bomb_meets_the_limit_of_processes_and_dies_at_its_deadline() {
    if root() {
        let lab = Lab::new();
        let mut spec = lab.spec(&["python3", "-c", "import os\nwhile True:\n try: os.fork()\n except OSError: pass"]);
        spec.limits.pids = Some(64);
        spec.limits.wall = Duration::from_millis(1500);
        spec.requires.insert(Property::PidsLimit);
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(outcome.end, End::Deadline, "{}", told(&outcome));
        assert_eq!(outcome.end.code().map(|c| c.to_string()).as_deref(), Some("ST0227"));
        assert!(outcome.usage.pids_refused.is_some_and(|n| n > 0), "{:?}", outcome.usage);
        assert_eq!(lab.sh("echo usable").await.end, End::Exited(0));
        lab.close().await;
    }
}

/// 8 to 11: no way of living on.
#[tokio::test]
async fn grandchildren_daemons_and_zombies_end_with_the_action() {
    if root() {
        let lab = Lab::new();
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

/// 12: nobody else is there.
#[tokio::test]
async fn only_the_boxs_own_processes_are_there() {
    if root() {
        let lab = Lab::new();
        let outcome = lab.sh("ls -d /proc/[0-9]* | wc -l; cat /proc/self/cgroup | grep -v ':/$'; hostname").await;
        let told = text(&outcome.stdout.bytes);
        let count: u32 = told.lines().next().unwrap().parse().unwrap();
        assert!(count <= 4, "{told}");
        assert!(!told.contains("stead-oci") && told.ends_with("box\n"), "{told}");
        lab.close().await;
    }
}

/// 14, 31, 32: the first process is the command itself, and nothing of what made it is left in there.
#[tokio::test]
async fn the_runtime_cannot_be_seen_or_changed_from_inside() {
    if root() {
        let lab = Lab::new();
        let script = "
import os
def attempt(f):
    try: return f()
    except OSError as e: return e.errno
print('exe', os.readlink('/proc/1/exe').split('/')[-1][:6])
print('write', attempt(lambda: open('/proc/self/exe', 'wb')))
print('libc', attempt(lambda: open('/usr/bin/env', 'ab')))
print('env', sorted(os.environ))
print('everyone', sorted(p for p in os.listdir('/proc') if p.isdigit()))
";
        let outcome = lab.python(script).await;
        let told = text(&outcome.stdout.bytes);
        assert!(told.contains("exe python\n"), "{told}");
        for what in ["write", "libc"] {
            let refused = [EROFS, EACCES, 26].iter().any(|e| told.contains(&format!("{what} {e}\n")));
            assert!(refused, "{told}");
        }
        assert!(told.contains("env ['HOME', 'LANG', 'PATH', 'TMPDIR', 'USER']"), "{told}");
        assert!(told.contains("everyone ['1']"), "{told}");

        let outcome = lab.run(&["/data/tries", "descriptors"]).await;
        assert_eq!(text(&outcome.stdout.bytes), "", "{}", self::told(&outcome));
        lab.close().await;
    }
}

/// 15, 16, 22
#[tokio::test]
async fn the_hosts_knobs_and_devices_are_not_there_or_not_writable() {
    if root() {
        let lab = Lab::new();
        let script = "
import os
def attempt(path, mode):
    try: open(path, mode); return 0
    except OSError as e: return e.errno
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/sys/vm/drop_caches', '/proc/self/oom_score_adj', '/proc/self/uid_map'):
    print(path, attempt(path, 'r+b'))
for path in ('/proc/kcore', '/proc/keys', '/proc/kallsyms', '/proc/cmdline'):
    try: print(path, len(open(path, 'rb').read(10)))
    except OSError as e: print(path, -e.errno)
for path in ('/sys/fs/cgroup', '/sys', '/dev/kvm', '/dev/mem', '/dev/fuse', '/dev/net/tun', '/dev/vsock', '/dev/vda', '/root', '/boot', '/etc/shadow', '/var/lib', '/.box'):
    print(path, attempt(path, 'rb'))
print('dev', sorted(os.listdir('/dev')))
print('root', sorted(os.listdir('/')))
";
        let outcome = lab.python(script).await;
        let told = text(&outcome.stdout.bytes);
        for path in [
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/hostname",
            "/proc/sysrq-trigger",
            "/proc/sys/vm/drop_caches",
            "/proc/self/oom_score_adj",
            "/proc/self/uid_map",
        ] {
            let refused = [EROFS, EACCES, EPERM, ENOENT].iter().any(|e| told.contains(&format!("{path} {e}\n")));
            assert!(refused, "{path}: {told}");
        }
        for path in ["/proc/kcore", "/proc/keys", "/proc/kallsyms", "/proc/cmdline"] {
            let closed = ["0".to_owned(), format!("-{EACCES}"), format!("-{EPERM}"), format!("-{ENOENT}")];
            assert!(closed.iter().any(|e| told.contains(&format!("{path} {e}\n"))), "{path}: {told}");
        }
        for path in [
            "/sys/fs/cgroup",
            "/sys",
            "/dev/kvm",
            "/dev/mem",
            "/dev/fuse",
            "/dev/net/tun",
            "/dev/vsock",
            "/dev/vda",
            "/root",
            "/boot",
            "/etc/shadow",
            "/var/lib",
            "/.box",
        ] {
            assert!(told.contains(&format!("{path} {ENOENT}\n")), "{path}: {told}");
        }
        assert!(told.contains("dev ['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']"), "{told}");
        lab.close().await;
    }
}

/// 17: nothing of the root can be written, however it is reached.
#[tokio::test]
async fn the_root_is_read_only_and_what_is_private_is_writable() {
    if root() {
        let lab = Lab::new();
        let outcome = lab
            .sh("for d in / /usr /etc /dev /proc /workspace /data /run /bin /home; do echo x > $d/x 2>/dev/null && echo wrote $d; done; \
                 for d in /tmp /home/box /dev/shm /var/tmp; do echo x > $d/x && rm $d/x && echo ok $d; done; echo ok > /dev/null; \
                 echo done > /dev/stdout")
            .await;
        assert_eq!(
            text(&outcome.stdout.bytes),
            "ok /tmp\nok /home/box\nok /dev/shm\nok /var/tmp\ndone\n",
            "{}",
            told(&outcome)
        );
        lab.close().await;
    }
}

/// 20: a set-user-id program in a folder of the host gains nothing.
#[tokio::test]
async fn a_set_user_id_program_gains_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    if root() {
        let lab = Lab::new();
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
    if root() {
        let lab = Lab::new();
        for (name, result) in tries(&lab, "raise").await {
            assert_eq!(result, Some(EPERM), "{name}");
        }
        let outcome = lab.sh("cd /tmp; sh -c 'kill -SEGV $$'; ls").await;
        assert!(!text(&outcome.stdout.bytes).contains("core"), "{}", told(&outcome));
        lab.close().await;
    }
}

/// 43: what one action plants, the next does not see.
#[tokio::test]
async fn nothing_of_one_action_is_there_for_the_next() {
    if root() {
        let lab = Lab::new();
        let plant = "mkdir -p ~/.cache ~/.local; for d in /tmp ~ ~/.cache /dev/shm; do echo evil > $d/planted; done; \
                     python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"/tmp/sock\")'";
        assert_eq!(lab.sh(plant).await.end, End::Exited(0));
        let outcome = lab.sh("find /tmp ~ /dev/shm -mindepth 1; ipcs -q | grep -c 0x; true").await;
        assert_eq!(text(&outcome.stdout.bytes), "0\n", "{}", told(&outcome));
        lab.close().await;
    }
}

/// Root in the box is nobody outside: what it writes belongs to a user without rights.
#[tokio::test]
async fn whoever_it_says_it_is_inside_it_is_nobody_outside() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    if root() {
        let lab = Lab::new();
        let folder = lab.folder("open");
        chown(&folder, Some(USER), Some(USER)).unwrap();
        let mut spec =
            lab.spec(&["sh", "-c", "echo x > /workspace/made; chmod 4755 /workspace/made; ls -ln /workspace/made"]);
        spec.mounts.push(Mount { at: "/workspace".into(), content: Content::ReadWrite(folder.clone()) });
        let outcome = lab.run_spec(spec).await.unwrap();
        let made = std::fs::metadata(folder.join("made")).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o7000), (USER, 0), "{}", told(&outcome));
        assert_ne!(USER, 0);
        lab.close().await;
    }
}
