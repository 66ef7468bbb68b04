//! An agent that does nothing, ten times: what is left is the runtime.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use parking_lot::Mutex;
use serde_json::value::RawValue;
use stead_audit::key::{Role, SignerKey};
use stead_core::{
    budget::{Limits, Price, Usage},
    effect::{EffectClass, Outcome, Risk},
    fact::{CallRules, ModelConfig, RunConfig},
    id::{Name, RunId, VersionId},
    message::{Reply, StopReason, ToolCall, ToolDef},
    record::Actor,
    ruling::Behalf,
    time::Span,
};
use stead_engine::{
    DefaultPolicy, Engine, Log, LogKey, Options, PolicySets, Ports, StartRun, Unsigned, clock::SystemClock,
};
use stead_ports::{
    BoxFuture,
    agent::{Agent, AgentError, Agents, Behind, BoundTool},
    journal::Journal,
    model::{DeltaSink, Model, ModelCall, ModelError},
    tool::{Invocation, Output, Tool},
};
use stead_store::{SqliteOptions, SqliteStore, WrappingKey};

/// Tool calls of a run.
pub(crate) const CALLS: u32 = 10;

/// What the no-op agent measures of itself.
#[derive(Default)]
pub(crate) struct Seen {
    /// Steps begun.
    pub(crate) steps: AtomicU64,
    /// When the last step of each watched run began.
    last: [Mutex<Option<(RunId, Instant)>>; 32],
    /// Microseconds between the beginnings of consecutive steps.
    pub(crate) gaps: Mutex<Vec<u32>>,
    /// Executions of effects, one line of 32 bytes each, written before the tool answers.
    pub(crate) ledger: Option<File>,
}

impl Seen {
    pub(crate) fn with_ledger(path: &Path) -> Self {
        let file = File::options().create(true).append(true).open(path).expect("the ledger can be opened");
        Self { ledger: Some(file), ..Self::default() }
    }

    /// A step begins. About one run in sixteen is watched, so that watching costs little.
    fn step(&self, run: RunId) {
        self.steps.fetch_add(1, Relaxed);
        let Some(slot) = self.slot(run) else { return };
        let now = Instant::now();
        let mut last = slot.lock();
        match *last {
            Some((watched, at)) if watched == run => {
                self.gaps.lock().push(u32::try_from(now.duration_since(at).as_micros()).unwrap_or(u32::MAX));
            }
            // Kept to its end: a slot that changed hands between two steps would see the short gaps alone.
            Some(_) => return,
            None => {}
        }
        *last = Some((run, now));
    }

    /// The last step of a run is done.
    fn ended(&self, run: RunId) {
        if let Some(slot) = self.slot(run) {
            let mut last = slot.lock();
            if last.is_some_and(|(watched, _)| watched == run) {
                *last = None;
            }
        }
    }

    /// Where a run is watched, if it may be.
    fn slot(&self, run: RunId) -> Option<&Mutex<Option<(RunId, Instant)>>> {
        let hash = (run.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        hash.is_multiple_of(16).then(|| &self.last[(hash / 16 % 32) as usize])
    }

    fn executed(&self, invocation: &Invocation) {
        if let Some(ledger) = &self.ledger {
            // One write each, appended by the kernel: it survives the end of the process.
            let line = format!("{:032x}{:08x} {}\n", invocation.effect.run.0, invocation.effect.n, invocation.key);
            let _ = (&*ledger).write_all(line.as_bytes());
        }
    }
}

struct NoopModel(Arc<Seen>, Name);

impl Model for NoopModel {
    fn name(&self) -> &Name {
        &self.1
    }

    fn call(&self, call: ModelCall, _: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        if call.turn <= CALLS {
            self.0.step(call.run);
        }
        let mut reply = Reply { usage: Usage { input: 10, output: 5, ..Usage::default() }, ..Reply::default() };
        if call.turn <= CALLS {
            // Each call differs: a call that equals one of unknown outcome would rightly be put before a human.
            let arguments = RawValue::from_string(format!("{{\"n\":{}}}", call.turn)).expect("valid JSON");
            reply.calls.push(ToolCall { id: format!("call_{}", call.turn), name: "noop".to_owned(), arguments });
            reply.stop = StopReason::ToolCalls;
        } else {
            self.0.ended(call.run);
            reply.text.push_str("ok");
        }
        Box::pin(std::future::ready(Ok(reply)))
    }
}

struct NoopTool(Arc<Seen>);

impl Tool for NoopTool {
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        self.0.step(invocation.effect.run);
        self.0.executed(&invocation);
        Box::pin(std::future::ready(Outcome::Returned(Output::ok("ok"))))
    }
}

/// One agent, whatever version is asked for.
pub(crate) struct One(pub(crate) Arc<Agent>);

