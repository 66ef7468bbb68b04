//! The engine: how components are compiled, the pool that instances are taken from, and the clock by which what runs gives
//! its thread back for a look at the deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// How often what runs is interrupted, and so the most that a deadline is late by.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of the stack of WebAssembly; beyond, it traps.
const STACK: usize = 512 << 10;
/// Core instances, memories and tables of one component, and elements of one table.
pub(crate) const INSTANCES: u32 = 16;
pub(crate) const MEMORIES: u32 = 2;
pub(crate) const TABLES: u32 = 8;
pub(crate) const ELEMENTS: usize = 20_000;
/// Most bytes of one memory, whatever an action may have.
pub(crate) const MEMORY: usize = 1 << 30;
/// Bytes of a memory that are wiped rather than given back to the system between two instances.
const WIPED: usize = 64 << 10;

/// Makes the engine, with room for so many instances at once.
pub(crate) fn engine(most: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(most)
        .total_core_instances(most.saturating_mul(INSTANCES))
        .total_memories(most.saturating_mul(MEMORIES))
        .total_tables(most.saturating_mul(TABLES))
        .total_stacks(most)
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(ELEMENTS)
        .max_memory_size(MEMORY)
        .linear_memory_keep_resident(WIPED)
        .table_keep_resident(WIPED);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .cranelift_opt_level(OptLevel::Speed);
    Engine::new(&config)
}

/// Ticks while something runs, and sleeps otherwise.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    count: Mutex<Count>,
    changed: Condvar,
}

#[derive(Default)]
struct Count {
    running: usize,
    over: bool,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { count: Mutex::default(), changed: Condvar::new() });
        let ticks = Arc::clone(&shared);
        std::thread::Builder::new().name("wasm-ticker".to_owned()).spawn(move || {
            let mut count = ticks.count.lock();
            while !count.over {
                if count.running == 0 {
                    ticks.changed.wait(&mut count);
                } else {
                    let next = Instant::now() + TICK;
                    while !count.over && !ticks.changed.wait_until(&mut count, next).timed_out() {}
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { shared })
    }

    /// Ticks as long as this is kept.
    pub(crate) fn run(&self) -> Ticks {
        self.shared.count.lock().running += 1;
        self.shared.changed.notify_one();
        Ticks(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.count.lock().over = true;
        self.shared.changed.notify_one();
    }
}

/// That something runs.
pub(crate) struct Ticks(Arc<Shared>);

impl Drop for Ticks {
    fn drop(&mut self) {
        self.0.count.lock().running -= 1;
    }
}
