//! The filter of system calls: a list of what is allowed (`lists.rs`), made into a program for the kernel (`program.rs`),
//! and the eye on whether sockets were made (`watch.rs`).
//!
//! It is written here and not with a library, for two reasons. What is not on the list is refused, so a call that a
//! later kernel brings is refused too. And the program is a search tree: the kernel tries a new filter on every number
//! of a call (to remember those that are always allowed), so a filter that is one long chain costs each box more than the
//! start of a small program.

mod lists;
mod program;
mod watch;

pub(crate) use watch::Watch;

use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// A filter, made once and loaded into each box.
pub(crate) struct Filter(Vec<libc::sock_filter>);

/// The same for a process whose first socket is to be noticed: before one is made, whoever holds the listener is asked
/// (`seccomp_unotify(2)`). It decides as the other does.
struct Watching(Vec<libc::sock_filter>);

impl Watching {
    fn new() -> Self {
        Self(program::make(&lists::of_command(), lists::SOCKETS))
    }

    /// Loads it into this process, for ever, and returns its listener. An error says that there cannot be one here, as where
    /// whoever started the runtime listens itself; nothing is loaded then.
    fn load(&self) -> Result<OwnedFd, Errno> {
        crate::sys::set_watched_filter(&self.0)
    }
}

impl Filter {
    /// Makes the filter of a command.
    pub(crate) fn new() -> Self {
        Self(program::make(&lists::of_command(), &[]))
    }

    /// Makes the filter of a zygote. What it forks has it too, below that of a command.
    pub(crate) fn of_zygote() -> Self {
        Self(program::make(&lists::of_zygote(), &[]))
    }

    /// Its instructions, as the kernel takes them (`struct sock_filter`).
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|step| {
                let [code0, code1] = step.code.to_ne_bytes();
                let [k0, k1, k2, k3] = step.k.to_ne_bytes();
                [code0, code1, step.jt, step.jf, k0, k1, k2, k3]
            })
            .collect()
    }

    /// Loads it into this process, for ever.
    pub(crate) fn load(&self) -> Result<(), Errno> {
        crate::sys::set_filter(&self.0)
    }
}

/// The filters of commands, which decide alike.
pub(crate) struct Filters {
    pub(crate) plain: Filter,
    watching: Watching,
}

impl Filters {
    pub(crate) fn new() -> Self {
        Self { plain: Filter::new(), watching: Watching::new() }
    }

    /// Loads one into this process, for ever. Returns its listener if there can be one.
    pub(crate) fn load(&self) -> Result<Option<OwnedFd>, Errno> {
        match self.watching.load() {
            Ok(listener) => Ok(Some(listener)),
            Err(_) => self.plain.load().map(|()| None),
        }
    }
}
