//! The jail: a process of one thread that takes away from itself what a monitor does not need, and then becomes it.
//!
//! | what | how |
//! |---|---|
//! | user | root's machines run as a user of nobody, without groups |
//! | network, mounts, IPC, host name | namespaces of its own; root's with a `/dev` of its own too |
//! | files | Landlock: programs and libraries may be read, `/dev/kvm` used, nothing written |
//! | sockets and signals | Landlock: no TCP, no abstract socket, no signal to the outside, where the kernel knows of it |
//! | privileges | none, and none to be had again |
//! | memory, files, core dumps | resource limits |
//! | life | that of the thread that started it |
//!
//! QEMU's own filter of system calls comes on top ([`super::qemu`]).

use std::{
    ffi::OsString,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::{fs::chown, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    mount::{MountFlags, MountPropagationFlags},
    process::{Resource, Signal},
    thread::UnshareFlags,
};
use stead_tier::{
    resources,
    users::{self, USER},
};

use crate::{
    fault::{At, Fault},
    role, sys,
};

/// Stands in the arguments where the kernel's file is to be named.
pub(crate) const KERNEL: &str = "@kernel";
/// And the image's.
pub(crate) const IMAGE: &str = "@image";

/// The newest version of Landlock that these rules are written for.
const NEWEST: ABI = ABI::V6;

/// Where programs and libraries are.
const PROGRAMS: &[&str] = &["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.preload"];

/// Devices of a monitor, with their numbers.
const DEVICES: &[(&str, u32, u32)] = &[("null", 1, 3), ("zero", 1, 5), ("random", 1, 8), ("urandom", 1, 9)];
const KVM: (&str, u32, u32) = ("kvm", 10, 232);

/// What a jail is told. Its standard input is the machine's channel, its output the log, its error the image.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) kvm: bool,
    /// Most bytes of addresses.
    pub(crate) address_space: u64,
    pub(crate) kernel: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Order {
    /// As the arguments of a role.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let own = std::process::id();
        let numbers = [own.to_string(), u8::from(self.kvm).to_string(), self.address_space.to_string()];
        let mut words: Vec<OsString> = vec![role::JAIL.into()];
        words.extend(numbers.map(Into::into));
        words.extend([self.kernel.clone().into(), self.program.clone().into()]);
        words.extend(self.arguments.iter().cloned());
        words
    }

    fn read(mut words: impl Iterator<Item = OsString>) -> Option<(u32, Self)> {
        let mut number = || words.next()?.to_str()?.parse::<u64>().ok();
        let (parent, kvm, address_space) = (number()?, number()? == 1, number()?);
        let (kernel, program) = (words.next()?.into(), words.next()?.into());
        let order = Self { kvm, address_space, kernel, program, arguments: words.collect() };
        Some((u32::try_from(parent).ok()?, order))
    }
}

/// Becomes a monitor in its jail. Returns only if that failed.
pub(crate) fn run(words: impl Iterator<Item = OsString>) -> Fault {
    let Some((parent, order)) = Order::read(words) else { return Fault("the jail was told nonsense".to_owned()) };
    match prepare(&order) {
        Ok(mut command) => match tie(parent) {
            Ok(()) => Fault(format!("starting {}: {}", order.program.display(), command.exec())),
            Err(fault) => fault,
        },
        Err(fault) => fault,
    }
}

