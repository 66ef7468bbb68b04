//! One container from the plan to its end.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    net::{Ipv4Addr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal},
    termios::tcsetwinsize,
    thread::LinkNameSpaceType,
};
use stead_tier::pty::size;

use super::{
    fault::{At as _, Fault},
    groups::Groups,
    program,
    root::Root,
    runtime::Runtime,
    tree,
};
use crate::{
    config,
    wire::{self, End, Failure, Held, Limits, News, Order, Plan, Used},
};

/// A container whose command runs.
pub(super) struct Live {
    runtime: Runtime,
    pidfd: OwnedFd,
    groups: Groups,
    uppers: Vec<OwnedFd>,
    started: Instant,
    deadline: Instant,
    swap: bool,
}

/// What the server is told of it, and given.
pub(super) struct Started {
    held: Held,
    descriptors: Vec<OwnedFd>,
}

impl Live {
    /// Makes it. After a failure nothing of it is left but the folder.
    pub(super) fn make(plan: &Plan, descriptors: Vec<OwnedFd>) -> Result<(Self, Started), Fault> {
        let (streams, own, given) = shares(plan, descriptors)?;
        tree::enter()?;
        let (root, uppers) = Root::make(plan, own, given)?;
        program::check(plan, &root)?;
        let runtime = Runtime::new(plan);
        let made = run(plan, &runtime, streams);
        let (pidfd, groups, started) = made.inspect_err(|_| {
            // Whatever stands of it; if nothing does, the runtime says so, and that is nobody's concern.
            let _ = runtime.delete();
        })?;
        let now = Instant::now();
        let deadline = now + Duration::from_millis(plan.wall_ms);
        let swap = config::swap_is_counted();
        Ok((Self { runtime, pidfd, groups, uppers, started: now, deadline, swap }, started))
    }

    /// Holds it to its end, and tells.
    pub(super) fn serve(self, socket: &OwnedFd, started: &Started) {
        let descriptors: Vec<_> = started.descriptors.iter().map(AsFd::as_fd).collect();
        let told = wire::send(socket, &News::Started(started.held.clone()), &descriptors, true);
        let end = if told.is_ok() { self.watch(socket) } else { self.kill(End::Killed) };
        let usage = Used { memory: None, pids: None, pressure: None, ..self.used() };
        if let Err(Fault(Failure::Host(why))) = self.runtime.delete() {
            eprintln!("stead: a container is left for the next start to remove: {why}");
        }
        let uppers: Vec<_> = self.uppers.iter().map(AsFd::as_fd).collect();
        // A server that is gone needs no answer.
        let _ = wire::send(socket, &News::Ended { end, usage }, &uppers, true);
    }

    fn used(&self) -> Used {
        let wall_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Used { wall_us, ..self.groups.used() }
    }

    /// Waits for the end, the deadline and orders, whatever comes.
    fn watch(&self, socket: &OwnedFd) -> End {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.kill(End::Deadline);
            }
            let wait = Timespec::try_from(left).ok();
            let mut seen = [PollFd::new(&self.pidfd, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
            match poll(&mut seen, wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return self.kill(End::Killed),
            }
            if !seen[0].revents().is_empty() {
                return self.status();
            }
            if !seen[1].revents().is_empty() {
                match wire::receive::<Order>(socket) {
                    Ok(Some((Order::Measure, _))) => {
                        let _ = wire::send(socket, &News::Measured(self.used()), &[], true);
                    }
                    Ok(Some((Order::Limit { memory, pids, cpu_milli }, _))) => {
                        let failed = self.limit(Limits { memory, pids, cpu_milli });
                        // If the server is gone the next look at the socket says so.
                        let _ = wire::send(socket, &News::Limited(failed), &[], true);
                    }
                    // Asked to, or there is nobody left to do it for.
                    Ok(_) | Err(_) => return self.kill(End::Killed),
                }
            }
        }
    }

    fn limit(&self, limits: Limits) -> Option<String> {
        match self.runtime.update(&config::resources(&limits, self.swap, false)) {
            Err(Fault(Failure::Host(why) | Failure::Spec(why) | Failure::Command(why))) => Some(why),
            Ok(()) => None,
        }
    }

