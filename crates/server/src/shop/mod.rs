//! Boxes and workspaces for agents and session sandboxes, made when the first agent needs one: a process whose agents need none starts no launcher, opens no
//! cache and reads no certificates.
//!
//! * [`Shop`] makes the [`Workshop`] and says what tiers there are here.
//! * `settings` reads what a manifest asks into what a box is given, within the operator's bounds.
//! * `files` are what boxes find in `/opt/agent`; `host` starts MCP servers; `record` is where the decisions of egress proxies go.

mod files;
mod host;
mod record;
mod references;
mod settings;
mod tiers;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Once},
};

use stead_core::{
    code,
    id::{BlobId, Name},
    sandbox::{Property, Tier},
};
use stead_egress::Trust;
use stead_ports::{agent::AgentError, objects::Objects, sandbox::BoxError};
use stead_workshop::{HostLimits, Outside, Parts, Workshop};
use stead_workspace::{Options, Workspaces};
use tokio::sync::OnceCell;

use crate::{agents::Keys, clock::SystemClock, config, elsewhere, http::metrics::Starts};

pub(crate) use self::{
    files::AgentFiles,
    host::BoxHost,
    settings::{Asked, environment, settings},
};
use self::{record::Record, references::References, tiers::Tiers};

/// The folder of the cache of workspaces, in the data folder.
const CACHE: &str = "workspaces";

/// The boxes and workspaces of a runtime; clones are one.
#[derive(Clone)]
pub(crate) struct Shop(Arc<Inner>);

struct Inner {
    config: config::Sandbox,
    /// Session sandboxes at once.
    sessions: usize,
    data_dir: PathBuf,
    objects: Arc<dyn Objects>,
    keys: Keys,
    made: OnceCell<Made>,
    starts: Starts,
    /// Whether what an earlier process left for boxes to see is away.
    swept: Once,
}

struct Made {
    workshop: Workshop,
    workspaces: Workspaces,
    tiers: Tiers,
}

impl Shop {
    /// Nothing is started.
    pub(crate) fn new(
        config: config::Sandbox,
        sessions: usize,
        data_dir: &Path,
        objects: Arc<dyn Objects>,
        keys: Keys,
    ) -> Self {
        let (data_dir, made, swept) = (data_dir.to_owned(), OnceCell::new(), Once::new());
        let starts = Starts::default();
        config.tiers.iter().for_each(|tier| starts.know((*tier).into()));
        Self(Arc::new(Inner { config, sessions, data_dir, objects, keys, made, starts, swept }))
    }

    /// Where secrets come from.
    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// How long its boxes took to start.
    pub(crate) fn starts(&self) -> &Starts {
        &self.0.starts
    }

    /// What the operator allows.
    pub(crate) fn config(&self) -> &config::Sandbox {
        &self.0.config
    }

    /// The workshop.
    ///
    /// # Errors
    /// When its folders in the data directory cannot be made.
    pub(crate) async fn workshop(&self) -> Result<&Workshop, AgentError> {
        self.made().await.map(|made| &made.workshop)
    }

    /// The workspaces.
    ///
    /// # Errors
    /// As [`Shop::workshop`].
    pub(crate) async fn workspaces(&self) -> Result<&Workspaces, AgentError> {
        self.made().await.map(|made| &made.workspaces)
    }

    /// Removes what the cache of this host has of these objects, whether it is open or not.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn forget(&self, tenant: &Name, ids: &[BlobId]) -> std::io::Result<()> {
        match self.0.made.get() {
            Some(made) => made.workspaces.forget(tenant, ids),
            None => stead_workspace::forget(&self.0.data_dir.join(CACHE), tenant, ids),
        }
    }

    /// The folder of what boxes find in `/opt/agent`.
    pub(crate) fn files_dir(&self) -> PathBuf {
        self.0.boxes_dir().join("agents")
    }

    /// The runtime's own folder, which no box ever sees.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.0.data_dir
    }

    /// Refuses a tier that this host cannot give, or that cannot promise what is required, by the manifest or by the operator: before anything
    /// is started.
    ///
    /// # Errors
    /// ST0313 for a tier that the operator does not offer, ST0220 and ST0221 with what to do.
    pub(crate) async fn admit(&self, tier: Tier, requires: &[Property]) -> Result<(), AgentError> {
        if !self.0.config.tiers.iter().any(|allowed| Tier::from(*allowed) == tier) {
            return Err(AgentError {
                code: code::SANDBOX_TIER,
                detail: format!(
                    "this server offers no sandbox of the tier `{tier}`; its operator can: [sandbox] tiers = [\"{tier}\"]"
                ),
            });
        }
        let made = self.made().await?;
        let missing = || BoxError::Unavailable { tier, why: "this release has none for this system".to_owned() };
        let boxes = made.tiers.all.get(&tier).ok_or_else(missing).map_err(|e| refused(&e))?;
        let offer = boxes.offer().await.map_err(|e| refused(&e))?;
        let all = requires.iter().chain(&self.0.config.requires);
        all.copied().try_for_each(|property| offer.holds(property).map(drop)).map_err(|e| refused(&e))
    }

    /// Removes what a process that was killed has left behind, where that does not end by itself: control groups, what boxes saw of this
    /// host's folders, containers. For whoever owns the data.
    pub(crate) async fn sweep(&self) {
        let inner = Arc::clone(&self.0);
        let swept = tokio::task::spawn_blocking(move || {
            #[cfg(target_os = "linux")]
            stead_sandbox::sweep();
            drop(inner.boxes_dir());
        });
        if let Err(error) = swept.await {
            tracing::warn!(%error, "what an earlier process left of sandboxes was not looked at");
        }
        if self.0.config.tiers.contains(&config::Tier::Oci) {
            let shop = self.clone();
            tokio::spawn(async move {
                if let Err(error) = shop.admit(Tier::Oci, &[]).await {
                    tracing::warn!(%error, "the sandbox tier `oci` cannot be given");
                }
            });
        }
    }

    /// Ends what makes boxes.
    pub(crate) async fn close(&self) {
        if let Some(made) = self.0.made.get() {
            made.tiers.close().await;
        }
    }

    async fn made(&self) -> Result<&Made, AgentError> {
        self.0.made.get_or_try_init(|| make(&self.0)).await
    }
}

