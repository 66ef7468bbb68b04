//! The one box of a machine, from its plan to its last layer.

use std::{
    os::fd::OwnedFd,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use parking_lot::Mutex;
use rustix::{
    process::{Pid, WaitOptions},
    termios::tcsetwinsize,
};
use stead_tier::pty::size;

use super::{folders, group, layers, link::Link, root, seed, streams, way_out};
use crate::{
    fault::{At, Fault},
    wire::{End, Failure, News, Plan, Usage, stream},
};

/// A hand on the box.
#[derive(Debug)]
pub(super) struct Boxed {
    /// The outer end of its terminal.
    terminal: Mutex<Option<OwnedFd>>,
}

impl Boxed {
    /// Makes a box on a thread of its own, and sees it through.
    pub(super) fn start(link: &Arc<Link>, plan: Plan) -> Arc<Self> {
        let boxed = Arc::new(Self { terminal: Mutex::new(None) });
        // The host sends folders at once, so somebody must be there to take them.
        let count = plan.mounts.len() + usize::from(plan.own_root);
        let numbers = (stream::FOLDERS..).take(count);
        let folders: Vec<_> = numbers.map(|number| link.reader(number)).collect();
        let ends = streams::Ends::open(link);
        let (hand, its_link) = (Arc::clone(&boxed), Arc::clone(link));
        let live = move || {
            if let Err(failure) = hand.live(&its_link, &plan, folders, ends) {
                its_link.news(&News::Failed { failure });
            }
        };
        if let Err(e) = Builder::new().name("box".to_owned()).spawn(live) {
            link.news(&News::Failed { failure: Failure::Machine(format!("no thread for the box: {e}")) });
        }
        boxed
    }

    fn live(
        &self,
        link: &Arc<Link>,
        plan: &Plan,
        folders: Vec<super::link::Reader>,
        ends: streams::Ends,
    ) -> Result<(), Failure> {
        folders::mount()?;
        for (number, folder) in folders.into_iter().enumerate() {
            folders::take(number, plan.own_root && number == 0, folder)?;
        }
        let layers = root::make(plan)?;
        group::make(&plan.limits)?;
        if let Some(port) = plan.egress {
            way_out::open(link, port)?;
        }
        let mut given = streams::make(plan.terminal)?;
        let pid = seed::start(plan, given.inside()?)?;
        *self.terminal.lock() = given.terminal()?;
        link.news(&News::Started);
        // The rest of the outputs follows on its own; the host waits for what it wants of it.
        given.pump(ends)?;
        let end = reap(pid);
        group::empty()?;
        let usage = group::usage();
        drop(self.terminal.lock().take());
        link.news(&News::Ended { end, usage });
        for (number, layer) in layers.iter().enumerate() {
            layers::send(link, number, layer)?;
        }
        Ok(())
    }

    /// Kills all that runs in it.
    pub(super) fn kill(&self) {
        // Before the group is there, nothing runs.
        let _ = group::kill();
    }

    /// Changes limits.
    pub(super) fn limit(&self, memory: Option<u64>, pids: Option<u32>, cpu_milli: Option<u32>) -> Result<(), Fault> {
        group::set(memory, pids, cpu_milli)
    }

    /// What is used now.
    pub(super) fn usage(&self) -> Usage {
        group::usage()
    }

    /// Tells its terminal another size.
    pub(super) fn resize(&self, to: (u16, u16)) {
        if let Some(terminal) = self.terminal.lock().as_ref() {
            let _ = tcsetwinsize(terminal, size(to));
        }
    }
}

/// Waits for the command, and for all that is left to this process meanwhile.
fn reap(command: Pid) -> End {
    loop {
        let Ok(Some((pid, status))) = rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::empty())) else {
            // There is no child any more, and the command was one.
            return End::Signal(libc::SIGKILL);
        };
        if pid != command {
            continue;
        }
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => return End::Exited(code),
            (None, Some(signal)) => return End::Signal(signal),
            (None, None) => {}
        }
    }
}

/// Names the step of a failure that is the machine's.
pub(super) fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    // Many may run at once, and none goes deep.
    Builder::new().name(name.to_owned()).stack_size(128 << 10).spawn(body).at("starting a thread")
}
