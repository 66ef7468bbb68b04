//! What a command must not be able to do. The numbers are those of the list of abuse cases that each tier has to pass
//! (docs/sandbox.md). In a machine each of these could gain the guest at most; they are refused all the same.

use std::collections::BTreeMap;

use libc::{EAFNOSUPPORT, ENOSYS, EPERM, ESRCH};
use stead_ports::sandbox::{Content, End, Mount};

use crate::lab::{Lab, text, told};

const SCRIPT: &str = r#"
P="/data/loader --library-path /data /data/probe"
echo == sockets; $P sockets
echo == raise; $P raise
echo == descriptors; $P descriptors
echo == int80; $P int80; echo "code $?"
echo == x32; $P x32; echo "code $?"
echo == status; grep -E '^(CapEff|CapBnd|CapPrm|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status
echo == who; id -u; env | cut -d= -f1 | grep -vE '^(PWD|OLDPWD|SHLVL|P)$' | sort | tr '\n' ' '; echo
echo == processes; ls -d /proc/[0-9]* | wc -l; cat /proc/1/environ 2>&1 | head -c 100; ls /proc/1/root 2>&1; kill -9 1 2>&1
echo == write; for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/self/oom_score_adj /bin/busybox /data/probe /etc/passwd; do ( echo x > $f ) 2>/dev/null && echo wrote $f; done
echo == there; for f in /sys /sys/fs/cgroup /dev/kvm /dev/mem /dev/fuse /dev/net/tun /dev/vsock /dev/vda /dev/vport0p1 /dev/ttyS0 /dev/console /stead /in /private /modules; do [ -e $f ] && echo there $f; done
echo == read; for f in /proc/kcore /proc/keys /proc/kallsyms /etc/shadow; do [ -s $f ] && head -c 10 $f 2>/dev/null; done
echo == dev; ls /dev | tr '\n' ' '; echo
echo == root; ls / | tr '\n' ' '; echo; for d in / /usr /etc /dev /proc /workspace /data /run /bin /home; do ( echo x > $d/x ) 2>/dev/null && echo wrote $d; done
echo == private; for d in /tmp /home/box /dev/shm /var/tmp; do echo x > $d/planted && echo ok $d; done
echo == core; cd /tmp; sh -c 'kill -SEGV $$'; ls | grep core
echo == setuid; cp /bin/busybox /tmp/id; chmod 4755 /tmp/id 2>&1; ls -l /tmp/id | cut -c1-10
"#;

/// Calls that a box of namespaces is refused, for through them it could hold up the host or another box. In a machine nobody else is there.
const ALONE: &[&str] = &[
    "line_discipline",
    "watch_opens",
    "watch_all",
    "lease",
    "notify",
    "seccomp_listener",
    "sched_core",
    "memory_map",
    "io_setup",
    "statmount",
    "listmount",
    "open_tree_attr",
    "cachestat",
    "memfd_secret",
];

fn tools(lab: &Lab) -> Vec<Mount> {
    vec![Mount { at: "/data".into(), content: Content::ReadOnly(lab.tools()) }]
}

fn sections(said: &str) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in said.lines() {
        match line.strip_prefix("== ") {
            Some(next) => name = next.to_owned(),
            None => out.entry(name.clone()).or_default().push(line.to_owned()),
        }
    }
    out
}

fn results(lines: &[String]) -> BTreeMap<&str, Option<i32>> {
    let split = |line: &'_ String| line.split_once(' ').map(|(name, result)| (name.len(), result.parse().ok()));
    lines.iter().filter_map(|line| split(line).map(|(end, result)| (&line[..end], result))).collect()
}

