//! The wiring: a store, the agents in it, and an engine that runs them. A server, `stead run` and tests all begin here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use stead_core::{
    code,
    id::{Name, VersionId},
};
use stead_engine::{DefaultPolicy, Engine, EngineError, Log, Options, Ports};
use stead_manifest::Bundle;
use stead_ports::{
    address::Reach,
    agent::{Agent, AgentError, Agents},
    audit::AuditStore,
    clock::Clock,
    erasure::ErasureStore,
    journal::{AliasMoved, Journal, SetBudget, StoreError},
    notices::NoticeStore,
    objects::Objects,
    people::{Everybody, People},
    policies::PolicyStore,
    secret::Secrets,
    switches::SwitchStore,
    trust::DirectoryStore,
};
use stead_store::{BlobKey, LineKey, PgOptions, PgStore, SqliteOptions, SqliteStore, WrappingKey};

use crate::{
    agents::{AgentStore, Applied, ApplyError, Environment, Helpers, Keys, Naming, Services, Site, confirm::Confirm},
    approvers::{AddError, Directories, own_root},
    audit::open_key,
    cassettes::Shelf,
    clock::SystemClock,
    config::{self, DatabaseUrl, Encrypt},
    delegate::Outward,
    encryption,
    erasure::Erasures,
    policies::{PolicySets, Sets},
    secrets,
    shop::Shop,
    testing::{Doomed, Setup, StandIns},
};

/// What a runtime is made from.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// Folder of the journal and of the runtime's own files; made if it does not exist.
    pub data_dir: PathBuf,
    /// PostgreSQL instead of the SQLite file in `data_dir`.
    pub database: Option<DatabaseUrl>,
    /// Where the key is under which its texts are encrypted.
    pub encrypt: Option<Encrypt>,
    /// Bounds of the engine.
    pub engine: Options,
    /// Which variables of this process's environment, and which secrets, manifests may name; none when silent.
    pub environment: Environment,
    /// Where the secrets are.
    pub secrets: config::Secrets,
    /// What the boxes of agents may be.
    pub sandbox: config::Sandbox,
    /// How many session sandboxes there may be.
    pub sandboxes: config::Sandboxes,
    /// Budgets of tenants and agents that are set now.
    pub budgets: Vec<config::Budget>,
    /// What the audit log is called, and where it is published.
    pub audit: config::Audit,
    /// How people approve.
    pub approvals: config::Approvals,
    /// For whom delegated tokens are made, and by whom.
    pub identity: config::Identity,
    /// The provider whose people they may be about.
    pub oidc: Option<Box<config::Oidc>>,
    /// Who may have runs; everybody when silent.
    pub people: Option<Arc<dyn People>>,
    /// Guarded addresses that tools and models may reach after all.
    pub reach: Reach,
    /// Where helper services answer.
    pub services: Services,
    /// Agents that the caller makes itself, instead of those that are stored.
    pub agents: Option<Arc<dyn Agents>>,
    /// Starts the helper services of manifests; without it an agent that names one is refused.
    pub helpers: Option<Arc<dyn Helpers>>,
    /// What a test puts in the place of the world.
    pub testing: Option<Setup>,
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("data_dir", &self.data_dir)
            .field("database", &self.database)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// Where the journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The SQLite file of the data directory.
    Sqlite,
    /// A PostgreSQL database.
    Postgres,
}

impl Store {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A runtime that owns its journal; clones are handles to the same one.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    log: Log,
    outward: Arc<Outward>,
    erasures: Arc<Erasures>,
    agents: Arc<AgentStore>,
    policies: Arc<PolicySets>,
    approvers: Arc<Directories>,
    cassettes: Arc<Shelf>,
    shop: Shop,
    data_dir: Arc<Path>,
    store: Store,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "session sandboxes use it, which are for Linux"))]
    objects: Arc<dyn Objects>,
    secrets: Arc<dyn Secrets>,
    notices: Arc<dyn NoticeStore>,
    reach: Reach,
    /// Whether whoever calls may name every secret anyway.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "session sandboxes use it, which are for Linux"))]
    open: bool,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("data_dir", &self.data_dir).field("store", &self.store).finish_non_exhaustive()
    }
}

