//! What a command sees and may touch: cases that need a script only, alone or all in one box.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{EACCES, EAFNOSUPPORT, ENOENT, EPERM, EROFS, ETXTBSY};
use stead_ports::sandbox::End;

use super::{First, Lab, calls::results, text, told};

/// A case that needs a script only.
#[derive(Clone, Copy)]
pub struct Inside {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// What runs in a shell; `$P` starts the probe.
    script: fn(&dyn Lab) -> String,
    /// Panics if the lines are not what it must say.
    check: fn(&dyn Lab, &[String]),
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// For each case: the function that runs it alone, and its entry in [`INSIDE`].
macro_rules! inside {
    ($($(#[$doc:meta])* $name:ident: $script:expr => $check:expr;)*) => {
        $($(#[$doc])* pub async fn $name(lab: &dyn Lab) {
            in_one_box(lab, &[Inside { name: stringify!($name), script: $script, check: $check }]).await;
        })*

        /// All of them.
        pub const INSIDE: &[Inside] = &[$(Inside { name: stringify!($name), script: $script, check: $check }),*];
    };
}

inside! {
    /// 27: the gates of other architectures.
    other_gates_into_the_kernel_kill: |_| "$P int80; echo code $?; $P x32; echo code $?".to_owned() => |lab, lines| {
        // Death by SIGSYS.
        assert_eq!(lines, [&["code 159"], lab.answers().x32].concat());
    };

    /// 38
    only_ordinary_sockets_can_be_made: |_| "$P sockets".to_owned() => |lab, lines| {
        let mut results = results(lines);
        assert_eq!((results.remove("tcp"), results.remove("unix")), (Some(0), Some(0)));
        results.retain(|name, _| !lab.answers().harmless_sockets.contains(&name.as_str()));
        assert!(results.len() >= 8 && results.values().all(|r| [EPERM, EAFNOSUPPORT].contains(r)), "{results:?}");
    };

    /// 42
    no_limit_can_be_raised_and_no_core_is_written:
        |_| "$P raise; cd /tmp; sh -c 'kill -SEGV $$'; ls | grep core".to_owned() => |_, lines| {
        assert_eq!(lines, ["core", "nofile", "fsize", "nice"].map(|limit| format!("{limit} {EPERM}")));
    };

    /// 20, 31, 40
    a_command_has_no_right_no_secret_and_no_descriptor_but_its_streams: |_| "
grep -E '^(CapEff|CapBnd|CapPrm|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '; id -u; hostname
env | cut -d= -f1 | grep -vE '^(PWD|OLDPWD|SHLVL|P|_)$' | sort | tr '\\n' ' '; echo
$P descriptors".to_owned() => |_, lines| {
        let none = "0000000000000000";
        let rights = ["CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| format!("{set}: {none}"));
        let rest = ["NoNewPrivs: 1", "Seccomp: 2", "1000", "box", "HOME LANG PATH TMPDIR USER ", "0", "1", "2"];
        assert_eq!(lines, [&rights[..], &rest.map(str::to_owned)].concat());
    };

    /// 12, 14: nobody else is there, and what made the box is closed.
    only_the_boxs_own_processes_are_there: |_| "
ls -d /proc/[0-9]* | wc -l; $P closed; grep stead- /proc/[0-9]*/cgroup 2>/dev/null
for of in exe root; do echo $of=$(readlink /proc/1/$of); done
kill -9 1 2>/dev/null; echo alive".to_owned() => |lab, lines| {
        assert!(lines[0].trim().parse::<u32>().unwrap() <= 6, "{lines:?}");
        let results = results(lines);
        assert_eq!(results.len(), 7, "{lines:?}");
        let own = match lab.answers().first {
            First::Init => {
                assert!(results.values().all(|r| [EACCES, EPERM, ENOENT].contains(r)), "{results:?}");
                vec!["exe=", "root=", "alive"]
            }
            First::Command => {
                assert!(!lines[8].contains("stead") && !lines[8].contains("runc"), "{lines:?}");
                vec![lines[8].as_str(), "root=/", "alive"]
            }
        };
        assert_eq!(lines[8..], own);
    };

    /// 32
    the_runtime_cannot_be_changed_from_inside:
        |_| "$P open w /proc/self/exe $(readlink -f /proc/self/exe) /data/probe /etc/passwd".to_owned() => |_, lines| {
        let results = results(lines);
        let refused = results.values().all(|r| [EROFS, EACCES, EPERM, ETXTBSY].contains(r));
        assert!(results.len() == 4 && refused, "{results:?}");
    };

    /// 15, 16, 22
    the_hosts_knobs_and_devices_are_not_there_or_not_writable:
    |_| {
        let [knobs, telling, absent] = [KNOBS, TELLING, ABSENT].map(|paths| paths.join(" "));
        format!("$P open w {knobs}; $P read {telling}; $P open r {absent} /.box/tmp; ls /dev | tr '\\n' ' '; echo")
    } => |lab, lines| {
        let mut results = results(lines);
        for path in KNOBS {
            let result = results.remove(*path).unwrap();
            assert!([EROFS, EACCES, EPERM, ENOENT].contains(&result), "{path}: {result}");
        }
        for path in TELLING {
            let closed = ["0 bytes".to_owned(), EACCES.to_string(), EPERM.to_string(), ENOENT.to_string()];
            let line = lines.iter().find_map(|line| line.strip_prefix(path)?.strip_prefix(' ')).unwrap();
            let own = lab.answers().own_kernel.contains(path);
            assert!(own || closed.iter().any(|c| c == line), "{path}: {line}");
        }
        for path in ABSENT {
            assert_eq!(results.remove(*path), Some(ENOENT), "{path}");
        }
        assert!([ENOENT, EACCES].contains(&results["/.box/tmp"]), "{results:?}");
        let devices = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ";
        assert_eq!(lines.last().unwrap(), devices);
    };

    /// 17: nothing of the root can be written, however it is reached.
    the_root_is_read_only_and_what_is_private_is_writable: |_| "
for d in / /usr /etc /dev /proc /workspace /data /run /bin /home; do ( echo x > $d/x ) 2>/dev/null && echo wrote $d; done
for d in /tmp /home/box /dev/shm /var/tmp; do echo x > $d/x && rm $d/x && echo ok $d; done; echo ok > /dev/null
echo done > /dev/stdout".to_owned() => |_, lines| {
        assert_eq!(lines, ["ok /tmp", "ok /home/box", "ok /dev/shm", "ok /var/tmp", "done"]);
    };

    /// 33, 35, 39: the host listens on all of it; that it heard nothing is seen when the lab closes.
    nothing_of_the_host_or_the_network_can_be_reached: |lab| {
        let (tcp, udp, name) = lab.place().listening();
        format!("$P reach {tcp} {udp} {name}; sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '")
    } => |_, lines| {
        let results = results(lines);
        let tried = |kind: &str| results.keys().filter(|name| name.starts_with(kind)).count();
        assert_eq!((tried("tcp"), tried("udp"), tried("abstract"), tried("name")), (8, 4, 1, 1), "{lines:?}");
        // A datagram to the box's own loopback goes nowhere without an error.
        let sent: Vec<_> = results.iter().filter(|(_, result)| **result == 0).map(|(name, _)| name.as_str()).collect();
        assert!(sent.is_empty() || sent == ["udp 127.0.0.1"], "{sent:?}");
        let interfaces = &lines[results.len()..];
        let other = interfaces.iter().find(|name| name.starts_with('e') || name.starts_with('w'));
        assert!(interfaces.iter().any(|name| name == "lo") && other.is_none(), "{interfaces:?}");
    };
}

const KNOBS: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sysrq-trigger",
    "/proc/sys/vm/drop_caches",
    "/proc/self/oom_score_adj",
    "/proc/self/uid_map",
];

