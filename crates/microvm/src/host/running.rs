//! One box from what is asked to its outcome.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use stead_ports::{
    BoxFuture,
    sandbox::{
        BoxError, Captured, Change, Control, End, Evidence, Follower, KEEP, Outcome, Running, Source, Spec, Stdio,
        Tier, Usage, WhenFull, outcome::Layer,
    },
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::{
    accelerator::Found,
    boot::{self, Booted},
    folders::{self, Folder},
    link::{Link, Reader, Writer},
    offer,
    place::{Held, Place, Wanted},
    plan::{self, Checked},
    streams::{self, MAX_KEEP},
    unavailable, way_out,
};
use crate::{
    tree::{receive::Bounds, send::Size},
    vmm::Process,
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

/// Why a box was ended from here; the first reason counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Killed = 1,
    Output = 2,
    Deadline = 3,
}

/// A hand on a machine; dropping the last one kills it.
struct Hand {
    link: Arc<Link>,
    process: Arc<Process>,
    /// The reason for its end, as a number; nought is none.
    reason: AtomicU8,
    /// Somebody wants its end.
    ends: Notify,
    begun: Instant,
}

impl Hand {
    fn end(&self, reason: Reason) {
        let _ = self.reason.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
        self.ends.notify_one();
    }

    fn reason(&self) -> Option<Reason> {
        let number = self.reason.load(Ordering::Relaxed);
        [Reason::Killed, Reason::Output, Reason::Deadline].into_iter().find(|reason| *reason as u8 == number)
    }
}

fn lost(process: &Process) -> BoxError {
    let said = process.said();
    let said = if said.is_empty() { "without a word".to_owned() } else { format!("its last words: {said}") };
    BoxError::Lost(format!("its machine ended, {said}"))
}

impl Control for Hand {
    fn kill(&self) {
        self.end(Reason::Killed);
    }

    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move {
            let Change { memory, pids, cpu_milli } = change;
            match self.link.ask(&Order::Limit { memory, pids, cpu_milli }).await {
                Some(News::Limited { failure: None }) => Ok(()),
                Some(News::Limited { failure: Some(why) }) => Err(BoxError::Spec(why)),
                _ => Err(lost(&self.process)),
            }
        })
    }

    fn resize(&self, size: (u16, u16)) {
        let link = Arc::clone(&self.link);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { link.order(&Order::Resize { size }).await });
        }
    }
}

/// Kills the machine of whoever does not wait for it any more.
struct Guard(Arc<Process>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill();
    }
}

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
    let Checked { plan, folders, memory, processors } = checked;
    let booted = boot::boot(&found, found.accelerator, memory, processors, patience).await;
    let Booted { process, link, mut heard, .. } = booted.map_err(|fault| unavailable(fault.0))?;
    let guard = Guard(Arc::clone(&process));
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
    let hand = Arc::new(Hand { link, process, reason: AtomicU8::new(0), ends: Notify::new(), begun: Instant::now() });
    let control = Arc::clone(&hand) as Arc<dyn Control>;
    let beside = Beside { place, layers, _room: room };
    let end = finish(hand, guard, heard.news, reading, evidence, beside, spec.limits.wall);
    Ok(Running { control, pipes, egress: listener, end: Box::pin(end) })
}

async fn place(found: &Found, spec: &Spec, checked: &Checked) -> Result<(Option<Arc<Place>>, Held), BoxError> {
    let layers = checked.plan.mounts.iter().filter(|m| m.access == Access::Layered).count();
    if layers == 0 && spec.egress.is_none() {
        return Ok((None, Held { listener: None, layers: Vec::new() }));
    }
    let wanted = Wanted { egress: spec.egress, layers, disk: spec.limits.disk, inodes: spec.limits.inodes };
    let role = found.settings.role.clone();
    let started = tokio::task::spawn_blocking(move || Place::start(&role, &wanted)).await;
    let (place, held) = started.map_err(|e| BoxError::Lost(e.to_string()))?.map_err(|fault| unavailable(fault.0))?;
    if let Some(listener) = &held.listener {
        listener.set_nonblocking(true).map_err(|e| BoxError::Lost(format!("the way out of a sandbox: {e}")))?;
    }
    Ok((Some(Arc::new(place)), held))
}

