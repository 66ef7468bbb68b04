//! All session sandboxes of a server: counted, found by their tenants, and ended.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::{
    code::Code,
    id::{Name, TreeId},
    time::Timestamp,
};
use stead_ports::{BoxFuture, clock::Clock, secret::Secrets};
use stead_workshop::Workshop;

use crate::{Ask, Bounds, Sandbox, SandboxId, SandboxesError, Template, limits::ENDED, open};

/// How long the end of all waits for boxes to die.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a sandbox is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Somebody removed it.
    Removed,
    /// Its time was up.
    Expired,
    /// The host had too little memory for all sandboxes, and this one held most of what it was given.
    Stopped,
    /// Its box ended by itself: something in it killed what keeps it, or the kernel did for want of memory.
    Died,
    /// The server that had it has ended; what was not kept as a snapshot is gone with it.
    Server,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "it was removed",
            Self::Expired => "its time was up",
            Self::Stopped => {
                "all sandboxes together took too much memory, and it held most of what it was given (ST0300); ask for less, or try again later"
            }
            Self::Died => "its box ended: what keeps it was killed, perhaps for want of memory",
            Self::Server => "the server that had it has ended, and sandboxes end with their server",
        })
    }
}

/// What sandboxes are made of.
pub struct Parts {
    /// The workshop of the server, that of its agents too; made when it is first needed.
    pub workshop: Opening,
    /// Values of secrets, for the proxy, by the names that rules have for them.
    pub secrets: Arc<dyn Secrets>,
    /// Time, and fresh ids.
    pub clock: Arc<dyn Clock>,
    /// Templates by name; without one that is named `default`, that of this crate.
    pub templates: BTreeMap<Name, Template>,
    /// Most sandboxes of a tenant.
    pub bounds: Bounds,
}

/// Makes a workshop, or gives the one that there is.
pub type Opening = Arc<dyn Fn() -> BoxFuture<'static, Result<Workshop, Unready>> + Send + Sync>;

/// Why there is no workshop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Unready {
    /// The stable code.
    pub code: Code,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// All session sandboxes. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Sandboxes(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) parts: Parts,
    began: Timestamp,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    live: BTreeMap<SandboxId, Arc<Sandbox>>,
    /// Places taken by sandboxes that are being made, by tenant.
    making: HashMap<Name, usize>,
    ended: VecDeque<(SandboxId, Name, Gone)>,
    closed: bool,
}

impl fmt::Debug for Sandboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandboxes").field("live", &self.0.table.lock().live.len()).finish_non_exhaustive()
    }
}

/// A place of a sandbox that is being made.
pub(crate) struct Place {
    of: Sandboxes,
    tenant: Name,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.of.0.table.lock();
        if let Some(count) = table.making.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                table.making.remove(&self.tenant);
            }
        }
    }
}

impl Sandboxes {
    /// Nothing is started before the first sandbox is asked for.
    pub fn new(mut parts: Parts) -> Self {
        parts.templates.entry("default".into()).or_default();
        let began = parts.clock.now();
        Self(Arc::new(Inner { parts, began, table: Mutex::default() }))
    }

    /// The template of a name; `default` without one.
    ///
    /// # Errors
    /// ST0321 when there is none.
    pub fn template(&self, name: Option<&Name>) -> Result<(Name, &Template), SandboxesError> {
        let name = name.cloned().unwrap_or_else(|| "default".into());
        let templates = &self.0.parts.templates;
        let known = || templates.keys().map(|n| format!("`{n}`")).collect();
        let template = templates.get(&name);
        let template = template.ok_or_else(|| SandboxesError::Template { name: name.to_string(), known: known() })?;
        Ok((name, template))
    }

    /// Makes a sandbox for a tenant; `owner` is who asked.
    ///
    /// # Errors
    /// [`SandboxesError`]; nothing of it is left then.
    pub async fn create(&self, tenant: &Name, owner: &Name, ask: Ask) -> Result<Arc<Sandbox>, SandboxesError> {
        let place = self.place(tenant)?;
        let (all, tenant, owner) = (self.clone(), tenant.clone(), owner.clone());
        // On a task of its own: whoever asked may go away, and what was begun then still has a place in the table.
        let made = tokio::spawn(async move { all.make(place, &tenant, &owner, ask).await }).await;
        made.unwrap_or_else(|e| Err(stead_ports::sandbox::BoxError::Lost(e.to_string()).into()))
    }

