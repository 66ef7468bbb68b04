//! A place to try an engine in: scripted models, tools that can be held at a gate, a clock that is moved by hand, and
//! processes that crash: an engine lives in a runtime of its own, and a crash drops that runtime with all in it.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stead_core::{
    budget::{Limits, Price, Usage},
    code,
    effect::{EffectClass, OnUnknown, Outcome, Reconciled, Risk},
    fact::{CallRules, Fact, ModelConfig, Precondition, RunConfig, Verdict},
    id::{EffectId, Name, RunId, SessionId, VersionId},
    message::{Message, OutputSchema, Reply, StopReason, ToolCall, ToolDef},
    record::Actor,
    ruling::Behalf,
    time::{Span, Timestamp},
};
use stead_engine::{
    Demand, Directories, Engine, EngineError, Event, EventBody, EventId, FactEvent, NoSwitches, Options, PolicySets,
    Ports, Signing, StartRun, Started, clock::SystemClock, specs,
};
use stead_policy::{Policies, Source, ToolSpec};
use stead_ports::{
    BoxFuture,
    agent::{
        Agent, AgentError, Agents, Also, AnswerSchema, ArgumentCheck, Behind, Binds, BoundTool, Handed, Preview,
        Provenance,
    },
    clock::Clock,
    journal::{ApprovalFilter, Journal, Status},
    model::{DeltaSink, Model, ModelCall, ModelError, Retry},
    switches::SwitchStore,
    tool::{Invocation, Output, Tool},
};
use stead_store::{SqliteOptions, SqliteStore};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::Semaphore};

/// Longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn tenant() -> Name {
    "acme".into()
}

/// Everything that humans are asked.
pub(crate) fn all_approvals() -> ApprovalFilter {
    ApprovalFilter { tenant: tenant(), limit: 100, ..ApprovalFilter::default() }
}

pub(crate) fn me() -> Actor {
    Actor::User("olga".into())
}

// ------------------------------------------------------------------------------------------------- gates

/// Those who come are counted and wait until they are let through.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(Semaphore, Semaphore)>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new((Semaphore::new(0), Semaphore::new(0))))
    }

    /// Comes to the gate and waits.
    pub(crate) async fn pass(&self) {
        self.0.0.add_permits(1);
        self.0.1.acquire().await.unwrap().forget();
    }

    /// Comes and does not wait.
    pub(crate) fn note(&self) {
        self.0.0.add_permits(1);
    }

    /// Completes when one more has come.
    pub(crate) async fn arrived(&self) {
        self.0.0.acquire().await.unwrap().forget();
    }

    /// How many have come that nobody has asked about.
    pub(crate) fn count(&self) -> usize {
        self.0.0.available_permits()
    }

    /// Lets so many through.
    pub(crate) fn open(&self, n: usize) {
        self.0.1.add_permits(n);
    }
}

/// Waits until it is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        tokio::task::yield_now().await;
    }
}

// ------------------------------------------------------------------------------------------------- models

pub(crate) type Script =
    Arc<dyn Fn(ModelCall, DeltaSink) -> BoxFuture<'static, Result<Reply, ModelError>> + Send + Sync>;

struct Scripted(Name, Script, Option<Name>);

impl Model for Scripted {
    fn name(&self) -> &Name {
        &self.0
    }
    fn account(&self) -> Option<&Name> {
        self.2.as_ref()
    }
    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        (self.1)(call, deltas)
    }
}

pub(crate) const USAGE: Usage = Usage { input: 10, cached: 0, output: 5, reasoning: 0, cache_write: 0 };

pub(crate) fn say(text: impl Into<String>) -> Reply {
    Reply { text: text.into(), usage: USAGE, ..Reply::default() }
}

pub(crate) fn call(tool: &str, arguments: Value) -> Reply {
    calls(&[(tool, arguments)])
}

pub(crate) fn calls(all: &[(&str, Value)]) -> Reply {
    let calls = all
        .iter()
        .enumerate()
        .map(|(i, (name, arguments))| ToolCall {
            id: format!("call_{i}"),
            name: (*name).to_owned(),
            arguments: serde_json::value::to_raw_value(arguments).unwrap(),
        })
        .collect();
    Reply { calls, stop: StopReason::ToolCalls, usage: USAGE, ..Reply::default() }
}

