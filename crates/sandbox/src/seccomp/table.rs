//! What is decided about each system call: the lists that all tiers share, and the calls whose arguments are looked at. What
//! stands nowhere here does not exist in a box.

use libc::{ENOSYS, EPERM};
use stead_tier::calls::{self, Call};

use super::{
    checks,
    program::{Rule, Verdict},
};

/// Allowed for some arguments.
const CHECKED: &[(u32, Rule)] = &[
    (libc::SYS_socket as u32, checks::SOCKET),
    (libc::SYS_socketpair as u32, checks::SOCKETPAIR),
    (libc::SYS_clone as u32, checks::CLONE),
    (libc::SYS_unshare as u32, checks::UNSHARE),
    (libc::SYS_ioctl as u32, checks::IOCTL),
    (libc::SYS_personality as u32, checks::PERSONALITY),
    (libc::SYS_openat as u32, checks::OPENAT),
    (libc::SYS_fchmod as u32, checks::MODE_IN_1),
    (libc::SYS_fchmodat as u32, checks::MODE_IN_2),
    (libc::SYS_fchmodat2 as u32, checks::MODE_IN_2),
    (libc::SYS_mknodat as u32, checks::MKNODAT),
    // Their flags stand in memory, where no filter can look; libraries use `clone` and `openat` instead.
    (libc::SYS_clone3 as u32, Rule::Always(Verdict::Errno(ENOSYS))),
    (libc::SYS_openat2 as u32, Rule::Always(Verdict::Errno(ENOSYS))),
    // The disks of the host are not a box's to write out.
    (libc::SYS_sync as u32, Rule::Always(Verdict::Errno(0))),
    (libc::SYS_syncfs as u32, Rule::Always(Verdict::Errno(0))),
];
#[cfg(target_arch = "x86_64")]
const CHECKED_OLD: &[(u32, Rule)] = &[
    (libc::SYS_open as u32, checks::OPEN),
    (libc::SYS_creat as u32, checks::MODE_IN_1),
    (libc::SYS_chmod as u32, checks::MODE_IN_1),
    (libc::SYS_mknod as u32, checks::MKNOD),
    (libc::SYS_mkdir as u32, Rule::Always(Verdict::Allow)),
];
#[cfg(target_arch = "aarch64")]
const CHECKED_OLD: &[(u32, Rule)] = &[];

/// All rules.
pub(super) fn rules() -> Vec<(u32, Rule)> {
    let mut rules = [CHECKED, CHECKED_OLD].concat();
    let always = |verdict: Verdict| move |call: Call| (call.number, Rule::Always(verdict));
    rules.extend(calls::refused().map(always(Verdict::Errno(EPERM))));
    rules.extend(calls::allowed().map(always(Verdict::Allow)));
    rules
}

#[cfg(test)]
mod tests {
    use super::{
        super::program::{NATIVE, machine, make},
        *,
    };

    fn decide(number: libc::c_long, arguments: &[u32]) -> u32 {
        machine::run(&make(&rules()), NATIVE, number as u32, arguments)
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const fn errno(code: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | code.unsigned_abs()
    }

    #[test]
    fn no_call_has_two_rules() {
        let mut seen = std::collections::BTreeSet::new();
        for (number, _) in rules() {
            assert!(seen.insert(number), "call {number} stands twice");
        }
    }

    #[test]
    fn what_the_kernel_brings_later_does_not_exist() {
        for number in [470, 500, 1000, 100_000] {
            assert_eq!(decide(number, &[]), errno(ENOSYS));
        }
    }

    #[test]
    fn namespaces_sockets_modes_and_terminals_are_looked_at() {
        assert_eq!(decide(libc::SYS_clone, &[libc::SIGCHLD as u32]), ALLOW);
        assert_eq!(decide(libc::SYS_clone, &[libc::CLONE_NEWUSER as u32 | 17]), errno(EPERM));
        assert_eq!(decide(libc::SYS_clone3, &[]), errno(ENOSYS));
        assert_eq!(decide(libc::SYS_unshare, &[libc::CLONE_FS as u32]), ALLOW);
        assert_eq!(decide(libc::SYS_unshare, &[libc::CLONE_NEWNS as u32]), errno(EPERM));

        let nonblocking = libc::SOCK_STREAM as u32 | libc::SOCK_NONBLOCK as u32 | libc::SOCK_CLOEXEC as u32;
        assert_eq!(decide(libc::SYS_socket, &[2, nonblocking, 6]), ALLOW);
        assert_eq!(decide(libc::SYS_socket, &[2, libc::SOCK_RAW as u32, 1]), errno(EPERM));
        for family in [libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, 45] {
            assert_eq!(decide(libc::SYS_socket, &[family as u32, 1, 0]), errno(libc::EAFNOSUPPORT));
        }

        let make = libc::O_CREAT as u32 | libc::O_WRONLY as u32;
        assert_eq!(decide(libc::SYS_openat, &[0, 0, make, 0o644]), ALLOW);
        assert_eq!(decide(libc::SYS_openat, &[0, 0, make, 0o4755]), errno(EPERM));
        assert_eq!(decide(libc::SYS_openat, &[0, 0, 0, 0o4755]), ALLOW, "nothing is made, the mode is not read");
        assert_eq!(decide(libc::SYS_fchmod, &[3, 0o755]), ALLOW);
        assert_eq!(decide(libc::SYS_fchmod, &[3, 0o2755]), errno(EPERM));
        assert_eq!(decide(libc::SYS_mknodat, &[0, 0, libc::S_IFIFO | 0o600]), ALLOW);
        assert_eq!(decide(libc::SYS_mknodat, &[0, 0, libc::S_IFCHR | 0o600]), errno(EPERM));

        assert_eq!(decide(libc::SYS_ioctl, &[0, 0x5401]), ALLOW);
        assert_eq!(decide(libc::SYS_ioctl, &[0, 0x5412]), errno(EPERM));
        assert_eq!(decide(libc::SYS_personality, &[0xffff_ffff]), ALLOW);
        assert_eq!(decide(libc::SYS_personality, &[0x0040_0000]), errno(EPERM));
    }
}
