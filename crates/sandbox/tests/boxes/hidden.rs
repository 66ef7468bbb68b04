//! What of the host and of the runtime must not be seen or changed from inside: processes, programs, knobs, devices, the root.

use libc::{EACCES, ENOENT, EPERM, EROFS};
use stead_ports::sandbox::{BoxError, Content, End, Mount, Property};

use crate::lab::{Lab, every_way as everyone, text, told};

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
    for who in crate::lab::everyone() {
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