    /// Kills the first process, and with its pid namespace all others.
    fn kill(&self, end: End) -> End {
        // One that is dead needs no signal.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        match self.status() {
            // It was faster.
            exited @ End::Exited(_) => exited,
            _ => end,
        }
    }

    /// Waits until it is dead: the kernel tells of a first process when all others are dead.
    fn status(&self) -> End {
        let wait = || rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        match rustix::io::retry_on_intr(wait) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => End::Exited(code),
                (None, Some(signal)) => End::Signal(signal),
                (None, None) => End::Killed,
            },
            Ok(None) | Err(_) => End::Killed,
        }
    }
}

type Shares = (Vec<OwnedFd>, Option<OwnedFd>, Vec<OwnedFd>);

/// What came beside the plan: streams, the root's folder, the folders of the mounts. Taken as trees while this process still
/// is in the namespace of mounts that they are from.
fn shares(plan: &Plan, descriptors: Vec<OwnedFd>) -> Result<Shares, Fault> {
    let streams = if plan.terminal.is_some() { 0 } else { 3 };
    if descriptors.len() != streams + usize::from(plan.own_root) + plan.places.len() {
        return Err(Fault::host("the server sent other descriptors than its plan needs"));
    }
    let mut rest = descriptors.into_iter();
    let streams = rest.by_ref().take(streams).collect();
    let own = if plan.own_root { rest.next() } else { None };
    let own = own.map(|folder| tree::take(folder, "taking the root")).transpose()?;
    let given = plan
        .places
        .iter()
        .zip(rest)
        .map(|(place, folder)| tree::take(folder, &format!("taking the folder for {}", place.at)));
    Ok((streams, own, given.collect::<Result<_, _>>()?))
}

fn run(plan: &Plan, runtime: &Runtime, streams: Vec<OwnedFd>) -> Result<(OwnedFd, Groups, Started), Fault> {
    let console = match plan.terminal {
        Some(_) => Some(UnixListener::bind(runtime.console()).at("waiting for a terminal")?),
        None => None,
    };
    let pid = runtime.create(streams, plan.terminal.is_some())?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).at("watching a container")?;
    let groups = Groups::of(pid);
    let mut descriptors = Vec::new();
    if let Some(port) = plan.egress {
        descriptors.push(way_out(pid, port)?);
    }
    if let (Some(console), Some(size)) = (console, plan.terminal) {
        descriptors.push(terminal(&console, size)?);
    }
    let held = groups.held(&plan.limits);
    runtime.start()?;
    Ok((pidfd, groups, Started { held, descriptors }))
}

/// The socket that the egress proxy accepts on, from outside. It is made by a thread that enters the container's network, so
/// it listens there.
fn way_out(pid: Pid, port: u16) -> Result<OwnedFd, Fault> {
    let step = "listening for the egress proxy";
    let path = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
    let network = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(step)?;
    let listens = std::thread::spawn(move || {
        rustix::thread::move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
    });
    let listener = listens.join().map_err(|_| Fault::host(format!("{step}: a thread ended")))?;
    listener.map(OwnedFd::from).at(step)
}

/// The terminal that the runtime has sent while it made the container (OCI runtimes' `--console-socket`).
fn terminal(console: &UnixListener, dimensions: (u16, u16)) -> Result<OwnedFd, Fault> {
    let step = "taking the terminal of a container";
    console.set_nonblocking(true).at(step)?;
    let (connection, _) = console.accept().at(step)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut room = [0; 4096];
    recvmsg(&connection, &mut [IoSliceMut::new(&mut room)], &mut beside, RecvFlags::CMSG_CLOEXEC).at(step)?;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    };
    let end = beside.drain().filter_map(rights).flatten().next();
    let end = end.ok_or_else(|| Fault::host(format!("{step}: the runtime sent none")))?;
    tcsetwinsize(&end, size(dimensions)).at(step)?;
    Ok(end)
}
