//! A workshop on a real launcher and a real store, and small words for what a run does with it.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json, value::RawValue};
use stead_core::{
    effect::Outcome,
    id::{EffectId, Name, RunId, SessionId, TreeId},
    sandbox::{Access, BoxLimits, Tier},
    time::Timestamp,
};
use stead_egress::{Entry, Gone, Resolve, Trust};
use stead_microvm::Machines;
use stead_oci::Containers;
use stead_ports::{
    BoxFuture,
    clock::Clock,
    sandbox::{Boxes, Limits},
    secret::{Secret, SecretError, Secrets},
    tool::{Invocation, Left, MaySend, Output},
};
use stead_sandbox::{Namespaces, Settings as LauncherSettings};
use stead_store::{SqliteOptions, SqliteStore};
use stead_tools::{
    config::{CommandConfig, FilesConfig},
    offer::Offered,
};
use stead_workshop::{Audit, HostLimits, Outside, Parts, Settings, Whose, Workshop};
use stead_workspace::{Options, TreePath, Workspaces};

/// The time of the host.
#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_micros()).unwrap())
    }
    fn boot_micros(&self) -> u64 {
        0
    }
    fn random(&self) -> [u8; 16] {
        [0; 16]
    }
    fn sleep_until(&self, _at: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Secrets, names of hosts, and all that the proxies decided.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) secrets: Arc<Mutex<HashMap<String, String>>>,
    pub(crate) record: Arc<Mutex<Vec<(Whose, Entry)>>>,
}

impl Secrets for World {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
        let value = self.secrets.lock().unwrap().get(name).map(Secret::new);
        Box::pin(async move { Ok(value) })
    }
}

impl Audit for World {
    fn record<'a>(&'a self, whose: &'a Whose, entry: Entry) -> BoxFuture<'a, Result<(), Gone>> {
        self.record.lock().unwrap().push((whose.clone(), entry));
        Box::pin(async { Ok(()) })
    }
}

/// Every name is this host.
struct Loopback;

impl Resolve for Loopback {
    fn resolve<'a>(
        &'a self,
        _name: &'a stead_egress::Name,
        port: u16,
    ) -> BoxFuture<'a, std::io::Result<Vec<std::net::SocketAddr>>> {
        Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
    }
}

pub(crate) struct Kit {
    pub(crate) shop: Workshop,
    pub(crate) boxes: Arc<Namespaces>,
    containers: Option<Arc<Containers>>,
    pub(crate) work: Workspaces,
    pub(crate) world: World,
    pub(crate) dir: tempfile::TempDir,
    n: AtomicU32,
}

/// Who calls, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) tenant: Name,
    pub(crate) run: RunId,
    pub(crate) session: SessionId,
    pub(crate) tree: Option<TreeId>,
    pub(crate) limits: BoxLimits,
    pub(crate) left: Left,
}

pub(crate) fn run(n: u128) -> Run {
    Run {
        tenant: "acme".into(),
        run: RunId(n),
        session: SessionId(n),
        tree: None,
        limits: BoxLimits::default(),
        left: Left::default(),
    }
}

impl Kit {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(set: impl FnOnce(&mut HostLimits)) -> Self {
        Self::trusting(Trust::system().unwrap(), set).await
    }

    /// One whose proxy trusts those authorities.
    pub(crate) async fn trusting(trust: Trust, set: impl FnOnce(&mut HostLimits)) -> Self {
        Self::made(trust, set, Vec::new(), |_, _| Vec::new()).await
    }

    /// One that has all tiers, as a server would with those folders shown to boxes; nothing of a tier is started before it is asked for.
    pub(crate) async fn everywhere(trust: Trust, shown: Vec<PathBuf>) -> Self {
        let show = shown.clone();
        let mut containers = None;
        let tiers = |_: &Arc<Namespaces>, place: PathBuf| {
            let oci = Arc::new(Containers::new(stead_oci::Settings {
                shim: role(stead_oci::SHIM),
                place,
                show: show.clone(),
                ..stead_oci::Settings::default()
            }));
            containers = Some(Arc::clone(&oci));
            let microvm = Machines::new(stead_microvm::Settings {
                role: role(stead_microvm::WORD),
                translate: true,
                places: show,
                patience: (Duration::from_secs(5), Duration::from_secs(120)),
                most: 2,
                ..stead_microvm::Settings::default()
            });
            let wasm = stead_wasm::Components::new(stead_wasm::Settings { most: 4, ..Default::default() }).unwrap();
            let all: [(Tier, Arc<dyn Boxes>); 3] =
                [(Tier::Oci, oci), (Tier::Microvm, Arc::new(microvm)), (Tier::Wasm, Arc::new(wasm))];
            all.to_vec()
        };
        let made = Self::made(trust, |_| {}, shown, tiers).await;
        Self { containers, ..made }
    }