/// Replies by turn; the last one for ever.
pub(crate) fn turns(replies: Vec<Reply>) -> Script {
    model(move |call| replies[(call.turn as usize).min(replies.len()) - 1].clone())
}

/// Replies at once.
pub(crate) fn model(reply: impl Fn(&ModelCall) -> Reply + Send + Sync + 'static) -> Script {
    Arc::new(move |call, _| {
        let reply = reply(&call);
        Box::pin(async move { Ok(reply) })
    })
}

/// Calls the tool once with `arguments`, then says what the tool answered.
pub(crate) fn once(tool: &str, arguments: Value) -> Script {
    let tool = tool.to_owned();
    model(move |c| match last_result(c) {
        None => call(&tool, arguments.clone()),
        Some(text) => say(text),
    })
}

/// The results after the last thing a user said, in one line.
pub(crate) fn last_result(call: &ModelCall) -> Option<String> {
    let results = call
        .messages
        .iter()
        .rev()
        .take_while(|m| !matches!(&***m, Message::User { text, .. } if !text.starts_with("[notice")))
        .filter_map(|m| match &**m {
            Message::Tool(r) => Some(r.content.clone()),
            _ => None,
        });
    let mut results: Vec<String> = results.collect();
    results.reverse();
    (!results.is_empty()).then(|| results.join(" | "))
}

pub(crate) fn busy(after: Option<Span>) -> ModelError {
    ModelError { code: code::MODEL_BUSY, detail: "429".into(), retry: Retry::After(after), charged: false }
}

pub(crate) fn refused() -> ModelError {
    ModelError { code: code::MODEL_REFUSED, detail: "no".into(), retry: Retry::No, charged: false }
}

// ------------------------------------------------------------------------------------------------- tools

type Run = Arc<dyn Fn(Invocation) -> BoxFuture<'static, Outcome<Output>> + Send + Sync>;
type Ask = Arc<dyn Fn(Invocation) -> BoxFuture<'static, Reconciled<Output>> + Send + Sync>;

/// A tool that writes down every attempt.
#[derive(Clone)]
pub(crate) struct TestTool {
    name: String,
    pub(crate) class: EffectClass,
    pub(crate) rules: CallRules,
    pub(crate) key: Option<String>,
    pub(crate) timeout: Span,
    pub(crate) max_output: usize,
    pub(crate) max_shown: usize,
    run: Run,
    ask: Ask,
    log: Arc<Mutex<Vec<(EffectId, Name)>>>,
    asked: Arc<Mutex<usize>>,
    check: bool,
    child: Option<VersionId>,
    pub(crate) schema: Value,
    pub(crate) risk: Risk,
    pub(crate) also: Vec<Also>,
    /// What looks at it before people are asked; set by [`TestTool::seen_by`].
    pub(crate) preview: Option<Arc<Preview>>,
    deaf: bool,
}

pub(crate) fn tool(name: &str, class: EffectClass) -> TestTool {
    TestTool {
        name: name.into(),
        class,
        rules: CallRules::default(),
        key: None,
        timeout: Span::from_secs(60),
        max_output: 1 << 20,
        max_shown: 32 << 10,
        run: Arc::new(|_| Box::pin(async { Outcome::Returned(Output::ok("done")) })),
        ask: Arc::new(|_| Box::pin(async { Reconciled::StillUnknown })),
        log: Arc::default(),
        asked: Arc::default(),
        check: true,
        child: None,
        schema: json!({"type": "object"}),
        risk: Risk::Normal,
        also: Vec::new(),
        preview: None,
        deaf: false,
    }
}

/// Hangs in the first attempt, answers the others.
pub(crate) fn hangs_once(class: EffectClass, gate: &Gate) -> TestTool {
    let gate = gate.clone();
    let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    tool("act", class).does(move |_| {
        let (gate, first) = (gate.clone(), first.swap(false, std::sync::atomic::Ordering::SeqCst));
        async move {
            if first {
                gate.pass().await;
            }
            Outcome::Returned(Output::ok("done"))
        }
    })
}

/// Another agent as a tool.
pub(crate) fn agent_tool(name: &str, version: VersionId, limits: Limits) -> TestTool {
    let mut tool = tool(name, EffectClass::Irreversible);
    tool.child = Some(version);
    tool.rules.child = Some(limits);
    tool
}

