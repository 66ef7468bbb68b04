//! One box from what is asked to its outcome: a thread starts its shim, talks with it, and removes the folder.

mod hand;
mod shepherd;

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{Mode, OFlags};
use stead_ports::{
    sandbox::{BoxError, Content, Control, Evidence, Offer, Outcome, Root, Running, Spec, Stdio, outcome::Layer},
    workspace::Marks,
};
use stead_tier::{
    ask,
    end::{self, Asked, Raw},
    ends::{Ends, Reading, way_out},
    program,
    terminal::Terminal,
    users::USER,
};
use tokio::sync::oneshot;

use self::{
    hand::{Guard, Hand, lost, usage},
    shepherd::Ended,
};
use crate::{
    config,
    containers::{Containers, unavailable},
    place::Bundle,
    wire::{Access, End, Failure, Held, Limits, Place, Plan},
};

/// A box that runs, and the control groups that hold its limits.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) held: Held,
}

/// Starts a box by a runtime.
pub(crate) async fn start(
    containers: &Containers,
    runtime: &Path,
    offer: &Offer,
    spec: &Spec,
    stdio: Stdio,
) -> Result<Started, BoxError> {
    let size = match stdio {
        Stdio::Terminal { size } => Some(size),
        _ => None,
    };
    let (places, folders) = check(spec, offer, &containers.settings.show)?;
    let layers: Vec<PathBuf> =
        places.iter().filter(|p| p.access == Access::Layered).map(|p| PathBuf::from(&p.at)).collect();
    let (seat, number) = containers.seat()?;
    let folder = containers.folder.join(number.to_string());
    let server = containers.folder.file_name().unwrap_or_default().to_string_lossy();
    let bundle = Bundle::new(folder, format!("{server}-{number}"));
    let config = config::config(spec, &bundle, size.is_some(), config::swap_is_counted())?;
    let config = serde_json::to_vec(&config).map_err(|e| BoxError::Lost(e.to_string()))?;
    let plan = plan(spec, runtime, &bundle, places, size)?;
    let mut ends = Ends::new(&stdio, USER)?;
    let descriptors = std::mem::take(&mut ends.inside).into_iter().chain(folders).collect();
    let work = shepherd::Work { shim: containers.settings.shim.clone(), bundle, config, plan, descriptors, seat };
    let (shepherd, started, ended) = shepherd::lead(work, containers.live(), number)?;
    let guard = Guard(Arc::clone(&shepherd));
    let (held, back) = match started.await {
        Ok(Ok(started)) => started,
        Ok(Err(failure)) => return Err(refused(failure, spec)),
        Err(_) => return Err(lost()),
    };
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
    let hand = Arc::new(Hand { shepherd, terminal, limits: held.clone(), asked: Asked::default() });
    let control = Arc::clone(&hand) as Arc<dyn Control>;
    let evidence = ask::evidence(spec, offer);
    let end = finish(hand, guard, ended, Reading::new(stdio, ends), evidence.clone(), layers);
    Ok(Started { running: Running { control, pipes, egress, evidence, end: Box::pin(end) }, held })
}

/// Checks what is asked; the places, and the folders for the root and for them, open. `show` are folders of the host's root.
fn check(spec: &Spec, offer: &Offer, show: &[PathBuf]) -> Result<(Vec<Place>, Vec<OwnedFd>), BoxError> {
    ask::requires(spec, offer)?;
    ask::command(&spec.command)?;
    ask::bounds(&spec.limits, spec.egress)?;
    let mut folders = Vec::new();
    if let Root::Folder(path) = &spec.root {
        folders.push(open(path)?);
    }
    let mut places = Vec::new();
    for path in show.iter().filter(|_| spec.root == Root::Host) {
        folders.push(open(path)?);
        places.push(Place { at: ask::inside(path)?, access: Access::Shown });
    }
    for (at, mount) in ask::places(spec, &[])?.into_iter().zip(&spec.mounts) {
        let (path, access) = match &mount.content {
            Content::ReadOnly(path) => (path, Access::ReadOnly),
            Content::ReadWrite(path) => (path, Access::ReadWrite),
            Content::Layered(path) => (path, Access::Layered),
        };
        folders.push(open(path)?);
        places.push(Place { at, access });
    }
    Ok((places, folders))
}

/// A folder of the host, as it is now: it cannot become another one on the way.
fn open(path: &Path) -> Result<OwnedFd, BoxError> {
    let absolute = ask::folder(path)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(&absolute, flags, Mode::empty())
        .map_err(|e| ask::wrong(format!("the folder {}: {e}", path.display())))
}

fn plan(
    spec: &Spec,
    runtime: &Path,
    bundle: &Bundle,
    places: Vec<Place>,
    terminal: Option<(u16, u16)>,
) -> Result<Plan, BoxError> {
    let wall_ms = spec.limits.wall.as_nanos().div_ceil(1_000_000);
    Ok(Plan {
        runtime: runtime.to_owned(),
        id: bundle.id().to_owned(),
        bundle: bundle.folder().to_owned(),
        words: spec.command.words.clone(),
        path: program::path(&spec.command.env).to_owned(),
        dir: ask::dir(&spec.command)?,
        own_root: spec.root != Root::Host,
        places,
        disk: spec.limits.disk,
        inodes: spec.limits.inodes,
        limits: Limits::of(&spec.limits),
        wall_ms: u64::try_from(wall_ms).unwrap_or(u64::MAX),
        egress: spec.egress,
        terminal,
    })
}

fn refused(failure: Failure, spec: &Spec) -> BoxError {
    match failure {
        Failure::Spec(why) => BoxError::Spec(why),
        Failure::Command(why) => {
            BoxError::Command { program: spec.command.words.first().cloned().unwrap_or_default(), why }
        }
        Failure::Host(why) => unavailable(why),
    }
}

async fn finish(
    hand: Arc<Hand>,
    guard: Guard,
    ended: oneshot::Receiver<Ended>,
    reading: Reading,
    evidence: Evidence,
    layers: Vec<PathBuf>,
) -> Result<Outcome, BoxError> {
    let over = || {
        hand.asked.full();
        hand.kill();
    };
    let (ended, stdout, stderr) = reading.until(ended, over).await;
    let Ok((end, used, uppers)) = ended else { return Err(lost()) };
    drop(guard);
    if uppers.len() != layers.len() {
        return Err(BoxError::Lost("its layers did not arrive".to_owned()));
    }
    let layers = layers.into_iter().zip(uppers).map(|(at, upper)| Layer { at, upper, marks: Marks::Trusted }).collect();
    let raw = match end {
        End::Exited(code) => Raw::Exited(code),
        End::Signal(signal) => Raw::Signal(signal),
        End::Deadline => Raw::Deadline,
        End::Killed => Raw::Killed,
    };
    let end = end::told(raw, hand.asked.known(used.oom_kills));
    Ok(Outcome { end, stdout, stderr, usage: usage(used), evidence, layers })
}