fn prepare(order: &Order) -> Result<Command, Fault> {
    // The image came in place of the standard error, which from here on is the log.
    let image = rustix::io::dup(std::io::stderr()).at("keeping the image")?;
    rustix::stdio::dup2_stderr(std::io::stdout()).at("keeping the log")?;
    let kernel = rustix::fs::open(&order.kernel, OFlags::RDONLY, Mode::empty())
        .at(&format!("opening the kernel {}", order.kernel.display()))?;
    if rustix::process::geteuid().is_root() {
        apart(order.kvm)?;
        users::become_user(USER)?;
    } else {
        // A host that forbids user namespaces leaves the other walls.
        let all = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
        let _ = sys::unshare(all);
    }
    limits(order)?;
    rustix::thread::set_no_new_privs(true).at("forbidding new privileges")?;
    enclose(order, &kernel)?;
    let named = |word: &OsString| match word.to_str() {
        Some(KERNEL) => path(&kernel),
        Some(IMAGE) => path(&image),
        _ => word.clone(),
    };
    let mut command = Command::new(&order.program);
    command.args(order.arguments.iter().map(named)).env_clear();
    // The monitor opens both by these numbers.
    std::mem::forget((kernel, image));
    Ok(command)
}

fn path(file: &OwnedFd) -> OsString {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Namespaces that root can make: nothing of the host's network, and no device but those that are needed.
fn apart(kvm: bool) -> Result<(), Fault> {
    let all = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    sys::unshare(all).at("making the namespaces of a machine")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).at("keeping mounts apart")?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("devices", "/dev", "tmpfs", flags, c"size=64k,nr_inodes=16,mode=0755")
        .at("making a folder of devices")?;
    for (name, major, minor) in DEVICES.iter().chain(kvm.then_some(&KVM)) {
        let (path, step) = (Path::new("/dev").join(name), format!("making the device {name}"));
        let device = rustix::fs::makedev(*major, *minor);
        rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o600), device).at(&step)?;
        chown(&path, Some(USER), Some(USER)).at(&step)?;
    }
    Ok(())
}

fn limits(order: &Order) -> Result<(), Fault> {
    for (what, value) in [
        (Resource::As, order.address_space),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 256),
        (Resource::Memlock, 0),
        (Resource::Rtprio, 0),
    ] {
        resources::lower(what, value)?;
    }
    Ok(())
}

/// Dies with the thread that started it. Changing users forgets this, so it comes last.
fn tie(parent: u32) -> Result<(), Fault> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at("tying a machine to its server")?;
    let above = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if above == Some(parent) { Ok(()) } else { Err(Fault("the server is gone".to_owned())) }
}

/// Sets Landlock's rules; where the kernel knows less, less is held.
fn enclose(order: &Order, kernel: &OwnedFd) -> Result<(), Fault> {
    let wrong = |e: &dyn std::fmt::Display| Fault(format!("setting Landlock's rules: {e}"));
    let read = AccessFs::from_read(NEWEST);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(NEWEST));
    let rules = rules.and_then(|r| r.handle_access(AccessNet::from_all(NEWEST)));
    let rules = rules.and_then(|r| r.scope(Scope::AbstractUnixSocket | Scope::Signal));
    let mut rules = rules.and_then(Ruleset::create).map_err(|e| wrong(&e))?;
    let program = order.program.parent().unwrap_or(Path::new("/usr"));
    let programs = PROGRAMS.iter().map(Path::new).chain([program, Path::new("/sys/devices/system/cpu")]);
    for path in programs.filter(|path| path.exists()) {
        let rights = if path.is_dir() { read } else { AccessFs::ReadFile.into() };
        let rule = PathBeneath::new(PathFd::new(path).map_err(|e| wrong(&e))?, rights);
        rules = rules.add_rule(rule).map_err(|e| wrong(&e))?;
    }
    for name in DEVICES.iter().chain([&KVM]).map(|(name, ..)| Path::new("/dev").join(name)).filter(|p| p.exists()) {
        let rule = PathBeneath::new(PathFd::new(name).map_err(|e| wrong(&e))?, device);
        rules = rules.add_rule(rule).map_err(|e| wrong(&e))?;
    }
    rules = rules.add_rule(PathBeneath::new(kernel.as_fd(), AccessFs::ReadFile)).map_err(|e| wrong(&e))?;
    rules.restrict_self().map_err(|e| wrong(&e))?;
    Ok(())
}