impl TestTool {
    pub(crate) fn does<F, Fut>(mut self, run: F) -> Self
    where
        F: Fn(Invocation) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome<Output>> + Send + 'static,
    {
        self.run = Arc::new(move |i| Box::pin(run(i)));
        self
    }

    /// Waits at the gate, then says so.
    pub(crate) fn gated(self, gate: &Gate) -> Self {
        let gate = gate.clone();
        self.does(move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Outcome::Returned(Output::ok("done"))
            }
        })
    }

    pub(crate) fn answers(mut self, ask: impl Fn(usize) -> Reconciled<Output> + Send + Sync + 'static) -> Self {
        let asked = self.asked.clone();
        self.ask = Arc::new(move |_| {
            let n = {
                let mut asked = asked.lock();
                *asked += 1;
                *asked
            };
            let answer = ask(n);
            Box::pin(async move { answer })
        });
        self
    }

    /// Answers the question whether it happened once it is let through the gate.
    pub(crate) fn answers_at(mut self, gate: &Gate, answer: Reconciled<Output>) -> Self {
        let gate = gate.clone();
        self.ask = Arc::new(move |_| {
            let (gate, answer) = (gate.clone(), answer.clone());
            Box::pin(async move {
                gate.pass().await;
                answer
            })
        });
        self
    }

    pub(crate) fn asks(mut self) -> Self {
        self.rules.ask = true;
        self
    }

    /// Has that tool look at what it would do, before people are asked.
    pub(crate) fn seen_by(mut self, looks: &TestTool, binds: Option<Binds>) -> Self {
        let (tool, timeout) = (Name::from(looks.name()), Span::from_secs(5));
        self.rules.preview = Some(tool.clone());
        self.preview = Some(Arc::new(Preview { tool, with: None, show: None, binds, timeout }));
        self
    }

    /// Sees to no precondition.
    pub(crate) fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }

    pub(crate) fn on_unknown(mut self, on: OnUnknown) -> Self {
        self.rules.on_unknown = on;
        self
    }

    pub(crate) fn times_out_after(mut self, ms: u64) -> Self {
        self.timeout = Span::from_millis(ms);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How often it was called.
    pub(crate) fn count(&self) -> usize {
        self.log.lock().len()
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock()
    }

    /// The keys it was called with.
    pub(crate) fn keys(&self) -> Vec<Name> {
        self.log.lock().iter().map(|(_, k)| k.clone()).collect()
    }

    fn bind(&self) -> BoundTool {
        let checked = self.check;
        BoundTool {
            def: ToolDef { name: self.name.clone(), description: String::new(), schema: self.schema.clone() },
            schema_digest: [7; 16],
            toolset: self.name.as_str().into(),
            class: self.class,
            risk: self.risk,
            also: self.also.clone().into(),
            rules: self.rules.clone(),
            key: self.key.clone(),
            preview: self.preview.clone(),
            timeout: self.timeout,
            max_output: self.max_output,
            max_shown: self.max_shown,
            check: Arc::new(move |text| match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(_)) => Ok(()),
                Ok(_) if checked => Err("not an object".into()),
                Ok(_) => Ok(()),
                Err(e) => Err(e.to_string()),
            }),
            behind: match self.child {
                Some(version) => Behind::Agent(version, Handed::Text),
                None => Behind::Tool(Arc::new(self.clone())),
            },
        }
    }
}

impl Tool for TestTool {
    fn holds(&self, _: &Precondition) -> bool {
        self.preview.is_some() && !self.deaf
    }
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        self.log.lock().push((invocation.effect, invocation.key.clone()));
        (self.run)(invocation)
    }
    fn reconcile(&self, invocation: Invocation) -> BoxFuture<'_, Reconciled<Output>> {
        (self.ask)(invocation)
    }
}

// ------------------------------------------------------------------------------------------------- agents

/// An agent in the making.
pub(crate) struct Maker {
    name: String,
    agent: Option<Name>,
    models: Vec<(ModelConfig, Script)>,
    tools: Vec<TestTool>,
    pub(crate) config: RunConfig,
    pub(crate) session_limits: Limits,
    pub(crate) model_timeout: Span,
    account: Option<Name>,
    output: Option<AnswerSchema>,
    pub(crate) ask_below: Option<u16>,
    pub(crate) provenance: Option<Provenance>,
}