/// Sets the budgets that the configuration names and that are others now.
async fn set_budgets(ports: &Ports, budgets: &[config::Budget]) -> Result<(), StoreError> {
    if budgets.is_empty() {
        return Ok(());
    }
    let at = ports.clock.now();
    let kept = ports.journal.budgets(None, at).await?;
    for budget in budgets {
        let (key, Some(caps)) = (budget.key(), budget.caps()) else { continue };
        if kept.iter().any(|row| row.key == key && row.caps == caps) {
            continue;
        }
        let tenant = key.tenant.clone();
        if !ports.journal.set_budget(SetBudget { key, caps, at, by: "stead.toml".into() }).await? {
            tracing::warn!(%tenant, "it has too many budgets; one of stead.toml was not set");
        }
    }
    Ok(())
}

impl Runtime {
    /// Opens the store, owns it, and takes up the runs that were under way.
    ///
    /// # Errors
    /// When the data directory or database cannot be owned or read; `ST0140` when another process owns it.
    pub async fn open(options: OpenOptions) -> Result<Self, EngineError> {
        make_private(&options.data_dir).map_err(|e| StoreError {
            code: code::DATA_READONLY,
            detail: format!("{} cannot be made: {e}", options.data_dir.display()),
        })?;
        // Absolute, so that nothing depends on the working directory later.
        let data_dir = fs::canonicalize(&options.data_dir).unwrap_or_else(|_| options.data_dir.clone());
        let encrypt = encryption::key(options.encrypt.as_ref())?;
        let Opened { mut journal, audit, objects, policies, switches, directories, notices, erasures, store, lines } =
            open_store(&data_dir, options.database.as_ref(), encrypt).await?;
        let crash = options.testing.as_ref().and_then(|t| t.crash);
        let unkept = |e: io::Error| StoreError { code: code::DATA_READONLY, detail: format!("the test's ledger: {e}") };
        let stand_ins = options.testing.map(StandIns::new).transpose().map_err(unkept)?;
        if let Some(crash) = crash {
            journal = Arc::new(Doomed::new(journal, crash));
        }
        let site = Site::new(&data_dir, options.services);
        let sources = secrets::sources(&data_dir, &options.secrets);
        let sources = sources.map_err(|e| StoreError { code: e.code, detail: e.detail })?;
        let secrets: Arc<dyn Secrets> = Arc::new(sources);
        let open = matches!(options.environment, Environment::Open);
        let keys = Keys { environment: options.environment, secrets: Arc::clone(&secrets) };
        let cassettes = Arc::new(Shelf::new(&data_dir).sealed(lines));
        let shop = Shop::new(options.sandbox, options.sandboxes.most, &data_dir, Arc::clone(&objects), keys);
        let sets = Arc::new(Sets::new(policies));
        let outward = Outward::new(&options.identity, options.oidc.as_deref(), Arc::clone(&secrets), &options.reach);
        let outward = Arc::new(outward.map_err(|detail| StoreError { code: code::CONFIG, detail })?);
        let agents = AgentStore::new(
            (journal.clone(), sets.clone()),
            site,
            shop.clone(),
            options.helpers,
            (options.reach.clone(), outward.clone()),
            stand_ins,
            cassettes.clone(),
        );
        let agents = Arc::new(agents);
        let policies = Arc::new(PolicySets::new(sets, agents.clone()));
        if store == Store::Postgres {
            tokio::spawn(PolicySets::watch(Arc::downgrade(&policies)));
        }
        // Whoever brings agents of their own has no sets that would know them.
        let (own, gate): (Arc<dyn Agents>, Arc<dyn stead_engine::PolicySets>) = match options.agents {
            Some(own) => (own, Arc::new(DefaultPolicy::default())),
            None => (agents.clone(), policies.clone()),
        };
        let (demand, roots) = (options.approvals.demand(), options.approvals.roots());
        let approvers = Arc::new(Directories::open(directories, demand, roots).await?);
        let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
        let directories = approvers.clone();
        let people = options.people.unwrap_or_else(|| Arc::new(Everybody));
        let ports = Ports { journal, agents: own, clock, policies: gate, switches, directories, people };
        set_budgets(&ports, &options.budgets).await?;
        let epoch = ports.journal.generation().await?;
        let (dir, name) = (data_dir.clone(), options.audit.name.clone());
        let key = tokio::task::spawn_blocking(move || open_key(&dir, name.as_deref(), epoch));
        let key = key.await.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })??;
        let engine = Engine::open(ports, options.engine).await?;
        let log = engine.keep_log(audit, key);
        shop.sweep().await;
        Ok(Self {
            engine,
            log,
            outward,
            erasures: Arc::new(Erasures::new(erasures)),
            agents,
            policies,
            approvers,
            cassettes,
            shop,
            data_dir: data_dir.into(),
            store,
            objects,
            secrets,
            notices,
            reach: options.reach,
            open,
        })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What makes delegated tokens.
    pub(crate) fn outward(&self) -> &Arc<Outward> {
        &self.outward
    }

    /// The journal, for lists.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        self.engine.journal()
    }

    /// The audit log behind the journal.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What is erased, and what must stay.
    pub(crate) fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    /// The policy sets of its tenants.
    pub fn policies(&self) -> &Arc<PolicySets> {
        &self.policies
    }

    /// The directories of approvers.
    pub(crate) fn approvers(&self) -> &Arc<Directories> {
        &self.approvers
    }

    /// Makes the root of one person who works alone, when the tenant has no directory of approvers yet. Says whether it did.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn own_root(&self, tenant: &Name, person: &Name) -> Result<bool, AddError> {
        own_root(&self.approvers, &self.data_dir, tenant, person, SystemClock.now()).await
    }

    /// The cassettes of recorded runs.
    pub(crate) fn cassettes(&self) -> &Shelf {
        &self.cassettes
    }

    /// The boxes and workspaces of agents.
    pub(crate) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// The content of workspaces.
    pub(crate) fn objects(&self) -> &Arc<dyn Objects> {
        &self.objects
    }

    /// How far notices of open questions have gone out.
    pub(crate) fn notices(&self) -> &Arc<dyn NoticeStore> {
        &self.notices
    }

    /// Guarded addresses that may be reached after all.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The operator's secrets.
    pub(crate) fn secrets(&self) -> &Arc<dyn Secrets> {
        &self.secrets
    }

    /// Whether whoever calls may name every secret anyway: process and callers are the same user's.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The folder of the runtime's own files.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where the journal is kept.
    pub fn store(&self) -> Store {
        self.store
    }

    /// Makes a version of a bundle and lets an alias name it; see [`AgentStore::apply`].
    ///
    /// # Errors
    /// [`ApplyError`].
    pub async fn apply(&self, tenant: &Name, bundle: Bundle, naming: &Naming) -> Result<Applied, ApplyError> {
        Box::pin(self.agents.apply(tenant, bundle, naming)).await
    }

    /// Moves an alias as somebody else proposed.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub(crate) async fn confirm(&self, confirm: Confirm) -> Result<AliasMoved, ApplyError> {
        self.agents.confirm(confirm).await
    }

    /// An agent version, ready to run.
    ///
    /// # Errors
    /// When it is not stored, or what it needs is gone.
    pub async fn load(&self, tenant: &Name, version: VersionId) -> Result<Arc<Agent>, AgentError> {
        self.agents.load(tenant, version).await
    }

    /// The programs that an agent starts on this machine as this process's user; see [`AgentStore::unsandboxed`].
    ///
    /// # Errors
    /// When a version cannot be read.
    pub async fn unsandboxed(&self, tenant: &Name, version: VersionId) -> Result<BTreeSet<String>, AgentError> {
        self.agents.unsandboxed(tenant, version).await
    }

    /// Whether nothing stands between other people's words and what an agent does.
    ///
    /// # Errors
    /// When a version cannot be read.
    pub async fn untraced(
        &self,
        tenant: &Name,
        version: VersionId,
    ) -> Result<Option<stead_api::agent::Untraced>, AgentError> {
        Ok(self.agents.described(tenant, version).await?.untraced)
    }

    /// Says where the helper services of an agent answer.
    pub fn set_services(&self, agent: &Name, services: BTreeMap<String, String>) {
        self.agents.set_services(agent, services);
    }

    /// Whether this process owns its journal and the store answers.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        if !self.engine.is_ready() {
            return Err(StoreError { code: code::DATA_LOCKED, detail: "the lease is not held".into() });
        }
        self.journal().next_wake().await.map(drop)
    }

    /// Stops working: no new starts, runs stop at their next durable point, ownership is given back. Nothing is lost.
    pub async fn drain(&self, deadline: Duration) {
        self.engine.drain(deadline).await;
        self.shop.close().await;
    }
}

