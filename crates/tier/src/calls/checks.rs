//! Calls that are allowed for some arguments only.

use libc::{EAFNOSUPPORT, EINVAL, ENOMEM, EPERM};

use super::rule::{Check, Rule, Test, Verdict};

const REFUSE: Verdict = Verdict::Errno(EPERM);

/// Every namespace that can be asked of `clone`. That of time has a bit which `clone` uses otherwise.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .cast_unsigned();
const TIME_NAMESPACE: u32 = 0x80;
/// Every namespace that can be asked of `unshare`, as bits of its flags (unshare(2)).
pub const UNSHARED: u32 = NAMESPACES | TIME_NAMESPACE;

/// Set-user-id and set-group-id: a file with them could be of use to somebody outside.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;
/// Flags with which `open` makes a file, and so looks at its mode.
const MAKES: u32 = (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY).cast_unsigned();

const FAMILIES: &[u32] = &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32];
const NETWORKS: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];
const KINDS: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32];
const LOCAL_KINDS: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32, libc::SOCK_SEQPACKET as u32];
/// Unset, TCP, UDP.
const PROTOCOLS: &[u32] = &[0, libc::IPPROTO_TCP as u32, libc::IPPROTO_UDP as u32];
/// Without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
const KIND: u32 = 0xf;

/// Packets in order, over a network and with no protocol named, are SCTP where the host has it loaded.
pub(super) const SOCKET: Rule = Rule::Checked(
    &[
        Check {
            tests: &[
                Test::OneOf { argument: 0, mask: !0, values: NETWORKS },
                Test::OneOf { argument: 1, mask: KIND, values: KINDS },
                Test::OneOf { argument: 2, mask: !0, values: PROTOCOLS },
            ],
            then: Verdict::Allow,
        },
        Check {
            tests: &[
                Test::OneOf { argument: 0, mask: !0, values: &[libc::AF_UNIX as u32] },
                Test::OneOf { argument: 1, mask: KIND, values: LOCAL_KINDS },
                Test::OneOf { argument: 2, mask: !0, values: &[0] },
            ],
            then: Verdict::Allow,
        },
        Check { tests: &[Test::OneOf { argument: 0, mask: !0, values: FAMILIES }], then: REFUSE },
    ],
    Verdict::Errno(EAFNOSUPPORT),
);

pub(super) const SOCKETPAIR: Rule = Rule::Checked(
    &[Check { tests: &[Test::OneOf { argument: 0, mask: !0, values: &[libc::AF_UNIX as u32] }], then: Verdict::Allow }],
    Verdict::Errno(EAFNOSUPPORT),
);

pub(super) const CLONE: Rule =
    Rule::Checked(&[Check { tests: &[Test::Any { argument: 0, bits: NAMESPACES }], then: REFUSE }], Verdict::Allow);

pub(super) const UNSHARE: Rule =
    Rule::Checked(&[Check { tests: &[Test::Any { argument: 0, bits: UNSHARED }], then: REFUSE }], Verdict::Allow);

/// Typing into a terminal, the console's menu, and another driver behind a terminal, for which the kernel would load one.
pub(super) const IOCTL: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::OneOf { argument: 1, mask: !0, values: &[0x5412, 0x541C, 0x541D, 0x5423] }],
        then: REFUSE,
    }],
    Verdict::Allow,
);

/// What is, and the usual one with or without the layout of addresses at random; never READ_IMPLIES_EXEC.
pub(super) const PERSONALITY: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::OneOf { argument: 0, mask: !0, values: &[0, 0x0004_0000, 0xffff_ffff] }],
        then: Verdict::Allow,
    }],
    REFUSE,
);

/// Making a file by its mode, in argument 1 or 2.
const fn mode(argument: u32) -> [Check; 1] {
    [Check {
        tests: match argument {
            0 => &[Test::Any { argument: 0, bits: SET_ID }],
            1 => &[Test::Any { argument: 1, bits: SET_ID }],
            _ => &[Test::Any { argument: 2, bits: SET_ID }],
        },
        then: REFUSE,
    }]
}

pub(super) const MODE_IN_1: Rule = Rule::Checked(&mode(1), Verdict::Allow);
pub(super) const MODE_IN_2: Rule = Rule::Checked(&mode(2), Verdict::Allow);

pub(super) const OPEN: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::Any { argument: 1, bits: MAKES }, Test::Any { argument: 2, bits: SET_ID }],
        then: REFUSE,
    }],
    Verdict::Allow,
);
pub(super) const OPENAT: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::Any { argument: 2, bits: MAKES }, Test::Any { argument: 3, bits: SET_ID }],
        then: REFUSE,
    }],
    Verdict::Allow,
);

const DEVICES: &[u32] = &[libc::S_IFCHR, libc::S_IFBLK];

pub(super) const MKNOD: Rule = Rule::Checked(
    &[
        Check { tests: &[Test::OneOf { argument: 1, mask: libc::S_IFMT, values: DEVICES }], then: REFUSE },
        Check { tests: &[Test::Any { argument: 1, bits: SET_ID }], then: REFUSE },
    ],
    Verdict::Allow,
);
pub(super) const MKNODAT: Rule = Rule::Checked(
    &[
        Check { tests: &[Test::OneOf { argument: 2, mask: libc::S_IFMT, values: DEVICES }], then: REFUSE },
        Check { tests: &[Test::Any { argument: 2, bits: SET_ID }], then: REFUSE },
    ],
    Verdict::Allow,
);

