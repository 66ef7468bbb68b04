//! One box from the order to its outcome.

use std::{
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use stead_ports::{
    BoxFuture,
    sandbox::{
        BoxError, Captured, Change, Control, End, Evidence, Follower, KEEP, Outcome, Pipes, Property, Running, Source,
        Spec, Stdio, Tier, Usage, WhenFull, outcome::Layer,
    },
};
use tokio::net::unix::pipe;

use super::{
    link::{Ended, Link},
    streams::{self, MAX_KEEP},
    terminal::Terminal,
};
use crate::{
    plan::{self, Checked},
    wire::{self, Access, Failure, Order},
};

/// A hand on a box; it is in each of its parts, and the last word is a kill.
struct Hand {
    link: Arc<Link>,
    id: u64,
    terminal: Option<Terminal>,
    /// Whether somebody asked for its end, and whether for its output.
    asked: AtomicBool,
    full: AtomicBool,
}

impl Hand {
    fn end(&self) {
        self.asked.store(true, Ordering::Relaxed);
        // A launcher that cannot be told is dead, or so busy that the deadline will do it; or it is tried again at the drop.
        if let Err(error) = self.link.order(&Order::Kill { id: self.id }, &[]) {
            tracing::debug!(%error, "a sandbox cannot be killed now");
        }
    }
}

impl Control for Hand {
    fn kill(&self) {
        self.end();
    }

    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move {
            let Change { memory, pids, cpu_milli } = change;
            let host = self.link.host();
            for (asked, property, found) in [
                (memory.is_some(), Property::MemoryLimit, &host.memory),
                (pids.is_some(), Property::PidsLimit, &host.pids),
                (cpu_milli.is_some(), Property::CpuLimit, &host.cpu),
            ] {
                let by_group = matches!(found, wire::Found::By(by) if by.starts_with("control group"));
                if asked && !by_group {
                    let why = "no control group holds it, so it stays as it was at the start".to_owned();
                    return Err(BoxError::Lacks { tier: Tier::Namespace, property, why });
                }
            }
            let (asked, answer) = self.link.asks();
            self.link.order(&Order::Limit { id: self.id, asked, memory, pids, cpu_milli }, &[])?;
            match answer.await {
                Ok(None) => Ok(()),
                Ok(Some(why)) => Err(BoxError::Spec(why)),
                Err(_) => Err(lost()),
            }
        })
    }

    fn resize(&self, size: (u16, u16)) {
        if let Some(terminal) = &self.terminal {
            terminal.resize(size);
        }
    }
}

/// Kills the box of whoever does not wait for it any more.
struct Guard {
    link: Arc<Link>,
    id: u64,
    over: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.over {
            self.link.leave(self.id);
            if let Err(error) = self.link.order(&Order::Kill { id: self.id }, &[]) {
                tracing::warn!(%error, "a sandbox that nobody waits for runs on to its deadline");
            }
        }
    }
}

fn lost() -> BoxError {
    BoxError::Lost("its launcher is gone; the next sandbox starts another".to_owned())
}

/// Both ends of a box's streams.
#[derive(Default)]
struct Ends {
    inside: Vec<OwnedFd>,
    input: Option<pipe::Sender>,
    output: Option<pipe::Receiver>,
    error: Option<pipe::Receiver>,
}

impl Ends {
    /// `user` is who the command is outside: its ends are given to it, so that it may open `/dev/stdout` again.
    fn new(stdio: &Stdio, user: u32) -> Result<Self, BoxError> {
        if let Stdio::Terminal { .. } = stdio {
            return Ok(Self::default());
        }
        let (read_input, write_input) = streams::pipe()?;
        let (read_output, write_output) = streams::pipe()?;
        let (read_error, write_error) = streams::pipe()?;
        let input = match stdio {
            // Dropped, so that there is nothing to read.
            Stdio::Quiet => None,
            Stdio::Capture { input, .. } if input.is_empty() => None,
            _ => Some(streams::writer(write_input)?),
        };
        for end in [&read_input, &write_output, &write_error] {
            // Without the right to do so they are the command's already, for then it is the same user.
            let _ = std::os::unix::fs::fchown(end, Some(user), Some(user));
        }
        Ok(Self {
            inside: vec![read_input, write_output, write_error],
            input,
            output: Some(streams::reader(read_output)?),
            error: Some(streams::reader(read_error)?),
        })
    }
}

/// Starts a box.
pub(super) async fn start(link: Arc<Link>, spec: &Spec, stdio: Stdio) -> Result<Running, BoxError> {
    let size = match stdio {
        Stdio::Terminal { size } => Some(size),
        _ => None,
    };
    let Checked { plan, held, evidence } = plan::check(spec, size, &plan::offer(link.host()))?;
    let layers: Vec<PathBuf> =
        plan.mounts.iter().filter(|m| m.access == Access::Layered).map(|m| PathBuf::from(&m.at)).collect();
    let mut ends = Ends::new(&stdio, link.host().user)?;
    let (id, started, ended) = link.seat();
    let mut guard = Guard { link: Arc::clone(&link), id, over: false };
    let inside = std::mem::take(&mut ends.inside);
    let descriptors: Vec<_> = inside.iter().map(AsFd::as_fd).collect();
    let ordered = link.order(&Order::Start { id, plan }, &descriptors);
    // Now only the box holds these.
    drop(inside);
    ordered?;
    let back = match started.await {
        Ok(Ok(back)) => back,
        Ok(Err(failure)) => {
            guard.over = true;
            return Err(refused(failure, spec));
        }
        Err(_) => return Err(lost()),
    };
    drop(held);
    let mut back = back.into_iter();
    let egress = spec.egress.and_then(|_| back.next()).map(TcpListener::from);
    if let Some(listener) = &egress {
        listener.set_nonblocking(true).map_err(|e| BoxError::Lost(format!("the way out of a sandbox: {e}")))?;
    }
    let terminal = match size {
        Some(_) => Some(Terminal::new(back.next().ok_or_else(lost)?)?),
        None => None,
    };
    let pipes = match (&terminal, &stdio) {
        (Some(terminal), _) => Some(terminal.pipes()),
        (None, Stdio::Pipes { .. }) => match (ends.input.take(), ends.output.take()) {
            (Some(input), Some(output)) => Some(Pipes { stdin: Box::new(input), stdout: Box::new(output) }),
            _ => None,
        },
        _ => None,
    };
    let (asked, full) = (AtomicBool::new(false), AtomicBool::new(false));
    let hand = Arc::new(Hand { link, id, terminal, asked, full });
    let control = Arc::clone(&hand) as Arc<dyn Control>;
    let end = finish(hand, guard, ended, Reading::new(stdio, ends), evidence, layers);
    Ok(Running { control, pipes, egress, end: Box::pin(end) })
}

