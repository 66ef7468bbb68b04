//! One box from what is asked to its outcome.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU8},
    time::{Duration, Instant},
};

use stead_ports::sandbox::{BoxError, Control, Evidence, Outcome, Running, Spec, Stdio, Tier, Usage, outcome::Layer};
use stead_ports::workspace::Marks;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    accelerator::Found,
    boot::{self, Booted},
    ends::Writer,
    folders::{self, Folder},
    hand::{Guard, Hand, Reason, forced, lost, told_end},
    link::Link,
    offer,
    place::{Held, Place, Wanted},
    plan::{self, Checked},
    streams::{self, Reading},
    unavailable, way_out,
};
use crate::{
    tree::{receive::Bounds, send::Size},
    wire::{self, Access, Failure, News, Order, stream},
};

/// How long a machine may take to make a box, beside taking its folders in.
const MAKING: Duration = Duration::from_secs(60);
/// Bytes of folders that a machine takes in within a second, at least.
const PACE: u64 = 2 << 20;
/// How long a machine may take to end a box that is killed, and to hand its layers over.
const ENDING: Duration = Duration::from_secs(60);
/// How long the rest of an output may take when the box has ended.
const REST: Duration = Duration::from_secs(10);

/// What goes on beside the command.
struct Beside {
    place: Option<Arc<Place>>,
    layers: Vec<(PathBuf, JoinHandle<io::Result<OwnedFd>>)>,
    /// One machine fewer when it is over.
    _room: OwnedSemaphorePermit,
}

/// Starts a box.
pub(super) async fn start(
    found: Arc<Found>,
    room: OwnedSemaphorePermit,
    spec: &Spec,
    stdio: Stdio,
) -> Result<Running, BoxError> {
    let size = match stdio {
        Stdio::Terminal { size } => Some(size),
        _ => None,
    };
    let (offer, most) = (offer::offer(&found), found.settings.memory);
    let evidence = offer::evidence(spec, &offer);
    let its = spec.clone();
    let checked = tokio::task::spawn_blocking(move || plan::check(&its, size, &offer, most)).await;
    let checked = checked.map_err(|e| BoxError::Lost(e.to_string()))??;
    let (place, held) = place(&found, spec, &checked).await?;
    let patience = found.settings.patience.1;
    let Checked { plan, folders, memory, room: most, processors } = checked;
    let booted = boot::boot(&found, found.accelerator, memory, processors, patience).await;
    let Booted { process, guard, link, mut heard, .. } = booted.map_err(|fault| unavailable(fault.0))?;
    let Held { listener, layers } = held;
    let layers = take_layers(&link, &plan, layers);
    if let (Some(place), Some(_)) = (&place, &listener) {
        link.expect_connections();
        tokio::spawn(way_out::forward(Arc::clone(&link), Arc::clone(place), heard.connections));
    }
    // Registered before the command can write a byte.
    let pipes = matches!(stdio, Stdio::Pipes { .. } | Stdio::Terminal { .. }).then(|| streams::pipes(&link));
    let reading = Reading::new(stdio, &link);
    link.order(&Order::Start { plan }).await;
    let pace = Duration::from_secs(folders.iter().map(Folder::memory).sum::<u64>() / PACE);
    let sent = send_folders(&link, folders);
    let made = timeout(MAKING + pace, async {
        let news = tokio::select! {
            news = heard.news.recv() => news,
            failed = sent => match failed {
                Some(why) => return Err(BoxError::Spec(format!("a folder cannot be read: {why}"))),
                None => heard.news.recv().await,
            },
        };
        match news {
            Some(News::Started) => Ok(()),
            Some(News::Failed { failure }) => Err(refused(failure, spec)),
            _ => Err(lost(&process)),
        }
    });
    match made.await {
        Ok(made) => made?,
        Err(_) => return Err(unavailable("the machine did not make the box in time")),
    }
    let hand =
        Arc::new(Hand { link, process, reason: AtomicU8::new(0), ends: Notify::new(), begun: Instant::now(), most });
    let control = Arc::clone(&hand) as Arc<dyn Control>;
    let beside = Beside { place, layers, _room: room };
    let end = finish(hand, guard, heard.news, reading, evidence.clone(), beside, spec.limits.wall);
    Ok(Running { control, pipes, egress: listener, evidence, end: Box::pin(end) })
}

async fn place(found: &Found, spec: &Spec, checked: &Checked) -> Result<(Option<Arc<Place>>, Held), BoxError> {
    let layers = checked.plan.mounts.iter().filter(|m| m.access == Access::Layered).count();
    if layers == 0 && spec.egress.is_none() {
        return Ok((None, Held { listener: None, layers: Vec::new() }));
    }
    let wanted =
        Wanted { egress: spec.egress, layers, disk: spec.limits.disk, inodes: most_entries(spec.limits.inodes) };
    let role = found.settings.role.clone();
    let started = tokio::task::spawn_blocking(move || Place::start(&role, &wanted)).await;
    let (place, held) = started.map_err(|e| BoxError::Lost(e.to_string()))?.map_err(|fault| unavailable(fault.0))?;
    if let Some(listener) = &held.listener {
        listener.set_nonblocking(true).map_err(|e| BoxError::Lost(format!("the way out of a sandbox: {e}")))?;
    }
    Ok((Some(Arc::new(place)), held))
}

/// Files of a layer that comes out: besides those that count against the limit there are whiteouts, which do not.
fn most_entries(inodes: u64) -> u64 {
    inodes.saturating_mul(2).saturating_add(1024)
}

