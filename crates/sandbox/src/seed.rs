//! The process that becomes the command. It gives its rights up before anything of the command is known, then waits to be
//! told, sets the command's own limits, and becomes it.

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{io::Errno, process::Resource};
use stead_tier::{program, resources};

use crate::{
    fault::{At, Fault},
    foreman, landlock, privileges,
    seccomp::Filters,
    sys,
    wire::{self, Access, Failure, Go, Limits, Plan, Sprout},
};

/// Is a seed. Never returns.
pub(crate) fn run(root: bool, filters: &Filters, socket: BorrowedFd<'_>) -> ! {
    let failure = match bare(root, filters, socket) {
        Ok((plan, given)) if plan.resident => foreman::run(&plan, given, socket),
        Ok((plan, streams)) => become_command(&plan, &streams),
        Err(fault) => Failure::Host(fault.0),
    };
    let _ = wire::send(socket, &Sprout::Failed(failure), &[], true);
    sys::exit(127)
}

fn bare(root: bool, filters: &Filters, socket: BorrowedFd<'_>) -> Result<(Plan, Vec<OwnedFd>), Fault> {
    privileges::bare_seed(root)?;
    rustix::process::setsid().at("starting a session")?;
    let listener = filters.load().at("loading the filter of system calls")?;
    let beside: Vec<_> = listener.iter().map(AsFd::as_fd).collect();
    wire::send(socket, &Sprout::Bare, &beside, true).at("telling that rights are given up")?;
    // Whoever held it could let its own calls go on.
    drop(listener);
    match wire::receive(socket, &mut wire::buffer(), true).at("waiting for a command")? {
        Some((Go { plan }, streams)) => Ok((plan, streams)),
        None => sys::exit(0),
    }
}

/// Becomes the command of a plan. Returns only if that failed.
pub(crate) fn become_command(plan: &Plan, streams: &[OwnedFd]) -> Failure {
    let host = |fault: Fault| Failure::Host(fault.0);
    let writable: Vec<&str> =
        plan.mounts.iter().filter(|m| m.access != Access::ReadOnly).map(|m| m.at.as_str()).collect();
    if let Err(fault) = limits(&plan.limits).and_then(|()| landlock::enclose(&writable)) {
        return host(fault);
    }
    if let Err(e) = rustix::process::chdir(plan.dir.as_str()) {
        return Failure::Command(format!("its working folder {}: {}", plan.dir, std::io::Error::from(e)));
    }
    let words = match (strings(&plan.words), strings(&program::environment(&plan.env))) {
        (Some(words), Some(env)) if !words.is_empty() => (words, env),
        _ => return Failure::Spec("a word of the command is empty or holds a NUL byte".to_owned()),
    };
    if let Err(fault) = take_streams(streams, plan.terminal.is_some()) {
        return host(fault);
    }
    sys::default_signal(libc::SIGPIPE);
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    let mut said = Errno::NOENT;
    for program in program::candidates(&plan.words[0], program::path(&plan.env)) {
        let Ok(program) = CString::new(program) else { continue };
        match sys::exec(&program, &words.0, &words.1) {
            Errno::NOENT | Errno::NOTDIR => {}
            other => said = other,
        }
    }
    Failure::Command(std::io::Error::from(said).to_string())
}

fn strings(words: &[String]) -> Option<Vec<CString>> {
    words.iter().map(|w| CString::new(w.as_str()).ok()).collect()
}

fn limits(limits: &Limits) -> Result<(), Fault> {
    resources::set(limits.open_files, limits.file)?;
    if let (true, Some(pids)) = (limits.nproc, limits.pids) {
        // Counted in the user namespace, which only this box has; the init is not in it.
        resources::lower(Resource::Nproc, u64::from(pids.saturating_sub(1)))?;
    }
    Ok(())
}

fn take_streams(streams: &[OwnedFd], terminal: bool) -> Result<(), Fault> {
    for (number, stream) in streams.iter().enumerate().take(3) {
        sys::put_at(stream.as_fd(), number as i32).at("taking the streams")?;
    }
    if terminal && let Some(inner) = streams.first() {
        rustix::process::ioctl_tiocsctty(inner).at("taking the terminal")?;
    }
    Ok(())
}
