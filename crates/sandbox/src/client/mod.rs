//! The server's side: starts the launcher when a box is first asked for, asks it for boxes, and turns what a box writes and
//! how it ends into the port's words.

mod exec;
mod freeze;
mod hand;
mod link;
mod news;
mod resident;
mod running;

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Boxes, Offer, Resident, Running, Spec, Stdio},
};
use tokio::sync::Mutex;

use crate::{launcher, plan};
use link::Link;

/// How the launcher is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that becomes the launcher, with its first arguments: one whose `main` calls [`crate::launcher::main`].
    pub launcher: Vec<OsString>,
    /// Folders of the host that boxes see too, read-only and where they are: programs that stand outside of `/usr`.
    pub show: Vec<PathBuf>,
    /// How long the launcher may take to begin.
    pub patience: Duration,
    /// Boxes made ahead.
    pub ahead: usize,
    /// Most boxes at once, those made ahead included.
    pub most: usize,
}

impl Default for Settings {
    /// The program that runs, started again.
    fn default() -> Self {
        Self {
            launcher: vec!["/proc/self/exe".into(), launcher::WORD.into()],
            show: Vec::new(),
            patience: Duration::from_secs(30),
            ahead: launcher::AHEAD,
            most: launcher::MOST,
        }
    }
}

/// The namespace tier.
#[derive(Debug)]
pub struct Namespaces {
    settings: Settings,
    link: Mutex<Option<Arc<Link>>>,
}

impl Namespaces {
    /// Nothing is started before the first box is asked for.
    pub fn new(settings: Settings) -> Self {
        Self { settings, link: Mutex::new(None) }
    }

    /// The launcher, started anew if there is none or it died: the new one sweeps what the old one left.
    async fn link(&self) -> Result<Arc<Link>, BoxError> {
        let mut held = self.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| link.lives()) {
            return Ok(Arc::clone(link));
        }
        let settings = self.settings.clone();
        let started = tokio::task::spawn_blocking(move || Link::start(&settings)).await;
        let link = Arc::new(started.map_err(|e| BoxError::Lost(e.to_string()))??);
        *held = Some(Arc::clone(&link));
        Ok(link)
    }

    /// The user that owns, outside, what a box writes into a folder that it may write; such a folder must belong to it, or
    /// let others write.
    ///
    /// # Errors
    /// As [`Boxes::start`].
    pub async fn user(&self) -> Result<u32, BoxError> {
        Ok(self.link().await?.host().user)
    }

    /// The process id of the launcher, if it runs.
    pub async fn launcher(&self) -> Option<u32> {
        self.link.lock().await.as_ref().filter(|link| link.lives()).map(|link| link.pid())
    }

    /// Kills all boxes, and waits until the launcher is gone.
    pub async fn close(&self) {
        if let Some(link) = self.link.lock().await.take() {
            let _ = tokio::task::spawn_blocking(move || link.close()).await;
        }
    }
}

impl Boxes for Namespaces {
    fn offer(&self) -> BoxFuture<'_, Result<Offer, BoxError>> {
        Box::pin(async move { Ok(plan::offer(self.link().await?.host())) })
    }

    fn start(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Result<Running, BoxError>> {
        Box::pin(async move { running::start(self.link().await?, &spec, stdio).await })
    }

    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Resident, BoxError>> {
        Box::pin(async move { resident::open(self.link().await?, &spec).await })
    }
}
