//! One box from the order to its outcome.

use std::{os::fd::AsFd, path::PathBuf, sync::Arc};

use stead_ports::{
    sandbox::{BoxError, Control, Evidence, Outcome, Running, Served, Spec, Stdio, Tier, outcome::Layer},
    workspace::Marks,
};
use stead_tier::{
    end::{self, Asked, Raw},
    ends::{Ends, Reading, way_out},
    terminal::Terminal,
};

use super::{
    hand::{Guard, Hand, lost, usage as used},
    link::Link,
    news::Ended,
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
    let egress = spec.egress.and_then(|_| back.next()).map(way_out).transpose()?;
    let terminal = match size {
        Some(_) => Some(Terminal::new(back.next().ok_or_else(lost)?)?),
        None => None,
    };
    let pipes = match &terminal {
        Some(terminal) => Some(terminal.pipes()?),
        None => ends.pipes(&stdio),
    };
    let hand = Arc::new(Hand { link, id, terminal, asked: Asked::default() });
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
    let over = || {
        hand.asked.full();
        hand.end();
    };
    let (ended, stdout, stderr) = reading.until(ended, over).await;
    let Ok((end, usage, uppers)) = ended else { return Err(lost()) };
    guard.over = true;
    if uppers.len() != layers.len() {
        return Err(no_room());
    }
    let marks = if hand.link.host().root { Marks::Trusted } else { Marks::User };
    let layers = layers.into_iter().zip(uppers).map(|(at, upper)| Layer { at, upper, marks }).collect();
    let end = end::told(raw(end), hand.asked.known(usage.oom_kills));
    Ok(Outcome { end, stdout, stderr, usage: used(usage), evidence, layers })
}

/// In the words of all tiers.
fn raw(end: wire::End) -> Raw {
    match end {
        wire::End::Exited(code) => Raw::Exited(code),
        wire::End::Signal(signal) => Raw::Signal(signal),
        wire::End::Deadline => Raw::Deadline,
        wire::End::Killed => Raw::Killed,
    }
}
