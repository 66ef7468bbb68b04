//! The process that is a machine, from the thread that starts it, reads its last words and reaps it. The kernel kills it when that thread
//! ends ([`super::jail`]), so nothing outlives the server.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    process::Command,
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;

use crate::fault::{At, Fault};

/// Bytes that are kept of what a machine's kernel and its monitor say.
const KEPT: usize = 4 << 10;

/// A machine's process.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    handle: OwnedFd,
    said: Arc<Mutex<Vec<u8>>>,
    /// Its processor time when it has ended and was reaped.
    ended: watch::Receiver<Option<Duration>>,
}

impl Process {
    /// Starts a command, and a thread that stays with it. `log` is where what it says is read.
    pub(crate) fn start(mut command: Command, log: OwnedFd) -> Result<Self, Fault> {
        let step = "starting a machine";
        let said = Arc::new(Mutex::new(Vec::new()));
        let (tell, ended) = watch::channel(None);
        let (first, started) = mpsc::sync_channel(1);
        let keeps = Arc::clone(&said);
        let keep = move || {
            let child = command.spawn();
            // It holds the machine's ends of the sockets open in this process.
            drop(command);
            let mut child = match child {
                Ok(child) => child,
                Err(e) => return drop(first.send(Err(e))),
            };
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let handle = pid.ok_or(rustix::io::Errno::SRCH).and_then(|pid| {
                // Nobody else reaps it, so the number is still its own.
                Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::empty())?))
            });
            let told = match handle {
                Ok((pid, handle)) => first.send(Ok((pid, handle))).is_ok(),
                Err(e) => {
                    let _ = first.send(Err(e.into()));
                    false
                }
            };
            if !told {
                let _ = child.kill();
            }
            listen(log, &keeps);
            // It is left unreaped for a moment, so that its count can be read.
            if let Some(pid) = pid {
                let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            }
            let used = used(child.id());
            let _ = child.wait();
            // Whoever holds the process may be gone.
            let _ = tell.send(Some(used));
        };
        std::thread::Builder::new().name("microvm".to_owned()).spawn(keep).at(step)?;
        match started.recv() {
            Ok(Ok((pid, handle))) => Ok(Self { pid, handle, said, ended }),
            Ok(Err(e)) => Err(e).at(step),
            Err(_) => Err(Fault(format!("{step}: its thread ended"))),
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Kills it. What it has ended already stays ended.
    pub(crate) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Waits until it has ended and was reaped, and tells its processor time.
    pub(crate) async fn ended(&self) -> Duration {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(used) => used.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        }
    }

    /// The end of what it said, on one line, fit to be shown.
    pub(crate) fn said(&self) -> String {
        let said = String::from_utf8_lossy(&self.said.lock()).into_owned();
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        words.chars().filter(|c| !c.is_control()).rev().take(400).collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// The same, as the end of a sentence.
    pub(crate) fn last_words(&self) -> String {
        match self.said() {
            said if said.is_empty() => "without a word".to_owned(),
            said => format!("its last words: {said}"),
        }
    }

    /// Processor time until now.
    pub(crate) fn used(&self) -> Option<Duration> {
        self.ended.borrow().is_none().then(|| used(self.id()))
    }

    /// Bytes of memory now, and the most at once, as long as it runs.
    pub(crate) fn memory(&self) -> (Option<u64>, Option<u64>) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads until the process has closed it: until it has ended.
fn listen(log: OwnedFd, said: &Mutex<Vec<u8>>) {
    let mut log = File::from(log);
    let mut piece = [0; 1024];
    // An error of a socket is its end.
    while let Ok(n @ 1..) = log.read(&mut piece) {
        let mut said = said.lock();
        said.extend_from_slice(&piece[..n]);
        let over = said.len().saturating_sub(KEPT);
        said.drain(..over);
    }
}

/// Processor time of a process that runs, or that was not reaped.
fn used(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // Fields 14 and 15 (proc_pid_stat(5)), in ticks; the second has spaces in it, and ends with the last bracket.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').skip(11).take(2)).into_iter().flatten();
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    let second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / second))
}
