//! Every system call that a box may use, in the order of what it is for; and those that are refused by name, so that a
//! program is told so. What stands in neither list does not exist in a box.

use libc::{ENOSYS, EPERM};

use super::{
    checks,
    program::{Rule, Verdict},
};

macro_rules! numbers {
    ($($name:ident)*) => { &[$(libc::$name as u32),*] };
}

const FILES: &[u32] = numbers![
    SYS_read SYS_write SYS_close SYS_fstat SYS_lseek SYS_pread64 SYS_pwrite64 SYS_readv SYS_writev SYS_preadv SYS_pwritev
    SYS_preadv2 SYS_pwritev2 SYS_sendfile SYS_splice SYS_tee SYS_vmsplice SYS_copy_file_range SYS_dup SYS_dup3
    SYS_flock SYS_fsync SYS_fdatasync SYS_sync_file_range SYS_truncate SYS_ftruncate SYS_fallocate SYS_fadvise64
    SYS_readahead SYS_getdents64 SYS_getcwd SYS_chdir SYS_fchdir SYS_mkdirat SYS_renameat2 SYS_unlinkat SYS_linkat
    SYS_symlinkat SYS_readlinkat SYS_faccessat SYS_faccessat2 SYS_newfstatat SYS_statx SYS_utimensat SYS_fchown
    SYS_fchownat SYS_umask SYS_statfs SYS_fstatfs SYS_close_range SYS_pipe2
    SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr SYS_llistxattr
    SYS_flistxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr
    SYS_inotify_init1 SYS_inotify_rm_watch
];

const MEMORY: &[u32] = numbers![
    SYS_brk SYS_munmap SYS_mremap SYS_mprotect SYS_mincore SYS_msync SYS_mlock SYS_mlock2 SYS_munlock
    SYS_mlockall SYS_munlockall SYS_membarrier SYS_get_mempolicy SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect
    SYS_remap_file_pages SYS_mseal
];

const PROCESSES: &[u32] = numbers![
    SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_kill SYS_tkill SYS_tgkill SYS_getpid
    SYS_getppid SYS_gettid SYS_getpgid SYS_setpgid SYS_getsid SYS_setsid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid
    SYS_getresuid SYS_getresgid SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid
    SYS_setfsgid SYS_getgroups SYS_setgroups SYS_capget SYS_capset SYS_getrlimit SYS_setrlimit
    SYS_prlimit64 SYS_getrusage SYS_times SYS_getpriority SYS_setpriority SYS_ioprio_get SYS_ioprio_set SYS_sched_yield
    SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getparam SYS_sched_setparam SYS_sched_getscheduler
    SYS_sched_setscheduler SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_rr_get_interval
    SYS_sched_getattr SYS_sched_setattr SYS_set_tid_address SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_futex
    SYS_futex_waitv SYS_pidfd_open SYS_pidfd_send_signal
    SYS_restart_syscall SYS_uname SYS_sysinfo SYS_getcpu SYS_getrandom
    SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
];

const SIGNALS_AND_TIME: &[u32] = numbers![
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_rt_sigqueueinfo
    SYS_rt_tgsigqueueinfo SYS_rt_sigsuspend SYS_sigaltstack SYS_signalfd4 SYS_nanosleep SYS_clock_nanosleep
    SYS_clock_gettime SYS_clock_getres SYS_gettimeofday SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime
    SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime
];

const WAITING_AND_TALKING: &[u32] = numbers![
    SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_bind
    SYS_listen SYS_accept SYS_accept4 SYS_connect SYS_getsockname SYS_getpeername SYS_sendto SYS_recvfrom SYS_sendmsg
    SYS_recvmsg SYS_sendmmsg SYS_recvmmsg SYS_setsockopt SYS_getsockopt SYS_shutdown
    SYS_mq_open SYS_mq_unlink SYS_mq_timedsend
    SYS_mq_timedreceive SYS_mq_notify SYS_mq_getsetattr SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_semget SYS_semop
    SYS_semtimedop SYS_semctl SYS_shmat SYS_shmdt SYS_shmctl
];

/// Newer than the names of our library, and the same number everywhere: futex_wake, futex_wait, futex_requeue.
const NEWER: &[u32] = &[454, 455, 456];

