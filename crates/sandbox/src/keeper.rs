//! The keeper of one command in a box that stays: it starts the command, passes signals on, reaps what the command leaves behind
//! while it runs, and tells how it ended. It outlives neither.
//!
//! Whatever a command starts stays below its keeper, however often it forks, for the keeper is who takes in orphans
//! (`PR_SET_CHILD_SUBREAPER`, prctl(2)). So a kill finds all of it, whatever session it moved to.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus},
};

use crate::{
    fault::{At, Fault},
    privileges, seed, sys, terminal,
    wire::{self, Failure, Plan, Sprout, Tell, Told},
};

/// Is a keeper, in a process that a foreman forked. Never returns.
pub(crate) fn run(plan: &Plan, mut descriptors: Vec<OwnedFd>) -> ! {
    if descriptors.is_empty() {
        sys::exit(1)
    }
    let conversation = descriptors.remove(0);
    match start(plan, descriptors) {
        Ok(Started { command, outer, events }) => {
            let beside: Vec<_> = outer.iter().map(AsFd::as_fd).collect();
            let told = wire::send(&conversation, &Told::Started, &beside, true);
            drop(beside);
            drop(outer);
            if told.is_err() {
                kill_all();
                sys::exit(1)
            }
            keep(&conversation, command, &events)
        }
        Err(failure) => {
            let _ = wire::send(&conversation, &Told::Failed(failure), &[], true);
            sys::exit(1)
        }
    }
}

struct Started {
    command: Pid,
    /// Our end of the terminal, for the server.
    outer: Option<OwnedFd>,
    /// Readable when a child has ended.
    events: OwnedFd,
}

fn start(plan: &Plan, mut streams: Vec<OwnedFd>) -> Result<Started, Failure> {
    let host = |Fault(why): Fault| Failure::Host(why);
    privileges::die_with_parent().map_err(host)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).at("taking in orphans").map_err(host)?;
    sys::default_signal(libc::SIGCHLD);
    let events = sys::child_signals().at("hearing of ended processes").map_err(host)?;
    let mut outer = None;
    if let Some(size) = plan.terminal {
        let pair = terminal::pair(size).map_err(host)?;
        let again = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3).at("opening a terminal").map_err(host);
        streams = vec![again(&pair.inner)?, again(&pair.inner)?, pair.inner];
        outer = Some(pair.outer);
    }
    if streams.len() != 3 {
        return Err(Failure::Host("the streams of the command did not arrive".to_owned()));
    }
    let (ours, its) = wire::pair().at("making a socket").map_err(host)?;
    let command = match sys::fork().at("starting the command's process").map_err(host)? {
        None => {
            let failure = become_command(plan, &streams);
            let _ = wire::send(&its, &Sprout::Failed(failure), &[], true);
            sys::exit(127)
        }
        Some(pid) => pid,
    };
    drop((its, streams));
    match wire::receive::<Sprout>(&ours, &mut wire::buffer(), true) {
        // The end of this conversation means that it has become the command.
        Ok(None) => Ok(Started { command, outer, events }),
        Ok(Some((Sprout::Failed(failure), _))) => Err(failure),
        _ => Err(Failure::Host("the command's process answered with nonsense".to_owned())),
    }
}

fn become_command(plan: &Plan, streams: &[OwnedFd]) -> Failure {
    sys::default_signals();
    let apart =
        privileges::die_with_parent().and_then(|()| rustix::process::setsid().map(drop).at("starting a session"));
    match apart {
        Ok(()) => seed::become_command(plan, &streams.iter().map(AsFd::as_fd).collect::<Vec<_>>()),
        Err(Fault(why)) => Failure::Host(why),
    }
}

fn keep(conversation: &OwnedFd, command: Pid, events: &OwnedFd) -> ! {
    let mut room = wire::buffer();
    let mut heard = true;
    loop {
        let mut ready = [PollFd::new(events, PollFlags::IN), PollFd::new(conversation, PollFlags::IN)];
        let watched = if heard { &mut ready[..] } else { &mut ready[..1] };
        match poll(watched, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => sys::exit(1),
        }
        let told = watched.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if told {
            match wire::receive::<Tell>(conversation, &mut room, false) {
                Ok(Some((Tell::Signal(signal), _))) => pass_on(command, signal),
                Err(Errno::AGAIN) => {}
                Ok(Some((Tell::Kill, _))) => kill_all(),
                Ok(None) | Err(_) => {
                    heard = false;
                    kill_all();
                }
            }
        }
        sys::drain(events);
        reap(conversation, command);
    }
}

/// Takes in what has ended. When that was the command, so has this process.
fn reap(conversation: &OwnedFd, command: Pid) {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == command {
            ended(conversation, status);
        }
    }
}

fn ended(conversation: &OwnedFd, status: WaitStatus) {
    let cpu_us = u64::try_from(sys::children_cpu().as_micros()).unwrap_or(u64::MAX);
    let told = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Told::Exited { code, cpu_us },
        (None, Some(signal)) => Told::Signal { signal, cpu_us },
        (None, None) => return,
    };
    let _ = wire::send(conversation, &told, &[], true);
    sys::exit(0)
}

fn pass_on(command: Pid, signal: i32) {
    // It leads a group of its own; one that has moved or ended hears nothing.
    sys::signal_group(command, signal);
}

/// Kills all that is below this process, until nothing new has appeared. What is dead is reaped by the caller, who learns of the command's
/// end so.
fn kill_all() {
    let own = rustix::process::getpid();
    loop {
        let below = descendants(own);
        if below.is_empty() {
            return;
        }
        for pid in below {
            // One that has ended meanwhile needs no signal.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        rustix::thread::sched_yield();
    }
}

/// Everything below a process that is not dead, by `/proc/PID/stat` (proc_pid_stat(5)).
fn descendants(of: Pid) -> Vec<Pid> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = fs::read(entry.path().join("stat")) else { continue };
        if let Some((state, parent)) = state_and_parent(&stat) {
            all.push((pid, parent, state));
        }
    }
    let mut found = vec![of.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        found.extend(all.iter().filter(|(_, p, _)| *p == parent).map(|(pid, ..)| *pid));
    }
    let dead = |pid: &i32| all.iter().any(|(p, _, state)| p == pid && matches!(state, b'Z' | b'X'));
    found.into_iter().skip(1).filter(|pid| !dead(pid)).filter_map(Pid::from_raw).collect()
}

/// The name is in brackets, and may hold anything, also what is no text.
fn state_and_parent(stat: &[u8]) -> Option<(u8, i32)> {
    let after = stat.iter().rposition(|b| *b == b')')?;
    let mut fields = std::str::from_utf8(stat.get(after + 1..)?).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_cannot_name_itself_another_parent() {
        assert_eq!(state_and_parent(b"7 (a) S 1 (b) R 42 7 7 0"), Some((b'R', 42)));
        assert_eq!(state_and_parent(b"7 (\xff\xfe) Z 42 7"), Some((b'Z', 42)));
        assert_eq!((state_and_parent(b""), state_and_parent(b"7 (a")), (None, None));
    }
}
