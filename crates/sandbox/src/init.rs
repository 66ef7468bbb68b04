//! The first process of a box. It sets the box up before anything is known of a command, waits for one, mounts what the
//! command is given, gives its rights up, and reaps. When it ends, the kernel kills all that is left in the box.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, WaitOptions},
    thread::UnshareFlags,
};
use stead_tier::pty::Pair;

use crate::{
    cgroup::{Group, Groups},
    fault::{At, Fault},
    mounts, net, private, privileges,
    seccomp::{Filters, Watch},
    seeds::{Become, Seed},
    stay::{self, Stay},
    sys, terminal,
    twin::Stack,
    wire::{self, Failure, Go, Plan, Report},
    zygote,
};

/// How many of the first descriptors that go back are for the undertaker.
pub(crate) const REMAINS: usize = 2;

/// What an init has from its launcher.
pub(crate) struct Context<'a> {
    pub(crate) groups: &'a Groups,
    pub(crate) group: &'a Group,
    pub(crate) filters: &'a Filters,
    /// A network in which nobody ever had a socket, else it makes one.
    pub(crate) network: Option<BorrowedFd<'a>>,
    /// What its seed runs on.
    pub(crate) stack: &'a Stack,
    /// Files of `/proc` to cover.
    pub(crate) telling: &'a [PathBuf],
    /// Whether the launcher is root.
    pub(crate) root: bool,
    /// Who private folders belong to.
    pub(crate) user: u32,
    /// Whether the seed is to be a fork of a zygote.
    pub(crate) zygote: bool,
}

/// A failure, by whose fault it is.
struct Broken(Failure);

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self(Failure::Host(fault.0))
    }
}

/// Of what was asked, not of the host.
fn asked(fault: Fault) -> Broken {
    Broken(Failure::Spec(fault.0))
}

/// Is an init, in a process that [`sys::fork_init`] made. Never returns.
pub(crate) fn run(context: &Context<'_>, socket: &OwnedFd) -> ! {
    let socket = match descriptors(context, socket) {
        Ok(socket) => socket,
        Err(fault) => fail(socket.as_fd(), Failure::Host(fault.0)),
    };
    match live(context, socket.as_fd()) {
        Ok(never) => match never {},
        Err(Broken(failure)) => fail(socket.as_fd(), failure),
    }
}

fn fail(socket: BorrowedFd<'_>, failure: Failure) -> ! {
    // If nobody hears of it, the launcher is dead.
    let _ = wire::send(socket, &Report::Failed(failure), &[], true);
    sys::exit(1)
}

/// Joins the box's groups while their descriptors are there, then keeps nothing of the launcher but the socket.
fn descriptors(context: &Context<'_>, socket: &OwnedFd) -> Result<OwnedFd, Fault> {
    privileges::die_with_parent()?;
    context.groups.enter(context.group)?;
    if let Some(network) = context.network {
        sys::join_network(network).at("joining a network")?;
    }
    rustix::process::umask(Mode::empty());
    sys::keep_only(socket.as_fd()).at("closing descriptors")
}

enum Never {}

fn live(context: &Context<'_>, socket: BorrowedFd<'_>) -> Result<Never, Broken> {
    let mut seed = prepare(context, socket)?;
    let mut room = wire::buffer();
    let Some((Go { plan }, descriptors)) = wire::receive(socket, &mut room, true).at("waiting for a command")? else {
        sys::exit(0)
    };
    let given = furnish(context, &plan, descriptors, seed.pid)?;
    let inner: Vec<BorrowedFd<'_>> = match (&given.stay, &given.terminal, given.streams.as_slice()) {
        (Some(stay), ..) => vec![stay.inner.as_fd()],
        (None, Some(terminal), _) => vec![terminal.inner.as_fd(); 3],
        (None, None, [input, output, error]) => vec![input.as_fd(), output.as_fd(), error.as_fd()],
        _ => return Err(Broken(Failure::Host("the streams of the command did not arrive".to_owned()))),
    };
    // With a way out somebody outside has a socket there.
    let watch = Watch::new(seed.listener(), plan.egress.is_some());
    // Before the first line of the command runs, nothing here has a right over it.
    privileges::bare_init(context.root)?;
    let Become { command, cold } = seed.go(plan, &inner).map_err(Broken)?;
    let back: Vec<BorrowedFd<'_>> = given
        .remains
        .iter()
        .chain(&given.way_out)
        .chain(given.terminal.as_ref().map(|t| &t.outer))
        .chain(given.stay.iter().flat_map(Stay::back))
        .chain(&given.uppers)
        .map(AsFd::as_fd)
        .collect();
    wire::send(socket, &Report::Started { cold }, &back, true).at("telling that the command runs")?;
    drop((given, room));
    reap(socket, command, watch)
}

