//! What the server holds: the engine, what was compiled, and room for so many instances.

use std::{collections::BTreeMap, sync::Arc};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Boxes, Offer, Property, Root, Running, Spec, Stdio, Tier},
};
use stead_tier::ask;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::{
    cache::Cache,
    engine::{self, Ticker},
    file, give,
    run::{self, Action},
};

/// How instances are made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most instances at once. Address space is set aside for each, memory is not.
    pub most: u32,
    /// What an action may compute: about as many instructions of WebAssembly. Beyond, its end is that of the deadline.
    pub fuel: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { most: 64, fuel: 100_000_000_000 }
    }
}

/// The wasm tier.
pub struct Components {
    settings: Settings,
    engine: Engine,
    cache: Arc<Cache>,
    ticker: Ticker,
    room: Arc<Semaphore>,
}

impl Components {
    /// Sets the pool up.
    ///
    /// # Errors
    /// [`BoxError::Unavailable`] on a host that does not give the address space, or whose processor is not compiled for.
    pub fn new(settings: Settings) -> Result<Self, BoxError> {
        let unavailable = |why: String| BoxError::Unavailable { tier: Tier::Wasm, why };
        let engine = engine::engine(settings.most).map_err(|e| unavailable(format!("{e:#}")))?;
        let linker = give::linker(&engine).map_err(|e| unavailable(format!("{e:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|e| unavailable(e.to_string()))?;
        let room = Arc::new(Semaphore::new(settings.most as usize));
        Ok(Self { settings, cache: Arc::new(Cache::new(engine.clone(), linker)), engine, ticker, room })
    }

    async fn begin(&self, spec: Spec, stdio: Stdio) -> Result<Running, BoxError> {
        let offer = offer();
        ask::requires(&spec, &offer)?;
        ask::command(&spec.command)?;
        ask::bounds(&spec.limits, spec.egress)?;
        fits(&spec, &stdio)?;
        let folders = file::folders(&spec)?;
        let program = spec.command.words.first().cloned().unwrap_or_default();
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| BoxError::Busy(self.settings.most as usize))?;
        let bytes = file::component(&folders, &program)?;
        let component = self.cache.get(bytes).await.map_err(|why| BoxError::Command { program, why })?;
        run::start(Action {
            engine: self.engine.clone(),
            component,
            folders,
            evidence: ask::evidence(&spec, &offer),
            spec,
            stdio,
            fuel: self.settings.fuel,
            room: Some(room),
            ticks: self.ticker.run(),
        })
    }
}

/// What a component has no notion of is refused.
fn fits(spec: &Spec, stdio: &Stdio) -> Result<(), BoxError> {
    let lacks = |what: &str| Err(ask::wrong(format!("the wasm tier lacks {what}; the tier `namespace` has it")));
    match stdio {
        Stdio::Terminal { .. } => return lacks("terminals"),
        Stdio::Pipes { .. } => return lacks("streams that are read and written while a command runs"),
        Stdio::Quiet | Stdio::Capture { .. } => {}
    }
    if spec.root != Root::Host {
        return lacks("a root of its own");
    }
    if spec.egress.is_some() {
        return lacks("a way to the network");
    }
    if !matches!(spec.command.dir.to_str(), Some("" | "/")) {
        return lacks("working folders: a component has paths from its granted folders on");
    }
    Ok(())
}

/// The same on every host.
fn offer() -> Offer {
    let yes = |by: &str| Ok(by.to_owned());
    let no = |why: &str| Err(why.to_owned());
    let properties = BTreeMap::from([
        (Property::MemoryLimit, yes("bytes of linear memories and tables, counted by the runtime")),
        (Property::PidsLimit, no("a component has no processes to count")),
        (
            Property::CpuLimit,
            no("a component has one thread, which gets what the system gives it; its fuel is bounded"),
        ),
        (Property::Accounting, no("its memory is counted by the runtime, not by the kernel")),
        (Property::DiskQuota, yes("nothing can be written")),
        (Property::EgressControl, yes("no sockets are linked")),
        (Property::SyscallFilter, no("a component makes no system calls that a filter could look at")),
        (Property::FileRules, no("what can be reached is decided by the runtime, not by the kernel")),
        (Property::OwnKernel, no("it runs in the server's own process")),
    ]);
    Offer { tier: Tier::Wasm, properties }
}

impl Boxes for Components {
    fn offer(&self) -> BoxFuture<'_, Result<Offer, BoxError>> {
        Box::pin(async { Ok(offer()) })
    }

    fn most(&self) -> Option<usize> {
        Some(self.settings.most as usize)
    }

    fn start(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Result<Running, BoxError>> {
        Box::pin(self.begin(spec, stdio))
    }
}
