//! What runs a machine. One trait stands between this crate and a virtual machine monitor, so that Firecracker can join QEMU: it is told
//! a kernel, an image, a command line, memory and processors, and hands back the socket that leads to the machine's one channel, and
//! the process that is the machine.
//!
//! A monitor is hostile ground once a guest has broken out into it: [`jail`] is what it may do at most.

pub(crate) mod jail;
pub(crate) mod process;
mod qemu;

use std::{fmt, os::fd::OwnedFd, path::PathBuf, sync::Arc};

pub(crate) use process::Process;
pub(crate) use qemu::{PORT, Qemu};

use crate::fault::Fault;

/// How a machine's instructions are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// By the processor, through `/dev/kvm`.
    Kvm,
    /// By QEMU's translator: on any host, some ten times slower.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// What machines are made of on this host.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// The monitor's program.
    pub(crate) monitor: PathBuf,
    /// The kernel, as a file that the monitor loads.
    pub(crate) kernel: PathBuf,
    /// The folder of that kernel's modules.
    pub(crate) modules: PathBuf,
    /// BusyBox, linked statically.
    pub(crate) busybox: PathBuf,
}

/// A machine that is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// What executes it.
    pub(crate) accelerator: Accelerator,
    /// The kernel's file.
    pub(crate) kernel: PathBuf,
    /// The first filesystem: a sealed file in memory.
    pub(crate) image: Arc<OwnedFd>,
    /// What the kernel is told, without what the monitor itself adds.
    pub(crate) line: String,
    /// Bytes of memory, a whole number of MiB.
    pub(crate) memory: u64,
    /// Processors.
    pub(crate) processors: u32,
}

/// A machine that was started; whether it boots is for its first words to show.
#[derive(Debug)]
pub(crate) struct Started {
    /// A connected stream socket: what is written comes out of the guest's port `stead`, and the other way round.
    pub(crate) channel: OwnedFd,
    /// What runs it.
    pub(crate) process: Process,
}

/// A monitor of virtual machines.
pub(crate) trait Vmm: Send + Sync + 'static {
    /// Its name and version, for the evidence.
    fn name(&self) -> &str;

    /// Starts a machine without any network device, in a jail. Blocks for some milliseconds.
    ///
    /// # Errors
    /// In words, when there is no process.
    fn start(&self, machine: &Machine) -> Result<Started, Fault>;
}