/// Makes a folder that only its owner can enter.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if dir.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// An open store.
struct Opened {
    journal: Arc<dyn Journal>,
    /// What is in the logs behind it.
    audit: Arc<dyn AuditStore>,
    /// The content of workspaces that is kept with it.
    objects: Arc<dyn Objects>,
    policies: Arc<dyn PolicyStore>,
    switches: Arc<dyn SwitchStore>,
    directories: Arc<dyn DirectoryStore>,
    /// How far notices of open questions have gone out.
    notices: Arc<dyn NoticeStore>,
    erasures: Arc<dyn ErasureStore>,
    /// Which store all of these are.
    store: Store,
    /// What seals files beside it.
    lines: Option<LineKey>,
}

async fn open_store(
    data_dir: &Path,
    database: Option<&DatabaseUrl>,
    encrypt: Option<WrappingKey>,
) -> Result<Opened, StoreError> {
    let dir = data_dir.to_owned();
    let broke = |e: tokio::task::JoinError| StoreError { code: code::INTERNAL, detail: e.to_string() };
    match database {
        None => {
            let options = SqliteOptions { encrypt, ..SqliteOptions::default() };
            let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&dir, options));
            let store = Arc::new(opened.await.map_err(broke)??);
            let lines = store.line_key().await?;
            let (journal, audit, objects) = (store.clone(), store.clone(), store.clone());
            let (policies, directories) = (store.clone(), store.clone());
            let (notices, erasures) = (store.clone(), store.clone());
            let (switches, store) = (store, Store::Sqlite);
            Ok(Opened { journal, audit, objects, policies, directories, notices, switches, erasures, store, lines })
        }
        Some(url) => {
            // Not in the database: whoever can read that must not be able to tell contents by their addresses.
            let key = tokio::task::spawn_blocking(move || BlobKey::open(&dir.join("keys").join("blob.key")));
            let key = key.await.map_err(broke)??;
            let options = PgOptions { encrypt, ..PgOptions::new(key) };
            let store = Arc::new(PgStore::connect(url.expose(), options).await?);
            let lines = store.line_key().await?;
            let (journal, audit, objects) = (store.clone(), store.clone(), store.clone());
            let (policies, directories) = (store.clone(), store.clone());
            let (notices, erasures) = (store.clone(), store.clone());
            let (switches, store) = (store, Store::Postgres);
            Ok(Opened { journal, audit, objects, policies, directories, notices, switches, erasures, store, lines })
        }
    }
}