pub(crate) fn agent(name: &str) -> Maker {
    Maker {
        name: name.into(),
        agent: None,
        models: Vec::new(),
        tools: Vec::new(),
        config: RunConfig {
            limits: Limits::default(),
            models: Vec::new(),
            model_attempts: 3,
            backoff: Span::from_millis(1),
            backoff_max: Span::from_millis(10),
            max_turns: 1_000,
            context_tokens: 1_000_000,
            approval_ttl: None,
            overhead_tokens: 0,
            repairs: None,
            plan: None,
            at_limit: stead_core::budget::AtLimit::Stop,
            max_open_asks: None,
            max_asks: None,
        },
        session_limits: Limits::default(),
        model_timeout: Span::from_secs(60),
        account: None,
        output: None,
        ask_below: None,
        provenance: None,
    }
}

pub(crate) const PRICE: Price = Price { input: 1_000_000, cached: 0, output: 1_000_000, cache_write: None };

impl Maker {
    pub(crate) fn model(self, script: Script) -> Self {
        self.priced(Some(PRICE), script)
    }

    pub(crate) fn priced(mut self, price: Option<Price>, script: Script) -> Self {
        let name: Name = format!("test:{}", self.models.len()).into();
        self.models.push((ModelConfig { name, max_output_tokens: 100, price }, script));
        self
    }

    pub(crate) fn tool(mut self, tool: &TestTool) -> Self {
        self.tools.push(tool.clone());
        self
    }

    pub(crate) fn config(mut self, change: impl FnOnce(&mut RunConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// It is another version of that agent.
    pub(crate) fn version_of(mut self, agent: &str) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Its models fall under the limits of that account.
    pub(crate) fn account(mut self, name: &str) -> Self {
        self.account = Some(name.into());
        self
    }

    /// Its answer must be that text; others may be repaired so often.
    pub(crate) fn answers(mut self, text: &'static str, repairs: u8) -> Self {
        let schema = Arc::new(OutputSchema { name: "answer".into(), schema: json!({ "const": text }) });
        let check: ArgumentCheck =
            Arc::new(move |answer| if answer == text { Ok(()) } else { Err(format!("- $: not `{text}`")) });
        self.output = Some(AnswerSchema { schema, check });
        self.config.repairs = Some(repairs);
        self
    }

    pub(crate) fn session(mut self, limits: Limits) -> Self {
        self.session_limits = limits;
        self
    }
}

/// The agents of a lab; they outlive its processes.
#[derive(Default)]
pub(crate) struct World(Mutex<HashMap<VersionId, Arc<Agent>>>);

impl Agents for World {
    fn load(&self, _: &Name, version: VersionId) -> BoxFuture<'_, Result<Arc<Agent>, AgentError>> {
        let found = self.0.lock().get(&version).cloned();
        let error = AgentError { code: code::VERSION_GONE, detail: "no such version".into() };
        Box::pin(async move { found.ok_or(error) })
    }
}

// ------------------------------------------------------------------------------------------------- clock

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct HandClock {
    now: Arc<AtomicI64>,
    moved: Arc<tokio::sync::watch::Sender<()>>,
}

impl HandClock {
    pub(crate) fn new() -> Self {
        Self {
            now: Arc::new(AtomicI64::new(1_800_000_000_000_000)),
            moved: Arc::new(tokio::sync::watch::Sender::new(())),
        }
    }

    pub(crate) fn advance(&self, span: Span) {
        self.now.fetch_add(i64::try_from(span.0).unwrap(), SeqCst);
        self.moved.send_replace(());
    }

    /// How many wait for a time of this clock.
    pub(crate) fn sleepers(&self) -> usize {
        self.moved.receiver_count()
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(SeqCst))
    }
    fn boot_micros(&self) -> u64 {
        self.now.load(SeqCst).unsigned_abs()
    }
    fn random(&self) -> [u8; 16] {
        SystemClock.random()
    }
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let (now, mut moved) = (self.now.clone(), self.moved.subscribe());
        Box::pin(async move {
            while now.load(SeqCst) < at.0 {
                moved.changed().await.unwrap();
            }
        })
    }
}

// ------------------------------------------------------------------------------------------------- the lab

