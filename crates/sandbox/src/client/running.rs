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

use stead_ports::sandbox::{
    BoxError, Control, Evidence, Outcome, Running, Spec, Stdio, Tier, WhenFull, outcome::Layer,
};
use stead_tier::{
    end::{self, Known, Raw},
    ends::{Ends, Reading},
};

use super::{
    hand::{Guard, Hand, lost, usage as used},
    link::{Ended, Link},
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
    if back.len() != usize::from(spec.egress.is_some()) + usize::from(size.is_some()) {
        return Err(no_room());
    }
    let mut back = back.into_iter();
    let egress = spec.egress.and_then(|_| back.next()).map(TcpListener::from);
    if let Some(listener) = &egress {
        listener.set_nonblocking(true).map_err(|e| BoxError::Lost(format!("the way out of a sandbox: {e}")))?;
    }
    let terminal = match size {
        Some(_) => Some(Terminal::new(back.next().ok_or_else(lost)?)?),
        None => None,
    };
    let pipes = match &terminal {
        Some(terminal) => Some(terminal.pipes()),
        None => ends.pipes(&stdio),
    };
    let (asked, full) = (AtomicBool::new(false), AtomicBool::new(false));
    let hand = Arc::new(Hand { link, id, terminal, asked, full });
    let control = Arc::clone(&hand) as Arc<dyn Control>;
    let end = finish(hand, guard, ended, Reading::new(stdio, ends), evidence, layers);
    Ok(Running { control, pipes, egress, end: Box::pin(end) })
}

fn no_room() -> BoxError {
    BoxError::Lost("its descriptors did not arrive: this process may not open more files".to_owned())
}

fn refused(failure: Failure, spec: &Spec) -> BoxError {
    match failure {
        Failure::Spec(why) => BoxError::Spec(why),
        Failure::Command(why) => {
            BoxError::Command { program: spec.command.words.first().cloned().unwrap_or_default(), why }
        }
        Failure::Host(why) => BoxError::Unavailable { tier: Tier::Namespace, why },
        Failure::Over => lost(),
        Failure::Busy(count) => BoxError::Busy(usize::try_from(count).unwrap_or(usize::MAX)),
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
    let layers = layers.into_iter().zip(uppers).map(|(at, upper)| Layer { at, upper }).collect();
    let raw = match end {
        wire::End::Exited(code) => Raw::Exited(code),
        wire::End::Signal(signal) => Raw::Signal(signal),
        wire::End::Deadline => Raw::Deadline,
        wire::End::Killed => Raw::Killed,
    };
    let (asked, full) = (hand.asked.load(Ordering::Relaxed), hand.full.load(Ordering::Relaxed));
    let end = end::told(raw, Known { oom_kills: usage.oom_kills, asked, full });
    Ok(Outcome { end, stdout, stderr, usage: used(usage), evidence, layers })
}
