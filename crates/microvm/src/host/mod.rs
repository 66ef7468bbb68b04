//! The server's side: finds out how machines run here, starts one for each box, gives it what it needs, and turns what it says into
//! the port's words.

mod accelerator;
mod boot;
mod ends;
mod folders;
mod hand;
mod link;
mod offer;
pub(crate) mod place;
mod plan;
pub(crate) mod probe;
mod remembered;
mod running;
mod streams;
#[cfg(test)]
mod tests;
mod tools;
mod way_out;

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Boxes, Offer, Running, Spec, Stdio, Tier},
};
use tokio::sync::Semaphore;

use self::{accelerator::Found, remembered::Remembered};
use crate::role;

/// How long it counts that no machine could be booted. To look costs up to [`Settings::patience`].
const AGAIN: Duration = Duration::from_secs(60);

/// How machines are started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that plays the roles of this crate, with its first arguments: one whose `main` calls [`crate::role::main`] with
    /// what follows [`crate::WORD`].
    pub role: Vec<OsString>,
    /// Folders in which an unpacked kernel is looked for before this system's own: `boot/vmlinuz-*` and `lib/modules/*` in each.
    pub kernels: Vec<PathBuf>,
    /// Folders that stand empty in the root of boxes that bring none, beside the usual ones: places to mount on.
    pub places: Vec<PathBuf>,
    /// Whether machines may run without KVM, some ten times slower.
    pub translate: bool,
    /// How long a machine may take to say hello with KVM before it counts as broken, and how long with any accelerator.
    pub patience: (Duration, Duration),
    /// Most machines at once.
    pub most: usize,
    /// Most bytes of memory of one machine.
    pub memory: u64,
}

impl Default for Settings {
    /// The program that runs, started again; kernels from the cache of the user, with KVM alone.
    fn default() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        Self {
            role: vec!["/proc/self/exe".into(), role::WORD.into()],
            kernels: cache.map(|cache| cache.join("stead/kernel")).into_iter().collect(),
            places: Vec::new(),
            translate: false,
            patience: (Duration::from_secs(10), Duration::from_secs(120)),
            most: 16,
            memory: 4 << 30,
        }
    }
}

/// The microvm tier.
pub struct Machines {
    settings: Settings,
    found: Remembered<Found>,
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for Machines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machines").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn unavailable(why: impl Into<String>) -> BoxError {
    BoxError::Unavailable { tier: Tier::Microvm, why: why.into() }
}

impl Machines {
    /// Nothing is looked for before the first machine is asked for.
    pub fn new(settings: Settings) -> Self {
        let places = Arc::new(Semaphore::new(settings.most));
        Self { settings, found: Remembered::new(AGAIN), places }
    }

    /// What machines are made of here, and what executes them: found once, by booting one. What was not found is looked for again.
    async fn found(&self) -> Result<Arc<Found>, BoxError> {
        let look = || async { accelerator::find(&self.settings).await.map_err(|fault| fault.0) };
        self.found.get(look).await.map_err(unavailable)
    }
}

impl Boxes for Machines {
    fn offer(&self) -> BoxFuture<'_, Result<Offer, BoxError>> {
        Box::pin(async move { Ok(offer::offer(&*self.found().await?)) })
    }

    fn most(&self) -> Option<usize> {
        Some(self.settings.most)
    }

    fn start(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Result<Running, BoxError>> {
        Box::pin(async move {
            let found = self.found().await?;
            let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| BoxError::Busy(self.settings.most))?;
            Box::pin(running::start(found, place, &spec, stdio)).await
        })
    }
}