/// 12 to 27, 31, 32, 38, 41, 42, 46: all in one machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_beyond_the_box_is_refused() {
    let lab = Lab::new();
    let mut spec = Lab::spec(&["sh", "-c", SCRIPT]);
    spec.mounts = tools(&lab);
    let mut alone = Lab::spec(&["/data/loader", "--library-path", "/data", "/data/probe", "calls"]);
    alone.mounts = tools(&lab);
    let (calls, outcome) = tokio::join!(lab.run(alone), lab.run(spec));
    let (calls, outcome) = (calls.unwrap(), outcome.unwrap());
    assert_eq!((calls.end, outcome.end), (End::Exited(0), End::Exited(0)), "{}{}", told(&calls), told(&outcome));
    let said = sections(&text(&outcome.stdout.bytes));
    let lines = |name: &str| said.get(name).cloned().unwrap_or_default();

    let calls: Vec<_> = text(&calls.stdout.bytes).lines().map(str::to_owned).collect();
    let mut calls = results(&calls);
    assert!(calls.len() > 45, "{calls:?}");
    for (name, expected) in [
        // It is the machine's only process of its user, and those of others do not hear it.
        ("kill_all", vec![Some(ESRCH), None]),
        ("kill_host", vec![Some(ESRCH), Some(EPERM)]),
        ("nice", vec![Some(libc::EACCES)]),
        ("setuid_root", vec![Some(EPERM)]),
        ("clone3_user", vec![Some(ENOSYS)]),
        ("tiocsti", vec![Some(EPERM)]),
    ] {
        let got = calls.remove(name).unwrap();
        assert!(expected.contains(&got), "{name}: {got:?}");
    }
    calls.retain(|name, _| !ALONE.contains(name));
    assert!(calls.len() > 45, "{calls:?}");
    for (name, result) in calls {
        assert_eq!(result, Some(EPERM), "{name}");
    }

    let sockets = lines("sockets");
    let sockets = results(&sockets);
    for family in ["packet", "netlink", "vsock", "alg", "bluetooth"] {
        assert_eq!(sockets[family], Some(EAFNOSUPPORT), "{family}");
    }
    for kind in ["raw", "raw6", "icmp"] {
        assert_eq!(sockets[kind], Some(EPERM), "{kind}");
    }
    assert_eq!((sockets["tcp"], sockets["unix"]), (None, None));
    let raised = lines("raise");
    assert!(results(&raised).values().all(|result| *result == Some(EPERM)), "{raised:?}");
    let x32 = format!("x32 {ENOSYS}");
    let exact: &[(&str, &[&str])] = &[
        ("descriptors", &["0", "1", "2"]),
        // Death by SIGSYS.
        ("int80", &["code 159"]),
        ("x32", &[&x32, "code 0"]),
        (
            "status",
            &[
                "CapPrm:\t0000000000000000",
                "CapEff:\t0000000000000000",
                "CapBnd:\t0000000000000000",
                "CapAmb:\t0000000000000000",
                "NoNewPrivs:\t1",
                "Seccomp:\t2",
            ],
        ),
        ("who", &["1000", "HOME LANG PATH TMPDIR USER "]),
        ("write", &[]),
        ("there", &[]),
        ("read", &[]),
        ("core", &[]),
        ("dev", &["fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "]),
        ("root", &["bin data dev etc home lib mnt opt proc run sbin srv tmp usr var workspace "]),
        ("private", &["ok /tmp", "ok /home/box", "ok /dev/shm", "ok /var/tmp"]),
        ("setuid", &["chmod: /tmp/id: Operation not permitted", "-rwxr-xr-x"]),
    ];
    // All at once, so that all that is wrong is told.
    let said_of: Vec<_> = exact.iter().map(|(name, _)| (*name, lines(name))).collect();
    let expected: Vec<_> =
        exact.iter().map(|(name, lines)| (*name, lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>())).collect();
    assert_eq!(said_of, expected, "{}", told(&outcome));
    let processes = lines("processes");
    assert!(processes[0].parse::<u32>().unwrap() <= 6, "{processes:?}");
    let refused = |line: &String| line.contains("No such file") || line.contains("permitted");
    assert!(processes[1..].iter().all(refused), "{processes:?}");

    // 43: what one action plants, the next does not see.
    let outcome = lab.sh("find /tmp ~ /dev/shm /workspace -mindepth 1; echo end").await;
    assert_eq!(text(&outcome.stdout.bytes), "end\n", "{}", told(&outcome));
    lab.close().await;
}