fn refused(failure: Failure, spec: &Spec) -> BoxError {
    match failure {
        Failure::Spec(why) => BoxError::Spec(why),
        Failure::Command(why) => {
            BoxError::Command { program: spec.command.words.first().cloned().unwrap_or_default(), why }
        }
        Failure::Host(why) => BoxError::Unavailable { tier: Tier::Namespace, why },
        Failure::Busy(count) => BoxError::Busy(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

/// What is done with the streams.
struct Reading {
    ends: Ends,
    input: Bytes,
    keep: usize,
    full: WhenFull,
    follower: Option<Follower>,
}

impl Reading {
    fn new(stdio: Stdio, ends: Ends) -> Self {
        let plain = |keep, full| Self { ends: Ends::default(), input: Bytes::new(), keep, full, follower: None };
        let mut reading = match stdio {
            Stdio::Quiet => plain(KEEP, WhenFull::Kill),
            Stdio::Capture { input, keep, full, follower } => Self { input, follower, ..plain(keep, full) },
            Stdio::Pipes { keep } => plain(keep, WhenFull::Drop),
            Stdio::Terminal { .. } => plain(0, WhenFull::Drop),
        };
        reading.keep = reading.keep.min(MAX_KEEP);
        Self { ends, ..reading }
    }

    async fn run(self, over: impl Fn(WhenFull)) -> (Captured, Captured) {
        let Self { ends, input, keep, full, follower } = self;
        let over = || over(full);
        let (output, error, ()) = tokio::join!(
            streams::read(Source::Stdout, ends.output, keep, follower.as_ref(), over),
            streams::read(Source::Stderr, ends.error, keep, follower.as_ref(), over),
            streams::write(ends.input, input),
        );
        (output, error)
    }
}

async fn finish(
    hand: Arc<Hand>,
    mut guard: Guard,
    ended: tokio::sync::oneshot::Receiver<Ended>,
    reading: Reading,
    evidence: Evidence,
    layers: Vec<PathBuf>,
) -> Result<Outcome, BoxError> {
    let over = |full: WhenFull| {
        if full == WhenFull::Kill {
            hand.full.store(true, Ordering::Relaxed);
            hand.end();
        }
    };
    let (ended, (stdout, stderr)) = tokio::join!(ended, reading.run(over));
    let Ok((end, usage, uppers)) = ended else { return Err(lost()) };
    guard.over = true;
    let layers = layers.into_iter().zip(uppers).map(|(at, upper)| Layer { at, upper }).collect();
    let end = told(end, usage.oom_kills, hand.asked.load(Ordering::Relaxed), hand.full.load(Ordering::Relaxed));
    let usage = Usage {
        wall: Duration::from_micros(usage.wall_us),
        cpu: usage.cpu_us.map(Duration::from_micros),
        memory_peak: usage.memory_peak,
        oom_kills: usage.oom_kills,
        pids_refused: usage.pids_refused,
    };
    Ok(Outcome { end, stdout, stderr, usage, evidence, layers })
}

/// Why it ended, of all that is known.
fn told(end: wire::End, oom_kills: Option<u64>, asked: bool, full: bool) -> End {
    let memory = oom_kills.is_some_and(|n| n > 0);
    match end {
        wire::End::Exited(0) => End::Exited(0),
        wire::End::Deadline => End::Deadline,
        wire::End::Killed if full => End::Output,
        wire::End::Killed if asked => End::Killed,
        _ if memory => End::Memory,
        wire::End::Exited(code) => End::Exited(code),
        wire::End::Signal(signal) => End::Signal(signal),
        wire::End::Killed => End::Killed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_ended_an_action_is_told_apart() {
        assert_eq!(told(wire::End::Exited(0), Some(2), false, false), End::Exited(0), "it went well all the same");
        assert_eq!(told(wire::End::Exited(137), Some(1), false, false), End::Memory);
        assert_eq!(told(wire::End::Signal(9), Some(1), false, false), End::Memory);
        assert_eq!(told(wire::End::Signal(9), Some(0), false, false), End::Signal(9));
        assert_eq!(told(wire::End::Signal(9), None, false, false), End::Signal(9));
        assert_eq!(told(wire::End::Killed, Some(1), true, true), End::Output);
        assert_eq!(told(wire::End::Killed, Some(1), true, false), End::Killed);
        assert_eq!(told(wire::End::Killed, Some(1), false, false), End::Memory);
        assert_eq!(told(wire::End::Deadline, Some(1), false, false), End::Deadline);
    }
}
