//! Every system call that a box may use, in the order of what it is for; and those that are refused by name, so that a
//! program is told so. What stands in neither list does not exist in a box.

use libc::{ENOSYS, EPERM};

use super::{
    Call, checks,
    rule::{Rule, Verdict},
};

/// What stands before each name in our library.
const PREFIX: usize = "SYS_".len();

macro_rules! call {
    ($name:ident) => {
        Call { name: stringify!($name).split_at(PREFIX).1, number: libc::$name as u32 }
    };
}
macro_rules! calls {
    ($($name:ident)*) => { &[$(call!($name)),*] };
}

const FILES: &[Call] = calls![
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

const MEMORY: &[Call] = calls![
    SYS_brk SYS_munmap SYS_mremap SYS_mprotect SYS_mincore SYS_msync SYS_mlock SYS_mlock2 SYS_munlock
    SYS_mlockall SYS_munlockall SYS_membarrier SYS_get_mempolicy SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect
    SYS_remap_file_pages SYS_mseal
];

const PROCESSES: &[Call] = calls![
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

const SIGNALS_AND_TIME: &[Call] = calls![
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_rt_sigqueueinfo
    SYS_rt_tgsigqueueinfo SYS_rt_sigsuspend SYS_sigaltstack SYS_signalfd4 SYS_nanosleep SYS_clock_nanosleep
    SYS_clock_gettime SYS_clock_getres SYS_gettimeofday SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime
    SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime
];

const WAITING_AND_TALKING: &[Call] = calls![
    SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_bind
    SYS_listen SYS_accept SYS_accept4 SYS_connect SYS_getsockname SYS_getpeername SYS_sendto SYS_recvfrom SYS_sendmsg
    SYS_recvmsg SYS_sendmmsg SYS_recvmmsg SYS_setsockopt SYS_getsockopt SYS_shutdown
    SYS_mq_open SYS_mq_unlink SYS_mq_timedsend
    SYS_mq_timedreceive SYS_mq_notify SYS_mq_getsetattr SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_semget SYS_semop
    SYS_semtimedop SYS_semctl SYS_shmat SYS_shmdt SYS_shmctl
];

/// Newer than the names of our library, and the same number everywhere.
const NEWER: &[Call] = &[
    Call { name: "futex_wake", number: 454 },
    Call { name: "futex_wait", number: 455 },
    Call { name: "futex_requeue", number: 456 },
];

/// What older programs of this architecture use for the same.
#[cfg(target_arch = "x86_64")]
const OLD: &[Call] = calls![
    SYS_stat SYS_lstat SYS_poll SYS_access SYS_pipe SYS_select SYS_dup2 SYS_pause SYS_alarm SYS_fork SYS_vfork
    SYS_rename SYS_rmdir SYS_link SYS_unlink SYS_symlink SYS_readlink SYS_chown SYS_lchown SYS_getdents SYS_utime
    SYS_utimes SYS_futimesat SYS_time SYS_getpgrp SYS_arch_prctl SYS_epoll_create SYS_epoll_wait SYS_signalfd
    SYS_eventfd SYS_inotify_init SYS_renameat
];
#[cfg(target_arch = "aarch64")]
const OLD: &[Call] = calls![SYS_renameat];

/// Refused by name.
const REFUSED: &[Call] = calls![
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
const REFUSED_OLD: &[Call] = calls![
    SYS_iopl SYS_ioperm SYS_modify_ldt SYS_uselib SYS_ustat SYS__sysctl SYS_sysfs SYS_kexec_file_load
];
/// Our library does not name it for musl.
#[cfg(target_arch = "aarch64")]
const REFUSED_OLD: &[Call] = &[Call { name: "kexec_file_load", number: 294 }];

/// `fchmodat2`: our library does not name it for musl on arm64; its number is the same everywhere.
pub const FCHMODAT2: Call = Call { name: "fchmodat2", number: 452 };

/// Allowed for some arguments.
const CHECKED: &[(Call, Rule)] = &[
    (call!(SYS_socket), checks::SOCKET),
    (call!(SYS_socketpair), checks::SOCKETPAIR),
    (call!(SYS_clone), checks::CLONE),
    (call!(SYS_unshare), checks::UNSHARE),
    (call!(SYS_ioctl), checks::IOCTL),
    (call!(SYS_personality), checks::PERSONALITY),
    (call!(SYS_openat), checks::OPENAT),
    (call!(SYS_fchmod), checks::MODE_IN_1),
    (call!(SYS_fchmodat), checks::MODE_IN_2),
    (FCHMODAT2, checks::MODE_IN_2),
    (call!(SYS_mknodat), checks::MKNODAT),
    (call!(SYS_mmap), checks::MMAP),
    (call!(SYS_memfd_create), checks::MEMFD),
    (call!(SYS_shmget), checks::SHMGET),
    (call!(SYS_madvise), checks::MADVISE),
    (call!(SYS_inotify_add_watch), checks::WATCH),
    (call!(SYS_fcntl), checks::FCNTL),
    (call!(SYS_seccomp), checks::SECCOMP),
    (call!(SYS_prctl), checks::PRCTL),
    // Their flags stand in memory, where no filter can look; libraries use `clone` and `openat` instead.
    (call!(SYS_clone3), Rule::Always(Verdict::Errno(ENOSYS))),
    (call!(SYS_openat2), Rule::Always(Verdict::Errno(ENOSYS))),
    // The disks of the host are not a box's to write out.
    (call!(SYS_sync), Rule::Always(Verdict::Errno(0))),
    (call!(SYS_syncfs), Rule::Always(Verdict::Errno(0))),
];
#[cfg(target_arch = "x86_64")]
const CHECKED_OLD: &[(Call, Rule)] = &[
    (call!(SYS_open), checks::OPEN),
    (call!(SYS_creat), checks::MODE_IN_1),
    (call!(SYS_chmod), checks::MODE_IN_1),
    (call!(SYS_mknod), checks::MKNOD),
    (call!(SYS_mkdir), Rule::Always(Verdict::Allow)),
];
#[cfg(target_arch = "aarch64")]
const CHECKED_OLD: &[(Call, Rule)] = &[];

/// The calls that are refused whatever their arguments are, so that a program is told so.
pub fn refused() -> impl Iterator<Item = Call> {
    [REFUSED, REFUSED_OLD].into_iter().flatten().copied()
}

/// All rules, in no order; no call has two. What has none does not exist in a box.
pub fn rules() -> Vec<(Call, Rule)> {
    let allowed = [FILES, MEMORY, PROCESSES, SIGNALS_AND_TIME, WAITING_AND_TALKING, NEWER, OLD].concat();
    let mut rules = [CHECKED, CHECKED_OLD].concat();
    rules.extend(refused().map(|call| (call, Rule::Always(Verdict::Errno(EPERM)))));
    rules.extend(allowed.into_iter().map(|call| (call, Rule::Always(Verdict::Allow))));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_has_two_rules() {
        let (mut names, mut numbers) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for (call, _) in rules() {
            assert!(names.insert(call.name) && numbers.insert(call.number), "{call:?} stands twice");
        }
    }

    #[test]
    fn names_are_those_of_the_manual() {
        let read = Call { name: "read", number: libc::SYS_read as u32 };
        assert!(rules().iter().any(|(call, _)| *call == read));
        assert!(rules().iter().all(|(call, _)| !call.name.starts_with("SYS")));
    }
}
