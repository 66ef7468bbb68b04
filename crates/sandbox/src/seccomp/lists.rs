//! What a command may call, which is what all tiers share ([`stead_tier::calls`]), and what a zygote may besides.

use libc::EPERM;
use stead_tier::calls::{
    self, UNSHARED,
    rule::{Check, Rule, Test, Verdict},
};

/// A namespace of users, and no other.
const UNSHARE_USER: Rule = Rule::Checked(
    &[Check {
        tests: &[Test::Any { argument: 0, bits: UNSHARED & !libc::CLONE_NEWUSER.cast_unsigned() }],
        then: Verdict::Errno(EPERM),
    }],
    Verdict::Allow,
);

/// The rules of a command, by the number of the call.
pub(super) fn of_command() -> Vec<(u32, Rule)> {
    calls::rules().into_iter().map(|(call, rule)| (call.number, rule)).collect()
}

/// The calls by which a process comes to a socket, without which it can do nothing with a network and leave nothing in it. A
/// program that is given one by another came by none: the other made it.
pub(super) const SOCKETS: &[u32] = &[libc::SYS_socket as u32, libc::SYS_socketpair as u32];

/// Those of a zygote: besides what a command may, it enters namespaces that it is given, and makes one of users.
pub(super) fn of_zygote() -> Vec<(u32, Rule)> {
    // Of two rules for one number the first counts.
    let own = [(libc::SYS_setns as u32, Rule::Always(Verdict::Allow)), (libc::SYS_unshare as u32, UNSHARE_USER)];
    own.into_iter().chain(of_command()).collect()
}

#[cfg(test)]
mod tests {
    use libc::ENOSYS;

    use super::{
        super::program::{NATIVE, machine, make},
        *,
    };

    fn decide(number: libc::c_long, arguments: &[u32]) -> u32 {
        machine::run(&make(&of_command(), &[]), NATIVE, number as u32, arguments)
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const fn errno(code: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | code.unsigned_abs()
    }

    #[test]
    fn a_zygote_may_enter_namespaces_and_make_one_of_users_and_else_no_more_than_a_command() {
        let (command, zygote) = (make(&of_command(), &[]), make(&of_zygote(), &[]));
        let decide = |number: libc::c_long, flags| machine::run(&zygote, NATIVE, number as u32, &[flags]);
        assert_eq!(decide(libc::SYS_setns, 0), ALLOW);
        assert_eq!(decide(libc::SYS_unshare, libc::CLONE_NEWUSER as u32), ALLOW);
        for namespace in [libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWUSER | libc::CLONE_NEWPID, 0x80] {
            assert_eq!(decide(libc::SYS_unshare, namespace as u32), errno(EPERM), "{namespace:x}");
        }
        let own = [libc::SYS_setns as u32, libc::SYS_unshare as u32];
        for number in (0..600).filter(|number| !own.contains(number)) {
            for arguments in [[0; 4], [u32::MAX; 4], [libc::CLONE_NEWUSER as u32; 4]] {
                let of = |program| machine::run(program, NATIVE, number, &arguments);
                assert_eq!(of(&zygote), of(&command), "call {number} with {arguments:x?}");
            }
        }
    }

    #[test]
    fn what_the_kernel_brings_later_does_not_exist() {
        for number in [470, 500, 1000, 100_000] {
            assert_eq!(decide(number, &[]), errno(ENOSYS));
        }
    }

    /// The older interface for input and output at once takes from one number that the whole host shares; newer calls show the
    /// host's cache and mounts.
    #[test]
    fn what_takes_from_the_whole_host_or_shows_it_does_not_exist() {
        const CACHESTAT: libc::c_long = 451;
        const NEWER: std::ops::RangeInclusive<libc::c_long> = 457..=461; // statmount, listmount, lsm_*
        for number in [libc::SYS_io_setup, libc::SYS_io_submit, CACHESTAT].into_iter().chain(NEWER).chain(463..=470) {
            assert_eq!(decide(number, &[]), errno(ENOSYS), "{number}");
        }
    }

    #[test]
    fn reserves_watches_leases_and_options_are_looked_at() {
        use libc::{EINVAL, ENOMEM};
        let private = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u32;
        assert_eq!(decide(libc::SYS_mmap, &[0, 4096, 3, private]), ALLOW);
        assert_eq!(decide(libc::SYS_mmap, &[0, 4096, 3, private | libc::MAP_HUGETLB as u32]), errno(ENOMEM));
        assert_eq!(decide(libc::SYS_memfd_create, &[0, libc::MFD_CLOEXEC]), ALLOW);
        assert_eq!(decide(libc::SYS_memfd_create, &[0, libc::MFD_HUGETLB | 1]), errno(ENOMEM));
        assert_eq!(decide(libc::SYS_shmget, &[0, 1, 0o600]), ALLOW);
        assert_eq!(decide(libc::SYS_shmget, &[0, 1, 0o4600]), errno(ENOMEM));
        assert_eq!(decide(libc::SYS_madvise, &[0, 1, libc::MADV_DONTNEED as u32]), ALLOW);
        assert_eq!(decide(libc::SYS_madvise, &[0, 1, libc::MADV_MERGEABLE as u32]), errno(EINVAL));

        assert_eq!(decide(libc::SYS_inotify_add_watch, &[3, 0, libc::IN_MODIFY | libc::IN_CREATE]), ALLOW);
        for mask in [libc::IN_OPEN, libc::IN_ACCESS, libc::IN_CLOSE_NOWRITE, libc::IN_ALL_EVENTS] {
            assert_eq!(decide(libc::SYS_inotify_add_watch, &[3, 0, mask]), errno(EPERM), "{mask:x}");
        }
        assert_eq!(decide(libc::SYS_fcntl, &[3, libc::F_GETFL as u32]), ALLOW);
        for command in [libc::F_NOTIFY, libc::F_SETLEASE] {
            assert_eq!(decide(libc::SYS_fcntl, &[3, command as u32]), errno(EPERM), "{command}");
        }
        assert_eq!(decide(libc::SYS_seccomp, &[1, 0]), ALLOW);
        assert_eq!(decide(libc::SYS_seccomp, &[1, 8]), errno(EPERM), "a listener");
        assert_eq!(decide(libc::SYS_prctl, &[libc::PR_SET_NAME as u32]), ALLOW);
        for option in [libc::PR_SET_MM, libc::PR_SCHED_CORE, libc::PR_TASK_PERF_EVENTS_DISABLE, 1_000_000] {
            assert_eq!(decide(libc::SYS_prctl, &[option as u32]), errno(EINVAL), "{option}");
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
        let packets = libc::SOCK_SEQPACKET as u32;
        assert_eq!(decide(libc::SYS_socket, &[libc::AF_UNIX as u32, packets, 0]), ALLOW);
        for family in [libc::AF_INET, libc::AF_INET6] {
            assert_eq!(decide(libc::SYS_socket, &[family as u32, packets, 0]), errno(EPERM), "SCTP");
        }
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
        for request in [0x5412, 0x541C, 0x541D, 0x5423] {
            assert_eq!(decide(libc::SYS_ioctl, &[0, request]), errno(EPERM), "{request:x}");
        }
        assert_eq!(decide(libc::SYS_personality, &[0xffff_ffff]), ALLOW);
        assert_eq!(decide(libc::SYS_personality, &[0x0040_0000]), errno(EPERM));
    }
}
