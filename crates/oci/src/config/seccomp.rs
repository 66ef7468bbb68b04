//! The list of allowed system calls as the profile of an OCI runtime (OCI runtime specification, `config-linux.md`, Seccomp).
//!
//! A profile knows calls with conditions that must all hold, and any of several such rules allows; there is no "unless". So
//! what the namespace tier refuses for some arguments is said here as all the others that are allowed, bit by bit where it
//! must be. Comparisons are masked to 32 bits: the kernel looks at no more of these arguments, and a filter that compared
//! all 64 could be passed by setting a higher one.

use serde_json::{Value, json};
use stead_tier::calls;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// The bits of an argument that the kernel looks at.
const WHOLE: u32 = u32::MAX;

/// Every namespace that can be asked of `clone`; `unshare` knows that of time too, by a bit which `clone` uses otherwise.
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
/// Unix, IPv4, IPv6.
const FAMILIES: [u32; 3] = [1, 2, 10];
/// Stream, datagram, packets in order; without the flags beside them.
const KINDS: [u32; 3] = [1, 2, 5];
const KIND: u32 = 0xf;
/// Unset, TCP, UDP.
const PROTOCOLS: [u32; 3] = [0, 6, 17];
/// Typing into a terminal, and the console's menu.
const TERMINAL: [u32; 3] = [0x5412, 0x541C, 0x541D];
/// The usual one, the one without addresses at random, and the question.
const PERSONALITIES: [u32; 3] = [0, 0x0004_0000, u32::MAX];

/// An argument behind a mask is this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Is {
    argument: u32,
    mask: u32,
    value: u32,
}

const fn is(argument: u32, mask: u32, value: u32) -> Is {
    Is { argument, mask, value }
}

/// Calls that are allowed if all conditions of one of the rows hold.
struct Checked {
    names: &'static [&'static str],
    rows: Vec<Vec<Is>>,
}

/// Rows for every number but these: each row is the numbers that part from all of `points` at the same bit.
fn all_but(argument: u32, points: &[u32]) -> Vec<Vec<Is>> {
    fn walk(argument: u32, prefix: u32, mask: u32, points: &[u32], out: &mut Vec<Vec<Is>>) {
        if points.is_empty() {
            out.push(vec![is(argument, mask, prefix)]);
        } else if mask != WHOLE {
            let bit = 1 << (31 - mask.count_ones());
            let (ones, zeroes): (Vec<u32>, Vec<u32>) = points.iter().partition(|p| **p & bit != 0);
            walk(argument, prefix, mask | bit, &zeroes, out);
            walk(argument, prefix | bit, mask | bit, &ones, out);
        }
    }
    let mut out = Vec::new();
    walk(argument, 0, 0, points, &mut out);
    out
}

