//! One action: a store, an instance of a component in it, and the run of that to its end, on a thread of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Change, Control, End, Evidence, Outcome, Property, Running, Source, Spec, Stdio, Tier, Usage},
};
use stead_tier::kept::Keeping;
use tokio::{
    runtime::Runtime,
    sync::{Notify, OwnedSemaphorePermit, oneshot},
};
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, p2::pipe::MemoryInputPipe};

use crate::{cache::Ready, engine::Ticks, file::Folder, output::Output, state::State};

/// How long what it waited for may take to come back when it was ended.
const GRACE: Duration = Duration::from_millis(100);
/// The signal that stands for a trap, as `wasmtime` has it: `SIGABRT`.
const ABORTED: i32 = 6;

/// All that an action takes along.
pub(crate) struct Action {
    pub(crate) engine: Engine,
    pub(crate) component: Ready,
    pub(crate) folders: Vec<Folder>,
    pub(crate) spec: Spec,
    pub(crate) stdio: Stdio,
    pub(crate) fuel: u64,
    pub(crate) evidence: Evidence,
    /// Room for one.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    pub(crate) ticks: Ticks,
}

/// What others may ask of an action, and see of it.
struct Shared {
    /// Told when its end is asked for.
    kill: Notify,
    begun: Instant,
    memory: Arc<AtomicU64>,
    over: AtomicBool,
}

struct Hand(Arc<Shared>);

impl Control for Hand {
    fn kill(&self) {
        self.0.kill.notify_one();
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, BoxError>> {
        Box::pin(async move {
            if self.0.over.load(Ordering::Relaxed) {
                return Err(BoxError::Lost("it has ended".to_owned()));
            }
            let memory = Some(self.0.memory.load(Ordering::Relaxed));
            Ok(Usage { wall: self.0.begun.elapsed(), memory, memory_peak: memory, ..Usage::default() })
        })
    }

    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move {
            let asked = [
                (change.memory.is_some(), Property::MemoryLimit),
                (change.pids.is_some(), Property::PidsLimit),
                (change.cpu_milli.is_some(), Property::CpuLimit),
            ];
            match asked.into_iter().find(|(asked, _)| *asked) {
                Some((_, property)) => {
                    let why = "what a component may use is fixed when it starts".to_owned();
                    Err(BoxError::Lacks { tier: Tier::Wasm, property, why })
                }
                None => Ok(()),
            }
        })
    }

    fn resize(&self, _: (u16, u16)) {}
}

/// Kills what nobody waits for any more.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill.notify_one();
    }
}

/// Starts it, on a thread with a runtime of its own: whatever it does, it does not hold up the server's.
pub(crate) fn start(action: Action) -> Result<Running, BoxError> {
    let shared = Arc::new(Shared {
        kill: Notify::new(),
        begun: Instant::now(),
        memory: Arc::default(),
        over: AtomicBool::new(false),
    });
    let (hears, guard) = (Arc::clone(&shared), Guard(Arc::clone(&shared)));
    let no = |e: std::io::Error| BoxError::Lost(format!("no thread for a component: {e}"));
    // One thread beside this one is for what waits on files.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
    let runtime = runtime.map_err(no)?;
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("component".to_owned());
    thread.spawn(move || lead(&runtime, action, &hears, tell)).map_err(no)?;
    let end = async move {
        let _guard = guard;
        told.await.unwrap_or_else(|_| Err(BoxError::Lost("the thread of a component ended".to_owned())))
    };
    Ok(Running { control: Arc::new(Hand(shared)), pipes: None, egress: None, end: Box::pin(end) })
}

/// The thread of an action. Its place is given back before its end is told, unless a file that it waits for never comes (a pipe
/// that nobody writes to): then the place is kept as long as the thread that waits.
fn lead(runtime: &Runtime, mut action: Action, shared: &Shared, tell: oneshot::Sender<Result<Outcome, BoxError>>) {
    let mut room = action.room.take();
    let (outcome, interrupted) = runtime.block_on(run(action, shared));
    shared.over.store(true, Ordering::Relaxed);
    let idle = || {
        let turn = async { tokio::time::timeout(GRACE, tokio::task::spawn_blocking(|| ())).await };
        matches!(runtime.block_on(turn), Ok(Ok(())))
    };
    if !interrupted || idle() {
        room = None;
    }
    // Whoever does not wait any more is told nothing.
    let _ = tell.send(outcome);
    if let Some(room) = room {
        tracing::warn!("a component was ended while it waited for a file; its place is kept until that comes");
        // A task is spawned from within the runtime, not on the way to it.
        let _ = runtime.block_on(async { tokio::task::spawn_blocking(|| ()).await });
        drop(room);
    }
}