/// A data directory, its agents, and how engines are opened on it.
pub(crate) struct Lab {
    dir: TempDir,
    world: Arc<World>,
    clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) policies: Arc<TestPolicies>,
    pub(crate) directories: Arc<TestDirectories>,
}

pub(crate) fn lab() -> Lab {
    lab_with(Arc::new(SystemClock))
}

pub(crate) fn lab_with(clock: Arc<dyn Clock>) -> Lab {
    let policies = Arc::default();
    Lab {
        dir: TempDir::new().unwrap(),
        world: Arc::default(),
        clock,
        options: Options::default(),
        policies,
        directories: Arc::default(),
    }
}

impl Lab {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes an agent known; its version is the digest of its name.
    pub(crate) fn add(&self, maker: Maker) -> VersionId {
        let version = version(&maker.name);
        let (models, scripts): (Vec<_>, Vec<_>) = maker.models.into_iter().unzip();
        let account = maker.account;
        let scripted =
            |(m, s): (&ModelConfig, Script)| Arc::new(Scripted(m.name.clone(), s, account.clone())) as Arc<dyn Model>;
        let adapters = models.iter().zip(scripts).map(scripted).collect();
        let mut tools: Vec<BoundTool> = maker.tools.iter().map(TestTool::bind).collect();
        tools.sort_by(|a, b| a.def.name.cmp(&b.def.name));
        let agent = Agent {
            name: maker.agent.unwrap_or_else(|| maker.name.as_str().into()),
            version,
            instructions: "".into(),
            config: RunConfig { models, ..maker.config },
            session_limits: maker.session_limits,
            models: adapters,
            model_timeout: maker.model_timeout,
            input: None,
            output: maker.output,
            provenance: maker.provenance,
            ask_below: maker.ask_below,
            relays: false,
            defs: tools.iter().map(|t| t.def.clone()).collect(),
            tools,
        };
        self.world.0.lock().insert(version, Arc::new(agent));
        version
    }

    /// The agent is not to be had any more.
    pub(crate) fn remove(&self, version: VersionId) {
        self.world.0.lock().remove(&version);
    }

    /// A process on the directory.
    pub(crate) fn open(&self) -> Node {
        self.open_with(self.options.clone())
    }

    pub(crate) fn open_with(&self, options: Options) -> Node {
        self.open_as(options, |store| {
            let store = Arc::new(store);
            (store.clone(), store)
        })
    }

    /// A process on the directory, which it sees through something else.
    pub(crate) fn open_on(&self, through: impl FnOnce(SqliteStore) -> Arc<dyn Journal>) -> Node {
        self.open_as(self.options.clone(), |store| (through(store), Arc::new(NoSwitches)))
    }

    fn open_as(
        &self,
        options: Options,
        through: impl FnOnce(SqliteStore) -> (Arc<dyn Journal>, Arc<dyn SwitchStore>),
    ) -> Node {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let begun = Instant::now();
        let store = loop {
            // A process that has just crashed may take a moment to be gone.
            match SqliteStore::open(self.path(), SqliteOptions::default()) {
                Ok(store) => break store,
                Err(e) if e.code == code::DATA_LOCKED && begun.elapsed() < PATIENCE => std::thread::yield_now(),
                Err(e) => panic!("{e}"),
            }
        };
        let (agents, clock, policies) = (self.world.clone(), self.clock.clone(), self.policies.clone());
        let (journal, switches) = through(store);
        let directories = self.directories.clone();
        let people = Arc::new(stead_ports::people::Everybody);
        let ports = Ports { journal, agents, clock, policies, switches, directories, people };
        let engine = rt.block_on(Engine::open(ports, options)).unwrap();
        Node { rt: Some(rt), engine: Some(engine) }
    }
}

/// The directory of a lab: nobody signs, until a test says who.
#[derive(Debug)]
pub(crate) struct TestDirectories(Mutex<Signing>);

impl Default for TestDirectories {
    fn default() -> Self {
        Self(Mutex::new(Signing { demand: Demand::Never, ..Signing::default() }))
    }
}

impl TestDirectories {
    pub(crate) fn set(&self, signing: Signing) {
        *self.0.lock() = signing;
    }

    pub(crate) fn get(&self) -> Signing {
        self.0.lock().clone()
    }
}