fn checked() -> Vec<Checked> {
    let one = |names, rows: Vec<Vec<Is>>| Checked { names, rows };
    let sockets = FAMILIES.into_iter().flat_map(|family| {
        KINDS.into_iter().flat_map(move |kind| {
            PROTOCOLS.map(|protocol| vec![is(0, WHOLE, family), is(1, KIND, kind), is(2, WHOLE, protocol)])
        })
    });
    let files = [0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK];
    let nodes = |argument| files.map(|kind| vec![is(argument, libc::S_IFMT | SET_ID, kind)]).to_vec();
    vec![
        one(&["socket"], sockets.collect()),
        one(&["socketpair"], vec![vec![is(0, WHOLE, 1)]]),
        one(&["clone"], vec![vec![is(0, NAMESPACES, 0)]]),
        one(&["unshare"], vec![vec![is(0, NAMESPACES | TIME_NAMESPACE, 0)]]),
        one(&["ioctl"], all_but(1, &TERMINAL)),
        one(&["personality"], PERSONALITIES.map(|p| vec![is(0, WHOLE, p)]).to_vec()),
        one(&["open"], vec![vec![is(1, MAKES, 0)], vec![is(2, SET_ID, 0)]]),
        one(&["openat"], vec![vec![is(2, MAKES, 0)], vec![is(3, SET_ID, 0)]]),
        one(&["creat", "chmod", "fchmod"], vec![vec![is(1, SET_ID, 0)]]),
        one(&["fchmodat", "fchmodat2"], vec![vec![is(2, SET_ID, 0)]]),
        one(&["mknod"], nodes(1)),
        one(&["mknodat"], nodes(2)),
        one(&["mkdir"], vec![vec![]]),
    ]
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "SCMP_ARCH_AARCH64";

/// The profile, as it stands in `config.json`.
pub(super) fn profile() -> Value {
    let allowed: Vec<&str> = calls::allowed().map(|call| call.name).collect();
    let refused: Vec<&str> = calls::refused().map(|call| call.name).collect();
    let mut rules = vec![
        json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM }),
        // Their flags stand in memory, where no filter can look; libraries use `clone` and `openat` instead.
        json!({ "names": ["clone3", "openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }),
        // The disks of the host are not a box's to write out.
        json!({ "names": ["sync", "syncfs"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0 }),
    ];
    for Checked { names, rows } in checked() {
        for row in rows {
            let conditions: Vec<Value> = row
                .iter()
                .map(|Is { argument, mask, value }| {
                    json!({ "index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
                })
                .collect();
            rules.push(json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": conditions }));
        }
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": [ARCHITECTURE],
        "syscalls": rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the profile decides: whether any row of the call allows it.
    fn allows(name: &str, arguments: &[u64]) -> bool {
        let value = |i: u32| arguments.get(i as usize).copied().unwrap_or(0);
        checked().iter().filter(|c| c.names.contains(&name)).flat_map(|c| &c.rows).any(|row| {
            row.iter().all(|is| value(is.argument) & u64::from(is.mask) == u64::from(is.value))
        })
    }

    #[test]
    fn all_but_some_numbers_are_all_but_these() {
        for number in (0..0x2_0000).chain([u64::from(u32::MAX), 0x1_0000_5413]) {
            assert_eq!(allows("ioctl", &[0, number]), !TERMINAL.contains(&(number as u32)), "{number:#x}");
        }
        // A bit that the kernel does not look at passes nothing by.
        assert!(!allows("ioctl", &[0, 0x1_0000_5412]));
    }

    #[test]
    fn namespaces_sockets_and_modes_are_looked_at() {
        let user = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        assert!(allows("clone", &[17]) && !allows("clone", &[user | 17]) && !allows("unshare", &[0x80]));
        let nonblocking = u64::from((libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC).cast_unsigned());
        assert!(allows("socket", &[2, nonblocking, 6]) && allows("socket", &[1, 5, 0]));
        assert!(!allows("socket", &[2, 3, 1]) && !allows("socket", &[16, 1, 0]) && !allows("socket", &[2, 1, 132]));
        let make = u64::from((libc::O_CREAT | libc::O_WRONLY).cast_unsigned());
        assert!(allows("openat", &[0, 0, make, 0o644]) && !allows("openat", &[0, 0, make, 0o4755]));
        assert!(allows("openat", &[0, 0, 0, 0o4755]), "nothing is made, the mode is not read");
        assert!(allows("mknodat", &[0, 0, 0o010_600]) && !allows("mknodat", &[0, 0, 0o020_600]));
        assert!(allows("personality", &[0xffff_ffff]) && !allows("personality", &[0x0040_0000]));
    }

    #[test]
    fn no_call_is_allowed_by_name_and_looked_at_too() {
        for name in checked().iter().flat_map(|c| c.names).chain(&["clone3", "openat2", "sync", "syncfs"]) {
            assert!(!calls::allowed().chain(calls::refused()).any(|call| call.name == *name), "{name}");
        }
    }
}
