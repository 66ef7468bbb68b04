//! What the server holds: the settings, the runtime that was found, and the boxes that run.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Boxes, Offer, Running, Spec, Stdio, Tier},
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{
    find, place, probe, running, shim, sweep,
    wire::{self, Order},
};

/// Most boxes at once, unless it is told otherwise: each is a process and a thread of ours beside its own.
const MOST: usize = 64;

/// How containers are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that becomes a box's shim, with its first arguments: one whose `main` calls [`crate::shim::main`].
    pub shim: Vec<OsString>,
    /// Runtimes in the order in which they are tried: paths, or names that are looked for in the system's own folders. The
    /// first one that runs a container here as it must is used.
    pub runtimes: Vec<PathBuf>,
    /// The folder of bundles. It belongs to root, and nobody else may write there.
    pub place: PathBuf,
    /// Most boxes at once.
    pub most: usize,
}

impl Default for Settings {
    /// The program that runs, started again. `runc` first, for it is the one that most hosts have and that the tests run on;
    /// `runsc` last, for what it runs is slower.
    fn default() -> Self {
        Self {
            shim: vec!["/proc/self/exe".into(), shim::WORD.into()],
            runtimes: ["runc", "crun", "runsc"].map(PathBuf::from).to_vec(),
            place: PathBuf::from("/run/stead-oci"),
            most: MOST,
        }
    }
}

/// A runtime that runs containers here, and what it then promises.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) runtime: PathBuf,
    pub(crate) offer: Offer,
}

/// The oci tier.
#[derive(Debug)]
pub struct Containers {
    pub(crate) settings: Settings,
    /// Where the boxes of this server are.
    pub(crate) folder: PathBuf,
    chosen: Mutex<Option<Arc<Chosen>>>,
    room: Arc<Semaphore>,
    next: AtomicU64,
    live: Arc<Live>,
}

/// Sockets to the shims of boxes that run.
#[derive(Debug, Default)]
pub(crate) struct Live(std::sync::Mutex<BTreeMap<u64, Arc<OwnedFd>>>);

impl Live {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Arc<OwnedFd>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn add(&self, number: u64, socket: Arc<OwnedFd>) {
        self.with(|live| live.insert(number, socket));
    }

    pub(crate) fn remove(&self, number: u64) {
        self.with(|live| live.remove(&number));
    }
}

impl Containers {
    /// Nothing is looked for or started before a box is asked for.
    pub fn new(settings: Settings) -> Self {
        Self {
            folder: settings.place.join(place::name_of_this_process()),
            room: Arc::new(Semaphore::new(settings.most)),
            settings,
            chosen: Mutex::new(None),
            next: AtomicU64::new(1),
            live: Arc::default(),
        }
    }

    /// The runtime, looked for at the first time: what earlier servers left is removed before, for what is left may be what
    /// keeps a runtime from working.
    pub(crate) async fn chosen(&self) -> Result<Arc<Chosen>, BoxError> {
        let mut held = self.chosen.lock().await;
        if let Some(chosen) = held.as_ref() {
            return Ok(Arc::clone(chosen));
        }
        if !rustix::process::geteuid().is_root() {
            return Err(unavailable(
                "containers are made by root; the tier `namespace` keeps its promises as an ordinary user too",
            ));
        }
        let (place, folder) = (self.settings.place.clone(), self.folder.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            place::own(&place)?;
            sweep::dead_servers(&place);
            place::own(&folder)
        });
        prepared.await.map_err(|e| BoxError::Lost(e.to_string()))?.map_err(unavailable)?;
        let mut reasons = Vec::new();
        for name in &self.settings.runtimes {
            let tried = match find::program(name) {
                Ok(runtime) => probe::probe(self, &runtime).await.map(|offer| Chosen { runtime, offer }),
                Err(why) => Err(why),
            };
            match tried {
                Ok(chosen) => return Ok(Arc::clone(held.insert(Arc::new(chosen)))),
                Err(why) => reasons.push(format!("{}: {why}", name.display())),
            }
        }
        Err(unavailable(format!("no OCI runtime runs a container here ({})", reasons.join("; "))))
    }

    /// Room for one more box, and its number.
    pub(crate) fn seat(&self) -> Result<(OwnedSemaphorePermit, u64), BoxError> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| BoxError::Busy(self.settings.most))?;
        Ok((room, self.next.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// The program of the runtime that is used, once one has been found.
    ///
    /// # Errors
    /// [`BoxError::Unavailable`], with what each runtime lacks.
    pub async fn runtime(&self) -> Result<PathBuf, BoxError> {
        Ok(self.chosen().await?.runtime.clone())
    }

    /// Kills all boxes, waits until they are gone, and removes the folder. Nothing can be started afterwards.
    pub async fn close(&self) {
        for socket in self.live.with(|live| live.values().cloned().collect::<Vec<_>>()) {
            // One whose shim is gone already needs no order.
            let _ = wire::send(&*socket, &Order::Kill, &[], false);
        }
        let most = u32::try_from(self.settings.most).unwrap_or(u32::MAX);
        let _all = self.room.acquire_many(most).await;
        self.room.close();
        // Only if it is empty: what is in it is for the next start.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

pub(crate) fn unavailable(why: impl Into<String>) -> BoxError {
    BoxError::Unavailable { tier: Tier::Oci, why: why.into() }
}

impl Boxes for Containers {
    fn offer(&self) -> BoxFuture<'_, Result<Offer, BoxError>> {
        Box::pin(async move { Ok(self.chosen().await?.offer.clone()) })
    }

    fn start(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Result<Running, BoxError>> {
        Box::pin(async move {
            let chosen = self.chosen().await?;
            running::start(self, &chosen.runtime, &chosen.offer, &spec, stdio).await.map(|started| started.running)
        })
    }
}