    /// One with more tiers than `namespace`, made of that and of a folder for bundles.
    pub(crate) async fn made(
        trust: Trust,
        set: impl FnOnce(&mut HostLimits),
        shown: Vec<PathBuf>,
        more: impl FnOnce(&Arc<Namespaces>, PathBuf) -> Vec<(Tier, Arc<dyn Boxes>)>,
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("stead-actions").tempdir_in("/tmp").unwrap();
        let boxes = Arc::new(Namespaces::new(LauncherSettings {
            launcher: role(stead_sandbox::LAUNCHER),
            show: shown.clone(),
            ..Default::default()
        }));
        let user = boxes.user().await.unwrap();
        let store = SqliteStore::open(&dir.path().join("data"), SqliteOptions::default()).unwrap();
        let options = Options { owner: root().then_some((user, user)), ..Options::new(dir.path().join("cache")) };
        let work = Workspaces::open(Arc::new(store), Arc::new(Wall), options).unwrap();
        let world = World::default();
        let mut host = HostLimits::default();
        set(&mut host);
        let outside = Outside {
            secrets: Arc::new(world.clone()),
            audit: Arc::new(world.clone()),
            resolver: Some(Arc::new(Loopback)),
            trust,
            authorities: None,
        };
        let mut tiers = BTreeMap::from([(Tier::Namespace, Arc::clone(&boxes) as Arc<dyn Boxes>)]);
        tiers.extend(more(&boxes, dir.path().join("containers")));
        let folder = dir.path().join("workshop");
        let shop = Workshop::new(Parts { tiers, workspaces: work.clone(), outside, host, folder, shown }).unwrap();
        Self { shop, boxes, containers: None, work, world, dir, n: AtomicU32::new(0) }
    }

    /// A shell that may write.
    pub(crate) fn shell(&self) -> Offered {
        self.shell_with(&settings())
    }

    pub(crate) fn shell_with(&self, settings: &Settings) -> Offered {
        let config = CommandConfig {
            command: vec!["bash".into(), "-c".into()],
            workspace: Access::Write,
            ..CommandConfig::default()
        };
        self.shop.command("shell", &config, settings).unwrap().pop().unwrap()
    }

    /// An operation on files.
    pub(crate) fn files(&self, operation: &str) -> Offered {
        let config = FilesConfig { workspace: Access::Write, only: None };
        let offered = self.shop.files("files", &config).unwrap();
        offered.into_iter().find(|o| o.operation == operation).unwrap()
    }

    pub(crate) fn invocation(&self, run: &Run, arguments: &Value) -> Invocation {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        Invocation {
            precondition: None,
            effect: EffectId { run: run.run, n },
            session: run.session,
            tenant: run.tenant.clone(),
            key: "key".into(),
            tool: "tool".into(),
            arguments: Arc::from(RawValue::from_string(arguments.to_string()).unwrap()),
            max_output: 64 << 10,
            may_send: MaySend::default(),
            connects: stead_ports::connect::Connects::default(),
            workspace: run.tree,
            limits: run.limits.clone(),
            left: run.left,
            on_behalf: None,
            trace: None,
        }
    }

    /// Calls a tool, and moves the workspace as the core does: only a returned action does.
    pub(crate) async fn call(&self, run: &mut Run, tool: &Offered, arguments: Value) -> Outcome<Output> {
        let outcome = tool.tool.call(self.invocation(run, &arguments)).await;
        if let Outcome::Returned(output) = &outcome
            && let Some(change) = output.action.as_ref().and_then(|a| a.workspace)
        {
            assert_eq!(change.before, run.tree);
            run.tree = Some(change.after);
        }
        outcome
    }

    /// Runs a script that may write; what the model reads.
    pub(crate) async fn sh(&self, run: &mut Run, script: &str) -> Value {
        let tool = self.shell();
        told(self.call(run, &tool, json!({"command": script})).await)
    }

    /// A file of a run's workspace as text.
    pub(crate) async fn file(&self, run: &Run, path: &str) -> Option<String> {
        let path = TreePath::parse(path.as_bytes()).unwrap();
        let bytes = self.work.read(&run.tenant, run.tree?, &path, 0, 1 << 20).await.ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Ends all, and proves that nothing of a box is left.
    pub(crate) async fn close(self) {
        assert_eq!(self.shop.counts(), (0, 0));
        if let Some(containers) = &self.containers {
            containers.close().await;
            let left = std::fs::read_dir(self.dir.path().join("containers")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "a bundle is left");
        }
        let launcher = self.boxes.launcher().await;
        self.boxes.close().await;
        if let Some(pid) = launcher {
            assert!(!PathBuf::from(format!("/proc/{pid}/root")).exists(), "the launcher is still there");
        }
        let left: Vec<_> = std::fs::read_dir(self.dir.path().join("workshop/boxes")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// What a model reads of an action that is over.
#[track_caller]
pub(crate) fn told(outcome: Outcome<Output>) -> Value {
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    serde_json::from_str(&output.content).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings { limits: Limits { wall: Duration::from_secs(20), ..Limits::default() }, ..Settings::default() }
}

pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The example of this crate, which is built with its tests, in a role.
fn role(word: &str) -> Vec<OsString> {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/box-launcher");
    assert!(path.exists(), "{} is missing; build it: cargo build -p stead-workshop --examples", path.display());
    vec![path.into(), word.into()]
}
