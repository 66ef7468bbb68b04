//! The process that becomes the command. It gives its rights up before anything of the command is known, then waits to be
//! told, sets the command's own limits, and becomes it.

use std::{
    ffi::CString,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::{io::Errno, process::Resource};
use stead_tier::{program, resources};

use crate::{
    fault::{At, Fault},
    foreman, landlock, privileges,
    seccomp::Filters,
    seeds::{self, Between, Said},
    sys, twin,
    wire::{Access, Failure, Limits, Plan},
};

/// Is a seed, in a process that shares its init's memory and has the turn ([`crate::twin`]). Never returns.
pub(crate) fn run(root: bool, filters: &Filters, between: &'static Between) -> ! {
    let listener = match bare(root, filters) {
        Ok(listener) => listener,
        Err(fault) => seeds::end(between, Said::Failed(Failure::Host(fault.0))),
    };
    *between.said.lock() = Some(Said::Bare(listener));
    between.turn.to_parent();
    // From here on nothing is used that this was begun with but `between`.
    let Some((plan, streams)) = between.order.lock().take() else { sys::exit(0) };
    let failure = match between.turn.part(&streams).at("taking the descriptors") {
        Err(fault) => Failure::Host(fault.0),
        Ok(streams) if plan.resident => leave(&plan, &streams, between),
        Ok(streams) => become_command(&plan, &streams),
    };
    seeds::end(between, Said::Failed(failure))
}

/// A foreman lives beside its init, so it has memory of its own. Returns only if that failed.
fn leave(plan: &Plan, streams: &[BorrowedFd<'_>], between: &Between) -> Failure {
    let [asks] = streams else {
        return Failure::Host("the server's socket did not arrive".to_owned());
    };
    match twin::brother().at("starting the foreman") {
        Ok(Some(foreman)) => seeds::end(between, Said::Left(foreman)),
        Ok(None) => foreman::run(plan, *asks),
        Err(fault) => Failure::Host(fault.0),
    }
}

/// Gives up all rights. Returns the listener of its filter, if there can be one.
fn bare(root: bool, filters: &Filters) -> Result<Option<OwnedFd>, Fault> {
    privileges::bare_seed(root)?;
    rustix::process::setsid().at("starting a session")?;
    filters.load().at("loading the filter of system calls")
}

/// Becomes the command of a plan. Returns only if that failed.
pub(crate) fn become_command(plan: &Plan, streams: &[BorrowedFd<'_>]) -> Failure {
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

fn take_streams(streams: &[BorrowedFd<'_>], terminal: bool) -> Result<(), Fault> {
    for (number, stream) in streams.iter().enumerate().take(3) {
        sys::put_at(*stream, number as i32).at("taking the streams")?;
    }
    if terminal && let Some(inner) = streams.first() {
        rustix::process::ioctl_tiocsctty(inner).at("taking the terminal")?;
    }
    Ok(())
}
