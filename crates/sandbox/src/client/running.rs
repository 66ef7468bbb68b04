//! One box from the order to its outcome.

use std::{
    net::TcpListener,
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use stead_ports::{
    sandbox::{
        BoxError, Control, End, Evidence, Outcome, Pipes, Running, Served, Spec, Stdio, Tier, WhenFull, outcome::Layer,
    },
    workspace::Marks,
};

use super::{
    ends::{Ends, Reading},
    hand::{Guard, Hand, lost, usage as used},
    link::Link,
    news::Ended,
    terminal::Terminal,
};
use crate::{
    plan::{self, Checked},
    wire::{self, Access, Failure, Order},
};

/// Starts a box.
pub(super) async fn start(link: Arc<Link>, spec: &Spec, stdio: Stdio) -> Result<Running, BoxError> {
    let size = match stdio {
        Stdio::Terminal { size } => Some(size),
        _ => None,
    };
    let Checked { plan, held, mut evidence } = plan::check(spec, size, &plan::offer(link.host()))?;
    let layers: Vec<PathBuf> =
        plan.mounts.iter().filter(|m| m.access == Access::Layered).map(|m| PathBuf::from(&m.at)).collect();
    let mut ends = Ends::new(&stdio, link.host().user)?;
    let (id, started, ended) = link.seat();
    let mut guard = Guard { link: Arc::clone(&link), id, over: false };
    let inside = std::mem::take(&mut ends.inside);
    let descriptors: Vec<_> = inside.iter().map(AsFd::as_fd).collect();
    let ordered = link.order(&Order::Start { id, plan: Box::new(plan) }, &descriptors);
    // Now only the box holds these.
    drop(inside);
    ordered?;
    let (served, back) = match started.await {
        Ok(Ok(told)) => told,
        Ok(Err(failure)) => {
            guard.over = true;
            return Err(refused(failure, spec.command.words.first()));
        }
        Err(_) => return Err(lost()),
    };
    drop(held);
    if back.len() != usize::from(spec.egress.is_some()) + usize::from(size.is_some()) {
        return Err(no_room());
    }
    evidence.zygote = served.map(|served| match served {
        wire::Served::Forked { program, forks } => Served::Forked { program, forks },
        wire::Served::Cold(why) => Served::Cold { why },
    });
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
    let end = finish(hand, guard, ended, Reading::new(stdio, ends), evidence.clone(), layers);
    Ok(Running { control, pipes, egress, evidence, end: Box::pin(end) })
}

fn no_room() -> BoxError {
    BoxError::Lost("its descriptors did not arrive: this process may not open more files".to_owned())
}

pub(super) fn refused(failure: Failure, program: Option<&String>) -> BoxError {
    match failure {
        Failure::Spec(why) => BoxError::Spec(why),
        Failure::Command(why) => BoxError::Command { program: program.cloned().unwrap_or_default(), why },
        Failure::Host(why) => BoxError::Unavailable { tier: Tier::Namespace, why },
        Failure::Over => lost(),
        Failure::Busy(count) => BoxError::Busy(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

pub(super) async fn finish(
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
    let (dead, hears) = tokio::sync::watch::channel(false);
    let ended = async {
        let ended = ended.await;
        dead.send_replace(true);
        ended
    };
    let (ended, (stdout, stderr)) = tokio::join!(ended, reading.run(over, hears));
    let Ok((end, usage, uppers)) = ended else { return Err(lost()) };
    guard.over = true;
    if uppers.len() != layers.len() {
        return Err(no_room());
    }
    let marks = if hand.link.host().root { Marks::Trusted } else { Marks::User };
    let layers = layers.into_iter().zip(uppers).map(|(at, upper)| Layer { at, upper, marks }).collect();
    let end = told(end, usage.oom_kills, hand.asked.load(Ordering::Relaxed), hand.full.load(Ordering::Relaxed));
    Ok(Outcome { end, stdout, stderr, usage: used(usage), evidence, layers })
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
