//! The files of control groups of version 1 (Linux `Documentation/admin-guide/cgroup-v1`).

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::files::{keyed, number, write};

/// The period in which a share of the processors is counted, in microseconds: the kernel's usual one.
const PERIOD: u64 = 100_000;

/// The two limits must never cross: memory alone may not exceed memory with swap, so the order depends on the direction.
pub(super) fn memory(folder: BorrowedFd<'_>, bytes: u64) -> Result<(), Errno> {
    const ALONE: &str = "memory.limit_in_bytes";
    // Not there without accounting of swap.
    const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";
    let bytes = bytes.to_string();
    let swap = |()| match write(folder, WITH_SWAP, &bytes) {
        Err(Errno::NOENT | Errno::ACCESS) => Ok(()),
        done => done,
    };
    match write(folder, ALONE, &bytes) {
        Err(Errno::INVAL) => swap(()).and_then(|()| write(folder, ALONE, &bytes)),
        done => done.and_then(swap),
    }
}

/// As much as there is: first with swap, which may not be less.
pub(super) fn any_memory(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    match write(folder, "memory.memsw.limit_in_bytes", "-1") {
        Ok(()) | Err(Errno::NOENT | Errno::ACCESS) => write(folder, "memory.limit_in_bytes", "-1"),
        refused => refused,
    }
}

/// Peak bytes, and processes killed for want of memory.
pub(super) fn memory_used(folder: BorrowedFd<'_>) -> (Option<u64>, Option<u64>) {
    (number(folder, "memory.max_usage_in_bytes"), keyed(folder, "memory.oom_control", "oom_kill"))
}

/// Bytes now.
pub(super) fn memory_now(folder: BorrowedFd<'_>) -> Option<u64> {
    number(folder, "memory.usage_in_bytes")
}

pub(super) fn cpu(folder: BorrowedFd<'_>, milli: u32) -> Result<(), Errno> {
    write(folder, "cpu.cfs_quota_us", &quota(milli).to_string())
}

/// Microseconds of each period. The kernel refuses less than a millisecond.
pub(super) fn quota(milli: u32) -> u64 {
    (u64::from(milli) * PERIOD / 1000).max(1000)
}

/// Microseconds.
pub(super) fn cpu_used(folder: BorrowedFd<'_>) -> Option<u64> {
    Some(number(folder, "cpuacct.usage")? / 1000)
}
