//! The thread of one box: it starts the shim, hears it to the end, and removes what is left.

use std::{
    collections::VecDeque,
    ffi::OsString,
    os::fd::{AsFd as _, OwnedFd},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use stead_ports::sandbox::BoxError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::hand::lost;
use crate::{
    containers::Live,
    place::Bundle,
    sweep,
    wire::{self, End, Failure, Held, News, Order, Plan, Used},
};

/// How a box ended, what it used, its upper layers.
pub(super) type Ended = (End, Used, Vec<OwnedFd>);
/// What holds its limits, and the descriptors that are the caller's.
pub(super) type Began = Result<(Held, Vec<OwnedFd>), Failure>;

/// What the thread works with.
pub(super) struct Work {
    pub(super) shim: Vec<OsString>,
    pub(super) bundle: Bundle,
    pub(super) config: Vec<u8>,
    pub(super) plan: Plan,
    pub(super) descriptors: Vec<OwnedFd>,
    /// Room for one box, given back when nothing of it is left.
    pub(super) seat: OwnedSemaphorePermit,
}

/// Who waits for answers.
type Waiting<T> = Mutex<VecDeque<oneshot::Sender<T>>>;

/// Gives an answer to whoever waits for it first.
fn answer<T>(waiting: &Waiting<T>, answer: T) {
    let first = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    if let Some(first) = first {
        // Whoever does not wait any more is told nothing.
        let _ = first.send(answer);
    }
}

/// What others can ask of the shim.
pub(super) struct Shepherd {
    socket: Arc<OwnedFd>,
    /// Who waits for answers about limits, in the order of the questions.
    limits: Waiting<Option<String>>,
    /// Likewise about what it uses.
    measures: Waiting<Used>,
}

impl Shepherd {
    /// A shim that cannot be told is dead, or so busy that the deadline will do it.
    pub(super) fn kill(&self) {
        let _ = wire::send(&*self.socket, &Order::Kill, &[], false);
    }

    /// Asks for other limits; why not comes back, if not.
    pub(super) fn limit(&self, order: &Order) -> Result<oneshot::Receiver<Option<String>>, BoxError> {
        self.ask(order, &self.limits)
    }

    /// Asks what it uses.
    pub(super) fn measure(&self) -> Result<oneshot::Receiver<Used>, BoxError> {
        self.ask(&Order::Measure, &self.measures)
    }

    /// Answers come in the order of the questions, so both are put down together.
    fn ask<T>(&self, order: &Order, waiting: &Waiting<T>) -> Result<oneshot::Receiver<T>, BoxError> {
        let (tell, told) = oneshot::channel();
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        wire::send(&*self.socket, order, &[], false).map_err(|_| lost())?;
        waiting.push_back(tell);
        Ok(told)
    }
}

type Lead = (Arc<Shepherd>, oneshot::Receiver<Began>, oneshot::Receiver<Ended>);

/// Starts the thread. The shim dies with its socket: when the last one that can ask something of it is gone, or this process.
pub(super) fn lead(work: Work, live: Arc<Live>, number: u64) -> Result<Lead, BoxError> {
    let no = |e: std::io::Error| BoxError::Lost(format!("no shim for a sandbox: {e}"));
    let (ours, its) = wire::pair().map_err(|e| no(e.into()))?;
    let ours = Arc::new(ours);
    let shepherd =
        Arc::new(Shepherd { socket: Arc::clone(&ours), limits: Mutex::default(), measures: Mutex::default() });
    let ((tell_began, began), (tell_ended, ended)) = (oneshot::channel(), oneshot::channel());
    live.add(number, ours);
    let hears = Arc::clone(&shepherd);
    let thread = std::thread::Builder::new().name("container".to_owned()).spawn(move || {
        let bundle = work.bundle.clone();
        let (seat, over) = hear(work, its, &hears, tell_began);
        sweep::bundle(&bundle);
        live.remove(number);
        drop(seat);
        // Told when nothing of the box is left.
        over.tell(tell_ended);
    });
    thread.map_err(no)?;
    Ok((shepherd, began, ended))
}

/// What is told at the end.
#[derive(Default)]
struct Over {
    failed: Option<(oneshot::Sender<Began>, Failure)>,
    ended: Option<Ended>,
}

impl Over {
    /// Whoever does not wait any more is told nothing.
    fn tell(self, ended: oneshot::Sender<Ended>) {
        if let Some((began, failure)) = self.failed {
            let _ = began.send(Err(failure));
        }
        if let Some(end) = self.ended {
            let _ = ended.send(end);
        }
    }
}

/// Leads a shim from its start to its end.
fn hear(work: Work, its: OwnedFd, shepherd: &Shepherd, began: oneshot::Sender<Began>) -> (OwnedSemaphorePermit, Over) {
    let Work { shim, bundle, config, plan, descriptors, seat } = work;
    let mut over = Over::default();
    let started = bundle.make(&plan.runtime, &config).and_then(|()| {
        let mut words = shim.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        // A runtime is told nothing of what this process knows.
        command.args(words).env_clear().stdin(its).stdout(Stdio::null());
        command.spawn()
    });
    let mut child = match started {
        Ok(child) => child,
        Err(e) => {
            over.failed = Some((began, Failure::Host(format!("starting the shim of a container: {e}"))));
            return (seat, over);
        }
    };
    let beside: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
    let sent = wire::send(&*shepherd.socket, &Order::Start(Box::new(plan)), &beside, true);
    // Now only the box holds these.
    drop(beside);
    drop(descriptors);
    let mut began = Some(began);
    if sent.is_ok() {
        while let Ok(Some((news, descriptors))) = wire::receive::<News>(&*shepherd.socket) {
            match news {
                News::Failed(failure) => over.failed = began.take().map(|began| (began, failure)),
                News::Started(held) => {
                    if let Some(began) = began.take() {
                        let _ = began.send(Ok((held, descriptors)));
                    }
                }
                News::Limited(why) => answer(&shepherd.limits, why),
                News::Measured(used) => answer(&shepherd.measures, used),
                News::Ended { end, usage } => over.ended = Some((end, usage, descriptors)),
            }
        }
    }
    // It has ended, and with it every mount: its end of the socket is closed. Or what it said did not arrive, for this process
    // may not open more files: then nobody could hear of the box, and it has to end.
    shepherd.kill();
    let _ = child.wait();
    shepherd.limits.lock().unwrap_or_else(PoisonError::into_inner).clear();
    shepherd.measures.lock().unwrap_or_else(PoisonError::into_inner).clear();
    (seat, over)
}
