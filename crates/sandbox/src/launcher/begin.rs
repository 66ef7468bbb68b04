//! How a launcher begins: it takes its socket, leaves everything else of whoever started it, and looks at the host.

use std::{os::fd::OwnedFd, path::PathBuf, process::ExitCode};

use rustix::{
    process::{Resource, Rlimit},
    thread::CapabilitySet,
};

use super::{AHEAD, MOST, maker::Maker, runtime, serve::Launcher};
use crate::{
    cgroup::{Controller, Groups},
    fault::{At, Fault},
    privileges::{self, USER},
    root::{self, Roots},
    sys,
    wire::{self, Found, Host, News},
};

/// Is the launcher of a server. Options: `--show FOLDER` (also shown in boxes), `--ahead N`, `--most N`.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let control = match control() {
        Ok(control) => control,
        Err(fault) => {
            eprintln!("stead: the sandbox launcher is started by a server, not by hand: {fault}");
            return ExitCode::from(2);
        }
    };
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(fault) => return unable(&control, fault),
    };
    match prepare(&control, &options) {
        Ok((maker, roots, host)) => {
            let mut launcher = match Launcher::new(control, maker, roots, options) {
                Ok(launcher) => launcher,
                Err((control, fault)) => return unable(&control, fault),
            };
            launcher.tell(&News::Ready { host }, &[]);
            launcher.serve();
            launcher.close();
            ExitCode::SUCCESS
        }
        Err(fault) => unable(&control, fault),
    }
}

fn unable(control: &OwnedFd, Fault(why): Fault) -> ExitCode {
    let _ = wire::send(control, &News::Unable { why }, &[], true);
    ExitCode::FAILURE
}

pub(super) struct Options {
    shown: Vec<PathBuf>,
    pub(super) ahead: usize,
    pub(super) most: usize,
    /// It has its namespaces, and was this user before ([`runtime`]).
    again: Option<u32>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Fault> {
        let mut options = Self { shown: Vec::new(), ahead: AHEAD, most: MOST, again: None };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| Fault(format!("{name} has no value")))?;
            let number = || value.parse().map_err(|_| Fault(format!("{name}: {value} is no number")));
            match name.as_str() {
                "--show" => options.shown.push(PathBuf::from(value)),
                "--ahead" => options.ahead = number()?,
                "--most" => options.most = number()?,
                runtime::AGAIN => options.again = Some(value.parse().map_err(|_| Fault(format!("{name}: {value}")))?),
                _ => return Err(Fault(format!("{name} is no option of the sandbox launcher"))),
            }
        }
        Ok(options)
    }
}

/// Takes the socket, and leaves everything else of whoever started this.
#[expect(unsafe_code, reason = "a descriptor is taken over by its number")]
fn control() -> Result<OwnedFd, Fault> {
    if !sys::single_threaded() {
        return Err(Fault("it must have one thread".to_owned()));
    }
    // SAFETY: standard input belongs to this process from its start, and nothing else here uses it.
    let control = unsafe { sys::own(0) };
    let kind = rustix::net::sockopt::socket_type(&control).at("standard input");
    if kind.as_ref().ok() != Some(&rustix::net::SocketType::SEQPACKET) {
        std::mem::forget(control);
        kind?;
        return Err(Fault("standard input is another kind of socket".to_owned()));
    }
    sys::close_from(3).at("closing descriptors")?;
    rustix::io::fcntl_setfd(&control, rustix::io::FdFlags::CLOEXEC).at("keeping the socket")?;
    // Signals of the server's terminal are the server's; this process ends with its socket.
    let _ = rustix::process::setsid();
    sys::default_signals();
    sys::ignore(libc::SIGPIPE);
    // Boxes are descriptors; a command's own limit is set for it.
    let files = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })
        .at("raising the limit of open files")?;
    Ok(control)
}

fn prepare(control: &OwnedFd, options: &Options) -> Result<(Maker, Roots, Host), Fault> {
    let root = options.again.is_none() && is_root();
    let own = options.again.unwrap_or(rustix::process::geteuid().as_raw());
    let host_mounts = if options.again.is_some() { root::namespace()? } else { root::enter(root)? };
    // The command of root's boxes is another user than whoever may write this program.
    if !root && options.again.is_none() {
        runtime::close(control, own)?;
    }
    let groups = Groups::open();
    let user = if root { USER } else { 0 };
    let host = Host {
        root,
        user: if root { USER } else { own },
        memory: groups.found(Controller::Memory),
        pids: match groups.found(Controller::Pids) {
            Found::Not(_) if counts_by_namespace() => {
                Found::By("resource limit of processes, counted in the box's own user namespace".to_owned())
            }
            found => found,
        },
        cpu: groups.found(Controller::Cpu),
        accounting: groups.found(Controller::Accounting),
        landlock: sys::landlock_version(),
    };
    let maker = Maker::new(groups, root, user)?;
    let roots = Roots::assemble(host_mounts, root, &options.shown)?;
    privileges::bare_launcher(root)?;
    Ok((maker, roots, host))
}

/// Whether the resource limit of processes counts those of one user namespace: since Linux 5.14.
fn counts_by_namespace() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (5, 14)
}

/// Whether this is a root that may do what it needs: in a container root often may not.
fn is_root() -> bool {
    let needed = CapabilitySet::SYS_ADMIN
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::CHOWN
        | CapabilitySet::NET_ADMIN;
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None).is_ok_and(|has| has.effective.contains(needed))
}
