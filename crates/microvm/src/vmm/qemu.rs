//! QEMU as the monitor, with its machine type `microvm`: no PCI, no disk, no network device, no display; a clock, a serial port
//! for the kernel's last words, and one virtio console port.

use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Accelerator, Machine, Process, Started, Vmm, jail};
use crate::fault::{At, Fault};

/// The name of the port that the guest looks for.
pub(crate) const PORT: &str = "stead";

/// Bytes that QEMU keeps translated code in.
const TRANSLATED: u64 = 64 << 20;

/// Bytes of addresses that QEMU may use beyond a machine's memory: programs, threads, tables.
const OWN: u64 = 1 << 30;

/// QEMU of this host.
#[derive(Debug)]
pub(crate) struct Qemu {
    program: PathBuf,
    name: String,
    /// How this program is started for a role.
    role: Vec<OsString>,
}

impl Qemu {
    /// Asks QEMU for its version.
    pub(crate) fn new(program: &Path, role: Vec<OsString>) -> Result<Self, Fault> {
        let step = format!("starting {}", program.display());
        let said = Command::new(program).arg("--version").env_clear().stdin(Stdio::null()).output().at(&step)?;
        let text = String::from_utf8_lossy(&said.stdout);
        let version = text.split("version ").nth(1).and_then(|rest| rest.split_whitespace().next());
        match version.filter(|_| said.status.success()) {
            Some(version) => Ok(Self { program: program.to_owned(), name: format!("QEMU {version}"), role }),
            None => Err(Fault(format!("{step}: it does not tell its version"))),
        }
    }

    fn arguments(&self, machine: &Machine) -> Vec<OsString> {
        let (accelerator, processor, early) = match machine.accelerator {
            Accelerator::Kvm => ("kvm".to_owned(), "host", ""),
            // Under TCG the kernel hangs while it measures its clock, unless it is told.
            Accelerator::Tcg => {
                (format!("tcg,tb-size={}", TRANSLATED >> 20), "max", "tsc_early_khz=1000000 lpj=2000000 ")
            }
        };
        let words = [
            "-M",
            "microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on",
            "-accel",
            &accelerator,
            "-cpu",
            processor,
            "-m",
            &format!("{}M", machine.memory >> 20),
            "-smp",
            &machine.processors.to_string(),
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-monitor",
            "none",
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            // The jail puts the channel and the log at these numbers.
            "-chardev",
            "socket,id=channel,fd=0",
            "-chardev",
            "socket,id=log,fd=1",
            "-serial",
            "chardev:log",
            "-device",
            "virtio-serial-device,max_ports=2",
            "-device",
            &format!("virtserialport,chardev=channel,name={PORT}"),
            "-kernel",
            jail::KERNEL,
            "-initrd",
            jail::IMAGE,
            "-append",
            &format!("{early}{}", machine.line),
        ];
        words.iter().map(OsString::from).collect()
    }
}

fn pair() -> Result<(OwnedFd, OwnedFd), Fault> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).at("making a socket for a machine")
}

impl Vmm for Qemu {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, machine: &Machine) -> Result<Started, Fault> {
        let ((channel, its_channel), (log, its_log)) = (pair()?, pair()?);
        let image = machine.image.try_clone().at("handing the image on")?;
        let order = jail::Order {
            kvm: machine.accelerator == Accelerator::Kvm,
            address_space: machine.memory.saturating_add(TRANSLATED + OWN),
            kernel: machine.kernel.clone(),
            program: self.program.clone(),
            arguments: self.arguments(machine),
        };
        let mut command = Command::new(self.role.first().ok_or_else(|| Fault("no program for the jail".to_owned()))?);
        command.args(&self.role[1..]).args(order.words()).env_clear().current_dir("/");
        command.stdin(its_channel).stdout(its_log).stderr(image);
        let process = Process::start(command, log)?;
        Ok(Started { channel, process })
    }
}
