//! The few system calls that no library of ours wraps, each in one safe function.

#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block says why it holds")]

use std::{
    ffi::CString,
    mem::size_of,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::{
    fs::{Mode, OFlags},
    io::{Errno, FdFlags},
    process::Pid,
    thread::{LinkNameSpaceType, UnshareFlags},
};

/// `linux/sched.h`; the library's constant has too few bits.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the last call of the system's library said.
pub(crate) fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// A child, seen from its parent.
pub(crate) struct Child {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

/// Whether the process is the single thread that it must be before it forks.
pub(crate) fn single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Forks a copy of this process into a new pid namespace, of which it is the init, and with cgroup v2 straight into a group.
/// `None` is returned in the child. The caller must have one thread: the launcher is made so.
pub(crate) fn fork_init(cgroup: Option<BorrowedFd<'_>>) -> Result<Option<Child>, Errno> {
    // SAFETY: `clone_args` is plain integers, for which zeroes are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let mut pidfd: RawFd = -1;
    args.flags = (libc::CLONE_NEWPID | libc::CLONE_PIDFD) as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` lives and has the size that is told; without CLONE_VM the child has its own copy of memory, and with
    // one thread no lock is held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(last()),
        0 => Ok(None),
        pid => {
            let pid = Pid::from_raw(pid as i32).ok_or(Errno::INVAL)?;
            // SAFETY: the kernel made this descriptor for us in this call, and nothing else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Some(Child { pid, pidfd }))
        }
    }
}

/// Forks. `None` is returned in the child. The caller must have one thread.
pub(crate) fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: with one thread no lock is held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(last()),
        0 => Ok(None),
        pid => Pid::from_raw(pid).map(Some).ok_or(Errno::INVAL),
    }
}

/// Ends the process at once, without destructors: those of the parent's copy must not run in a child.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends the process; touches no memory.
    unsafe { libc::_exit(code) }
}

/// Leaves namespaces for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: no flag here unshares the table of descriptors, on which safe code relies.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Joins a mount namespace; root and working folder become its root.
pub(crate) fn join_mounts(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Mount))
}

/// Joins a network.
pub(crate) fn join_network(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
}

/// Closes all descriptors from `first` on.
pub(crate) fn close_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: callers give up every descriptor from `first` on; what owned them is in a copy of memory that never runs.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(last()),
    }
}

/// Closes one descriptor by its number; what owned it is in a copy of memory that never runs.
pub(crate) fn close_one(number: RawFd) {
    // SAFETY: as with `close_from`.
    unsafe { libc::close(number) };
}

/// Where [`keep_only`] puts what is kept.
pub(crate) const KEPT: RawFd = 3;

/// Closes every descriptor but this one, in a process that was just forked: nothing of its parent's is to be used or dropped any
/// more. The standard streams lead nowhere.
pub(crate) fn keep_only(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // Above what is about to be replaced.
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, 64)?;
    for number in 0..=2 {
        put_at(null.as_fd(), number)?;
    }
    put_at(socket.as_fd(), KEPT)?;
    close_from(KEPT + 1)?;
    std::mem::forget((null, socket));
    // SAFETY: the socket was just put at this number, and its owners in the parent's memory are never dropped here.
    let socket = unsafe { own(KEPT) };
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket)
}

/// Puts a descriptor at a number, inherited by programs.
pub(crate) fn put_at(fd: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: what `number` named before is replaced, which callers mean: 0, 1, 2 of a process that is about to exec, and
    // low numbers of an init that is about to close the rest.
    match unsafe { libc::dup2(fd.as_raw_fd(), number) } {
        -1 => Err(last()),
        _ if fd.as_raw_fd() == number => keep_over_exec(number),
        _ => Ok(()),
    }
}

fn keep_over_exec(number: RawFd) -> Result<(), Errno> {
    // SAFETY: changes a flag of a descriptor.
    match unsafe { libc::fcntl(number, libc::F_SETFD, 0) } {
        -1 => Err(last()),
        _ => Ok(()),
    }
}

/// Owns a descriptor by its number.
///
/// # Safety
/// Nothing else in this process owns it.
pub(crate) unsafe fn own(number: RawFd) -> OwnedFd {
    // SAFETY: by the contract of this function.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Flags of a mount, set on it and all below it.
pub(crate) fn set_mount_flags(tree: BorrowedFd<'_>, set: u64) -> Result<(), Errno> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: path and attributes live over the call, and the size is theirs.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(last()) }
}

/// Loads a seccomp filter. Needs no_new_privs.
pub(crate) fn set_filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions from a slice of that length, and writes nothing.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if done == 0 { Ok(()) } else { Err(last()) }
}

/// Loads a filter that tells a listener of some calls, and returns the listener. Needs no_new_privs.
pub(crate) fn set_watched_filter(program: &[libc::sock_filter]) -> Result<OwnedFd, Errno> {
    // Since Linux 5.19: a call that is being looked at is not interrupted by what does not kill.
    const WAIT_KILLABLE: libc::c_ulong = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let mut said = Errno::INVAL;
    for flags in [libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER] {
        // SAFETY: the kernel reads `len` instructions from a slice of that length, and writes nothing.
        let fd = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
        if fd >= 0 {
            // SAFETY: the kernel made this descriptor for us in this call, and nothing else knows it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
        }
        said = last();
        // An older kernel does not know the flag.
        if said != Errno::INVAL {
            break;
        }
    }
    Err(said)
}

/// Takes one call that waits at a filter's listener and lets it go on (`seccomp_unotify(2)`).
pub(crate) fn let_call_go_on(listener: impl AsFd) -> Result<(), Errno> {
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: both are plain data, for which zeroes are valid, and live over the calls; each call is given what it takes.
    unsafe {
        let mut asked: libc::seccomp_notif = std::mem::zeroed();
        if libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) != 0 {
            return Err(last());
        }
        let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
        (answer.id, answer.flags) = (asked.id, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
        if libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) != 0 { Err(last()) } else { Ok(()) }
    }
}

/// Undoes what whoever started this process ignored or blocked. What is started from here inherits it.
pub(crate) fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of ours; numbers that cannot be set are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is a valid empty one; it lives over the call.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Lets a signal do again what it does.
pub(crate) fn default_signal(signal: i32) {
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Ignores a signal.
pub(crate) fn ignore(signal: i32) {
    // SAFETY: ignoring runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// From now on the end of a child makes this descriptor readable, and interrupts nothing (signalfd(2)). Whoever becomes another program
/// undoes it by [`default_signals`].
pub(crate) fn child_signals() -> Result<OwnedFd, Errno> {
    // SAFETY: an all-zero set is a valid empty one; it lives over the calls, which are given its own descriptor back.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(last());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(last()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Reads what stands in a descriptor of [`child_signals`].
pub(crate) fn drain(events: impl AsFd) {
    let mut room = [0; 1024];
    while matches!(rustix::io::read(events.as_fd(), &mut room), Ok(n) if n > 0) {}
}

/// Sends a signal to the group that a process leads. One that has ended, and a number that is no signal, are nothing.
pub(crate) fn signal_group(leader: Pid, signal: i32) {
    // SAFETY: sends a signal; touches no memory.
    unsafe { libc::kill(-leader.as_raw_nonzero().get(), signal) };
}

/// Becomes another program. Returns only if that failed. Whatever the allocator of this one chose, the other may have huge pages.
pub(crate) fn exec(program: &CString, args: &[CString], env: &[CString]) -> Errno {
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|w| w.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: changes what pages the kernel may give, now and to what is executed.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0) };
    // SAFETY: both arrays end with a null pointer and live, with their texts, over the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    last()
}

/// Brings a network interface up.
pub(crate) fn interface_up(socket: impl AsFd, name: &str) -> Result<(), Errno> {
    // SAFETY: `ifreq` is plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request lives over the call and is what SIOCSIFFLAGS takes.
    match unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) } {
        -1 => Err(last()),
        _ => Ok(()),
    }
}

/// Seconds and microseconds of processor time of all children that were waited for.
pub(crate) fn children_cpu() -> std::time::Duration {
    // SAFETY: `rusage` is plain data; the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let of = |t: libc::timeval| std::time::Duration::new(t.tv_sec.unsigned_abs(), (t.tv_usec as u32) * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// The version of the kernel's Landlock, if it has it (`landlock_create_ruleset(2)`).
pub(crate) fn landlock_version() -> Option<i32> {
    const VERSION: u32 = 1;
    let none = std::ptr::null::<u8>();
    // SAFETY: with this flag the kernel reads nothing, and takes a null pointer of size zero.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    i32::try_from(version).ok().filter(|v| *v > 0)
}