impl Inner {
    /// The folder of all that boxes see of this host, but for workspaces and programs. What an earlier process left there is of no use, and
    /// goes before anything is put there. That it cannot be removed shows then.
    fn boxes_dir(&self) -> PathBuf {
        let folder = self.data_dir.join("boxes");
        self.swept.call_once(|| drop(std::fs::remove_dir_all(&folder)));
        folder
    }
}

/// A refusal; where a tier cannot be had at all, with the commands that start Stead where it can.
fn refused(error: &BoxError) -> AgentError {
    let hint = match error {
        BoxError::Unavailable { .. } => {
            format!("; where it cannot be had, run Stead on a Linux machine: {}", elsewhere::linux())
        }
        _ => String::new(),
    };
    AgentError { code: error.code(), detail: format!("{error}{hint}") }
}

async fn make(inner: &Inner) -> Result<Made, AgentError> {
    // What makes boxes makes those of session sandboxes too.
    let boxes = inner.config.boxes.saturating_add(inner.sessions);
    let tiers = tiers::tiers(&config::Sandbox { boxes, ..inner.config.clone() }).await;
    let user = tiers.user;
    let mut options = Options::new(inner.data_dir.join(CACHE));
    options.cache_bytes = inner.config.cache.0 as u64;
    options.owner = user.map(|user| (user, user));
    let (objects, folder) = (inner.objects.clone(), inner.boxes_dir().join("shop"));
    let host = HostLimits {
        boxes: inner.config.boxes,
        servers: inner.config.servers,
        sandboxes: inner.sessions,
        memory: inner.config.memory.map(|size| size.0 as u64),
        ..HostLimits::default()
    };
    let (data_dir, starts) = (inner.data_dir.clone(), inner.starts.clone());
    let (keys, of, shown) = (inner.keys.clone(), tiers.all.clone(), inner.config.mounts.clone());
    let made = tokio::task::spawn_blocking(move || {
        let unkept = |code, detail: String| AgentError { code, detail };
        let workspaces =
            Workspaces::open(objects, Arc::new(SystemClock), options).map_err(|e| unkept(e.code(), e.to_string()))?;
        let trust = Trust::system().map_err(|e| unkept(e.code, e.detail))?;
        let record = Record::open(&data_dir, starts).map_err(|e| {
            unkept(
                code::INTERNAL,
                format!("{}: what sandboxes ask of hosts cannot be put on record: {e}", data_dir.display()),
            )
        })?;
        let outside = Outside {
            secrets: Arc::new(References::new(keys)),
            audit: Arc::new(record),
            resolver: None,
            trust,
            authorities: None,
        };
        let parts = Parts { tiers: of, workspaces: workspaces.clone(), outside, host, folder, shown };
        let workshop = Workshop::new(parts).map_err(|e| unkept(e.code(), e.to_string()))?;
        Ok((workshop, workspaces))
    });
    let broke = |e: tokio::task::JoinError| AgentError { code: code::INTERNAL, detail: e.to_string() };
    let (workshop, workspaces) = made.await.map_err(broke)??;
    drop(workshop.watch());
    Ok(Made { workshop, workspaces, tiers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_that_cannot_be_had_is_refused_with_the_commands_that_start_a_linux_one() {
        let none = BoxError::Unavailable { tier: Tier::Namespace, why: "none for this system".to_owned() };
        let told = refused(&none);
        assert_eq!(told.code, code::SANDBOX_UNAVAILABLE);
        assert!(told.detail.contains("none for this system; ") && told.detail.ends_with(&elsewhere::linux()), "{told}");
    }
}