impl Directories for TestDirectories {
    fn current(&self, _: &Name) -> Signing {
        self.get()
    }
}

/// The policies of a lab: the default ones, and what a test adds.
#[derive(Debug, Default)]
pub(crate) struct TestPolicies(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    text: Option<String>,
    /// Counters, and tools that they name beside the agent's own.
    counters: Option<(String, Vec<ToolSpec>)>,
    epoch: u64,
    lost: bool,
    made: HashMap<VersionId, Arc<Policies>>,
}

impl TestPolicies {
    /// From now on these hold beside the default ones.
    pub(crate) fn apply(&self, text: &str) {
        let mut held = self.0.lock();
        *held = Held { text: Some(text.to_owned()), epoch: held.epoch + 1, ..Held::default() };
    }

    /// From now on these hold, with the counters that they read and the tools of all who are counted.
    pub(crate) fn count(&self, text: &str, counters: &str, tools: &[&TestTool]) {
        self.apply(text);
        let spec = |tool: &&TestTool| ToolSpec::new(&tool.name, &tool.name, tool.class, tool.risk, &tool.schema);
        self.0.lock().counters = Some((counters.to_owned(), tools.iter().map(spec).collect()));
    }

    /// From now on there are none.
    pub(crate) fn lose(&self) {
        self.0.lock().lost = true;
    }

    /// From now on those that were lost are there again.
    pub(crate) fn find(&self) {
        self.0.lock().lost = false;
    }
}

impl PolicySets for TestPolicies {
    fn current(&self, _: &Name, agent: &Agent) -> Option<Arc<Policies>> {
        let mut held = self.0.lock();
        if held.lost {
            return None;
        }
        let (text, epoch, counters) = (held.text.clone(), held.epoch, held.counters.clone());
        let made = held.made.entry(agent.version).or_insert_with(|| {
            let more = text.map(|text| Source { file: "test.cedar".into(), text });
            let (counters, tools) = counters.unzip();
            let counters = counters.map(|text| Source { file: "history.yaml".into(), text });
            let files: Vec<Source> = std::iter::once(Source::default_policy()).chain(more).chain(counters).collect();
            let own: Vec<ToolSpec> = specs(agent).collect();
            let tools = tools.into_iter().flatten().filter(|tool| own.iter().all(|own| own.name != tool.name));
            Arc::new(
                Policies::apply(&files, own.iter().cloned().chain(tools), epoch).unwrap_or_else(|p| panic!("{}", p[0])),
            )
        });
        Some(made.clone())
    }
}

pub(crate) fn version(name: &str) -> VersionId {
    VersionId(Sha256::digest(name.as_bytes()).into())
}

/// A process with an engine.
pub(crate) struct Node {
    rt: Option<Runtime>,
    engine: Option<Engine>,
}

impl Node {
    pub(crate) fn engine(&self) -> Engine {
        self.engine.clone().unwrap()
    }

    /// Does something in the process, with the patience of a test.
    pub(crate) fn go<T>(&self, what: impl Future<Output = T>) -> T {
        let rt = self.rt.as_ref().unwrap();
        rt.block_on(async { tokio::time::timeout(PATIENCE, what).await.expect("took too long") })
    }

    /// The process is gone, in the middle of everything.
    pub(crate) fn crash(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        self.engine = None;
        if let Some(rt) = self.rt.take() {
            rt.shutdown_timeout(PATIENCE);
        }
    }

    pub(crate) fn start(&self, version: VersionId, input: &str) -> Started {
        self.go(self.engine().start(ask(version, input))).unwrap()
    }

    pub(crate) fn start_in(&self, version: VersionId, session: SessionId, input: &str) -> Started {
        self.go(self.engine().start(StartRun { session: Some(session), ..ask(version, input) })).unwrap()
    }

    pub(crate) fn session(&self, agent: &str, key: &str) -> SessionId {
        let engine = self.engine();
        let id = SessionId(SystemClock.new_ulid());
        let (tenant, agent, key) = (tenant(), agent.into(), key.into());
        self.go(engine.journal().open_session(&tenant, &agent, &key, id, Timestamp(1))).unwrap().id
    }

    /// The end of a run: its status and its answer or error.
    pub(crate) fn end(&self, run: RunId) -> (Status, String) {
        let view = self.go(self.engine().wait(run, false)).unwrap();
        (view.row.state.status, view.output.or(view.error).unwrap_or_default())
    }