/// All that needs no command.
fn prepare(context: &Context<'_>, launcher: BorrowedFd<'_>) -> Result<Seed, Fault> {
    let all = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    let network = if context.network.is_none() { UnshareFlags::NEWNET } else { UnshareFlags::empty() };
    sys::unshare(all | network).at("making the namespaces of a sandbox")?;
    rustix::system::sethostname(b"box").at("naming the box")?;
    if context.network.is_none() {
        net::loopback()?;
    }
    private::processes(context.telling)?;
    privileges::die_first()?;
    // It is a copy of the launcher's memory, where what was asked for other boxes may stand. Before anything else runs here.
    privileges::close_memory()?;
    private::folders(context.user)?;
    let seed = if context.zygote {
        zygote::adopt(launcher)?
    } else {
        Seed::own(context.root, context.filters, context.stack)?
    };
    private::close_processes()?;
    Ok(seed)
}

/// What a command is given, and what goes back for it.
struct Given {
    streams: Vec<OwnedFd>,
    way_out: Option<OwnedFd>,
    terminal: Option<Pair>,
    stay: Option<Stay>,
    uppers: Vec<OwnedFd>,
    /// The box's mounts and its network, for the undertaker.
    remains: [OwnedFd; REMAINS],
}

fn furnish(context: &Context<'_>, plan: &Plan, mut descriptors: Vec<OwnedFd>, seed: Pid) -> Result<Given, Broken> {
    if plan.freezer {
        stay::join(descriptors.pop(), seed)?;
    }
    let streams = if plan.terminal.is_some() || plan.resident { 0 } else { 3 };
    let own_root = plan.root.is_some();
    if descriptors.len() != streams + usize::from(own_root) + plan.mounts.len() {
        return Err(Broken(Failure::Host("descriptors of the command did not arrive".to_owned())));
    }
    let mut rest = descriptors.split_off(streams);
    let trees = rest.split_off(usize::from(own_root));
    private::quota(&plan.limits)?;
    let hold =
        |what: &str| rustix::fs::open(format!("/proc/self/ns/{what}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let held = hold("mnt").and_then(|mounts| Ok([mounts, hold("net")?]));
    let (trees, uppers) = mounts::layered(&plan.mounts, trees, context.root, context.user).map_err(asked)?;
    let new = rest.pop();
    new.as_ref().map_or(Ok(()), mounts::hang_root)?;
    private::cover()?;
    new.as_ref().map_or(Ok(()), mounts::change_root).map_err(asked)?;
    mounts::mount(&plan.mounts, trees, context.user).map_err(asked)?;
    let way_out = plan.egress.map(net::way_out).transpose()?;
    let terminal = plan.terminal.map(|size| terminal::open(size, context.user)).transpose()?;
    let stay = plan.resident.then(|| Stay::new(plan)).transpose()?;
    let remains = held.at("holding mounts and network")?;
    Ok(Given { streams: descriptors, way_out, terminal, stay, uppers, remains })
}

/// Waits for the command and for all that is left to this process. When the command has ended, so does the box.
fn reap(socket: BorrowedFd<'_>, command: Pid, mut watch: Watch) -> ! {
    let Ok(children) = sys::child_signals() else { sys::exit(1) };
    loop {
        let Ok(ended) = rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::NOHANG)) else { sys::exit(1) };
        let Some((pid, status)) = ended else {
            watch.serve_until(&children);
            sys::drain(&children);
            continue;
        };
        if pid != command {
            continue;
        }
        let cpu_us = u64::try_from(sys::children_cpu().as_micros()).unwrap_or(u64::MAX);
        let report = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Report::Exited { code, cpu_us, untouched: watch.untouched() },
            (None, Some(signal)) => Report::Signal { signal, cpu_us, untouched: watch.untouched() },
            (None, None) => continue,
        };
        let _ = wire::send(socket, &report, &[], true);
        sys::exit(0)
    }
}
