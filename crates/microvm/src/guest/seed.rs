//! The process that becomes the command: started by the machine's first process as the same program once more. It enters the box's
//! group and root, gives up every right, and becomes the command. What went wrong it says on a socket that closes when nothing did.

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::Command,
};

use rustix::{
    io::FdFlags,
    mount::MountPropagationFlags,
    process::Pid,
    thread::{CapabilitySet, CapabilitySets, UnshareFlags},
};
use stead_tier::{
    program::{self, USUAL},
    resources, users,
};

use super::{ROOT, USER, filter, group};
use crate::{
    fault::{At, Fault},
    image, role, sys,
    wire::{Failure, Plan, decode, encode},
};

/// Starts one and waits until it has become the command.
pub(super) fn start(plan: &Plan, streams: [OwnedFd; 3]) -> Result<Pid, Failure> {
    let step = "starting the command's process";
    let (mut ours, its) = UnixStream::pair().at(step)?;
    rustix::io::fcntl_setfd(&its, FdFlags::empty()).at(step)?;
    let [input, output, error] = streams;
    let mut command = Command::new(format!("/{}", image::PROGRAM));
    command.args([role::WORD, role::SEED]).arg(its.as_raw_fd().to_string()).env_clear();
    let child = command.stdin(input).stdout(output).stderr(error).spawn().at(step)?;
    // Only the child has its ends from here on.
    drop((command, its));
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let plan = encode(plan);
    ours.write_all(&u32::try_from(plan.len()).unwrap_or(0).to_le_bytes())
        .and_then(|()| ours.write_all(&plan))
        .at(step)?;
    let mut said = Vec::new();
    ours.read_to_end(&mut said).at(step)?;
    match (pid, said.is_empty()) {
        (Some(pid), true) => Ok(pid),
        (None, true) => Err(Failure::Machine(format!("{step}: it has no number"))),
        (_, false) => Err(decode(&said).unwrap_or_else(|| Failure::Machine(format!("{step}: it spoke nonsense")))),
    }
}

/// Is a seed. Returns only when its socket is broken; what else goes wrong is said there.
pub(crate) fn run(mut words: impl Iterator<Item = OsString>) -> Fault {
    let number = words.next().and_then(|word| word.to_str()?.parse().ok()).unwrap_or(-1);
    let socket = match sys::inherited(number).at("finding the seed's socket") {
        Ok(socket) => socket,
        Err(fault) => return fault,
    };
    let mut socket = UnixStream::from(socket);
    let failure = match plan(&mut socket) {
        Ok(plan) => become_command(&plan),
        Err(fault) => Failure::Machine(fault.0),
    };
    match socket.write_all(&encode(&failure)) {
        Ok(()) => Fault("the command did not start".to_owned()),
        Err(e) => Fault(format!("the command did not start, and that cannot be told: {e}")),
    }
}

fn plan(socket: &mut UnixStream) -> Result<Plan, Fault> {
    let step = "reading the plan";
    let mut length = [0; 4];
    socket.read_exact(&mut length).at(step)?;
    let mut plan = vec![0; u32::from_le_bytes(length) as usize];
    socket.read_exact(&mut plan).at(step)?;
    decode(&plan).ok_or_else(|| Fault(format!("{step}: it cannot be read")))
}

fn become_command(plan: &Plan) -> Failure {
    let limited = || resources::set(plan.limits.open_files, plan.limits.file);
    let prepared = enter().and_then(|()| limited()).and_then(|()| bare(plan.terminal.is_some()));
    if let Err(fault) = prepared {
        return fault.into();
    }
    if let Err(e) = rustix::process::chdir(plan.dir.as_str()) {
        return Failure::Command(format!("its working folder {}: {}", plan.dir, std::io::Error::from(e)));
    }
    let Some(name) = plan.words.first() else { return Failure::Spec("the command has no program".to_owned()) };
    let mut said = std::io::Error::from(std::io::ErrorKind::NotFound);
    for program in program::candidates(name, program::path(&plan.env)) {
        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(&plan.words[1..])
            .env_clear()
            .envs(USUAL.iter().copied())
            .envs(plan.env.iter().cloned());
        let e = command.exec();
        if !matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) {
            said = e;
        }
    }
    let why = if said.kind() == std::io::ErrorKind::NotFound {
        "there is no such program".to_owned()
    } else {
        said.to_string()
    };
    Failure::Command(why)
}

/// Enters the box: its group, and its root in a mount namespace in which nothing else is to be reached.
fn enter() -> Result<(), Fault> {
    std::fs::write("/proc/self/oom_score_adj", "0").at("standing last no more")?;
    std::fs::write(group::JOIN, "0").at("entering the box's control group")?;
    sys::unshare(UnshareFlags::NEWNS).at("making a mount namespace")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).at("keeping mounts apart")?;
    rustix::process::chdir(ROOT).at("entering the box's root")?;
    rustix::mount::mount_move(".", "/").at("changing the root")?;
    rustix::process::chroot(".").at("changing the root")?;
    rustix::process::chdir("/").at("changing the root")
}

/// Gives up every right, and becomes the box's user in a session of its own.
fn bare(terminal: bool) -> Result<(), Fault> {
    rustix::process::setsid().at("starting a session")?;
    if terminal {
        rustix::process::ioctl_tiocsctty(std::io::stdin()).at("taking the terminal")?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for bit in 0..64 {
        // The first that the kernel does not know ends the list.
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if rustix::thread::remove_capability_from_bounding_set(one).is_err() {
            break;
        }
    }
    users::become_user(USER)?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none).at("dropping capabilities")?;
    rustix::thread::set_no_new_privs(true).at("forbidding new privileges")?;
    filter::load()
}