    pub(crate) fn completes(&self, run: RunId) -> String {
        let (status, text) = self.end(run);
        assert_eq!(status, Status::Completed, "{text}");
        text
    }

    pub(crate) fn fails(&self, run: RunId) -> (code::Code, String) {
        let view = self.go(self.engine().wait(run, false)).unwrap();
        assert_eq!(view.row.state.status, Status::Failed, "{:?}", view.output);
        (view.row.state.code.unwrap(), view.error.unwrap())
    }

    pub(crate) fn status(&self, run: RunId) -> Status {
        self.go(self.engine().view(run)).unwrap().row.state.status
    }

    /// Waits until a human is asked.
    pub(crate) fn asked(&self, run: RunId) -> EffectId {
        let view = self.go(self.engine().wait(run, true)).unwrap();
        assert_eq!(view.approvals.len(), 1, "{:?}", view.row.state);
        view.approvals[0].effect
    }

    pub(crate) fn approve(&self, effect: EffectId, yes: bool) -> Result<(), EngineError> {
        self.go(self.engine().approve(effect, yes, "olga".into(), None, None))
    }

    pub(crate) fn facts(&self, run: RunId) -> Vec<FactEvent> {
        self.go(self.engine().facts(run, 0, 10_000)).unwrap()
    }

    /// Why calls were denied, in order.
    pub(crate) fn denials(&self, run: RunId) -> Vec<code::Code> {
        let denied = |f: FactEvent| match f.fact {
            Fact::EffectDecided(decided) if decided.verdict == Verdict::Deny => decided.code,
            _ => None,
        };
        self.facts(run).into_iter().filter_map(denied).collect()
    }

    /// The kinds of all facts, in order.
    pub(crate) fn kinds(&self, run: RunId) -> Vec<String> {
        self.facts(run).iter().map(|f| kind(&f.fact)).collect()
    }

    /// Waits until nothing is in memory.
    pub(crate) fn empties(&self) {
        let engine = self.engine();
        self.go(until(|| {
            let stats = engine.stats();
            stats.loaded == 0 && stats.backlog == 0
        }));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn kind(fact: &Fact) -> String {
    serde_json::to_value(fact).unwrap()["kind"].as_str().unwrap().to_owned()
}

pub(crate) fn ask(version: VersionId, input: &str) -> StartRun {
    StartRun {
        tenant: tenant(),
        version,
        session: None,
        input: input.into(),
        files: Vec::new(),
        limits: Limits::default(),
        idempotency: None,
        actor: me(),
        behalf: Behalf::default(),
        label: None,
        parent: None,
    }
}

/// Takes from a stream until `last`.
pub(crate) async fn collect(
    stream: impl Stream<Item = Result<Event, EngineError>>,
    mut last: impl FnMut(&Event) -> bool,
) -> Vec<Event> {
    let mut stream = std::pin::pin!(stream);
    let mut out = Vec::new();
    while let Some(event) = stream.next().await {
        let event = event.unwrap();
        let stop = last(&event);
        out.push(event);
        if stop {
            break;
        }
    }
    out
}

/// An event in a few letters.
pub(crate) fn short(event: &Event) -> String {
    match &event.body {
        EventBody::Fact(f) => format!("{} {}", event.id, kind(&f.fact)),
        EventBody::Delta(d) => format!("{} {d:?}", event.id),
        EventBody::Reset => format!("{} reset", event.id),
        EventBody::End => "end".into(),
    }
}

/// The names of facts in a stream, each once and in order, or a panic.
pub(crate) fn fact_ids(events: &[Event]) -> Vec<EventId> {
    let ids: Vec<_> = events.iter().filter(|e| matches!(e.body, EventBody::Fact(_))).map(|e| e.id).collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "not in order: {ids:?}");
    ids
}

/// What is counted by name.
pub(crate) fn tally(names: &[String]) -> BTreeMap<&str, usize> {
    let mut out = BTreeMap::new();
    for name in names {
        *out.entry(name.as_str()).or_default() += 1;
    }
    out
}

/// A journal read behind the engine's back.
pub(crate) fn journal(node: &Node) -> Arc<dyn Journal> {
    node.engine().journal().clone()
}
