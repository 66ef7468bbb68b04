//! Erasing the texts of a person, and what must stay although somebody asks for its end.
//!
//! * `plan` says which runs an erasure is about, and what stands against it: runs that have not ended, legal holds.
//! * `job` carries it out, a step at a time; each may be done again, so that what a crash cuts off goes on later.
//! * `files` is what is outside of the database: the lines of the egress record. `objects` is the content of workspaces.
//! * `certify` makes the signed certificate, and the file of the data folder in which all of them are.
//! * `lost` begins erasures of what a restore could not open.
//! * `replay` does it all again to what was restored from a backup of before.
//!
//! Not here: how a record loses its texts (`stead-engine`), how rows are rewritten (`stead-store`), and what a certificate is (`stead-audit`).

mod certify;
mod files;
mod job;
mod lost;
mod objects;
mod plan;
mod replay;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::{
    code,
    id::{Name, RunId},
};
use stead_engine::EngineError;
use stead_ports::{
    erasure::{Erasure, ErasureStore},
    journal::StoreError,
};

use crate::http::app::{App, Shared};

pub(crate) use certify::standing;
pub(crate) use lost::{Lost, begin_lost};
pub(crate) use plan::{Against, Plan, covered, plan};
pub(crate) use replay::{Replay, Replayed, read_erasures, replay};

/// How often erasures that could not be finished go on.
const AGAIN: Duration = Duration::from_secs(30);

/// How long the end of a short command waits for those that it found.
const FIRST: Duration = Duration::from_secs(60);

/// The erasures of a runtime.
pub(crate) struct Erasures {
    store: Arc<dyn ErasureStore>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
    /// What those wait for that could not be finished.
    waits: Mutex<HashMap<u128, String>>,
}

/// Why an erasure is not finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfinished {
    /// Somebody else may still need what is to go.
    #[error("{0}")]
    Waits(String),
    /// The store does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The content of workspaces cannot be read.
    #[error(transparent)]
    Workspace(#[from] stead_workspace::WorkspaceError),
    /// A file cannot be changed.
    #[error("{0}")]
    File(String),
}

impl Erasures {
    pub(crate) fn new(store: Arc<dyn ErasureStore>) -> Self {
        Self { store, turn: tokio::sync::Mutex::default(), waits: Mutex::default() }
    }

    /// What keeps them.
    pub(crate) fn store(&self) -> &Arc<dyn ErasureStore> {
        &self.store
    }

    /// What an erasure waits for, as far as this process has tried.
    pub(crate) fn waits(&self, id: u128) -> Option<String> {
        self.waits.lock().get(&id).cloned()
    }

    /// Runs whose texts are erased, or are to be: what their facts name need not stay.
    pub(crate) async fn runs(&self) -> Result<HashSet<RunId>, StoreError> {
        Ok(self.store.erasures().await?.into_iter().flat_map(|erasure| erasure.runs).collect())
    }
}

/// Carries out an erasure that was begun, and gives its certificate; one that was finished gives the one that it has.
///
/// # Errors
/// ST0363 with what it waits for: it goes on by itself.
pub(crate) async fn finish(app: &Shared, erasure: u128) -> Result<String, StoreError> {
    let (app, runtime) = (app.clone(), tokio::runtime::Handle::current());
    // It goes on when whoever asked for it has gone.
    let done = runtime.spawn(async move {
        let erasures = app.runtime.erasures();
        let _turn = erasures.turn.lock().await;
        let all = erasures.store.erasures().await?;
        let found = all.into_iter().find(|one| one.id == erasure);
        let found = found.ok_or_else(|| unfinished("the erasure is not there any more"))?;
        carry_out(&app, &found).await
    });
    done.await.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })?
}

async fn carry_out(app: &App, erasure: &Erasure) -> Result<String, StoreError> {
    if let Some(certificate) = &erasure.certificate {
        return Ok(certificate.clone());
    }
    let erasures = app.runtime.erasures();
    match job::carry_out(app, erasure).await {
        Ok(certificate) => {
            erasures.waits.lock().remove(&erasure.id);
            Ok(certificate)
        }
        Err(why) => {
            let why = why.to_string();
            tracing::warn!(erasure = %hex(&erasure.id.to_be_bytes()), why, "an erasure is not finished; it goes on later");
            erasures.waits.lock().insert(erasure.id, why.clone());
            Err(unfinished(&why))
        }
    }
}

fn unfinished(why: &str) -> StoreError {
    StoreError { code: code::ERASURE_UNFINISHED, detail: format!("the erasure is begun and not finished: {why}") }
}

/// Goes on with erasures that are not finished: at first, however short the process works, and then now and again until it drains.
pub(crate) async fn keep(app: Shared) {
    if app.runtime.engine().is_ready() && tokio::time::timeout(FIRST, all(&app)).await.is_err() {
        tracing::warn!("an erasure takes its time; it goes on later");
    }
    loop {
        let turn = async {
            tokio::time::sleep(AGAIN).await;
            if app.runtime.engine().is_ready() {
                all(&app).await;
            }
        };
        if app.draining.run_until_cancelled(turn).await.is_none() {
            return;
        }
    }
}

async fn all(app: &App) {
    let erasures = app.runtime.erasures();
    let found = match erasures.store.erasures().await {
        Ok(found) => found,
        Err(error) => return tracing::warn!(%error, "whether an erasure is to be finished is not known"),
    };
    for erasure in found.iter().filter(|e| e.is_under_way()) {
        let _turn = erasures.turn.lock().await;
        // Told on the way.
        let _ = carry_out(app, erasure).await;
    }
}

/// A pseudonym, or an id, as it is told.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Whether a name is that of the person of an erasure.
pub(crate) fn is_of(store: &dyn ErasureStore, erasure: &Erasure, name: &Name) -> bool {
    store.pseudonym(&erasure.tenant, name) == erasure.subject
}