    async fn make(&self, _place: Place, tenant: &Name, owner: &Name, ask: Ask) -> Result<Arc<Sandbox>, SandboxesError> {
        let sandbox = open::open(self, tenant, owner, ask).await?;
        let closed = {
            let mut table = self.0.table.lock();
            // It may have ended before it was entered.
            let over = table.ended.iter().any(|(ended, ..)| *ended == sandbox.id);
            if !table.closed && !over {
                table.live.insert(sandbox.id, Arc::clone(&sandbox));
            }
            table.closed
        };
        if closed {
            sandbox.kill(Gone::Server);
        }
        Ok(sandbox)
    }

    /// Takes a place among the tenant's.
    fn place(&self, tenant: &Name) -> Result<Place, SandboxesError> {
        let bounds = self.0.parts.bounds;
        let mut table = self.0.table.lock();
        let own = table.live.values().filter(|s| s.tenant == *tenant).count();
        let own = own + table.making.get(tenant).copied().unwrap_or(0);
        if table.closed {
            return Err(SandboxesError::Full("the server is ending".to_owned()));
        }
        if own >= bounds.most_of_tenant {
            return Err(SandboxesError::Full(format!(
                "{own} sandboxes of this tenant are there, the most it may have"
            )));
        }
        *table.making.entry(tenant.clone()).or_default() += 1;
        Ok(Place { of: self.clone(), tenant: tenant.clone() })
    }

    /// The sandbox of that id.
    ///
    /// # Errors
    /// ST0202 when the tenant never had it, ST0320 when it is gone.
    pub fn get(&self, tenant: &Name, id: SandboxId) -> Result<Arc<Sandbox>, SandboxesError> {
        let table = self.0.table.lock();
        if let Some(sandbox) = table.live.get(&id) {
            return if sandbox.tenant == *tenant { Ok(Arc::clone(sandbox)) } else { Err(SandboxesError::Unknown(id)) };
        }
        if let Some((_, of, why)) = table.ended.iter().find(|(ended, ..)| *ended == id) {
            return Err(if of == tenant {
                SandboxesError::Gone { id, why: *why }
            } else {
                SandboxesError::Unknown(id)
            });
        }
        // Its id tells when it was made, whoever it belonged to.
        Err(if made(id) < self.0.began {
            SandboxesError::Gone { id, why: Gone::Server }
        } else {
            SandboxesError::Unknown(id)
        })
    }

    /// The sandboxes of a tenant, newest first.
    pub fn list(&self, tenant: &Name) -> Vec<Arc<Sandbox>> {
        self.0.table.lock().live.values().rev().filter(|s| s.tenant == *tenant).cloned().collect()
    }

    /// Trees that the sandboxes of a tenant began with: they stay for as long as these live, whatever else leads to them.
    pub fn trees(&self, tenant: &Name) -> Vec<TreeId> {
        self.0.table.lock().live.values().filter(|s| s.tenant == *tenant).map(|s| s.tree).collect()
    }

    /// Ends one, and waits until it is dead.
    ///
    /// # Errors
    /// As [`Sandboxes::get`].
    pub async fn remove(&self, tenant: &Name, id: SandboxId) -> Result<(), SandboxesError> {
        let sandbox = self.get(tenant, id)?;
        sandbox.kill(Gone::Removed);
        sandbox.ended().await;
        Ok(())
    }

    /// Ends all, and waits for that a while. No more are made.
    pub async fn close(&self) {
        let all: Vec<_> = {
            let mut table = self.0.table.lock();
            table.closed = true;
            table.live.values().cloned().collect()
        };
        for sandbox in &all {
            sandbox.kill(Gone::Server);
        }
        let ended = async {
            for sandbox in &all {
                sandbox.ended().await;
            }
        };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            tracing::warn!("session sandboxes did not end in time; they end with their launcher");
        }
    }

    /// Forgets one that is dead, and remembers why.
    pub(crate) fn over(&self, sandbox: &Sandbox, why: Gone) {
        let mut table = self.0.table.lock();
        table.live.remove(&sandbox.id);
        table.ended.push_back((sandbox.id, sandbox.tenant.clone(), why));
        while table.ended.len() > ENDED {
            table.ended.pop_front();
        }
    }
}

/// When an id was made: the first 48 of its bits are milliseconds since the Unix epoch.
fn made(id: SandboxId) -> Timestamp {
    let milliseconds = i64::try_from(id.0 >> 80).unwrap_or(i64::MAX);
    Timestamp(milliseconds.saturating_mul(1000))
}