/// Begins to take layers, which come when the box has ended.
fn take_layers(
    link: &Arc<Link>,
    plan: &wire::Plan,
    into: Vec<OwnedFd>,
) -> Vec<(PathBuf, JoinHandle<io::Result<OwnedFd>>)> {
    let bounds = Bounds {
        size: Size { entries: most_entries(plan.limits.inodes), bytes: plan.limits.disk },
        file: plan.limits.file,
        upper: true,
        owner: None,
    };
    let layered = plan.mounts.iter().filter(|m| m.access == Access::Layered);
    let numbered = layered.zip(into).zip(stream::LAYERS..);
    numbered
        .map(|((mount, into), number)| {
            (PathBuf::from(&mount.at), tokio::spawn(folders::take(link.reader(number), into, bounds)))
        })
        .collect()
}

/// Sends folders, one after the other, as they are taken. Tells what went wrong on this side.
async fn send_folders(link: &Arc<Link>, folders: Vec<Folder>) -> Option<io::Error> {
    let writers: Vec<Writer> = (stream::FOLDERS..).take(folders.len()).map(|number| link.writer(number)).collect();
    for (folder, writer) in folders.into_iter().zip(writers) {
        if let Err(e) = folder.send(writer).await {
            return Some(e);
        }
    }
    None
}

fn refused(failure: Failure, spec: &Spec) -> BoxError {
    // The machine's own words, which may be anybody's.
    let shown = |why: String| why.chars().filter(|c| !c.is_control()).take(400).collect::<String>();
    match failure {
        Failure::Spec(why) => BoxError::Spec(shown(why)),
        Failure::Command(why) => {
            BoxError::Command { program: spec.command.words.first().cloned().unwrap_or_default(), why: shown(why) }
        }
        Failure::Machine(why) => BoxError::Unavailable { tier: Tier::Microvm, why: shown(why) },
    }
}

/// What a machine told at the end of its box, and what was kept of its layers.
type Told = (wire::End, wire::Usage, Vec<Layer>);

async fn finish(
    hand: Arc<Hand>,
    guard: Guard,
    news: mpsc::Receiver<News>,
    reading: Reading,
    evidence: Evidence,
    beside: Beside,
    wall: Duration,
) -> Result<Outcome, BoxError> {
    let Beside { place, layers, _room: room } = beside;
    let sees = async {
        let told = see(&hand, news, layers, wall).await;
        // What it used is to be read as long as it is there.
        let (_, peak) = hand.process.memory();
        let ended = hand.begun.elapsed();
        drop(guard);
        let cpu = hand.process.ended().await;
        (told, peak, ended, cpu)
    };
    let ((told, memory_peak, wall, cpu), (stdout, stderr)) =
        tokio::join!(sees, reading.run(|| hand.end(Reason::Output)));
    drop(room);
    // Its process is waited for.
    let _ = tokio::task::spawn_blocking(move || drop(place)).await;
    let (end, counted, layers) = match told? {
        Some((end, usage, layers)) => (told_end(end, &usage, hand.reason()), usage, layers),
        None => (forced(hand.reason()).ok_or_else(|| lost(&hand.process))?, wire::Usage::default(), Vec::new()),
    };
    let usage = Usage {
        wall,
        cpu: Some(cpu),
        memory: None,
        memory_peak,
        oom_kills: counted.oom_kills,
        pids: None,
        pids_refused: counted.pids_refused,
        pressure: None,
    };
    Ok(Outcome { end, stdout, stderr, usage, evidence, layers })
}

/// Sees a box to its end. `None` when the machine was ended and nothing of it is owed.
async fn see(
    hand: &Hand,
    mut news: mpsc::Receiver<News>,
    layers: Vec<(PathBuf, JoinHandle<io::Result<OwnedFd>>)>,
    wall: Duration,
) -> Result<Option<Told>, BoxError> {
    let told = tokio::select! {
        told = news.recv() => told,
        () = hand.ends.notified() => None,
        () = tokio::time::sleep(wall) => {
            hand.end(Reason::Deadline);
            None
        }
    };
    let told = match told {
        Some(told) => Some(told),
        None if hand.reason().is_none() => return Err(lost(&hand.process)),
        // A machine whose layers nobody wants is ended as a whole; else it ends the box and hands them over.
        None if layers.is_empty() => return Ok(None),
        None => {
            hand.link.order(&Order::Kill).await;
            timeout(ENDING, news.recv()).await.ok().flatten()
        }
    };
    let Some(News::Ended { end, usage }) = told else {
        let why = if told.is_some() { "it spoke out of turn" } else { "it did not end the box in time" };
        return Err(BoxError::Lost(format!("its machine was ended, for {why} ({})", hand.process.last_words())));
    };
    let rest = async {
        for output in [stream::STDOUT, stream::STDERR] {
            hand.link.widen(output).await;
            hand.link.until_end(output).await;
        }
    };
    // What comes later than that was never there.
    let _ = timeout(REST, rest).await;
    let taken = timeout(ENDING, async {
        let mut taken = Vec::new();
        for (at, layer) in layers {
            let upper = layer.await.map_err(io::Error::other).and_then(|taken| taken);
            let upper =
                upper.map_err(|e| BoxError::Lost(format!("what was written to {} did not come: {e}", at.display())))?;
            // Names and bytes came out of the machine, and no mark of an overlay's.
            taken.push(Layer { at, upper, marks: Marks::User });
        }
        Ok(taken)
    });
    let taken = taken.await.map_err(|_| BoxError::Lost("what was written did not come in time".to_owned()))??;
    Ok(Some((end, usage, taken)))
}