impl Agents for One {
    fn load(&self, _: &Name, _: VersionId) -> BoxFuture<'_, Result<Arc<Agent>, AgentError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// The no-op agent with a tool of that class; `ask` puts every call before a human.
pub(crate) fn noop(class: EffectClass, ask: bool, seen: &Arc<Seen>) -> Arc<Agent> {
    agent(class, ask, Arc::new(NoopModel(seen.clone(), "noop".into())), Arc::new(NoopTool(seen.clone())), 64)
}

/// An agent of one model and one tool.
pub(crate) fn agent(
    class: EffectClass,
    ask: bool,
    model: Arc<dyn Model>,
    tool: Arc<dyn Tool>,
    max_turns: u32,
) -> Arc<Agent> {
    let def = ToolDef {
        name: "noop".into(),
        description: "does nothing".into(),
        schema: serde_json::json!({ "type": "object" }),
    };
    let rules = CallRules { ask, ..CallRules::default() };
    let bound = BoundTool {
        def: def.clone(),
        schema_digest: [7; 16],
        toolset: "noop".into(),
        class,
        risk: Risk::Normal,
        also: Arc::default(),
        rules,
        key: None,
        preview: None,
        timeout: Span::from_secs(30),
        max_output: 1 << 20,
        max_shown: 32 << 10,
        check: Arc::new(|_| Ok(())),
        behind: Behind::Tool(tool),
    };
    // Limits of every kind are on: reserving and settling is part of what is measured.
    let limits = Limits {
        tokens: Some(1 << 40),
        usd: Some(stead_core::budget::MicroUsd(1 << 40)),
        tool_calls: Some(1 << 20),
        active: Some(Span::from_secs(86_400)),
        deadline: Some(Span::from_secs(30 * 86_400)),
        children: Some(8),
        ..Limits::default()
    };
    let config = RunConfig {
        limits,
        models: vec![ModelConfig {
            name: "noop".into(),
            max_output_tokens: 100,
            price: Some(Price { input: 100, cached: 10, output: 500, cache_write: None }),
        }],
        model_attempts: 3,
        backoff: Span::from_millis(500),
        backoff_max: Span::from_secs(30),
        max_turns,
        context_tokens: 1 << 40,
        approval_ttl: None,
        overhead_tokens: 50,
        repairs: None,
        plan: None,
        at_limit: stead_core::budget::AtLimit::Stop,
        max_open_asks: None,
        max_asks: None,
    };
    Arc::new(Agent {
        name: "bench".into(),
        version: VersionId([1; 32]),
        instructions: "".into(),
        config,
        session_limits: Limits::default(),
        models: vec![model],
        model_timeout: Span::from_secs(60),
        input: None,
        output: None,
        provenance: None,
        ask_below: None,
        relays: false,
        tools: vec![bound],
        defs: vec![def].into(),
    })
}

/// An engine on SQLite in `dir`, under the default policy.
pub(crate) async fn engine(dir: &Path, agent: Arc<Agent>) -> Engine {
    engine_under(dir, agent, Arc::new(DefaultPolicy::default())).await
}

/// The same under policies.
pub(crate) async fn engine_under(dir: &Path, agent: Arc<Agent>, policies: Arc<dyn PolicySets>) -> Engine {
    opened(dir, agent, policies).await.0
}

/// The same with the audit log behind it.
pub(crate) async fn logged(dir: &Path, agent: Arc<Agent>, policies: Arc<dyn PolicySets>) -> (Engine, Log) {
    let (engine, store) = opened(dir, agent, policies).await;
    let seed = [9; 32].into();
    let key = SignerKey::from_seed("bench.example", Role::Log, seed).and_then(|key| LogKey::new(key, 1));
    let log = engine.keep_log(store, key.expect("a name"));
    (engine, log)
}

async fn opened(dir: &Path, agent: Arc<Agent>, policies: Arc<dyn PolicySets>) -> (Engine, Arc<SqliteStore>) {
    // What encryption at rest costs is the difference.
    let encrypt = std::env::var_os("STEAD_BENCH_ENCRYPT").map(|_| WrappingKey::from_bytes(&[7; 32]));
    let store = SqliteStore::open(dir, SqliteOptions { encrypt, ..SqliteOptions::default() }).expect("the store opens");
    let store = Arc::new(store);
    let (journal, switches): (Arc<dyn Journal>, _) = (store.clone(), store.clone());
    let (agents, directories) = (Arc::new(One(agent)), Arc::new(Unsigned));
    let people = Arc::new(stead_ports::people::Everybody);
    let ports = Ports { people, journal, agents, clock: Arc::new(SystemClock), policies, switches, directories };
    let engine = Engine::open(ports, Options { max_active: 20_000, ..Options::default() }).await;
    (engine.expect("the engine opens"), store)
}

/// A run of the agent in a session of its own.
pub(crate) fn a_run() -> StartRun {
    StartRun {
        tenant: "default".into(),
        version: VersionId([1; 32]),
        session: None,
        input: "go".into(),
        files: Vec::new(),
        limits: Limits::default(),
        idempotency: None,
        actor: Actor::Runtime,
        behalf: Behalf::default(),
        label: None,
        parent: None,
    }
}