/// The outcome, and whether it was ended from outside, perhaps in the middle of a function of the host's.
async fn run(action: Action, shared: &Shared) -> (Result<Outcome, BoxError>, bool) {
    let Action { engine, component, folders, spec, stdio, fuel, evidence, room: _, ticks } = action;
    let (begun, cpu) = (shared.begun, thread_time());
    let (input, stdout, stderr) = streams(stdio);
    let program = spec.command.words.first().cloned().unwrap_or_default();
    let failed = |why: String| BoxError::Command { program: program.clone(), why };
    let memory = spec.limits.memory.unwrap_or(u64::MAX);
    let made = wasi(&spec, &folders, input, &stdout, &stderr).and_then(|wasi| {
        let mut store = Store::new(&engine, State::new(wasi, memory, Arc::clone(&shared.memory)));
        store.limiter(|state| &mut state.meter);
        store.set_fuel(fuel)?;
        Ok(store)
    });
    let mut store = match made {
        Ok(store) => store,
        Err(e) => return (Err(failed(format!("{e:#}"))), false),
    };
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let ended = {
        let runs = async {
            let instance = match component.instantiate_async(&mut store).await {
                Ok(instance) => instance,
                Err(e) => return Ended::Unmade(e),
            };
            match instance.wasi_cli_run().call_run(&mut store).await {
                Ok(Ok(())) => Ended::Exited(0),
                Ok(Err(())) => Ended::Exited(1),
                Err(e) => Ended::Broken(e),
            }
        };
        tokio::select! {
            biased;
            () = shared.kill.notified() => Ended::Killed,
            () = tokio::time::sleep(spec.limits.wall.saturating_sub(begun.elapsed())) => Ended::Late,
            ended = runs => ended,
        }
    };
    let (peak, refused) = (store.data().meter.used(), store.data().meter.refused);
    // Its memory is given back before its end is told.
    drop(store);
    drop(ticks);
    let interrupted = matches!(ended, Ended::Killed | Ended::Late);
    let end = match ended {
        Ended::Unmade(e) if refused == 0 && !e.is::<Trap>() => return (Err(failed(format!("{e:#}"))), false),
        ended => ended.told(refused > 0, stdout.over() || stderr.over(), &stderr),
    };
    let usage = Usage {
        wall: begun.elapsed(),
        cpu: Some(thread_time().saturating_sub(cpu)),
        memory_peak: Some(peak),
        ..Usage::default()
    };
    let (stdout, stderr) = (stdout.captured(), stderr.captured());
    (Ok(Outcome { end, stdout, stderr, usage, evidence, layers: Vec::new() }), interrupted)
}

/// How it ended, before it is told.
enum Ended {
    Exited(i32),
    /// It was not instantiated.
    Unmade(wasmtime::Error),
    /// An exit, a trap, or an error of the host's.
    Broken(wasmtime::Error),
    Killed,
    Late,
}

impl Ended {
    fn told(self, refused: bool, full: bool, stderr: &Output) -> End {
        let error = match self {
            Self::Exited(code) => return if code != 0 && refused { End::Memory } else { End::Exited(code) },
            Self::Killed => return End::Killed,
            Self::Late => return End::Deadline,
            Self::Unmade(error) | Self::Broken(error) => error,
        };
        match (error.downcast_ref::<I32Exit>(), error.downcast_ref::<Trap>()) {
            (Some(I32Exit(0)), _) => End::Exited(0),
            _ if full => End::Output,
            (_, Some(Trap::OutOfFuel)) => End::Deadline,
            _ if refused => End::Memory,
            (Some(I32Exit(code)), _) => End::Exited(*code),
            (None, _) => {
                stderr.add(&format!("stead: the component was ended: {}\n", error.root_cause()));
                End::Signal(ABORTED)
            }
        }
    }
}

/// Input, and both outputs. Others than these were refused before.
fn streams(stdio: Stdio) -> (Bytes, Output, Output) {
    let (input, keeping) = Keeping::of(stdio);
    let keeping = Arc::new(keeping);
    let output = |source| Output::new(source, Arc::clone(&keeping));
    (input, output(Source::Stdout), output(Source::Stderr))
}

fn wasi(spec: &Spec, folders: &[Folder], input: Bytes, stdout: &Output, stderr: &Output) -> wasmtime::Result<WasiCtx> {
    let mut wasi = WasiCtx::builder();
    wasi.args(&spec.command.words).envs(&spec.command.env);
    wasi.stdin(MemoryInputPipe::new(input)).stdout(stdout.clone()).stderr(stderr.clone());
    for folder in folders {
        wasi.preopened_dir(folder.path(), &folder.at, FsPerms::ReadOnly)?;
    }
    Ok(wasi.build())
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
