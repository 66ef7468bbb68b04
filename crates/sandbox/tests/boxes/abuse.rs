//! What a command must not be able to do, whoever's launcher made its box. The numbers are those of the list of abuse cases
//! that each tier has to pass (docs/sandbox.md).

use std::{collections::BTreeMap, time::Duration};

use libc::{EACCES, EAFNOSUPPORT, EINVAL, ENOENT, ENOSYS, EPERM, EROFS, ESRCH};
use stead_ports::sandbox::{BoxError, Content, End, Mount, Property};

use crate::lab::{Lab, everyone, text, told};

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

/// 12: nobody else is there.
#[tokio::test]
async fn only_the_boxs_own_processes_are_there() {
    for who in everyone() {
        let lab = Lab::new(who);
        let outcome =
            lab.sh("ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; cat /proc/self/cgroup | grep -v ':/$'").await;
        let told = text(&outcome.stdout.bytes);
        let count: u32 = told.lines().next().unwrap().parse().unwrap();
        assert!(count <= 5, "{told}");
        assert!(!told.contains("stead-boxes"), "{told}");
        lab.close().await;
    }
}

/// 14, 31, 32
#[tokio::test]
async fn the_runtime_cannot_be_seen_or_changed_from_inside() {
    for who in everyone() {
        let lab = Lab::new(who);
        let script = "
import os
def attempt(f):
    try: return f()
    except OSError as e: return e.errno
for what in ('root', 'exe', 'cwd'): print(what, attempt(lambda: os.readlink('/proc/1/' + what)))
for what in ('environ', 'mem', 'maps'): print(what, attempt(lambda: open('/proc/1/' + what, 'rb').read(1)))
print('fd', attempt(lambda: os.listdir('/proc/1/fd')))
print('write', attempt(lambda: open('/proc/self/exe', 'wb')))
print('libc', attempt(lambda: open('/usr/bin/env', 'ab')))
print('env', sorted(os.environ))
";
        let outcome = lab.python(script).await;
        let told = text(&outcome.stdout.bytes);
        for what in ["root", "exe", "cwd", "environ", "mem", "maps", "fd"] {
            assert!(
                told.contains(&format!("{what} {EACCES}\n")) || told.contains(&format!("{what} {EPERM}\n")),
                "{what}: {told}"
            );
        }
        assert!(
            told.contains(&format!("write {EROFS}\n"))
                || told.contains("write 26\n")
                || told.contains(&format!("write {EACCES}\n")),
            "{told}"
        );
        assert!(told.contains(&format!("libc {EROFS}\n")) || told.contains(&format!("libc {EACCES}\n")), "{told}");
        assert!(told.contains("env ['HOME', 'LANG', 'PATH', 'TMPDIR', 'USER']"), "{told}");

        let outcome = lab.run(&["/data/probe", "descriptors"]).await;
        assert_eq!(text(&outcome.stdout.bytes), "0\n1\n2\n");
        lab.close().await;
    }
}

/// 32: a command that is this program itself, of a user who may write its file. Two walls: it is not run, and what its processes
/// run lies on a mount that nobody can write to.
#[tokio::test]
async fn the_runtimes_own_program_cannot_be_written_through_a_command_that_is_it() {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::fs::{Access, AtFlags, CWD};
    for who in everyone() {
        let folder = tempfile::Builder::new().prefix("stead-own").tempdir_in("/tmp").unwrap();
        let program = folder.path().join("runtime");
        std::fs::copy(env!("CARGO_BIN_EXE_stead-box-launcher"), &program).unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/proc/self/exe\n").unwrap();
        for path in [folder.path(), &program, &script] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let words = crate::lab::own_program(who, &program);
        let lab = Lab::with(who, |settings| settings.launcher = words);
        assert_eq!(lab.sh("true").await.end, End::Exited(0));
        if who == crate::lab::Who::User {
            let running = format!("/proc/{}/exe", lab.launcher().await);
            let may = rustix::fs::accessat(CWD, running, Access::WRITE_OK, AtFlags::empty());
            assert_eq!(may, Err(rustix::io::Errno::ROFS));
        }
        if lab.holds(Property::FileRules).await {
            for word in ["/proc/self/exe", "/workspace/script"] {
                let mut spec = lab.spec(&[word]);
                let content = Content::ReadOnly(folder.path().to_owned());
                spec.mounts.push(Mount { at: "/workspace".into(), content });
                let error = lab.run_spec(spec).await.unwrap_err();
                let refused = matches!(&error, BoxError::Command { why, .. } if why.contains("Permission denied"));
                assert!(refused, "{word} as {who:?}: {error}");
            }
        }
        lab.close().await;
    }
}

/// 15, 16, 22
#[tokio::test]
async fn the_hosts_knobs_and_devices_are_not_there_or_not_writable() {
    for who in everyone() {
        let lab = Lab::new(who);
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
for path in ('/sys/fs/cgroup', '/sys', '/dev/kvm', '/dev/mem', '/dev/fuse', '/dev/net/tun', '/dev/vsock', '/dev/vda', '/root', '/boot', '/etc/shadow', '/var/lib', '/.box/tmp'):
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
        ] {
            assert!(told.contains(&format!("{path} {ENOENT}\n")), "{path}: {told}");
        }
        assert!(
            told.contains(&format!("/.box/tmp {ENOENT}\n")) || told.contains(&format!("/.box/tmp {EACCES}\n")),
            "{told}"
        );
        assert!(told.contains("dev ['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']"), "{told}");
        lab.close().await;
    }
}

/// 17: nothing of the root can be written, however it is reached.
#[tokio::test]
async fn the_root_is_read_only_and_what_is_private_is_writable() {
    for who in everyone() {
        let lab = Lab::new(who);
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