/// What older programs of this architecture use for the same.
#[cfg(target_arch = "x86_64")]
const OLD: &[u32] = numbers![
    SYS_stat SYS_lstat SYS_poll SYS_access SYS_pipe SYS_select SYS_dup2 SYS_pause SYS_alarm SYS_fork SYS_vfork
    SYS_rename SYS_rmdir SYS_link SYS_unlink SYS_symlink SYS_readlink SYS_chown SYS_lchown SYS_getdents SYS_utime
    SYS_utimes SYS_futimesat SYS_time SYS_getpgrp SYS_arch_prctl SYS_epoll_create SYS_epoll_wait SYS_signalfd
    SYS_eventfd SYS_inotify_init SYS_renameat
];
#[cfg(target_arch = "aarch64")]
const OLD: &[u32] = numbers![SYS_renameat];

/// Refused by name.
const REFUSED: &[u32] = numbers![
    SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick SYS_open_tree
    SYS_move_mount SYS_mount_setattr SYS_setns SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise
    SYS_process_mrelease SYS_kcmp SYS_pidfd_getfd SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_io_uring_setup
    SYS_io_uring_enter SYS_io_uring_register SYS_keyctl SYS_add_key SYS_request_key SYS_open_by_handle_at
    SYS_name_to_handle_at SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_reboot SYS_swapon
    SYS_swapoff SYS_acct SYS_quotactl SYS_quotactl_fd SYS_nfsservctl SYS_settimeofday SYS_clock_settime SYS_clock_adjtime
    SYS_adjtimex SYS_sethostname SYS_setdomainname SYS_syslog SYS_vhangup SYS_lookup_dcookie SYS_fanotify_init
    SYS_fanotify_mark SYS_mbind SYS_set_mempolicy SYS_migrate_pages SYS_move_pages
];
#[cfg(target_arch = "x86_64")]
const REFUSED_OLD: &[u32] =
    numbers![SYS_iopl SYS_ioperm SYS_modify_ldt SYS_uselib SYS_ustat SYS__sysctl SYS_sysfs SYS_kexec_file_load];
/// `kexec_file_load`, which the crate does not name for musl.
#[cfg(target_arch = "aarch64")]
const REFUSED_OLD: &[u32] = &[294];

/// `fchmodat2`, which the crate does not name for musl on arm64; its number is the same everywhere.
const FCHMODAT2: u32 = 452;

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
    (FCHMODAT2, checks::MODE_IN_2),
    (libc::SYS_mknodat as u32, checks::MKNODAT),
    (libc::SYS_mmap as u32, checks::MMAP),
    (libc::SYS_memfd_create as u32, checks::MEMFD),
    (libc::SYS_shmget as u32, checks::SHMGET),
    (libc::SYS_madvise as u32, checks::MADVISE),
    (libc::SYS_inotify_add_watch as u32, checks::WATCH),
    (libc::SYS_fcntl as u32, checks::FCNTL),
    (libc::SYS_seccomp as u32, checks::SECCOMP),
    (libc::SYS_prctl as u32, checks::PRCTL),
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
    let all = |lists: &[&[u32]], verdict: Verdict| -> Vec<(u32, Rule)> {
        lists.concat().into_iter().map(|number| (number, Rule::Always(verdict))).collect()
    };
    let mut rules = [CHECKED, CHECKED_OLD].concat();
    rules.extend(all(&[REFUSED, REFUSED_OLD], Verdict::Errno(EPERM)));
    rules.extend(all(&[FILES, MEMORY, PROCESSES, SIGNALS_AND_TIME, WAITING_AND_TALKING, NEWER, OLD], Verdict::Allow));
    rules
}

/// Those of a zygote: besides what a command may, it enters namespaces that it is given, and makes one of users.
pub(super) fn zygote_rules() -> Vec<(u32, Rule)> {
    // Of two rules for one number the first counts.
    let mut all =
        vec![(libc::SYS_setns as u32, Rule::Always(Verdict::Allow)), (libc::SYS_unshare as u32, checks::UNSHARE_USER)];
    all.extend(rules());
    all
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
