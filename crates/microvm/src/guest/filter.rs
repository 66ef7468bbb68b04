//! System calls that no command in a machine needs, refused before the machine's kernel looks at them. What they could gain is the
//! guest alone; but a kernel that is attacked less is broken less. This is a list of what is refused, so it is no promise: the
//! tier does not claim the property of a filter.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::fault::Fault;

/// Refused whatever their arguments: mounts, namespaces, other processes' memory, keys, tracing, modules, clocks, and
/// interfaces that are large and seldom used.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_settimeofday,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_fanotify_init,
    libc::SYS_vhangup,
];

/// Families of sockets that there are: Unix, IPv4, IPv6.
const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// One argument that is, after the bits of a mask, a value.
fn masked(argument: u8, mask: u32, value: u32) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(u64::from(mask)), u64::from(value))
}

fn equal(argument: u8, value: u32) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, u64::from(value))
}

fn not(argument: u8, value: u32) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::Ne, u64::from(value))
}

/// What is answered with "not permitted".
fn forbidden() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let mut when = |call: libc::c_long, conditions: Vec<SeccompCondition>| {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok(())
    };
    when(libc::SYS_clone, vec![masked(0, libc::CLONE_NEWUSER as u32, libc::CLONE_NEWUSER as u32)?])?;
    // Memory that may be run because it may be read; to ask how it is stays allowed.
    when(libc::SYS_personality, vec![masked(0, 0x0040_0000, 0x0040_0000)?, not(0, u32::MAX)?])?;
    // Typing into a terminal that others read from: TIOCSTI, TIOCLINUX.
    for request in [0x5412, 0x541c] {
        when(libc::SYS_ioctl, vec![equal(1, request)?])?;
    }
    for kind in [libc::S_IFCHR, libc::S_IFBLK] {
        #[cfg(target_arch = "x86_64")]
        when(libc::SYS_mknod, vec![masked(1, libc::S_IFMT, kind)?])?;
        when(libc::SYS_mknodat, vec![masked(2, libc::S_IFMT, kind)?])?;
    }
    for bit in [libc::S_ISUID, libc::S_ISGID] {
        #[cfg(target_arch = "x86_64")]
        when(libc::SYS_chmod, vec![masked(1, bit, bit)?])?;
        when(libc::SYS_fchmod, vec![masked(1, bit, bit)?])?;
        when(libc::SYS_fchmodat, vec![masked(2, bit, bit)?])?;
    }
    when(libc::SYS_socket, vec![masked(1, 0xf, libc::SOCK_RAW as u32)?])?;
    for protocol in [libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6] {
        let datagram = masked(1, 0xf, libc::SOCK_DGRAM as u32)?;
        when(libc::SYS_socket, vec![not(0, libc::AF_UNIX as u32)?, datagram, equal(2, protocol as u32)?])?;
    }
    Ok(rules)
}

/// Loads the filter. `no_new_privs` is set already. Programs of other architectures die at their first call.
pub(super) fn load() -> Result<(), Fault> {
    let wrong = |e: &dyn std::fmt::Display| Fault(format!("filtering system calls: {e}"));
    let unknown = FAMILIES.iter().map(|family| not(0, *family as u32)).collect::<Result<Vec<_>, _>>();
    let unknown = unknown.and_then(SeccompRule::new).map_err(|e| wrong(&e))?;
    let sets = [
        (forbidden().map_err(|e| wrong(&e))?, libc::EPERM),
        // Libraries then use the older call, whose flags can be seen.
        (Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS),
        (Rules::from([(libc::SYS_socket, vec![unknown])]), libc::EAFNOSUPPORT),
    ];
    // Of several filters the last loaded is asked first, and the strictest answer counts; between errors that is the last one's.
    for (rules, error) in sets {
        let arch = std::env::consts::ARCH.try_into().map_err(|e: seccompiler::BackendError| wrong(&e))?;
        let action = SeccompAction::Errno(error.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(|e| wrong(&e))?;
        let program: BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| wrong(&e))?;
        seccompiler::apply_filter(&program).map_err(|e| wrong(&e))?;
    }
    Ok(())
}