const HUGE_MAP: u32 = libc::MAP_HUGETLB as u32;
const HUGE_SEGMENT: u32 = libc::SHM_HUGETLB as u32;

/// Huge pages are a reserve of the host's that no memory limit counts.
pub(super) const MMAP: Rule = Rule::Checked(
    &[Check { tests: &[Test::Any { argument: 3, bits: HUGE_MAP }], then: Verdict::Errno(ENOMEM) }],
    Verdict::Allow,
);
pub(super) const MEMFD: Rule = Rule::Checked(
    &[Check { tests: &[Test::Any { argument: 1, bits: libc::MFD_HUGETLB }], then: Verdict::Errno(ENOMEM) }],
    Verdict::Allow,
);
pub(super) const SHMGET: Rule = Rule::Checked(
    &[Check { tests: &[Test::Any { argument: 2, bits: HUGE_SEGMENT }], then: Verdict::Errno(ENOMEM) }],
    Verdict::Allow,
);

/// Pages that the kernel merges with equal ones of others tell by their timing what others have.
pub(super) const MADVISE: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::OneOf { argument: 2, mask: !0, values: &[libc::MADV_MERGEABLE as u32] }],
        then: Verdict::Errno(EINVAL),
    }],
    Verdict::Allow,
);

/// The programs below `/usr` are the host's, and all boxes': who may hear that a file is opened or read hears what others run.
pub(super) const WATCH: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::Any { argument: 2, bits: libc::IN_ACCESS | libc::IN_OPEN | libc::IN_CLOSE_NOWRITE }],
        then: REFUSE,
    }],
    Verdict::Allow,
);

/// The older way to watch a folder; and a lease on a file of its own, with which it would make whoever opens that file from outside
/// wait for most of a minute.
pub(super) const FCNTL: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::OneOf { argument: 1, mask: !0, values: &[libc::F_NOTIFY as u32, libc::F_SETLEASE as u32] }],
        then: REFUSE,
    }],
    Verdict::Allow,
);

/// A filter of its own may answer, but not hand calls to another process.
pub(super) const SECCOMP: Rule = Rule::Checked(
    &[Check { tests: &[Test::Any { argument: 1, bits: libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 }], then: REFUSE }],
    Verdict::Allow,
);

/// What a process may ask for itself. Any other is as if the kernel did not know it: scheduling by cores (which leaves
/// processors of the host idle), parts of its memory map, the counters of its parent.
const OPTIONS: &[u32] = &[
    libc::PR_SET_PDEATHSIG as u32,
    libc::PR_GET_PDEATHSIG as u32,
    libc::PR_GET_DUMPABLE as u32,
    libc::PR_SET_DUMPABLE as u32,
    libc::PR_GET_KEEPCAPS as u32,
    libc::PR_SET_KEEPCAPS as u32,
    libc::PR_SET_NAME as u32,
    libc::PR_GET_NAME as u32,
    libc::PR_GET_SECCOMP as u32,
    libc::PR_SET_SECCOMP as u32,
    libc::PR_CAPBSET_READ as u32,
    libc::PR_CAPBSET_DROP as u32,
    libc::PR_GET_TSC as u32,
    libc::PR_GET_SECUREBITS as u32,
    libc::PR_SET_TIMERSLACK as u32,
    libc::PR_GET_TIMERSLACK as u32,
    libc::PR_SET_CHILD_SUBREAPER as u32,
    libc::PR_GET_CHILD_SUBREAPER as u32,
    libc::PR_SET_NO_NEW_PRIVS as u32,
    libc::PR_GET_NO_NEW_PRIVS as u32,
    libc::PR_SET_THP_DISABLE as u32,
    libc::PR_GET_THP_DISABLE as u32,
    libc::PR_CAP_AMBIENT as u32,
    PR_GET_SPECULATION_CTRL,
    PR_SET_SPECULATION_CTRL,
    PR_SET_MDWE,
    PR_GET_MDWE,
    libc::PR_SET_VMA as u32,
    libc::PR_SET_PTRACER as u32,
];
// `linux/prctl.h`, by number: `libc` has those of speculation not for every machine.
const PR_GET_SPECULATION_CTRL: u32 = 52;
const PR_SET_SPECULATION_CTRL: u32 = 53;
// Memory that was writable stays without the right to run.
const PR_SET_MDWE: u32 = 65;
const PR_GET_MDWE: u32 = 66;
/// Vector lengths, keys of pointers and tags of addresses: they have a meaning on aarch64 alone.
const PER_MACHINE: &[u32] = &[50, 51, 54, 55, 56, 60, 61, 63, 64];

pub(super) const PRCTL: Rule = Rule::Checked(
    &[
        Check { tests: &[Test::OneOf { argument: 0, mask: !0, values: OPTIONS }], then: Verdict::Allow },
        Check { tests: &[Test::OneOf { argument: 0, mask: !0, values: PER_MACHINE }], then: Verdict::Allow },
    ],
    Verdict::Errno(EINVAL),
);
