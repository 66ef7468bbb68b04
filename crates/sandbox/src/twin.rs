//! A child that shares this process's memory until it becomes another program: no page of it is copied, neither to start it nor
//! when it writes, and nothing is taken down when it becomes the program.
//!
//! **Only one of the two ever runs.** They take turns: whoever gives the turn away does nothing but wait for it to come back, in a
//! system call that touches no memory but the word that says whose turn it is. So each may do whatever a process of one thread may, the
//! heap and what a thread has for itself included. When the child becomes a program or ends, the kernel itself takes it out of the turn
//! (`CLONE_CHILD_CLEARTID`, clone(2)).
//!
//! They share the table of descriptors too, until the child takes a copy ([`Turn::part`]). Nothing else: user, rights,
//! filters, limits and signals are each one's own.

#![expect(unsafe_code, reason = "a process that shares memory; each block says why it holds")]

use std::{
    ffi::{c_int, c_void},
    os::fd::{BorrowedFd, RawFd},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{io::Errno, process::Pid, thread::futex};

use crate::sys;

// What the word says. The kernel writes the first.
const GONE: u32 = 0;
const PARENT: u32 = 1;
const CHILD: u32 = 2;

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turn(AtomicU32);

impl Turn {
    /// The child's, which is about to be made.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(CHILD))
    }

    /// In the parent: lets the child go on, and waits for the turn. `false`: the child has become a program, or ended.
    pub(crate) fn to_child(&self) -> bool {
        self.give(CHILD);
        self.await_child()
    }

    fn await_child(&self) -> bool {
        self.wait_while(CHILD);
        self.0.load(Ordering::Acquire) != GONE
    }

    /// In the child: lets the parent go on, and waits for the turn.
    pub(crate) fn to_parent(&self) {
        self.give(PARENT);
        self.wait_while(PARENT);
    }

    /// In the child: takes a copy of the table of descriptors for itself, in which all but the standard streams end when it becomes a
    /// program. Returns those with these numbers.
    pub(crate) fn part(&self, numbers: &[RawFd]) -> Result<Vec<BorrowedFd<'static>>, Errno> {
        let flags = libc::CLOSE_RANGE_UNSHARE | libc::CLOSE_RANGE_CLOEXEC;
        // SAFETY: closes nothing. From here on what the parent opens or closes is its own.
        if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, flags) } != 0 {
            return Err(sys::last());
        }
        // SAFETY: the child, which owns its copies, closes none of them.
        Ok(numbers.iter().map(|number| unsafe { BorrowedFd::borrow_raw(*number) }).collect())
    }

    fn give(&self, to: u32) {
        self.0.store(to, Ordering::Release);
        // It cannot fail on a word of this process's own. Not private to a process, for the kernel's own waking is not.
        let _ = futex::wake(&self.0, futex::Flags::empty(), 1);
    }

    fn wait_while(&self, whose: u32) {
        while self.0.load(Ordering::Acquire) == whose {
            let _ = futex::wait(&self.0, futex::Flags::empty(), whose, None);
        }
    }
}

/// Room for what a child runs on. It is made once, in a process whose copies use it.
#[derive(Debug)]
pub(crate) struct Stack {
    lowest: *mut c_void,
    length: usize,
}

/// What a seed needs is a few kibibytes, with buffers for messages and paths.
const STACK: usize = 256 << 10;
/// Below it, never touched without being killed.
const GUARD: usize = 64 << 10;

impl Stack {
    pub(crate) fn new() -> Result<Self, Errno> {
        let (none, room) = (libc::PROT_NONE, libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        let length = GUARD + STACK;
        // SAFETY: asks for memory that nothing else uses, wherever the kernel has some, then opens the upper part of just that.
        unsafe {
            let lowest = libc::mmap(std::ptr::null_mut(), length, none, flags, -1, 0);
            if lowest == libc::MAP_FAILED {
                return Err(sys::last());
            }
            if libc::mprotect(lowest.byte_add(GUARD), STACK, room) != 0 {
                let said = sys::last();
                libc::munmap(lowest, length);
                return Err(said);
            }
            Ok(Self { lowest, length })
        }
    }
}

/// What a child begins with.
type Start<'a> = Box<dyn FnMut() + 'a>;

extern "C" fn start(begin: *mut c_void) -> c_int {
    // SAFETY: [`fork`] gives a `Start` that it never frees and does not touch again.
    let begin = unsafe { &mut *begin.cast::<Start<'_>>() };
    begin();
    127
}

/// Starts a child that shares memory and descriptors and runs `child`, which must not return, and must own what it uses after it has
/// given the turn away for the first time. Returns then: its number, and whether it is still there. The caller must have one thread,
/// and use a stack for one child only.
pub(crate) fn fork<'a>(turn: &'static Turn, stack: &Stack, child: Start<'a>) -> Result<(Pid, bool), Errno> {
    let begin: &mut Start<'a> = Box::leak(Box::new(child));
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;
    let none = std::ptr::null_mut::<c_void>();
    // SAFETY: the stack is this child's alone, and what it begins with is never freed. Until it gives the turn away this process
    // touches nothing, so the child has the memory to itself; from then on they take turns. The word lives as long as the memory.
    let pid = unsafe {
        libc::clone(
            start,
            stack.lowest.byte_add(stack.length),
            flags,
            std::ptr::from_mut(begin).cast(),
            none,
            none,
            turn.0.as_ptr(),
        )
    };
    if pid < 0 {
        return Err(sys::last());
    }
    let there = turn.await_child();
    Pid::from_raw(pid).map(|pid| (pid, there)).ok_or(Errno::INVAL)
}

/// In a child that shares memory: forks a brother, which has a copy of everything and is the parent's child too. `None` is returned
/// in the brother. The child still has the turn.
pub(crate) fn brother() -> Result<Option<Pid>, Errno> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the brother has its own copy of memory, in which nobody else runs.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(sys::last()),
        0 => Ok(None),
        pid => Pid::from_raw(pid as i32).map(Some).ok_or(Errno::INVAL),
    }
}
