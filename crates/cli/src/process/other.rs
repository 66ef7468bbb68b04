//! By kill(2) with no signal, which only looks.

use std::{thread, time::Duration};

use rustix::{
    io::{self, Errno},
    process::{Signal, kill_process, test_kill_process},
};
use tokio::sync::watch;

use super::pid;

/// How often to look.
const LOOK: Duration = Duration::from_millis(200);

/// Whether there is a process of this number, whoever's it is.
pub(crate) fn lives(process: u32) -> bool {
    pid(process).is_some_and(|process| matches!(test_kill_process(process), Ok(()) | Err(Errno::PERM)))
}

/// Whether there is a process of this number, and it runs as this user (or this user may end those of everybody).
pub(crate) fn is_mine(process: u32) -> bool {
    pid(process).is_some_and(|process| test_kill_process(process).is_ok())
}

/// Watches a process from a thread of its own, which lasts as long as either of the two processes. `None` when it has
/// ended already.
pub(crate) fn end_of(process: u32) -> Option<watch::Receiver<bool>> {
    if !lives(process) {
        return None;
    }
    let (tell, ended) = watch::channel(false);
    thread::spawn(move || {
        while lives(process) {
            thread::sleep(LOOK);
        }
        tell.send_replace(true);
    });
    Some(ended)
}

/// Ends this process with its parent, also after `exec`: by a second process, which looks after both and ends with either.
pub(crate) fn end_with(parent: u32) -> io::Result<()> {
    let own = std::process::id();
    let program = std::env::current_exe().map_err(|_| Errno::NOENT)?;
    std::process::Command::new(program)
        .args(["with-parent", &parent.to_string(), "--watch", &own.to_string()])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::AGAIN))
}

/// Ends a process when its parent has ended; returns when either has.
pub(crate) fn watch(parent: u32, child: u32) {
    while lives(child) {
        if !lives(parent) {
            if let Some(child) = pid(child) {
                // It may have ended in between.
                let _ = kill_process(child, Signal::KILL);
            }
            return;
        }
        thread::sleep(LOOK);
    }
}
