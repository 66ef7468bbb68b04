//! [`Workshop`]: what puts it all together.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use stead_core::{
    id::RunId,
    sandbox::{BoxLimits, Tier},
};
use stead_egress::{Resolve, Trust};
use stead_ports::{
    sandbox::{BoxError, Boxes},
    secret::Secrets,
};
use stead_workspace::Workspaces;
use tokio::task::JoinHandle;

use crate::{
    audit::Audit,
    fault::Fault,
    furniture::{Furniture, host_authorities},
    host::HostLimits,
    live::Live,
    queue::Queue,
    turn::Maker,
    watch,
};

/// What a workshop is made of.
pub struct Parts {
    /// Who makes boxes, by tier. A tier that is not here is refused.
    pub tiers: BTreeMap<Tier, Arc<dyn Boxes>>,
    /// The workspaces. A server that runs as root opens them with the user that boxes are on the host as their owner
    /// ([`stead_workspace::Options::owner`]).
    pub workspaces: Workspaces,
    /// What the proxies of boxes need.
    pub outside: Outside,
    /// What the host can take.
    pub host: HostLimits,
    /// A folder of the workshop's own, which is made anew. Boxes see parts of it; others must not be able to enter it.
    pub folder: PathBuf,
    /// Folders of the host that boxes see whose root is not of their own, read-only and where they are. The tiers `namespace` and `oci` were
    /// told of them and show them, but for those below `/opt` where the workshop mounts something itself; the root of the tier `microvm` has
    /// places for them, and the workshop mounts them there.
    pub shown: Vec<PathBuf>,
}

/// What the proxies of boxes need.
pub struct Outside {
    /// Where values of secrets come from.
    pub secrets: Arc<dyn Secrets>,
    /// Where decisions are told.
    pub audit: Arc<dyn Audit>,
    /// How names are resolved; `None`: by this host, with a bound for each box of its own.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// Whose certificates the proxy trusts.
    pub trust: Trust,
    /// Whose certificates boxes trust, as PEM, beside the proxy's own authority; `None`: those that this host trusts.
    pub authorities: Option<String>,
}

/// The workshop. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Workshop(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    tiers: BTreeMap<Tier, Maker>,
    pub(crate) workspaces: Workspaces,
    pub(crate) outside: Outside,
    authorities: OnceLock<String>,
    pub(crate) host: HostLimits,
    pub(crate) furniture: Furniture,
    pub(crate) live: Live,
    /// Places for actions.
    pub(crate) actions: Queue,
    /// Places for servers, which stay long.
    pub(crate) servers: Queue,
    /// Places for session sandboxes: of their own, so that no caller who keeps one takes a place from agents.
    pub(crate) sandboxes: Queue,
}

impl fmt::Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop")
            .field("tiers", &self.0.tiers.keys())
            .field("host", &self.0.host)
            .finish_non_exhaustive()
    }
}

impl Workshop {
    /// Puts it together. Nothing is started.
    ///
    /// # Errors
    /// [`Fault::Disk`] when its folder cannot be made.
    pub fn new(parts: Parts) -> Result<Self, Fault> {
        let Parts { tiers, workspaces, outside, host, folder, shown } = parts;
        let furniture = Furniture::open(&folder, shown)?;
        let places = |most| Queue::new(most, host.waiting);
        let (actions, servers, sandboxes) = (places(host.boxes), places(host.servers), places(host.sandboxes));
        let (authorities, live) = (OnceLock::new(), Live::default());
        let tiers = tiers.into_iter().map(|(tier, boxes)| (tier, Maker::new(boxes, host.waiting))).collect();
        let inner =
            Inner { tiers, workspaces, outside, authorities, host, furniture, live, actions, servers, sandboxes };
        Ok(Self(Arc::new(inner)))
    }

    /// Starts to keep the host usable: when all boxes together take too much, the worst offender is stopped. It ends with the
    /// last clone of the workshop.
    pub fn watch(&self) -> JoinHandle<()> {
        tokio::spawn(watch::run(Arc::downgrade(&self.0), self.0.host.every))
    }

    /// Looks once, as [`Self::watch`] does again and again; tells whether a box was stopped.
    pub async fn look(&self) -> bool {
        watch::look(&self.0.live, &self.0.host, false).await
    }

    /// Other limits for the boxes of a run: at once for those that run, as far as their tier can; and for those that wait.
    pub async fn limit(&self, run: RunId, limits: BoxLimits) {
        self.0.live.limit(run, limits).await;
    }

    /// Kills all boxes of a run, and starts none that waits.
    pub fn release(&self, run: RunId) {
        self.0.live.release(run);
    }

    /// The workspaces that its boxes start at and leave.
    pub fn workspaces(&self) -> &Workspaces {
        &self.0.workspaces
    }

    /// Boxes that live, and actions, servers and session sandboxes that wait for one.
    pub fn counts(&self) -> (usize, usize) {
        let of_tiers: usize = self.0.tiers.values().map(Maker::waiting).sum();
        let waiting = [&self.0.actions, &self.0.servers, &self.0.sandboxes].map(Queue::waiting);
        (self.0.live.all().len(), waiting.into_iter().sum::<usize>() + of_tiers)
    }
}

impl Inner {
    /// Who makes boxes of a tier.
    pub(crate) fn tier(&self, tier: Tier) -> Result<&Maker, BoxError> {
        let why = || {
            format!("this server does not offer it; its operator can, in stead.toml: [sandbox] tiers = [\"{tier}\"]")
        };
        self.tiers.get(&tier).ok_or_else(|| BoxError::Unavailable { tier, why: why() })
    }

    /// Whose certificates boxes trust, beside the proxy's own.
    pub(crate) fn authorities(&self) -> &str {
        match &self.outside.authorities {
            Some(own) => own,
            None => self.authorities.get_or_init(host_authorities),
        }
    }
}