const TELLING: &[&str] = &["/proc/kcore", "/proc/keys", "/proc/kallsyms", "/proc/cmdline"];

const ABSENT: &[&str] = &[
    "/sys/fs/cgroup",
    "/sys",
    "/dev/kvm",
    "/dev/mem",
    "/dev/fuse",
    "/dev/net/tun",
    "/dev/vsock",
    "/dev/vda",
    "/dev/vport0p1",
    "/dev/ttyS0",
    "/dev/console",
    "/root",
    "/boot",
    "/etc/shadow",
    "/var/lib",
    "/stead",
    "/in",
    "/private",
    "/modules",
];

/// Runs all of [`INSIDE`] in one box.
///
/// # Panics
/// With the names of those whose promise is broken.
pub async fn all_inside(lab: &dyn Lab) {
    in_one_box(lab, INSIDE).await;
}

async fn in_one_box(lab: &dyn Lab, cases: &[Inside]) {
    let mut script = format!("P='{}'\n", lab.answers().probe.join(" "));
    for case in cases {
        script.push_str(&format!("echo == {}\n( {}\n)\n", case.name, (case.script)(lab)));
    }
    script.push_str("echo == end\n");
    let outcome = lab.sh(&script).await;
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    let said = text(&outcome.stdout.bytes);
    let mut broken = Vec::new();
    for case in cases {
        let head = format!("== {}\n", case.name);
        let lines: Vec<_> = said.split_once(&head).map(|(_, rest)| rest).unwrap_or_default().lines().collect();
        let end = lines.iter().position(|line| line.starts_with("== ")).unwrap_or_else(|| panic!("{}", told(&outcome)));
        let lines: Vec<_> = lines[..end].iter().map(|line| (*line).to_owned()).collect();
        // What is wrong is said by the panic itself; here the others get their turn.
        if catch_unwind(AssertUnwindSafe(|| (case.check)(lab, &lines))).is_err() {
            broken.push(case.name);
        }
    }
    assert!(broken.is_empty(), "broken: {broken:?}: {}", told(&outcome));
}
