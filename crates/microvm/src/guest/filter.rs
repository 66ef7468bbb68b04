//! System calls that no command in a machine needs, refused before the machine's kernel looks at them: those that every tier refuses
//! by name ([`stead_tier::calls`]), and some arguments of others. What they could gain is the guest alone; but a kernel that is attacked
//! less is broken less. This is a list of what is refused, so it is no promise: the tier does not claim the property of a filter.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use stead_tier::calls;

use crate::fault::Fault;

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
    // What every tier refuses by name, and to leave a namespace for a new one.
    let refused = calls::refused().map(|call| i64::from(call.number)).chain([libc::SYS_unshare]);
    let mut rules: Rules = refused.map(|call| (call, Vec::new())).collect();
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
        when(calls::FCHMODAT2.number.into(), vec![masked(2, bit, bit)?])?;
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