/// Begins to take layers, which come when the box has ended.
fn take_layers(
    link: &Arc<Link>,
    plan: &wire::Plan,
    into: Vec<OwnedFd>,
) -> Vec<(PathBuf, JoinHandle<io::Result<OwnedFd>>)> {
    let bounds = Bounds {
        size: Size { entries: plan.limits.inodes.saturating_mul(2).saturating_add(1024), bytes: plan.limits.disk },
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

/// What is done with the streams.
struct Reading {
    input: Option<Writer>,
    output: Option<Reader>,
    error: Option<Reader>,
    given: Bytes,
    keep: usize,
    full: WhenFull,
    follower: Option<Follower>,
}

impl Reading {
    fn new(stdio: Stdio, link: &Arc<Link>) -> Self {
        let captured = matches!(stdio, Stdio::Quiet | Stdio::Capture { .. });
        let plain = |keep, full| Self {
            input: captured.then(|| link.writer(stream::STDIN)),
            output: captured.then(|| link.reader(stream::STDOUT)),
            error: Some(link.reader(stream::STDERR)),
            given: Bytes::new(),
            keep,
            full,
            follower: None,
        };
        let mut reading = match stdio {
            Stdio::Quiet => plain(KEEP, WhenFull::Kill),
            Stdio::Capture { input, keep, full, follower } => Self { given: input, follower, ..plain(keep, full) },
            Stdio::Pipes { keep } => plain(keep, WhenFull::Drop),
            Stdio::Terminal { .. } => plain(0, WhenFull::Drop),
        };
        reading.keep = reading.keep.min(MAX_KEEP);
        reading
    }

    async fn run(self, over: impl Fn(WhenFull)) -> (Captured, Captured) {
        let Self { input, output, error, given, keep, full, follower } = self;
        let over = || over(full);
        let write = streams::write(input, given);
        let read = async {
            tokio::join!(
                streams::read(Source::Stdout, output, keep, follower.as_ref(), over),
                streams::read(Source::Stderr, error, keep, follower.as_ref(), over),
            )
        };
        // An input that nobody reads any more does not keep an outcome.
        let (mut read, mut write) = (std::pin::pin!(read), std::pin::pin!(write));
        tokio::select! {
            captured = &mut read => captured,
            () = &mut write => read.await,
        }
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
    let over = |full: WhenFull| {
        if full == WhenFull::Kill {
            hand.end(Reason::Output);
        }
    };
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
    let ((told, memory_peak, wall, cpu), (stdout, stderr)) = tokio::join!(sees, reading.run(over));
    drop(room);
    // Its process is waited for.
    let _ = tokio::task::spawn_blocking(move || drop(place)).await;
    let (end, counted, layers) = match told? {
        Some((end, usage, layers)) => (told_end(end, &usage, hand.reason()), usage, layers),
        None => (forced(hand.reason()).ok_or_else(|| lost(&hand.process))?, wire::Usage::default(), Vec::new()),
    };
    let usage =
        Usage { wall, cpu: Some(cpu), memory_peak, oom_kills: counted.oom_kills, pids_refused: counted.pids_refused };
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
        return Err(BoxError::Lost(format!("its machine was ended, for {why}: {}", hand.process.said())));
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
            taken.push(Layer { at, upper });
        }
        Ok(taken)
    });
    let taken = taken.await.map_err(|_| BoxError::Lost("what was written did not come in time".to_owned()))??;
    Ok(Some((end, usage, taken)))
}

/// The end of a machine that was ended from here.
fn forced(reason: Option<Reason>) -> Option<End> {
    reason.map(|reason| match reason {
        Reason::Killed => End::Killed,
        Reason::Output => End::Output,
        Reason::Deadline => End::Deadline,
    })
}

/// Why a box ended, of all that is known.
fn told_end(end: wire::End, usage: &wire::Usage, reason: Option<Reason>) -> End {
    let memory = usage.oom_kills.is_some_and(|n| n > 0);
    match (end, forced(reason)) {
        (wire::End::Exited(0), _) => End::Exited(0),
        (_, Some(forced)) => forced,
        _ if memory => End::Memory,
        (wire::End::Exited(code), None) => End::Exited(code),
        (wire::End::Signal(signal), None) => End::Signal(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_ended_an_action_is_told_apart() {
        let told =
            |end, kills, reason| told_end(end, &wire::Usage { oom_kills: Some(kills), ..Default::default() }, reason);
        let (exited, signal) = (wire::End::Exited, wire::End::Signal);
        assert_eq!(told(exited(0), 2, None), End::Exited(0), "it went well all the same");
        assert_eq!(told(exited(137), 1, None), End::Memory);
        assert_eq!(told(signal(9), 1, None), End::Memory);
        assert_eq!(told(signal(9), 0, None), End::Signal(9));
        assert_eq!(told(signal(9), 1, Some(Reason::Output)), End::Output);
        assert_eq!(told(signal(9), 0, Some(Reason::Killed)), End::Killed);
        assert_eq!(told(signal(9), 1, Some(Reason::Deadline)), End::Deadline);
    }
}
