//! The files of control groups of version 2 (Linux `Documentation/admin-guide/cgroup-v2.rst`).

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{
    Controller, FOLDER,
    files::{keyed, number, read, write},
    v1::quota,
};
use crate::wire::Pressure;

/// Where the server's own processes go: a group that hands controllers down may hold none itself.
const SUPERVISOR: &str = "stead-server";
/// Attempts at moving them all, for new ones may start meanwhile.
const ROUNDS: usize = 8;

fn words(controllers: &[Controller]) -> String {
    let name = |c: &Controller| match c {
        Controller::Memory => Some("+memory"),
        Controller::Pids => Some("+pids"),
        Controller::Cpu => Some("+cpu"),
        Controller::Accounting => None,
    };
    controllers.iter().filter_map(name).collect::<Vec<_>>().join(" ")
}

/// Hands controllers down from the group that the server is in.
pub(super) fn delegate(own: BorrowedFd<'_>, controllers: &[Controller]) -> Result<(), Errno> {
    match enable(own, controllers) {
        // Processes are in it (the root alone may hold some): they move to a group below.
        Err(Errno::BUSY) => {
            match rustix::fs::mkdirat(own, SUPERVISOR, Mode::from(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e),
            }
            let below = rustix::fs::openat(own, SUPERVISOR, FOLDER, Mode::empty())?;
            for _ in 0..ROUNDS {
                let there = read_all(own)?;
                if there.is_empty() {
                    break;
                }
                for pid in there {
                    // One that has ended meanwhile needs no place.
                    match write(rustix::fd::AsFd::as_fd(&below), "cgroup.procs", &pid) {
                        Ok(()) | Err(Errno::SRCH) => {}
                        Err(e) => return Err(e),
                    }
                }
            }
            enable(own, controllers)
        }
        done => done,
    }
}

/// Enables controllers for the groups below.
pub(super) fn enable(group: BorrowedFd<'_>, controllers: &[Controller]) -> Result<(), Errno> {
    write(group, "cgroup.subtree_control", &words(controllers))
}

fn read_all(group: BorrowedFd<'_>) -> Result<Vec<String>, Errno> {
    let file = rustix::fs::openat(group, "cgroup.procs", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    let mut room = [0; 4096];
    loop {
        match rustix::io::read(&file, &mut room)? {
            0 => break,
            n => text.extend_from_slice(&room[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// Without swap: what does not fit is not moved to a disk.
pub(super) fn memory(folder: BorrowedFd<'_>, bytes: u64) -> Result<(), Errno> {
    write(folder, "memory.max", &bytes.to_string())?;
    match write(folder, "memory.swap.max", "0") {
        Err(Errno::NOENT | Errno::ACCESS) => Ok(()),
        done => done,
    }
}

/// As much as there is.
pub(super) fn any_memory(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    write(folder, "memory.max", "max")
}

/// Peak bytes (Linux 5.19), and processes killed for want of memory.
pub(super) fn memory_used(folder: BorrowedFd<'_>) -> (Option<u64>, Option<u64>) {
    (number(folder, "memory.peak"), keyed(folder, "memory.events", "oom_kill"))
}

/// Bytes now.
pub(super) fn memory_now(folder: BorrowedFd<'_>) -> Option<u64> {
    number(folder, "memory.current")
}

/// How much is waited for. `None` where the kernel does not tell of it.
pub(super) fn pressure(folder: BorrowedFd<'_>) -> Option<Pressure> {
    let of = |file| some_of_ten_seconds(&read(folder, file)?);
    let all = Pressure { cpu: of("cpu.pressure"), memory: of("memory.pressure"), io: of("io.pressure") };
    (all != Pressure::default()).then_some(all)
}

/// `some avg10=1.53 avg60=…`, in hundredths of a percent.
fn some_of_ten_seconds(text: &str) -> Option<u16> {
    let line = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    let (whole, rest) = line.split(' ').next()?.split_once('.')?;
    let whole = whole.parse::<u16>().ok().filter(|percent| *percent <= 100)?;
    Some(whole * 100 + rest.get(..2)?.parse::<u16>().ok()?)
}

pub(super) fn cpu(folder: BorrowedFd<'_>, milli: u32) -> Result<(), Errno> {
    write(folder, "cpu.max", &format!("{} 100000", quota(milli)))
}

/// Microseconds.
pub(super) fn cpu_used(folder: BorrowedFd<'_>) -> Option<u64> {
    keyed(folder, "cpu.stat", "usage_usec")
}

/// Controllers that a group may hand down.
pub(super) fn available(folder: BorrowedFd<'_>) -> Vec<Controller> {
    let text = read(folder, "cgroup.controllers").unwrap_or_default();
    let mut out: Vec<Controller> = text
        .split_whitespace()
        .filter_map(|word| match word {
            "memory" => Some(Controller::Memory),
            "pids" => Some(Controller::Pids),
            "cpu" => Some(Controller::Cpu),
            _ => None,
        })
        .collect();
    if out.contains(&Controller::Cpu) {
        out.push(Controller::Accounting);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_in_hundredths_of_a_percent() {
        let text = "some avg10=12.34 avg60=1.00 avg300=0.10 total=99\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(some_of_ten_seconds(text), Some(1234));
        assert_eq!(some_of_ten_seconds("some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n"), Some(10_000));
        assert_eq!((some_of_ten_seconds(""), some_of_ten_seconds("some avg10=x.yz ")), (None, None));
        assert_eq!(some_of_ten_seconds("some avg10=999.99 "), None, "no share of anything");
    }
}
