//! The process that becomes the command. It gives its rights up before anything of the command is known, then waits to be
//! told, sets the command's own limits, and becomes it.

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit},
};

use crate::{
    fault::{At, Fault},
    foreman, landlock, privileges,
    seccomp::Filter,
    sys,
    wire::{self, Access, Failure, Go, Limits, Plan, Sprout},
};

/// Where programs are looked for if the environment does not say.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// Is a seed. Never returns.
pub(crate) fn run(root: bool, filter: &Filter, socket: BorrowedFd<'_>) -> ! {
    let failure = match bare(root, filter, socket) {
        Ok((plan, given)) if plan.resident => foreman::run(&plan, given, socket),
        Ok((plan, streams)) => become_command(&plan, &streams),
        Err(fault) => Failure::Host(fault.0),
    };
    let _ = wire::send(socket, &Sprout::Failed(failure), &[], true);
    sys::exit(127)
}

fn bare(root: bool, filter: &Filter, socket: BorrowedFd<'_>) -> Result<(Plan, Vec<OwnedFd>), Fault> {
    privileges::bare_seed(root)?;
    rustix::process::setsid().at("starting a session")?;
    filter.load().at("loading the filter of system calls")?;
    wire::send(socket, &Sprout::Bare, &[], true).at("telling that rights are given up")?;
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
    if let Err(fault) = resources(&plan.limits).and_then(|()| landlock::enclose(&writable)) {
        return host(fault);
    }
    if let Err(e) = rustix::process::chdir(plan.dir.as_str()) {
        return Failure::Command(format!("its working folder {}: {}", plan.dir, std::io::Error::from(e)));
    }
    let words = match (strings(&plan.words), strings(&environment(&plan.env))) {
        (Some(words), Some(env)) if !words.is_empty() => (words, env),
        _ => return Failure::Spec("a word of the command is empty or holds a NUL byte".to_owned()),
    };
    if let Err(fault) = take_streams(streams, plan.terminal.is_some()) {
        return host(fault);
    }
    sys::default_signal(libc::SIGPIPE);
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    let path = plan.env.iter().find(|(name, _)| name == "PATH").map_or(PATH, |(_, value)| value.as_str());
    let mut said = Errno::NOENT;
    for program in candidates(&plan.words[0], path) {
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

/// Variables that a command has unless it is given others.
pub(crate) const USUAL: &[(&str, &str)] =
    &[("PATH", PATH), ("HOME", crate::root::HOME), ("USER", "box"), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8")];

pub(crate) fn environment(given: &[(String, String)]) -> Vec<String> {
    let missing = USUAL.iter().filter(|(name, _)| !given.iter().any(|(n, _)| n == name));
    let given = given.iter().map(|(name, value)| format!("{name}={value}"));
    given.chain(missing.map(|(name, value)| format!("{name}={value}"))).collect()
}

/// What a program's name may mean, in order.
pub(crate) fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':').filter(|folder| folder.starts_with('/')).map(|folder| format!("{folder}/{program}")).collect()
}

/// Resource limits that every command has.
pub(crate) const FIXED: &[(Resource, u64)] = &[
    (Resource::Core, 0),
    (Resource::Nice, 0),
    (Resource::Rtprio, 0),
    (Resource::Memlock, 64 << 10),
    // Signals that wait, and bytes of message queues: what all boxes have together is the host's to give.
    (Resource::Sigpending, 1024),
    (Resource::Msgqueue, 64 << 10),
];

/// Both bounds of each, so that nothing can be raised again.
fn resources(limits: &Limits) -> Result<(), Fault> {
    let set = |what, value: u64| {
        // Where the process has less already, it keeps that.
        let most = rustix::process::getrlimit(what).maximum.unwrap_or(u64::MAX).min(value);
        let both = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::setrlimit(what, both).at("setting a resource limit")
    };
    for (what, value) in FIXED {
        set(*what, *value)?;
    }
    set(Resource::Nofile, u64::from(limits.open_files.max(4)))?;
    set(Resource::Fsize, limits.file)?;
    if let (true, Some(pids)) = (limits.nproc, limits.pids) {
        // Counted in the user namespace, which only this box has; the init is not in it.
        set(Resource::Nproc, u64::from(pids.saturating_sub(1)))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_absolute_folders_only() {
        assert_eq!(candidates("./x", "/bin"), ["./x"]);
        assert_eq!(candidates("x", "/usr/bin:::relative:/bin"), ["/usr/bin/x", "/bin/x"]);
    }

    #[test]
    fn what_is_given_hides_what_is_usual() {
        let env = environment(&[("HOME".into(), "/workspace".into())]);
        assert_eq!(env.iter().filter(|e| e.starts_with("HOME=")).collect::<Vec<_>>(), ["HOME=/workspace"]);
        assert!(env.iter().any(|e| e.starts_with("PATH=/usr/local/bin:")));
    }
}
