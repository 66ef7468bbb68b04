//! Calls that are allowed for some arguments only.

use libc::{EAFNOSUPPORT, EPERM};

use super::program::{Check, Rule, Test, Verdict};

const REFUSE: Verdict = Verdict::Errno(EPERM);

/// Every namespace that can be asked of `clone` and `unshare`. That of time has a bit which `clone` uses otherwise.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET)
    .cast_unsigned();
const TIME_NAMESPACE: u32 = 0x80;

/// Set-user-id and set-group-id: a file with them could be of use to somebody outside.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;
/// Flags with which `open` makes a file, and so looks at its mode.
const MAKES: u32 = (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY).cast_unsigned();

const FAMILIES: &[u32] = &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32];
const KINDS: &[u32] = &[libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32, libc::SOCK_SEQPACKET as u32];
/// Unset, TCP, UDP.
const PROTOCOLS: &[u32] = &[0, libc::IPPROTO_TCP as u32, libc::IPPROTO_UDP as u32];
/// Without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
const KIND: u32 = 0xf;

pub(super) const SOCKET: Rule = Rule::Checked(
    &[
        Check {
            tests: &[
                Test::OneOf { argument: 0, mask: !0, values: FAMILIES },
                Test::OneOf { argument: 1, mask: KIND, values: KINDS },
                Test::OneOf { argument: 2, mask: !0, values: PROTOCOLS },
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

pub(super) const UNSHARE: Rule = Rule::Checked(
    &[Check { tests: &[Test::Any { argument: 0, bits: NAMESPACES | TIME_NAMESPACE }], then: REFUSE }],
    Verdict::Allow,
);

/// The same, but for the namespace of users.
pub(super) const UNSHARE_USER: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::Any { argument: 0, bits: NAMESPACES & !libc::CLONE_NEWUSER.cast_unsigned() | TIME_NAMESPACE }],
        then: REFUSE,
    }],
    Verdict::Allow,
);

/// Typing into a terminal, and the console's menu.
pub(super) const IOCTL: Rule = Rule::Checked(
    &[Check { tests: &[Test::OneOf { argument: 1, mask: !0, values: &[0x5412, 0x541C, 0x541D] }], then: REFUSE }],
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
