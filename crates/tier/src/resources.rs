//! Resource limits of a command (getrlimit(2)): both bounds of each, so that nothing can be raised again.

use rustix::process::{Resource, Rlimit};

use crate::fault::{At, Fault};

/// One that every command has.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// As the manual names it.
    pub name: &'static str,
    /// As the kernel does.
    pub resource: Resource,
    /// The most, in the unit of the resource.
    pub most: u64,
}

const fn fixed(name: &'static str, resource: Resource, most: u64) -> Fixed {
    Fixed { name, resource, most }
}

/// Those that every command has.
pub const FIXED: &[Fixed] = &[
    fixed("RLIMIT_CORE", Resource::Core, 0),
    fixed("RLIMIT_NICE", Resource::Nice, 0),
    fixed("RLIMIT_RTPRIO", Resource::Rtprio, 0),
    fixed("RLIMIT_MEMLOCK", Resource::Memlock, 64 << 10),
    // Signals that wait, and bytes of message queues: what all boxes have together is the host's to give.
    fixed("RLIMIT_SIGPENDING", Resource::Sigpending, 1024),
    fixed("RLIMIT_MSGQUEUE", Resource::Msgqueue, 64 << 10),
];

/// Least files that a command may have open: its streams, and what it reads.
const LEAST_FILES: u32 = 4;

/// How many files a command may have open of which so many are asked for.
pub fn open_files(asked: u32) -> u64 {
    u64::from(asked.max(LEAST_FILES))
}

/// Sets for this process those that every command has, the files that it may have open, and the bytes that one may have.
///
/// # Errors
/// What the system said.
pub fn set(files: u32, file: u64) -> Result<(), Fault> {
    for Fixed { resource, most, .. } in FIXED {
        lower(*resource, *most)?;
    }
    lower(Resource::Nofile, open_files(files))?;
    lower(Resource::Fsize, file)
}

/// Lowers one of this process; where it has less already, it keeps that.
///
/// # Errors
/// What the system said.
pub fn lower(what: Resource, value: u64) -> Result<(), Fault> {
    let most = rustix::process::getrlimit(what).maximum.unwrap_or(u64::MAX).min(value);
    let both = Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::setrlimit(what, both).at("setting a resource limit")
}
