//! The runtime's program: called for one container, each call with a deadline, and what it said when it failed.

use std::{
    fs,
    io::Write as _,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::Value;

use super::fault::{At as _, Fault};
use crate::wire::Plan;

/// How long one call may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of what a runtime said that are passed on.
const SAID: usize = 2000;

/// The runtime, for one container.
pub(super) struct Runtime {
    program: PathBuf,
    id: String,
    bundle: PathBuf,
}

impl Runtime {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { program: plan.runtime.clone(), id: plan.id.clone(), bundle: plan.bundle.clone() }
    }

    fn log(&self) -> PathBuf {
        self.bundle.join("log")
    }

    /// Where the runtime sends the terminal.
    pub(super) fn console(&self) -> PathBuf {
        self.bundle.join("console")
    }

    fn call(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.bundle.join("state")).arg("--log").arg(self.log());
        command.args(["--log-format", "json", verb]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Makes the container: all but its command stands then. The process id of what becomes the command.
    pub(super) fn create(&self, streams: Vec<OwnedFd>, terminal: bool) -> Result<Pid, Fault> {
        let pid_file = self.bundle.join("pid");
        let mut command = self.call("create");
        command.arg("--bundle").arg(&self.bundle).arg("--pid-file").arg(&pid_file);
        if terminal {
            command.arg("--console-socket").arg(self.console());
        }
        let mut streams = streams.into_iter();
        if let (Some(input), Some(output), Some(error)) = (streams.next(), streams.next(), streams.next()) {
            command.stdin(input).stdout(output).stderr(error);
        }
        self.wait(command.arg(&self.id), None, "create")?;
        let text = fs::read_to_string(&pid_file).at("reading the process id of a container")?;
        text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| Fault::host("the runtime told no process id"))
    }

    /// Lets the command run.
    pub(super) fn start(&self) -> Result<(), Fault> {
        self.wait(self.call("start").arg(&self.id), None, "start")
    }

    /// Changes limits.
    pub(super) fn update(&self, resources: &Value) -> Result<(), Fault> {
        self.wait(self.call("update").args(["--resources", "-"]).arg(&self.id), Some(&resources.to_string()), "update")
    }

    /// Removes the container with all that is in it.
    pub(super) fn delete(&self) -> Result<(), Fault> {
        self.wait(self.call("delete").arg("--force").arg(&self.id), None, "delete")
    }

    fn wait(&self, command: &mut Command, input: Option<&str>, verb: &str) -> Result<(), Fault> {
        let step = format!("{} {verb}", self.program.display());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().at(&step)?;
        // What the command was given stays open in it until it is dropped.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(text.as_bytes()).at(&step)?;
        }
        if !patient(&child)? {
            child.kill().at(&step)?;
            child.wait().at(&step)?;
            return Err(Fault::host(format!("{step}: no answer after {} s", PATIENCE.as_secs())));
        }
        let status = child.wait().at(&step)?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(self.log()).unwrap_or_default();
        Err(Fault::host(format!("{step}: {}", said_last(&said).unwrap_or_else(|| status.to_string()))))
    }
}

/// Whether it ended in time.
fn patient(child: &Child) -> Result<bool, Fault> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Ok(true) };
    let end = pidfd_open(pid, PidfdFlags::empty()).at("watching the runtime")?;
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&end, PollFlags::IN)], left.as_ref()) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).at("watching the runtime"),
        }
    }
}

/// The last error in a log of JSON lines, or its last line.
fn said_last(log: &str) -> Option<String> {
    let message = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        Some(value.get("msg")?.as_str()?.to_owned())
    };
    let last = log.lines().rev().find(|line| !line.trim().is_empty())?;
    let text = message(last).unwrap_or_else(|| last.to_owned());
    Some(text.chars().take(SAID).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thing_that_a_runtime_said_is_told() {
        let log =
            "{\"level\":\"warning\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"exec: no\",\"time\":\"x\"}\n\n";
        assert_eq!(said_last(log).as_deref(), Some("exec: no"));
        assert_eq!(said_last("plain words\n").as_deref(), Some("plain words"));
        assert_eq!(said_last(""), None);
    }
}
